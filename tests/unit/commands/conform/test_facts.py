"""What one recorded step shows: files parsed when they are asked for, flags as runs, and nothing where nothing is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memhotplug import InputError, Machine
from memhotplug.commands.conform.classes import BUDDY, OFFLINE, ONLINE, cut
from memhotplug.commands.conform.facts import BlockShown, StepFacts
from memhotplug.commands.conform.firmware import Firmware, device_log
from memhotplug.commands.conform.flags import Flags
from memhotplug.commands.conform.observation import Observation, Reason
from memhotplug.contracts import PageFlag
from memhotplug.formats.snapshot import KPageFlags, RecordedMachine, RecordedOp, RecordedStep
from memhotplug.formats.snapshot.flagruns import FlagRuns
from memhotplug.model.runs import FEW

_MEMORY = "sys/devices/system/memory"
_ZONEINFO = """\
Node 0, zone   Normal
  pages free     100
        min      1
        low      2
        high     3
        spanned  200
        present  200
        managed  200
        protection: (0, 0, 0, 0)
  pagesets
    cpu: 0
              count:    5
              high:     6
              batch:    1
    cpu: 1
              count:    7
              high:     6
              batch:    1
  start_pfn:           1000
"""


def facts(files: Mapping[str, str] | None = None, **more: Any) -> StepFacts:
    """Return a step with some files."""
    values: dict[str, Any] = {
        "index": 3, "op": RecordedOp(kind="online", blocks=(32,)), "result": "ok", "results": {}, "kpageflags": None,
        "blocks_left": None, "seconds": None, "dmesg": (),
    }  # fmt: skip
    return StepFacts(RecordedStep(files=files, **{**values, **more}), "r.json")


def test_what_was_not_recorded_is_nothing() -> None:
    """Which is not the same as empty."""
    step = facts()
    assert (step.zones, step.chunks, step.types, step.ram, step.mem_total, step.blocks, step.flags) == (None,) * 7
    assert (step.index, step.op.kind, step.is_under_way, step.waiting(0, "Normal")) == (3, "online", False, 0)


@pytest.mark.parametrize(
    ("files", "result", "bare"),
    [(None, None, True), ({}, None, True), (None, "ok", False), ({"proc/meminfo": "MemTotal: 1 kB\n"}, None, False)],
)
def test_a_step_may_be_an_operation_alone(files: Mapping[str, str] | None, result: str | None, bare: bool) -> None:
    """Without a result and without any file."""
    assert facts(files, result=result).is_bare is bare


def test_blocks_have_the_files_of_their_folders() -> None:
    """Stripped, ascending by id; other paths belong to none."""
    step = facts({
        f"{_MEMORY}/memory33/state": "offline\n", f"{_MEMORY}/memory5/state": " online \n",
        f"{_MEMORY}/memory33/valid_zones": "Normal Movable\n", f"{_MEMORY}/memory": "x",
        f"{_MEMORY}/memoryx/state": "x", f"{_MEMORY}/memory05/state": "offline",
        f"{_MEMORY}/memory{'9' * 5000}/state": "x",
        f"{_MEMORY}/auto_online_blocks": "online\n", "proc/memory7/state": "x",
    })  # fmt: skip
    offline = BlockShown(state="offline", valid_zones="Normal Movable")
    assert step.blocks == {5: BlockShown(state="online"), 33: offline}
    assert list(step.blocks or {}) == [5, 33]


@pytest.mark.parametrize(("state", "under_way"), [("going-offline", True), ("offline", False), ("online", False)])
def test_a_block_may_be_on_its_way(state: str, under_way: bool) -> None:
    """As a reader sees it in the middle."""
    files = {f"{_MEMORY}/memory1/state": "online\n", f"{_MEMORY}/memory2/state": f"{state}\n"}
    assert facts(files).is_under_way is under_way


def test_zones_and_free_chunks_go_by_node_and_name() -> None:
    """Pages that wait on the lists of all CPUs are summed."""
    step = facts({"proc/zoneinfo": _ZONEINFO, "proc/buddyinfo": "Node 0, zone   Normal      4      3      2\n"})
    assert list(step.zones or {}) == [(0, "Normal")]
    assert step.chunks == {(0, "Normal"): [4, 3, 2]}
    assert [step.waiting(0, "Normal"), step.waiting(1, "Normal"), step.waiting(0, "Movable")] == [12, 0, 0]


@pytest.mark.parametrize(
    ("text", "ram"),
    [
        ("00000000-00000fff : System RAM\n00001000-00001fff : PCI Bus\n", [(0, 4095, "System RAM")]),
        (
            "00001000-00001fff : System RAM\n  00001000-000017ff : Kernel code\n"
            "00002000-00002fff : System RAM (kmem)\n",
            [(4096, 8191, "System RAM"), (8192, 12287, "System RAM (kmem)")],
        ),
        ("00000000-00000000 : System RAM\n00000000-00000000 : PCI Bus\n", None),
    ],
)
def test_system_ram_is_what_a_reader_with_rights_sees(text: str, ram: list[tuple[int, int, str]] | None) -> None:
    """Whoever sees zeros sees nothing."""
    assert facts({"proc/iomem": text}).ram == ram


@pytest.mark.parametrize(
    ("path", "attribute"),
    [("proc/zoneinfo", "zones"), ("proc/buddyinfo", "chunks"), ("proc/pagetypeinfo", "types"), ("proc/iomem", "ram"),
     ("proc/meminfo", "mem_total")],
)  # fmt: skip
def test_a_file_that_cannot_be_read_is_named_with_its_step(path: str, attribute: str) -> None:
    """When it is first asked for, not before."""
    step = facts({path: "nonsense\n"})
    with pytest.raises(InputError) as caught:
        getattr(step, attribute)
    assert str(caught.value).startswith(f"r.json: steps[3].files[{path}]")


def test_the_total_is_in_bytes_and_types_are_there_if_they_are_shown() -> None:
    """A pagetypeinfo without a table tells no types."""
    step = facts({"proc/meminfo": "MemTotal: 4 kB\n", "proc/pagetypeinfo": "Page block order: 9\n"})
    assert (step.mem_total, step.types) == (4096, None)


# ---- page flags ----


@pytest.fixture
def flags() -> Flags:
    """Runs of three kinds, with a gap, and two that have no flag."""
    ranges = ((0, 10, 1), (10, 20, 0), (30, 40, 3), (40, 50, 2), (50, 60, 0))
    return Flags(KPageFlags(ranges=FlagRuns.of(ranges), covered=((0, 20), (30, 60)), past_end=((60, 70),)))


NAMES = ("absent", "own", "bare", "buddy", "used")


@pytest.mark.parametrize(
    ("low", "high", "runs"),
    [
        (0, 60, [(0, 10, "used"), (10, 20, "bare"), (30, 40, "used"), (40, 50, "used"), (50, 60, "bare")]),
        (5, 35, [(5, 10, "used"), (10, 20, "bare"), (30, 35, "used")]),
        (10, 20, [(10, 20, "bare")]),
        (10, 11, [(10, 11, "bare")]),
        (9, 10, [(9, 10, "used")]),
        (11, 19, [(11, 19, "bare")]),
        (20, 30, []),
        (19, 31, [(19, 20, "bare"), (30, 31, "used")]),
        (60, 99, []),
    ],
)
def test_runs_are_cut_at_the_borders_that_are_asked_for(
    flags: Flags, low: int, high: int, runs: list[tuple[int, int, str]]
) -> None:
    """Half-open; what was not read is in none."""
    assert flags.named(low, high, NAMES) == runs


WORDS = [0, 1, *(int(flag) for flag in (PageFlag.NOPAGE, PageFlag.OWNER_PRIVATE, PageFlag.BUDDY)), 1 << 9 | 1 << 10]


@given(
    st.lists(st.tuples(st.integers(1, 3), st.integers(0, 2), st.sampled_from(WORDS)), min_size=1, max_size=40),
    st.sampled_from([NAMES, ("a", "b", "c", "c", "c"), ("a", "a", "a", "b", "a"), ("x",) * 5]),
    st.integers(0, 80),
    st.integers(0, 80),
)
def test_few_and_many_runs_are_named_alike(
    pieces: list[tuple[int, int, int]], names: tuple[str, ...], low: int, high: int
) -> None:
    """Many are joined where neighbours have the same name, few are not; page by page it is the same."""
    runs, behind = [], 0
    for pages, gap, word in pieces:
        runs.append((behind + gap, behind + gap + pages, word))
        behind += gap + pages
    far = [(1000 + 2 * at, 1001 + 2 * at, 1) for at in range(FEW)]
    few = [runs[at : at + FEW] for at in range(0, len(runs), FEW)]

    def pages_of(some: list[tuple[int, int, int]]) -> list[tuple[int, str]]:
        flags = Flags(KPageFlags(ranges=FlagRuns.of(some), covered=((0, 2000),), past_end=()))
        return [(pfn, name) for first, end, name in flags.named(low, high, names) for pfn in range(first, end)]

    assert pages_of([*runs, *far]) == [page for some in few for page in pages_of(some)]


@pytest.mark.parametrize(
    ("mask", "without", "pages"),
    [
        (1, 0, [(0, 10), (30, 40)]), (2, 0, [(30, 50)]), (3, 0, [(0, 10), (30, 50)]), (1, 2, [(0, 10)]),
        (2, 1, [(40, 50)]), (4, 0, []), (3, 3, []),
    ],
)  # fmt: skip
def test_pages_are_found_by_the_flags_that_they_have_and_have_not(
    flags: Flags, mask: int, without: int, pages: list[tuple[int, int]]
) -> None:
    """One of the wanted is enough, and one of the others too much."""
    assert list(flags.having(mask, without)) == pages


def test_flags_are_looked_at_again_only_if_they_are_others() -> None:
    """Other runs, or the same of other pages."""
    runs = FlagRuns.of([(0, 8, 0x400)])
    recorded = [
        KPageFlags(ranges=runs, covered=((0, 8),), past_end=()),
        KPageFlags(ranges=runs, covered=((0, 8),), past_end=()),
        KPageFlags(ranges=runs, covered=((0, 9),), past_end=()),
        None,
        KPageFlags(ranges=FlagRuns.of([(0, 9, 0x400)]), covered=((0, 9),), past_end=()),
    ]
    steps: list[StepFacts] = []
    for kpageflags in recorded:
        steps.append(StepFacts(facts(kpageflags=kpageflags).step, "r.json", steps[-1] if steps else None))
    first, same, wider, none, last = [step.flags for step in steps]
    assert first is not None
    assert wider is not None
    assert last is not None
    assert (same is first, wider is first, none) == (True, False, None)
    assert [list(one.covered) for one in (first, wider, last)] == [[(0, 8)], [(0, 9)], [(0, 9)]]
    assert [list(one.having(0x400)) for one in (first, wider, last)] == [[(0, 8)], [(0, 8)], [(0, 9)]]


def test_pages_without_any_flag_are_bare(flags: Flags) -> None:
    """Read, but nothing set; what lies behind the file's end is apart."""
    assert list(flags.bare) == [(10, 20), (50, 60)]
    assert (list(flags.covered), list(flags.past_end)) == ([(0, 20), (30, 60)], [(60, 70)])


