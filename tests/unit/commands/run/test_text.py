"""What people read: one line a step, the tables, and nothing that a pipe could damage."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from memhotplug.commands.run.runner import RunResult
from memhotplug.commands.run.text import state_lines, step_lines, verdict_lines
from memhotplug.formats.scenario import Scenario
from memhotplug.output.tables import plain

Run = Callable[..., RunResult]
Load = Callable[..., Scenario]

ADD = "add: {driver: acpi, name: dimm0, size: 1G}"
ONLINE = "online: {range: dimm0, zone: movable}"


@pytest.fixture
def lines(run: Run, load: Load) -> Callable[..., list[str]]:
    """Return a function that runs steps and returns the lines of the last one that ran."""

    def call(*steps: str, **keywords: Any) -> list[str]:
        shown: list[list[str]] = []
        run(*steps, on_step=lambda step, record: shown.append(step_lines(step, record)), **keywords)
        return shown[-1]

    return call


@pytest.mark.parametrize(
    ("steps", "line"),
    [
        ([ADD], "add dimm0  acpi  1G at 0x0000000100000000-0x000000013fffffff  blocks 32-39  ok"),
        ([ADD, ONLINE], "online dimm0  zone movable  blocks 32-39  ok"),
        ([ADD, "online: {range: block 33}"], "online block 33  blocks 33  ok"),
        ([ADD, ONLINE, "offline: {range: 0x100000000+256M}"], "offline 0x100000000+256M  blocks 32-33  ok"),
        ([ADD, "remove: {range: dimm0}"], "remove dimm0  blocks 32-39  ok"),
        ([ADD, "eject: {range: dimm0}"], "eject dimm0  blocks 32-39  ok"),
        (
            ["write: {path: memory/auto_online_blocks, value: online}"],
            "write memory/auto_online_blocks  online  ok",
        ),
        (["allocate: {name: app, size: 300M, zone: kernel}"], "allocate app  300M kernel from node 0  ok"),
        (["allocate: {name: app, size: 1M}", "release: {name: app}"], "release app  ok"),
        (
            ["expect: {zone: Movable, node: 0, managed: 0}"],
            "expect zone Movable, node 0, managed 0  ok",
        ),
        (
            [ADD, "expect: {block: 32, valid_zones: [Normal, Movable]}"],
            "expect block 32, valid_zones Normal/Movable  ok",
        ),
        (
            [ADD, ONLINE, "remove: {range: dimm0, fails: EBUSY}"],
            "remove dimm0  blocks 32-39  ok (EBUSY as expected: memory blocks 32-39 are not offline)",
        ),
        (
            [ADD, ONLINE, "remove: {range: dimm0}"],
            "remove dimm0  blocks 32-39  FAILED EBUSY: memory blocks 32-39 are not offline",
        ),
        (
            [ADD, "online: {range: dimm0, fails: EBUSY}"],
            "online dimm0  blocks 32-39  FAILED succeeded, expected to fail with EBUSY",
        ),
        (
            ["expect: {zone: Movable, managed: 5}"],
            "expect zone Movable, managed 5  FAILED zone Movable of node 0: managed is 0, expected 5",
        ),
        (
            ["add: {driver: acpi, size: 100M, fails: EINVAL}"],
            "add acpi0  acpi  100M  ok (EINVAL as expected: "
            "Block size [0x8000000] unaligned hotplug range: start 0x100000000, size 0x6400000)",
        ),
    ],
)
def test_a_step_is_one_line(lines: Callable[..., list[str]], steps: list[str], line: str) -> None:
    """What it was about, where, and how it ended."""
    assert lines(*steps)[0] == line


def test_what_was_done_before_a_failure_is_shown(lines: Callable[..., list[str]]) -> None:
    """Block 34 was online already."""
    assert lines(ADD, "online: {range: block 34}", "online: {range: dimm0}") == [
        "online dimm0  blocks 32-39  FAILED EINVAL: memory block 34 is online already",
        "    done before: blocks 32-33",
    ]


def test_what_the_driver_says_is_shown(lines: Callable[..., list[str]]) -> None:
    """Below the step's own line."""
    shown = lines("add: {driver: acpi, name: d, resources: [1G, 100M], fails: EINVAL}")

    assert shown[1].startswith("    driver: 1 of 2 resources enabled; the firmware is told success")


