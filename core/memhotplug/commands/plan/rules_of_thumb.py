"""The rules of thumb that projects ship, for the same machine: what each would allow to be added."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from memhotplug.documents.plan import RuleOfThumbDocument

__all__ = ["RuleOfThumb", "rules_of_thumb"]


class RuleOfThumb(NamedTuple):
    """One rule.

    Attributes:
        name: the rule in a few words.
        source: who ships it.
        kind: what it is meant to limit.
        allows_bytes: how much it would let be added.
    """

    name: str
    source: str
    kind: str
    allows_bytes: int

    def to_dict(self) -> RuleOfThumbDocument:
        """Return the JSON entry."""
        return {"name": self.name, "source": self.source, "kind": self.kind, "allows_bytes": self.allows_bytes}


def rules_of_thumb(boot: int, present: int, free: int, described: int) -> list[RuleOfThumb]:
    """Return all rules, the most careful first.

    Args:
        boot: bytes of boot memory, as the guest was given it. present: those of them that are memory.
        free: bytes that are free now.
        described: bytes of memory that one byte of memmap describes.
    """
    rules = [
        RuleOfThumb(name="maxMemory = 4x", source="oVirt", kind="configuration default", allows_bytes=3 * boot),
        RuleOfThumb(
            name="3 to 4x if all movable", source="virtio-mem user guide", kind="zone balance", allows_bytes=4 * boot
        ),
        RuleOfThumb(
            name="auto_movable_ratio 301",
            source="Linux, mm/memory_hotplug.c (v5.15)",
            kind="zone balance, then kernel zones",
            allows_bytes=present * 301 // 100,
        ),
        RuleOfThumb(name="total <= 10x", source="Qubes OS", kind="metadata made at boot", allows_bytes=9 * boot),
        RuleOfThumb(
            name="32x free", source="openEuler KVM guide", kind="memmap with a margin of two", allows_bytes=32 * free
        ),
        RuleOfThumb(
            name="48x boot", source="Kata Containers", kind="memmap at 75 % of boot memory", allows_bytes=48 * boot
        ),
        RuleOfThumb(
            name=f"{described}x free",
            source="arithmetic",
            kind="memmap only, no watermark",
            allows_bytes=described * free,
        ),
    ]
    return sorted(rules, key=lambda rule: (rule.allows_bytes, rule.name))