@pytest.mark.parametrize(
    ("borders", "runs"),
    [
        (frozenset(), [(0, 10, ONLINE), (10, 30, BUDDY)]),
        (frozenset({0, 10, 30, 99}), [(0, 10, ONLINE), (10, 30, BUDDY)]),
        (frozenset({25, 15, 5}), [(0, 5, ONLINE), (5, 10, ONLINE), (10, 15, BUDDY), (15, 25, BUDDY), (25, 30, BUDDY)]),
    ],
)
def test_runs_end_at_borders_inside_them(borders: frozenset[int], runs: list[tuple[int, int, str]]) -> None:
    """In whatever order the borders are given."""
    assert cut([(0, 10, ONLINE), (10, 30, BUDDY)], borders) == runs
    assert cut([], borders) == []


def test_two_values_are_equal_or_not() -> None:
    """Nothing is tolerated, left out or unknown unless somebody says so."""
    same = Observation.equal(2, Reason.BLOCK, "block 32 state", "online", "online")
    other = Observation.equal(2, Reason.BLOCK, "block 32 state", "online", OFFLINE)
    assert (same.matches, other.matches, other.expected, other.got) == (True, False, "online", "offline")
    assert (other.tolerated, other.left_out, other.undetermined) == (False, False, False)


# ---- firmware ----