def test_control_characters_never_reach_the_terminal(lines: Callable[..., list[str]]) -> None:
    """A value may hold any."""
    (line,) = lines('write: {path: memory/auto_online_blocks, value: "\\e[2J\\n", fails: EINVAL}')

    assert line.startswith("write memory/auto_online_blocks  \\x1b[2J\\n  ok (EINVAL as expected: ")
    assert "\x1b" not in line


def test_colour_only_adds_to_the_plain_text(run: Run) -> None:
    """The same words, in the same columns."""
    result = run(ADD, ONLINE)
    state = result.to_dict()

    painted = state_lines(result.machine, state, lambda text, style: f"\x1b[1m{text}\x1b[0m")

    assert [line.replace("\x1b[1m", "").replace("\x1b[0m", "") for line in painted] == state_lines(
        result.machine, state, plain
    )


def _block(number: int, **changes: object) -> dict[str, object]:
    return {
        "id": number, "state": "online", "node": 0, "zone": "DMA32", "valid_zones": ["DMA32"],
        "start": number << 27, "size": 1 << 27, "vmemmap_pages": 0, "usable_pages": 32768, "device": None, **changes,
    }  # fmt: skip


def test_the_state_is_shown_as_tables(run: Run) -> None:
    """Blocks that are alike in one row, with the sum of the memmap that they hold.

    Expect: 1-2 and 3-4 in one row each, apart because of their state; 8 apart because of the gap.
    """
    state = {
        **run(ADD).to_dict(),
        "blocks": [
            _block(0, valid_zones=[], zone=None),
            _block(1),
            _block(2, vmemmap_pages=512),
            _block(3, state="offline", zone=None, valid_zones=["Normal", "Movable"]),
            _block(4, state="offline", zone=None, valid_zones=["Normal", "Movable"]),
            _block(8, device="dimm0", node=1),
        ],
        "zones": [
            {"node": 0, "zone": "DMA32", "start_pfn": 0, "spanned": 98304, "present": 98304, "managed": 9, "free": 1},
        ],
        "memmap": {
            "self_hosted_pages": 4096,
            "allocated_pages": 12,
            "page_table_pages": 3,
            "by_node": {"0": 4096, "1": 12},
        },
        "warnings": ["first", "second\nline"],
        "violations": ["I5: broken"],
    }

    assert state_lines(run(ADD).machine, state) == GOLDEN.splitlines()


GOLDEN = """
RANGE                                 SIZE   STATE REMOVABLE BLOCK          ZONES NODE VMEMMAP DEVICE
0x0000000000000000-0x0000000007ffffff 128M  online        no     0           None    0       0 -
0x0000000008000000-0x0000000017ffffff 256M  online       yes   1-2          DMA32    0     512 -
0x0000000018000000-0x0000000027ffffff 256M offline         -   3-4 Normal/Movable    0       0 -
0x0000000040000000-0x0000000047ffffff 128M  online       yes     8          DMA32    1       0 dimm0

Memory block size:       128M
Total online memory:     512M
Total offline memory:    256M

Zones, in pages:
NODE ZONE  START_PFN SPANNED PRESENT MANAGED FREE
   0 DMA32         0   98304   98304       9    1

Memmap of the hot-added memory:
WHERE                   PAGES SIZE
self-hosted              4096  16M
from the page allocator    12  48K
page tables                 3  12K
memmap on node 0         4096  16M
memmap on node 1           12  48K

Warnings:
  first
  second\\nline

Broken invariants:
  I5: broken
"""


def test_a_run_ends_with_its_verdict(run: Run) -> None:
    """Where the eye ends: what was done, what was expected, and what was refused as it should be."""
    remove = "remove: {range: dimm0, fails: EBUSY}"
    result = run(ADD, ONLINE, "expect: {violations: 0}", "expect: {zone: Movable, managed: 258048}", remove)
    assert verdict_lines(result.steps) == ["", "ok: 3 steps and 2 expectations, 1 refused as expected"]
    assert verdict_lines(result.steps[:1]) == ["", "ok: 1 step"]
    assert verdict_lines(result.steps[2:3]) == ["", "ok: 1 expectation"]
    assert verdict_lines(()) == []
