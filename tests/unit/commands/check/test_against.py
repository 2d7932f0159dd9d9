"""Two kernels held against each other: the first step at which they differ, in each way in which they can."""

from __future__ import annotations

from tests.unit.commands.check.conftest import MAINLINE, scenario

from memhotplug.catalog import Installed
from memhotplug.commands.check.answer import Answer, check
from memhotplug.commands.check.question import Question

OLD = MAINLINE.replace("linux-6.12", "linux-6.1")
NARROW = "{drivers: acpi, blocks: 2, operations: [add, online, remove], zones: movable}"


def against(machine: str, other: str, explore: str = NARROW) -> Answer:
    """Return where two machines differ."""
    return check(
        scenario(machine, explore),
        Question(depth=3),
        catalog=Installed(),
        other=scenario(other, explore),
        against="the other",
    )


def test_a_rule_that_changed_is_found() -> None:
    """Linux 6.1 lets one block host its memmap and no more."""
    first = against(MAINLINE, OLD).findings[0]
    assert first.broken.invariant == "differs in memmap"
    assert [step.move.text for step in first.steps] == ["add acpi m0 size 256M"]
    assert first.broken.text == (
        "1024 self-hosted and 0 allocated pages of memmap here, 0 self-hosted and 1024 allocated pages under the other"
    )


def test_what_differs_from_the_start_is_no_finding() -> None:
    """A machine of another size has other zones at every step; that its devices differ is what is asked."""
    larger = MAINLINE.replace("1G", "2G")
    assert against(MAINLINE, larger).findings == []


def test_kernels_that_agree_have_no_findings() -> None:
    """All that three operations can do is the same."""
    answer = against(MAINLINE, MAINLINE)
    assert answer.ok
    assert answer.progress.exhausted
    assert answer.against == "the other"


def test_a_difference_in_outcome_ends_that_way() -> None:
    """What one refuses and the other does not: nothing is compared behind it."""
    narrow = "{drivers: acpi, blocks: 1, operations: [add, write], zones: movable}"
    old = MAINLINE.replace("linux-6.12", "linux-5.13")
    found = [finding for finding in against(MAINLINE, old, narrow).findings if "outcome" in finding.broken.invariant]
    assert [step.move.text for step in found[0].steps] == [
        "write /sys/module/memory_hotplug/parameters/online_policy value auto-movable"
    ]
    assert found[0].broken.text == "ok here, ENOENT under the other"