def firmware(*dmesg: str, possible: tuple[int, ...] = (0, 1)) -> Firmware:
    """Return what the log of a boot tells."""
    machine: Any = type("M", (), {"possible_nodes": possible})
    found: RecordedMachine = machine
    return Firmware(facts(dmesg=dmesg), found)


@pytest.mark.parametrize(
    ("lines", "domain", "node"),
    [
        (["[    0.0] SRAT: Node 1 PXM 5 [mem 0x0-0x1]"], 5, 1),
        (["[    0.0] SRAT: Node 1 PXM 5 [mem 0x0-0x1]"], 1, None),
        (["[    0.0] SRAT: PXM 3 -> APIC 0x00 -> Node 0", "SRAT: Node 1 PXM 7"], 3, 0),
        (["[    0.0] SRAT: PXM 3 -> APIC 0x00 -> Node 0", "SRAT: Node 1 PXM 7"], 7, 1),
        (["SRAT: Node 0 PXM 2", "SRAT: Node 1 PXM 2"], 2, 1),
        (["nothing of it"], 1, 1),
        ([], 2, None),
    ],
)
def test_a_proximity_domain_has_the_node_that_its_table_names(lines: list[str], domain: int, node: int | None) -> None:
    """Of memory or of a CPU; without any table a possible node is its own domain."""
    assert firmware(*lines).node(domain) == node


