"""The part of an architecture's contract that is about page tables, altmaps and neighbours."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatch
from functools import partial
from typing import ClassVar

from memhotplug.contracts import Restrictions
from memhotplug.errors import MemoryHotplugError
from memhotplug.machine import Machine, Memory
from memhotplug.model.altmap import Altmap
from memhotplug.model.vmemmap import Source
from memhotplug.testing.fingerprint import page_tables
from memhotplug.testing.probes import page_table_pages
from memhotplug.testing.support import Contract, failure_points, whole_cycle

__all__ = ["Tables"]

_Found = dict[str, list[tuple[int, int]]]


class Tables(Contract):
    """What :class:`ArchContract` says of page tables."""

    table_kinds: ClassVar[tuple[str, ...]] = ("vmemmap", "direct")
    tables_stay: ClassVar[tuple[str, ...]] = ()
    failure_leaves: ClassVar[tuple[str, ...]] = ()
    frees_memmap: ClassVar[bool] = True

    def add(self, machine: Machine, flag: str, nr_blocks: int, **keys: object) -> Memory | None:
        """Add some memory blocks; None if this kernel refuses the flag."""
        raise NotImplementedError

    def fresh(self, machine: Machine) -> tuple[int, int]:
        """Return first pfn and length of one memory block's range behind all memory."""
        raise NotImplementedError

    def far(self, machine: Machine) -> Memory | None:
        """Add one block as far from boot memory as this machine takes any; None if the flag is refused."""
        geometry = machine.kernel.geometry
        for bits in range(geometry.physical_address_bits - 1, geometry.memory_block_size.bit_length(), -1):
            try:
                return self.add(machine, "none", 1, address=hex(1 << bits))
            except MemoryHotplugError:
                continue
        return None

    def settled(self, machine: Machine, allowed: tuple[str, ...]) -> _Found:
        """Return the page tables by kind, without the kinds that may differ."""
        return {
            kind: windows
            for kind, windows in page_tables(machine).items()
            if not any(fnmatch(kind, pattern) for pattern in allowed)
        }

    def test_memory_far_away_takes_page_tables(self, machine: Machine) -> None:
        """Where nothing is mapped yet, the vmemmap and the direct map need tables, and they cost pages."""
        before = {kind: sum(end - low for low, end in windows) for kind, windows in page_tables(machine).items()}
        pages = page_table_pages(machine)
        if self.far(machine) is None or not self.table_kinds:
            return
        after = {kind: sum(end - low for low, end in windows) for kind, windows in page_tables(machine).items()}
        for begin in self.table_kinds:
            more = sum(count - before.get(kind, 0) for kind, count in after.items() if kind.startswith(begin))
            assert more > 0, f"no page table of a kind that begins with {begin!r} was made"
        assert page_table_pages(machine) > pages

    def test_page_tables_go_with_their_memory(self, machine: Machine, flag: str) -> None:
        """After a whole life each kind of table has the windows it had; ``tables_stay`` names those that may stay."""
        if not self.frees_memmap:
            return
        before = self.settled(machine, self.tables_stay)
        for is_far in (False, True):
            memory = self.far(machine) if is_far else self.add(machine, flag, 3)
            if memory is not None:
                whole_cycle(machine, memory)
                assert self.settled(machine, self.tables_stay) == before

    def test_failed_add_leaves_no_page_tables(self, machine: Machine, flag: str) -> None:
        """An add that fails gives its tables back, except ``failure_leaves``; sections that stay are in ``leaks``."""
        if not self.frees_memmap:
            return
        allowed = (*self.tables_stay, *self.failure_leaves)
        before, sections = self.settled(machine, allowed), machine.kernel.state.sections
        far = self.far(machine.copy())
        for place in (None,) if far is None else (None, hex(far.start)):
            for copy, problem in failure_points(machine, partial(self._add_at, flag, place)):
                if copy.kernel.state.sections == sections:
                    assert self.settled(copy, allowed) == before
                else:
                    assert getattr(problem, "leaks", ())

    def _add_at(self, flag: str, address: str | None, machine: Machine) -> None:
        self.add(machine, flag, 3, **({} if address is None else {"address": address}))

    def test_altmap_holds_the_memmap(self, machine: Machine) -> None:
        """``arch_add_memory`` takes all memmap that is not there yet from its altmap if ``altmap_serves``."""
        kernel, (start_pfn, nr_pages) = machine.kernel, self.fresh(machine)
        there = kernel.state.vmemmap.mapped.copy()
        altmap = Altmap(start_pfn, nr_pages)
        restrictions = Restrictions(altmap=altmap, step=nr_pages)
        serves = kernel.altmap_serves(nr_pages)
        try:
            kernel.plugins.call(
                kernel.plugins.arch, "arch_add_memory",
                kernel=kernel, start_pfn=start_pfn, nr_pages=nr_pages, nid=0, restrictions=restrictions,
            )  # fmt: skip
        except MemoryHotplugError:
            assert not serves
            return
        runs = kernel.state.vmemmap.clip(start_pfn, start_pfn + nr_pages)
        new = runs[there.covered_many(runs.start, runs.end) < runs.end - runs.start]
        assert not serves or {int(source) for source in new.source} <= {Source.ALTMAP}

    def test_removal_leaves_the_neighbour_alone(self, machine: Machine, flag: str) -> None:
        """Of two blocks next to each other one goes: the other keeps sections, memmap and page tables."""
        first = self.add(machine, flag, 1)
        if first is None:
            return
        tables = page_tables(machine)
        second = self.add(machine, flag, 1, name="neighbour", address=hex(first.start + first.size))
        assert second is not None
        whole_cycle(machine, second)
        assert machine.violations() == []
        pages = machine.kernel.geometry.pfn(first.start), machine.kernel.geometry.pfn(first.start + first.size)
        assert machine.kernel.state.sections.contains(*pages)
        assert machine.kernel.memmap.first_unmapped(pages[0], pages[1] - pages[0]) is None
        here = page_tables(machine)
        assert all(window in _windows(here.get(kind, [])) for kind, runs in tables.items() for window in _windows(runs))

    def test_memmap_is_near_its_memory(self, keywords: Mapping[str, object], machine: Machine) -> None:
        """On a machine with several nodes the memmap of a node's memory comes from that node, while it has room."""
        memory = keywords.get("memory")
        if not isinstance(memory, list) or len(memory) < 2:
            return
        *others, last = sorted(machine.kernel.state.nodes)
        before = [_free(machine, nid) for nid in others]
        machine.kernel.vmemmap_populate(*self.fresh(machine), last, None)
        assert [_free(machine, nid) for nid in others] == before


def _windows(runs: list[tuple[int, int]]) -> set[int]:
    return {window for low, end in runs for window in range(low, end)}


def _free(machine: Machine, nid: int) -> int:
    return sum(zone.nr_free for zone in machine.kernel.state.nodes[nid].zones.values())
