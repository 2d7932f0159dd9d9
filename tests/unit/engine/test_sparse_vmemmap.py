"""Mapping a memmap from an altmap, many leaves at a time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.few import few_is

from memhotplug import MemoryHotplugError
from memhotplug.engine import sparse_vmemmap
from memhotplug.engine.sparse_vmemmap import SparseVmemmap, pair_runs
from memhotplug.machine import Machine
from memhotplug.model.altmap import Altmap
from memhotplug.model.runs import Runs
from memhotplug.model.vmemmap import MapRuns, Source, VmemmapTable
from memhotplug.testing.fingerprint import fingerprint
from memhotplug.units import parse_size


@pytest.mark.parametrize(
    ("kernel", "flags"), [("linux-6.12", "on_memory"), ("v2-2019", "device"), ("v2-2019", "memblock")]
)
@pytest.mark.parametrize("arch", ["x86_64", "arm64"])
def test_leaves_taken_in_pieces_lie_where_those_taken_at_once_lie(
    kernel: str, flags: str, arch: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pieces bound the memory that a large add takes; they change nothing of its result."""
    machine = Machine.boot(arch=arch, kernel=kernel, memory="4G", cmdline="memory_hotplug.memmap_on_memory=1")
    whole, pieces = machine.copy(), machine.copy()
    whole.add_memory(driver="acpi", name="d", size="3G", mhp_flags=flags)
    monkeypatch.setattr(sparse_vmemmap, "_LEAVES", 7)
    pieces.add_memory(driver="acpi", name="d", size="3G", mhp_flags=flags)

    assert pieces.to_dict() == whole.to_dict()
    assert pieces.kernel.state.vmemmap.backing_from(Source.ALTMAP).total


@pytest.mark.parametrize(
    ("arch", "driver"), [("x86_64", "acpi"), ("x86_64", "hv_balloon"), ("arm64", "acpi"), ("powerpc", "pseries")]
)
@pytest.mark.parametrize("hosted", ["0", "1"])
def test_few_and_many_runs_come_to_the_same(arch: str, driver: str, hosted: str) -> None:
    """A life with plain integers is a life with arrays, to the last page."""

    def life(limit: int) -> list[dict[str, object]]:
        with few_is(limit):
            machine = Machine.boot(
                arch=arch, kernel="linux-6.12", memory="2G", cmdline=f"memory_hotplug.memmap_on_memory={hosted}"
            )
            found = []
            for step in (
                lambda: machine.add_memory(driver=driver, name="d", size="1G"),
                lambda: machine.online("d"),
                lambda: machine.allocate("app", "40M", scatter=True),
                lambda: machine.add_memory(driver=driver, name="e", size="1G"),
                lambda: machine.release("app"),
                lambda: machine.online("e", zone="movable"),
                lambda: machine.offline("e"),
                lambda: machine.remove("e"),
            ):
                try:
                    step()
                except MemoryHotplugError as problem:
                    machine.kernel.warn(str(problem))
                found.append(fingerprint(machine))
            return found

    assert life(0) == life(32)


lengths = st.lists(st.integers(1, 40), min_size=1, max_size=6)


@given(lengths, lengths, st.integers(1, 4))
def test_pages_are_laid_behind_what_they_describe_in_order(wanted: list[int], pages: list[int], per_page: int) -> None:
    """Described pfn by described pfn the pages come in the order in which they were given, as far as they go."""

    def apart(sizes: list[int]) -> list[tuple[int, int]]:
        return [(100 * number, 100 * number + size) for number, size in enumerate(sizes, 1)]

    described, backing = apart(wanted), apart(pages)[::-1]
    answers = []
    for limit in (0, 32):
        with few_is(limit):
            runs = pair_runs(
                Runs.join([Runs.of_few([low], [high]) for low, high in described]),
                Runs.join([Runs.of_few([low], [high]) for low, high in backing]),
                per_page,
                1,
                Source.ALLOCATOR,
            )
            answers.append(
                {pfn: page + (pfn - low) // per_page for low, high, page, _, _ in runs for pfn in range(low, high)}
            )
    if all(size % per_page == 0 for size in wanted):
        pfns = [pfn for low, high in described for pfn in range(low, high)]
        in_order = [page for low, high in backing for page in range(low, high) for _ in range(per_page)]
        assert answers[1] == dict(zip(pfns, in_order, strict=False))
    assert answers[0] == answers[1]


_FIRST = 1 << 20  # a pfn above the machine's memory
_WINDOW = 1 << 15
_PER_WINDOW = _WINDOW // 64  # pages of memmap


@pytest.mark.parametrize("falls_back", [False, True])
@pytest.mark.parametrize("lets", [None, 0, 1, 3])
@pytest.mark.parametrize("had", [None, (_FIRST + _WINDOW, _WINDOW), (_FIRST + _WINDOW + 64, 128)])
@pytest.mark.parametrize("pages", [4 * _PER_WINDOW, 3 * _PER_WINDOW + 7, 0])
def test_base_pages_from_an_altmap_come_at_once_as_they_come_table_by_table(
    pages: int, had: tuple[int, int] | None, lets: int | None, falls_back: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the altmap has all of them or some, whether there is memory for all tables, and what was there before."""
    machine = Machine.boot(arch="x86_64", kernel="linux-6.12", memory="4G")

    def mapped(own: Machine) -> tuple[str | None, list[int], object]:
        memmap, altmap = own.kernel.memmap, Altmap(_FIRST, pages)
        if had is not None:
            memmap.populate(*had, leaf_pages=1, nid=0, altmap=None)
        own.kernel.state.fail_allocation = lets
        problem = None
        try:
            memmap.populate_basepages(
                _FIRST + 64, _FIRST + 4 * _WINDOW, window=_WINDOW, nid=0, altmap=altmap, falls_back=falls_back
            )
        except MemoryHotplugError as refused:
            problem = str(refused)
        return problem, altmap.alloc.tolist(), fingerprint(own)

    at_once = mapped(machine.copy())
    monkeypatch.setattr(SparseVmemmap, "_all_from", lambda *_arguments: False)
    assert mapped(machine.copy()) == at_once


@pytest.mark.parametrize("size", ["2T", "4T"])
def test_base_pages_from_an_altmap_are_mapped_in_as_many_goes_however_many_tables_they_need(
    size: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a large add no table is a go of its own: each would look through all that is there."""
    goes: list[int] = []
    insert = VmemmapTable.insert
    machine = Machine.boot(arch="powerpc", kernel="linux-6.12", memory="4G")
    start = machine.kernel.geometry.pfn(1 << 42)
    altmap = Altmap(start, 1 << 20)

    def counted(self: VmemmapTable, runs: MapRuns) -> None:
        goes.append(len(runs))
        insert(self, runs)

    monkeypatch.setattr(VmemmapTable, "insert", counted)
    machine.kernel.memmap.populate_basepages(
        start, start + machine.kernel.geometry.pfn(parse_size(size)), window=1 << 23, nid=0, altmap=altmap
    )
    assert goes == [1]
