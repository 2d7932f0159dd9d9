"""What kernels are known for: each flaw is found from its own start, by its shortest way."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest
from tests.unit.commands.check.conftest import MAINLINE, SERIES, explored, scenario, steps

from memhotplug.catalog import Installed
from memhotplug.commands.check.answer import Answer, check
from memhotplug.commands.check.question import Question

ARM64 = "{arch: arm64, kernel: v2-2019, memory: 2G, page_size: 64K}"
DEVICE = "drivers: {acpi: {mhp_flags: device}}\n"
MEMBLOCK = "drivers: {acpi: {mhp_flags: memblock}}\n"
EIGHT_GIB = "steps: [add: {driver: acpi, name: dimm, size: 8G}]\n"


class Flaw(NamedTuple):
    """A flaw, where it is looked for, as what it is found, and by which way."""

    name: str
    explore: str
    rest: str
    found_as: str
    way: list[str]
    faults: bool = False
    machine: str = SERIES


FLAWS = [
    Flaw("removal in other pieces than were added", "{drivers: acpi, blocks: 2, operations: [add, remove]}", DEVICE,
         "I11", ["add acpi m0 size 256M", "remove block 32"]),
    Flaw("the deferred free waits for a section that stays", "{drivers: acpi, blocks: 2, operations: [add, remove]}",
         DEVICE, "deferred free under way between operations", ["add acpi m0 size 256M", "remove block 32"]),
    Flaw("a section takes its share of the marks with it", "{drivers: acpi, blocks: 2, operations: [add, remove]}",
         DEVICE, "head pfn", ["add acpi m0 size 256M", "remove block 33"]),
    Flaw("the first block of 8 GiB is memmap of the others", "{operations: [online, offline, remove], zones: movable}",
         DEVICE + EIGHT_GIB, "I11", ["remove block 32"]),
    Flaw("a vetoed online leaves the span grown",
         "{drivers: acpi, blocks: 1, operations: [add, online], zones: movable}", DEVICE,
         "I17", ["add acpi m0 size 128M", "online block 32 zone movable veto MEM_GOING_ONLINE ENOMEM"], True),
    Flaw("what arm64 removes leaves its memmap", "{blocks: 1, operations: [add, remove]}", "",
         "I19", ["add acpi m0 size 1G", "remove m0"], machine=ARM64),
    Flaw("a balloon's memmap lies where the host has no memory", "{operations: [add], sizes: 1M, blocks: 1}",
         "drivers: {hv_balloon: {mhp_flags: memblock}}\n", "memmap on unbacked memory", ["add hv_balloon m0 size 1M"]),
    Flaw("so does that of Xen's balloon, of whole blocks too", "{operations: [add], blocks: 1}",
         "drivers: {xen: {mhp_flags: memblock}}\n", "memmap on unbacked memory", ["add xen m0 size 128M"]),
]  # fmt: skip


@pytest.mark.parametrize("flaw", FLAWS, ids=lambda flaw: flaw.name)
def test_flaws_of_the_series_are_found_from_their_own_start(flaw: Flaw) -> None:
    """And nothing shorter is."""
    answer = explored(scenario(flaw.machine, flaw.explore, flaw.rest), depth=2, faults=flaw.faults, operations=2000)

    assert steps(answer, flaw.found_as) == flaw.way


def test_a_removal_next_door_takes_pages_out_of_an_online_block(device: Answer) -> None:
    """Three operations, and no fewer."""
    assert len(steps(device, "I5")) == 3


def test_memory_blocks_that_host_themselves_have_the_grown_span_and_nothing_else() -> None:
    """With everything that may fail on the way."""
    explore = "{drivers: acpi, blocks: 2, operations: [add, online, offline, remove], zones: movable}"
    answer = explored(scenario(SERIES, explore, MEMBLOCK), depth=3, faults=True, operations=4000)

    assert answer.progress.exhausted
    assert {finding.broken.invariant for finding in answer.findings} == {"I17"}


def test_up_to_6_7_ranges_of_several_blocks_do_not_host_themselves() -> None:
    """What breaks no law is found against the kernel that does it otherwise."""
    machine = MAINLINE.replace("linux-6.12", "linux-6.6")
    given = scenario(machine, "{drivers: acpi, blocks: 2, operations: [add]}")
    answer = check(given, Question(depth=1), catalog=Installed(), against="linux-6.8")

    assert [[step.move.text for step in finding.steps] for finding in answer.findings] == [["add acpi m0 size 256M"]]


def test_the_table_has_them_all() -> None:
    """Each flaw with the law by which it is found and the length of its way, in docs/checking.md."""
    text = (Path(__file__).resolve().parents[4] / "docs" / "checking.md").read_text(encoding="utf-8")
    known = text.partition("## What is known")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in known.splitlines() if line[:2] == "| "]
    found = sorted((law, int(count)) for _, _, law, count in rows[1:])
    assert found == sorted(
        [(_law(flaw.found_as), len(flaw.way)) for flaw in FLAWS] + [("I5", 3), ("differs in memmap", 1)]
    )


def _law(found_as: str) -> str:
    return "deferred free" if found_as.startswith("deferred free") else found_as