def test_the_log_tells_sizes_of_devices() -> None:
    """By device and by the words before the colon; of two lines the last counts."""
    lines = (
        "[    1.0] virtio_mem virtio0: start address: 0x100000000",
        "[    1.0] virtio_mem virtio0: region size: 0x80000000",
        "[    1.0] virtio_mem virtio1: device block size: 0x200000",
        "[    9.0] virtio_mem virtio0: requested size: 0x10000000",
        "[   10.0] virtio_mem virtio0: requested size: 0x20000000",
        "[   11.0] virtio_mem virtio0: plugged: yes",
        "[   12.0] virtio_mem virtio0: Requested: 0x1",
    )
    assert device_log(facts(dmesg=lines)) == {
        "virtio0": {"start address": 1 << 32, "region size": 2 << 30, "requested size": 512 << 20},
        "virtio1": {"device block size": 2 << 20},
    }


def test_devices_that_the_log_describes_come_once_and_in_order() -> None:
    """Those with a region; a copy goes on for itself."""
    lines = (
        "virtio_mem virtio3: region size: 0x80000000", "virtio_mem virtio3: start address: 0x200000000",
        "virtio_mem virtio1: region size: 0x40000000", "virtio_mem virtio1: device block size: 0x400000",
        "virtio_mem virtio2: requested size: 0x1",
    )  # fmt: skip
    told = firmware(*lines)
    kernel = Machine.boot(arch="x86_64", kernel="linux-6.12", memory="1G").kernel
    twin = told.copy()
    made = [told.growing_device(kernel, name, 5) for name in ("a", "b")]
    assert [(one.driver, one.name, one.size, one.address, dict(one.options)) for one in made] == [
        ("virtio_mem", "a", 5, 8 << 30, {"device_size": 2 << 30, "block_size": 2 << 20}),
        ("virtio_mem", "b", 5, 0, {"device_size": 1 << 30, "block_size": 4 << 20}),
    ]
    with pytest.raises(InputError) as caught:
        told.growing_device(kernel, "c", 5)
    assert str(caught.value) == "op.device: got c, expected a device that the log of the boot describes"
    assert twin.growing_device(kernel, "again", 5).address == 8 << 30
