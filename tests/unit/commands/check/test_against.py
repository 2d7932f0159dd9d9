"""Two kernels held against each other: the first step at which they differ, in each way in which they can."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.commands.check.conftest import MAINLINE, scenario

from memhotplug import InputError
from memhotplug.catalog import Installed
from memhotplug.commands.check.answer import Answer, check
from memhotplug.commands.check.counterexample import write_counterexamples
from memhotplug.commands.check.question import Question
from memhotplug.commands.run.runner import run_scenario
from memhotplug.formats.scenario import loads_scenario

NARROW = "{drivers: acpi, blocks: 2, operations: [add, online, remove], zones: movable}"


def against(machine: str, other: str, explore: str = NARROW, rest: str = "") -> Answer:
    """Return where a machine differs from one under another kernel or policy."""
    return check(scenario(machine, explore, rest), Question(depth=3), catalog=Installed(), against=other)


def test_a_rule_that_changed_is_found() -> None:
    """Linux 6.1 lets one block host its memmap and no more."""
    first = against(MAINLINE, "linux-6.1").findings[0]
    assert first.broken.invariant == "differs in memmap"
    assert [step.move.text for step in first.steps] == ["add acpi m0 size 256M"]
    assert first.broken.text == (
        "1024 self-hosted and 0 allocated pages of memmap here, 0 self-hosted and 1024 allocated pages under linux-6.1"
    )


def test_what_the_other_does_ends_each_counterexample(tmp_path: Path) -> None:
    """A run of it fails here, and not under the other kernel: in outcome, zones and memmap."""
    given = scenario(MAINLINE, "{drivers: acpi, blocks: 2, operations: [add, online, write], zones: movable}")
    answer = check(given, Question(depth=2), catalog=Installed(), against="linux-5.13")
    paths = write_counterexamples(given, answer.findings, tmp_path)
    assert {finding.broken.invariant for finding in answer.findings} == {
        "differs in outcome",
        "differs in zones",
        "differs in memmap",
    }
    for path in paths:
        text = path.read_text(encoding="utf-8")
        here, there = (
            loads_scenario(text, catalog=Installed()),
            text.replace("kernel: linux-6.12", "kernel: linux-5.13"),
        )
        assert run_scenario(here, check=True).failure is not None, text
        assert run_scenario(loads_scenario(there, catalog=Installed()), check=True).failure is None, text


def test_kernels_that_agree_have_no_findings() -> None:
    """All that three operations can do is the same."""
    answer = against(MAINLINE, "6.12.7")
    assert answer.ok
    assert answer.progress.exhausted
    assert answer.against == "6.12.7"


def test_a_difference_in_outcome_ends_that_way() -> None:
    """What one refuses and the other does not: nothing is compared behind it."""
    narrow = "{drivers: acpi, blocks: 1, operations: [add, write], zones: movable}"
    found = [
        finding for finding in against(MAINLINE, "linux-5.13", narrow).findings if "outcome" in finding.broken.invariant
    ]
    assert [step.move.text for step in found[0].steps] == [
        "write /sys/module/memory_hotplug/parameters/online_policy value auto-movable"
    ]
    assert found[0].broken.text == "ok here, ENOENT under linux-5.13"


def test_a_policy_is_held_against_the_drivers_own(tmp_path: Path) -> None:
    """From a file that the scenario names; the first add that the two decide otherwise is the way."""
    (tmp_path / "large.py").write_text(
        "from memhotplug.plugin import hookimpl\n@hookimpl\n"
        "def policy_mhp_flags(kernel, request, phys_range, driver_flags):\n"
        "    return driver_flags if phys_range.size > 1 << 27 else 0\n",
        encoding="utf-8",
    )
    rest = f"plugins: {tmp_path}/large.py\n"
    first = against(MAINLINE, "large", NARROW, rest).findings[0]
    assert (first.broken.invariant, [step.move.text for step in first.steps]) == (
        "differs in memmap",
        ["add acpi m0 size 128M"],
    )
    rest += "drivers: {acpi: {policy: large}}\n"
    again = against(MAINLINE, "default", NARROW, rest).findings[0]
    assert [step.move.text for step in again.steps] == ["add acpi m0 size 128M"]


def test_a_driver_from_a_file_is_explored_too(tmp_path: Path) -> None:
    """Its name counts as installed for the scenario that names the file."""
    (tmp_path / "mine.py").write_text(
        "from memhotplug.plugin import PhysRange, hookimpl\n@hookimpl\ndef driver_keys(): return {}\n@hookimpl\n"
        "def driver_ranges(kernel, request):\n"
        "    return [PhysRange(start=kernel.state.first_free_address(), size=request.size)]\n@hookimpl\n"
        "def mhp_flags(): return 0\n",
        encoding="utf-8",
    )
    given = scenario(
        MAINLINE, "{drivers: mine, blocks: 1, operations: [add, remove]}", f"plugins: {tmp_path}/mine.py\n"
    )
    answer = check(given, Question(depth=2), catalog=Installed())
    assert (answer.ok, answer.progress.states) == (True, 2)


def test_neither_a_kernel_nor_a_policy_is_refused() -> None:
    """With the nearest of both."""
    with pytest.raises(InputError) as caught:
        against(MAINLINE, "linux-6.x")
    assert str(caught.value).startswith(
        "--against: got linux-6.x, expected a kernel or a policy; did you mean 'linux-6."
    )


def test_the_whole_budget_goes_into_the_search() -> None:
    """There are no random lives for which to keep a part of it."""
    given = scenario(MAINLINE, "{drivers: acpi, blocks: 4}")
    answer = check(given, Question(depth=6, operations=100), catalog=Installed(), against="6.12.7")
    assert (answer.progress.transitions, answer.progress.lives) == (100, 0)
