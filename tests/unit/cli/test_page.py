"""``mhp page``: struct pages after a step, and what a step did to them."""

from __future__ import annotations

import json

import pytest
from tests.unit.cli.conftest import Mhp, Write

STEPS = (
    "add: {driver: acpi, name: dimm0, size: 1G, mhp_flags: device}",
    "online: {range: dimm0, zone: movable}",
    "offline: {range: dimm0}",
    "remove: {range: dimm0}",
)
AFTER_ONLINE = """\
PFN       PAGES FLAGS            REFS PRIVATE  HEAD     ZONE    NODE BACKING
0x100000      1 RESERVED|VMEMMAP    8 4096     0x100000 Movable    0 0x100000
0x100001   4095 RESERVED|VMEMMAP    1 -        0x100000 Movable    0 0x100000-0x10003f
0x101000 258048 BUDDY               0 order 10 -        Movable    0 0x100040-0x100fff
"""


@pytest.mark.parametrize(
    "pages",
    ["dimm0", "block 32-39", "0x100000000+1G", "0x100000000-0x13fffffff", "0x0000000100000000-0x000000013FFFFFFF"],
)
def test_every_way_to_say_which_pages(mhp: Mhp, scenario: Write, pages: str) -> None:
    """A gibibyte is three lines."""
    done = mhp("page", scenario(*STEPS), pages, "--step", 1)
    assert (done.status, done.out, done.err) == (0, AFTER_ONLINE, "")


@pytest.mark.parametrize("pfn", ["0x100000", "1048576"])
def test_one_page(mhp: Mhp, scenario: Write, pfn: str) -> None:
    """By its number, hexadecimal or decimal."""
    done = mhp("page", scenario(*STEPS), pfn, "--step", 1)
    assert done.out.splitlines()[1] == "0x100000     1 RESERVED|VMEMMAP    8 4096    0x100000 Movable    0 0x100000"
    assert len(done.out.splitlines()) == 2


def test_without_a_step_it_is_the_end(mhp: Mhp, scenario: Write) -> None:
    """Then nothing is left of the memory."""
    done = mhp("page", scenario(*STEPS), "0x100000000+1G")
    assert done.out.splitlines()[1:] == ["0x100000 262144 NOPAGE    0 -       -    -       - -"]


def test_diff_shows_before_and_after(mhp: Mhp, scenario: Write) -> None:
    """Pages that the step left alone are counted."""
    done = mhp("page", scenario(*STEPS[:1], "online: {range: block 33, zone: movable}"), "block 32-34", "--diff")
    assert (done.status, done.out) == (
        0,
        """\
  PFN      PAGES FLAGS  REFS PRIVATE  HEAD ZONE    NODE BACKING
- 0x108000 32768 NOPAGE    0 -        -    -          - 0x100200-0x1003ff
+ 0x108000 32768 BUDDY     0 order 10 -    Movable    0 0x100200-0x1003ff
65536 pages unchanged
""",
    )


def test_diff_finds_the_memory_that_the_step_took_away(mhp: Mhp, scenario: Write) -> None:
    """Its name is looked up before the step, too."""
    done = mhp("page", scenario(*STEPS), "dimm0", "--step", 3, "--diff")
    assert done.status == 0
    assert len([line for line in done.out.splitlines() if line.startswith("+")]) == 3
    assert mhp("page", scenario(*STEPS), "dimm0", "--step", 3).err == ("mhp: ENODEV: there is no memory of 'dimm0'\n")


def test_json_has_the_runs(mhp: Mhp, scenario: Write) -> None:
    """And the step that they are after."""
    done = json.loads(mhp("page", scenario(*STEPS), "0x101000", "--step", 1, "--json").out)
    run = {"pfn": 0x101000, "pages": 1, "flags": ["BUDDY"], "refcount": 0, "private": 10, "head": None, "mapping": 0,
           "zone": "Movable", "node": 0, "backing": 0x100040, "backing_end": 0x100041}  # fmt: skip
    private = done["runs"][0].pop("private")
    assert private in range(11)
    run.pop("private")
    assert done == {"schema": 1, "ok": True, "step": 1, "op": "online", "page_size": 4096, "runs": [run]}


def test_json_has_the_changes(mhp: Mhp, scenario: Write) -> None:
    """Before and after, and how many pages are as they were."""
    done = json.loads(mhp("page", scenario(*STEPS), "dimm0", "--step", 2, "--diff", "--json").out)
    assert (done["op"], done["unchanged_pages"], len(done["changes"])) == ("offline", 4096, 1)
    assert done["changes"][0]["before"]["flags"] == ["BUDDY"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["dimm0", "--step", "9"], "--step: got 9, expected a step from 0 to 3"),
        (["dimm0", "--step", "-1"], "--step: got -1, expected a step from 0 to 3"),
        (["0x10-0x3"], "RANGE: got 0x10-0x3, expected 0xFIRST-0xLAST, ascending; did you mean '0x3-0x10'?"),
        (["dimm", "--step", "0"], "RANGE: got dimm, expected the name of memory that was added (dimm0); "
         "did you mean 'dimm0'?"),
        (["0x10000000000"], "RANGE: got 0x10000000000 up to pfn 0x10000000000, expected pages below pfn 0x10000000000 "
         "(52 address bits)"),
        (["block 0-512"], "RANGE: got 16809984 in block 0-512, expected at most 16777216 pages"),
        (["7x"], "RANGE: got 7x, expected a pfn, 'block N', 'block N-M', 0xFIRST-0xLAST, 0xSTART+SIZE or a device's "
         "name"),
        ([""], "RANGE: got nothing, expected a pfn, 'block N', 'block N-M', 0xFIRST-0xLAST, 0xSTART+SIZE or a device's "
         "name"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said_in_one_line(mhp: Mhp, scenario: Write, arguments: list[str], said: str) -> None:
    """Nothing is printed but that."""
    done = mhp("page", scenario(*STEPS), *arguments)
    assert (done.status, done.out, done.err) == (2, "", f"mhp: {said}\n")


def test_a_run_that_stops_before_the_step_has_no_pages_to_show(mhp: Mhp, scenario: Write) -> None:
    """The reason is that of the run."""
    done = mhp("page", scenario("remove: {range: block 0}", *STEPS), "0", "--step", 2)
    assert (done.status, done.out) == (1, "")
    assert done.err.startswith("mhp: s.yaml:4:5: steps[0].remove: EBUSY: ")
    assert done.err.endswith(" (before step 2)\n")


def test_the_step_that_fails_is_shown_with_its_reason(mhp: Mhp, scenario: Write) -> None:
    """The machine as it was left, and exit status 1."""
    done = mhp("page", scenario(*STEPS[:2], "remove: {range: dimm0}"), "dimm0")
    assert (done.status, done.out) == (1, AFTER_ONLINE)
    assert done.err.startswith("mhp: s.yaml:6:5: steps[2].remove: EBUSY: ")


def test_a_scenario_without_steps_is_the_booted_machine(mhp: Mhp, scenario: Write) -> None:
    """There is no step to name."""
    path = scenario(head="schema: 1\nmachine: {arch: x86_64, kernel: v2-2019, memory: 4G}\nsteps: []\n")
    assert mhp("page", path, "0").status == 0
    assert mhp("page", path, "0", "--step", 0).err == "mhp: --step: got 0, expected no step: the scenario has none\n"
