"""Vmemmap pages: how the series marks them, and what it reads from the marks.

Head page: ``_refcount`` is the number of sections served, ``private`` the number of vmemmap
pages. Every page: PG_reserved, ``mapping`` is VMEMMAP_PAGE, ``freelist`` points to the head.

Models: include/linux/page-flags.h:PageVmemmap(), vmemmap_get_head(), get_nr_vmemmap_pages();
mm/memory_hotplug.c:mark_vmemmap_pages() (the series, patches 3 and 4).
"""

from __future__ import annotations

from collections.abc import Sequence

from memhotplug.plugin import Altmap, Array, ExtentSet, Kernel, np

__all__ = ["DEVICE", "MEMBLOCK", "VMEMMAP_FLAGS", "VMEMMAP_PAGE", "Heads", "V2State", "mark_vmemmap_pages", "state_of"]

DEVICE = 1 << 0
MEMBLOCK = 1 << 1
VMEMMAP_FLAGS = DEVICE | MEMBLOCK

VMEMMAP_PAGE = 0xFFFF_FFFF_FFFF_FFFC
"""The value of ``mapping``: all bits but PAGE_MAPPING_FLAGS."""

_COLUMNS = ("start", "private", "refcount", "serves", "serves_end", "device")


class Heads:
    """All head pages, ascending by pfn; columns are int64, shape (n,), never written in place.

    Attributes:
        start: pfn of the head page.
        private: vmemmap pages of the head's run.
        refcount: sections that are still served.
        serves, serves_end: pfns that the run was made to describe, half-open.
        device: index of the device that was added, -1 if that add failed.
    """

    __slots__ = _COLUMNS

    def __init__(self) -> None:
        none: Array = np.empty(0, dtype=np.int64)
        self.start = none
        self.private = none
        self.refcount = none
        self.serves = none
        self.serves_end = none
        self.device = none

    def __len__(self) -> int:
        return len(self.start)

    def copy(self) -> Heads:
        """Return an independent table that shares the columns."""
        twin = Heads()
        for name in _COLUMNS:
            setattr(twin, name, getattr(self, name))
        return twin

    def insert(self, **columns: Array) -> None:
        """Add heads; a head that is there already is replaced."""
        fresh = ~np.isin(self.start, columns["start"])
        order = np.argsort(np.concatenate((self.start[fresh], columns["start"])), kind="stable")
        for name in _COLUMNS:
            setattr(self, name, np.concatenate((getattr(self, name)[fresh], columns[name]))[order])

    def keep(self, chosen: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> None:
        """Drop the heads that are not chosen."""
        for name in _COLUMNS:
            setattr(self, name, getattr(self, name)[chosen])

    def containing(self, pfns: Array) -> Array:
        """Return for each pfn the row of the head whose run it lies in, -1 for none."""
        if not len(self):
            return np.full(len(pfns), -1, dtype=np.int64)
        row = np.searchsorted(self.start, pfns, side="right") - 1
        inside = (row >= 0) & (pfns < (self.start + self.private)[np.maximum(row, 0)])
        return np.where(inside, row, -1)

    def set_refcount(self, rows: Array, values: Array) -> None:
        """Set the reference counts of some heads."""
        self.refcount = self.refcount.copy()
        self.refcount[rows] = values


class V2State:
    """What the series' kernel remembers between operations.

    Attributes:
        enabled: the user's switch, ``vmemmap_hotplug``.
        marked: pfns that are PageVmemmap.
        heads: the heads of the marked runs.
        deferred: pfn runs whose memmap waits for the last section of a head; not empty between
            operations means that the series lost track.
        deferred_head: pfn of the remembered page while something is deferred, else -1.
        deferred_count: its count: sections that have to go before the deferred memmap is freed; below 0
            if it was 0 from the start.
    """

    __slots__ = ("deferred", "deferred_count", "deferred_head", "enabled", "heads", "marked")

    def __init__(self) -> None:
        self.enabled = True
        self.marked = ExtentSet()
        self.heads = Heads()
        self.deferred: tuple[tuple[int, int], ...] = ()
        self.deferred_head = -1
        self.deferred_count = 0

    def copy(self) -> V2State:
        """Return an independent copy that shares the arrays."""
        twin = V2State()
        twin.enabled, twin.marked, twin.heads = self.enabled, self.marked.copy(), self.heads.copy()
        twin.deferred = self.deferred
        twin.deferred_head, twin.deferred_count = self.deferred_head, self.deferred_count
        return twin

    def deciding(self, groups: Sequence[int]) -> object:
        """Return what decides what happens next: all but which device a head came with."""
        columns = (self.heads.start, self.heads.private, self.heads.refcount, self.heads.serves, self.heads.serves_end)
        return self.enabled, self.marked, columns, self.deferred, self.deferred_head, self.deferred_count

    def remaining(self, pfns: Array) -> Array:
        """Return for each pfn how many vmemmap pages there are from it on, 0 if it is none.

        Models: get_nr_vmemmap_pages(): head.private - (page - head).
        """
        row = self.heads.containing(pfns)
        marked = self.marked.covered_many(pfns, pfns + 1) > 0
        found = (row >= 0) & marked
        if not found.any():
            return np.zeros(len(pfns), dtype=np.int64)
        row = np.maximum(row, 0)
        left = (self.heads.start + self.heads.private)[row] - pfns
        return np.where(found, left, 0)


def state_of(kernel: Kernel) -> V2State:
    """Return the profile's state of a machine."""
    state = kernel.state.profile
    assert isinstance(state, V2State)
    return state


def mark_vmemmap_pages(kernel: Kernel, altmap: Altmap, windows: int, pages_per_window: int) -> None:
    """Mark what the first ``windows`` windows of an altmap have handed out.

    Args:
        pages_per_window: pages that the memmap of one window describes.
    """
    index = np.flatnonzero(altmap.alloc[:windows] > 0)
    if not len(index):
        return
    if altmap.align[index].any():
        kernel.warn(
            f"altmap align is {int(altmap.align[index].sum())} pages: hot-add allocates equal sizes, so it should be 0"
        )
    v2 = state_of(kernel)
    base = altmap.base_pfn + index * altmap.window_pages
    first, count = base + altmap.reserve, altmap.alloc[index]
    sections = altmap.free // kernel.geometry.pages_per_section
    v2.heads.insert(
        start=first,
        private=count,
        refcount=np.full(len(index), sections, dtype=np.int64),
        serves=base,
        serves_end=base + pages_per_window,
        device=np.full(len(index), -1, dtype=np.int64),
    )
    v2.marked.add_many(first, first + count)
