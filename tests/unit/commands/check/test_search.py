"""The search by breadth: what it finds, how short, how far, and that it does not depend on who does the work."""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest
from tests.unit.commands.check.conftest import MAINLINE, explored, scenario, steps

from memhotplug.commands.check.answer import Answer
from memhotplug.commands.check.crew import can_fork

DEVICE = "drivers: {acpi: {mhp_flags: device}}\n"
MEMBLOCK = "drivers: {acpi: {mhp_flags: memblock}}\n"


def test_removal_at_another_granularity_is_found(device: Answer) -> None:
    """The first block hosts the memmap of the second: two steps, and no fewer."""
    assert steps(device, "I11") == ["add acpi m0 size 256M", "remove block 32"]


def test_a_deferred_free_is_found(device: Answer) -> None:
    """The memmap waits for a section that nobody removes."""
    way = steps(device, "deferred free under way between operations")
    assert way == ["add acpi m0 size 256M", "remove block 32"]


def test_lost_marks_are_found(device: Answer) -> None:
    """A section that goes alone takes its share of the marks with it."""
    assert steps(device, "head pfn") == ["add acpi m0 size 256M", "remove block 33"]


def test_a_span_that_grew_by_a_vetoed_online_is_found() -> None:
    """The kernel of the series grows the zone before it asks the notifiers."""
    narrow = "{drivers: acpi, blocks: 1, operations: [add, online], zones: kernel}"
    answer = explored(scenario(explore=narrow, rest=DEVICE), depth=2, faults=True)
    assert steps(answer, "I17") == ["add acpi m0 size 128M", "online block 32 zone kernel veto MEM_GOING_ONLINE ENOMEM"]
    found = next(finding for finding in answer.findings if finding.broken.invariant == "I17")
    assert found.broken.text == (
        "I17: node 0 zone Normal: its span is not as before the failed operation (32768 pages, before 0)"
    )
    assert found.broken.expect == {"zone": "Normal", "node": 0, "spanned": 0}


def test_memory_blocks_that_host_themselves_break_nothing() -> None:
    """What a memblock policy leaves behind is what the series' kernel is known for, and nothing else."""
    narrow = "{drivers: acpi, blocks: 2, operations: [add, online, offline, remove], zones: movable}"
    answer = explored(scenario(explore=narrow, rest=MEMBLOCK), depth=4)
    assert answer.findings == []
    assert answer.progress.exhausted


def test_mainline_breaks_nothing() -> None:
    """Every order of three operations, and every allocation that may fail on the way."""
    narrow = "{drivers: acpi, blocks: 2, operations: [add, online, offline, remove, eject], zones: [movable, kernel]}"
    answer = explored(scenario(MAINLINE, narrow), depth=3, faults=True, operations=1500)
    assert [finding.broken.text for finding in answer.findings if finding.broken.invariant != "order"] == []


def test_a_search_may_come_to_its_end() -> None:
    """One block that comes and goes: two machines, however long one goes on."""
    answer = explored(
        scenario(MAINLINE, "{drivers: acpi, blocks: 1, sizes: 128M, operations: [add, remove]}"), depth=40
    )
    progress = answer.progress
    assert (progress.states, progress.closed, progress.exhausted) == (2, True, True)
    assert progress.depth < 40


def test_the_budget_is_kept() -> None:
    """Not one operation more is tried by breadth, and lives may only finish the last."""
    answer = explored(scenario(MAINLINE), depth=6, operations=100)
    assert 100 <= answer.progress.transitions < 100 + 24
    assert not answer.progress.exhausted
    assert answer.progress.lives == 2


def test_time_that_is_over_ends_all_of_it() -> None:
    """Random lives begin only where time is left, whatever may still be tried."""
    answer = explored(scenario(MAINLINE), depth=9, operations=1_000_000, seconds=1e-6)
    assert answer.progress.transitions < 1000
    assert (answer.progress.lives, answer.progress.exhausted, answer.progress.late) == (0, False, True)


@pytest.mark.skipif(not can_fork(), reason="this system has no fork()")
def test_the_answer_does_not_depend_on_the_number_of_processes() -> None:
    """States, transitions and findings are the same, and so is their order."""
    given = scenario(rest=DEVICE)
    alone, several = (explored(given, depth=4, operations=1000, jobs=jobs) for jobs in (1, 2))
    assert asdict(alone.progress) == asdict(several.progress)
    assert alone.findings == several.findings


def test_the_same_seed_gives_the_same_answer() -> None:
    """Lives are drawn from the seed and their number alone."""
    given = scenario(rest=DEVICE, explore="{drivers: acpi, blocks: 8}")
    one, again = (explored(given, depth=9, operations=300, seed=7) for _ in range(2))
    assert one.findings == again.findings
    assert one.progress == again.progress


def test_findings_come_once_a_kind_and_shortest_first(device: Answer) -> None:
    """A kind is the law, the operation that broke it, and what went wrong in it."""
    lengths = [len(finding.steps) for finding in device.findings]
    assert lengths == sorted(lengths)
    kinds = [finding.kind for finding in device.findings]
    assert len(kinds) == len(set(kinds))


def test_nothing_is_looked_for_behind_a_broken_machine(device: Answer) -> None:
    """No way to a finding passes another one."""
    for finding in device.findings:
        shorter = replace(finding, steps=finding.steps[:-1])
        assert shorter.steps not in [other.steps for other in device.findings]


def test_a_machine_that_is_broken_already_is_not_explored() -> None:
    """It is said at once."""
    rest = DEVICE + "steps: [add: {driver: acpi, name: d, size: 256M}, remove: {range: block 32}]\n"
    answer = explored(scenario(rest=rest))
    assert answer.progress.transitions == 0
    assert [len(finding.steps) for finding in answer.findings] == [0, 0]
    assert answer.findings[0].broken.text == "I11: the memmap of blocks 33 lies in removed memory (1024 pages)"
