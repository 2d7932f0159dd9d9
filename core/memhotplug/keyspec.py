"""How a driver declares the keys of its own in an ``add`` step.

A driver answers with a mapping from key to ``KeySpec``; the scenario format, its JSON Schema and
the help texts are all made from that one declaration.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, get_args

__all__ = ["COMMON_KEYS", "OWN_POLICY", "KeyKind", "KeySpec"]

COMMON_KEYS: Final[Mapping[str, frozenset[str]]] = {
    "drivers": frozenset(
        ("driver", "name", "size", "address", "node", "mhp_flags", "options", "fails", "fail_allocation", "veto")
    ),
    "arch": frozenset(
        (
            "arch", "kernel", "memory", "snapshot", "page_size", "memory_block_size", "physical_address_bits",
            "cmdline", "sparsemem_vmemmap", "slots", "boot_profile", "hole", "advised_block_size",
            "options",
        )
    ),
}  # fmt: skip
"""By kind of plugin, the keys of an ``add`` step or of ``machine`` that no plugin may take for its own."""

OWN_POLICY: Final = "default"
"""What names a driver's own policy, wherever MHP flags or a policy are named."""

KeyKind: TypeAlias = Literal["size", "int", "bool", "word", "text", "size_list"]


@dataclass(frozen=True, slots=True)
class KeySpec:
    """One driver-specific key of an ``add`` step.

    Attributes:
        kind: what the value is; sizes arrive in the driver as bytes, ``size_list`` as a tuple of them.
        help: one line for people and editors.
        choices: the words that ``word`` accepts; empty for any single word.
        minimum: smallest value of ``size``, ``size_list`` (each) or ``int``; None is 1 for sizes and 0 for int.
        maximum: largest such value; None is no limit of the driver's own.
        power_of_two: whether ``size`` must be one.
        replaces_size: for ``size`` and ``size_list``: whoever gives this key leaves out ``size``, which
            is then the sum of what this key says.
    """

    kind: KeyKind
    help: str
    choices: tuple[str, ...] = ()
    minimum: int | None = None
    maximum: int | None = None
    power_of_two: bool = False
    replaces_size: bool = False

    def __post_init__(self) -> None:
        if self.kind not in get_args(KeyKind):
            raise ValueError(f"kind is one of {', '.join(get_args(KeyKind))}, not {self.kind!r}")
        if self.choices and self.kind != "word":
            raise ValueError(f"choices belong to a key of kind word, not {self.kind}")
        if self.power_of_two and self.kind != "size":
            raise ValueError(f"power_of_two belongs to a key of kind size, not {self.kind}")
        if self.replaces_size and self.kind not in ("size", "size_list"):
            raise ValueError(f"replaces_size belongs to a key of kind size or size_list, not {self.kind}")
