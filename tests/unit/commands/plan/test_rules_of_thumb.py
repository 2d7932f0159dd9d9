"""What the rules of thumb of other projects would allow on the same machine."""

from __future__ import annotations

import pytest

from memhotplug.commands.plan.rules_of_thumb import rules_of_thumb

_GIB = 1 << 30


def allowed(boot: int, present: int, free: int, described: int = 64) -> list[tuple[str, int]]:
    """Return name and bytes of each rule."""
    return [(rule.name, rule.allows_bytes) for rule in rules_of_thumb(boot, present, free, described)]


def test_each_rule_has_its_factor_and_its_base() -> None:
    """Boot memory as it was given, what of it is memory, or what is free now; the most careful first."""
    assert allowed(1000 * _GIB, 100 * _GIB, 10 * _GIB) == [
        ("auto_movable_ratio 301", 301 * _GIB),
        ("32x free", 320 * _GIB),
        ("64x free", 640 * _GIB),
        ("maxMemory = 4x", 3000 * _GIB),
        ("3 to 4x if all movable", 4000 * _GIB),
        ("total <= 10x", 9000 * _GIB),
        ("48x boot", 48000 * _GIB),
    ]


@pytest.mark.parametrize(("described", "name"), [(64, "64x free"), (256, "256x free"), (1024, "1024x free")])
def test_arithmetic_goes_by_the_size_of_a_page(described: int, name: str) -> None:
    """A page of 64 KiB of memmap describes 1024 pages."""
    assert (name, described * 7) in allowed(1, 1, 7, described)


def test_rules_that_allow_the_same_are_ordered_by_name() -> None:
    """Nothing free is a machine, too."""
    assert allowed(0, 0, 0)[:3] == [("3 to 4x if all movable", 0), ("32x free", 0), ("48x boot", 0)]


def test_a_percentage_is_rounded_down() -> None:
    """To whole bytes."""
    assert dict(allowed(10, 33, 0))["auto_movable_ratio 301"] == 99


def test_each_says_whose_it_is_and_what_it_limits() -> None:
    """As the document has it, key by key."""
    by_name = {rule.name: rule.to_dict() for rule in rules_of_thumb(_GIB, _GIB, _GIB, 64)}
    assert by_name["32x free"] == {
        "name": "32x free",
        "source": "openEuler KVM guide",
        "kind": "memmap with a margin of two",
        "allows_bytes": 32 * _GIB,
    }
    assert {entry["source"] for entry in by_name.values()} == {
        "oVirt", "virtio-mem user guide", "Linux, mm/memory_hotplug.c (v5.15)", "Qubes OS", "openEuler KVM guide",
        "Kata Containers", "arithmetic",
    }  # fmt: skip
    assert [by_name[name]["kind"] for name in ("maxMemory = 4x", "total <= 10x", "48x boot", "64x free")] == [
        "configuration default",
        "metadata made at boot",
        "memmap at 75 % of boot memory",
        "memmap only, no watermark",
    ]
