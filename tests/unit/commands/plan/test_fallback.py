"""A fallback is read off the vmemmap itself, whatever the architecture logs."""

from __future__ import annotations

import pytest

from memhotplug import Machine
from memhotplug.commands.plan.question import Question
from memhotplug.commands.plan.trial import Trial, attempt, largest_leaf
from memhotplug.testing import shatter

GIB = 1 << 30


def play(machine: Machine, size: int, driver: str = "acpi") -> Trial:
    """Add memory that stays offline."""
    return attempt(machine, Question(sizes=(size,), driver=driver, online="none"))


def boot(arch: str, **keywords: object) -> Machine:
    """Return a machine under 6.12, or the kernel that is given."""
    return Machine.boot(**{"arch": arch, "kernel": "linux-6.12", "memory": "8G", **keywords})


CASES: list[tuple[str, dict[str, object], str, int, int]] = [
    ("x86_64", {}, "acpi", GIB, 9),
    ("arm64", {}, "acpi", GIB, 9),
    ("s390", {}, "sclp", GIB, 8),
    ("powerpc", {}, "pseries", 4 * GIB, 5),
]


@pytest.mark.parametrize(("arch", "keywords", "driver", "size", "order"), CASES, ids=[case[0] for case in CASES])
def test_a_leaf_that_cannot_be_had_is_a_fallback_everywhere(
    arch: str, keywords: dict[str, object], driver: str, size: int, order: int
) -> None:
    """With room the leaves are whole; where no chunk of their order is free, single pages take their place."""
    machine = boot(arch, **keywords)
    assert largest_leaf(machine.kernel) == 1 << order
    assert not play(machine, size, driver).fell_back

    shatter(machine, order - 1)
    trial = play(machine, size, driver)
    assert trial.problem is None
    assert trial.fell_back
    assert not trial.clean


def test_base_pages_are_no_fallback_where_nothing_else_is_used() -> None:
    """arm64 with 64K pages maps the memmap of blocks below a PMD page by page, with or without room."""
    machine = boot("arm64", page_size="64K")
    shatter(machine, 0)
    assert largest_leaf(machine.kernel) == 1
    assert not play(machine, GIB).fell_back


def test_a_window_that_had_begun_with_single_pages_goes_on_with_them() -> None:
    """Radix on powerpc: the second half of a window of 2 GiB is no fallback of its own."""
    machine = boot("powerpc")
    crowded = machine.copy()
    shatter(crowded, 4)
    first = play(crowded, GIB, "pseries")
    assert first.fell_back
    assert not play(first.machine, GIB, "pseries").fell_back


def test_what_hosts_its_own_memmap_falls_back_to_nothing() -> None:
    """Single pages from an altmap, or because of its border, are as they should be."""
    machine = boot("powerpc", cmdline="memory_hotplug.memmap_on_memory=1")
    trial = play(machine, 4 * GIB, "pseries")
    assert trial.problem is None
    assert not trial.fell_back


def test_an_earlier_fallback_is_not_this_one() -> None:
    """Only what was mapped by this add counts."""
    machine = boot("x86_64")
    crowded = machine.copy()
    shatter(crowded, 8)
    crowded.add_memory(driver="acpi", size="1G", name="before")
    crowded.release("shattered")
    assert not play(crowded, GIB).fell_back
