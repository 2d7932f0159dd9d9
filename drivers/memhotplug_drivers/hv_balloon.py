"""The Hyper-V balloon: the host asks for pages, the driver adds memory in chunks.

``size`` is how many bytes of pages the host asks for, ``backed`` how many of them, from the first
on, it really backs. The pages are covered by chunks, one add_memory() each, and after each chunk
the driver waits up to 5 s for it to be onlined. Only backed pages reach the page allocator; the
others stay PG_offline until the host asks for them by a request whose ``address`` lies in them.

Models: drivers/hv/hv_balloon.c:hot_add_req(), handle_pg_range(), hv_mem_hot_add(), post_status(),
compute_balloon_floor() (v5.2 to v6.12). Simplified: the host never names a region of its own, a
status is posted after every chunk, and nothing is ballooned out.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from memhotplug.plugin import (
    AddRequest,
    BlockState,
    DriverTraits,
    Kernel,
    KeySpec,
    LazyRanges,
    MemoryHotplugError,
    PhysRange,
    format_blocks,
    format_size,
    hookimpl,
    models,
    round_down,
    round_up,
)
from memhotplug_drivers.withheld import ranges_of, release

__all__ = ["driver_add", "driver_eject", "driver_keys", "driver_ranges", "driver_traits", "mhp_flags"]

_PAGE_SIZE = 4 << 10
_ONLINE = BlockState.ONLINE
_HA_CHUNK_PAGES = 32 * 1024
_STATE = __name__  # where the driver keeps what it remembers


class _Plan(NamedTuple):
    """A request of the host, in bytes.

    Attributes:
        start, end: the pages asked for.
        backed_end: end of those among them that the host backs.
        added_end: end of those that an earlier request has added already; ``start`` if none.
        region: the rest, in chunks: first byte and end.
    """

    start: int
    end: int
    backed_end: int
    added_end: int
    region: tuple[int, int]


@models("drivers/hv/Kconfig:HYPERV_BALLOON (v5.18)")
@hookimpl
def driver_traits() -> DriverTraits:
    """On arm64 the driver itself tells the host that it cannot hot-add.

    Models: drivers/hv/Kconfig:HYPERV_BALLOON, drivers/hv/hv_balloon.c:hot_add_enabled() (v5.18).
    """
    return DriverTraits(
        aliases=("hyperv", "hyper-v", "hv"),
        arches={"x86_64": (0, 0)},
        absence="the Hyper-V balloon hot-adds memory on x86_64 only",
        waits=True,
    )


@hookimpl
def driver_keys() -> Mapping[str, KeySpec]:
    """The host need not back all that it announces."""
    return {"backed": KeySpec("size", "how much of the request the host really backs; default all", minimum=0)}


@hookimpl
def driver_ranges(kernel: Kernel, request: AddRequest) -> Sequence[PhysRange]:
    """The chunks that cover the request, the region's start rounded down to a chunk.

    Raises:
        MemoryHotplugError: ENODEV no 4 KiB pages, EINVAL no whole number of pages, EOPNOTSUPP an
            earlier EEXIST has switched hot-add off, E2BIG the host asks for more than can be addressed.
    """
    _check(kernel, request)
    plan = _plan(kernel, request)
    kernel.check_reach(plan.start, request.size)
    size = _chunk(kernel)
    return LazyRanges(range(*plan.region, size), partial(_phys_range, plan, size, request.nid))


def _phys_range(plan: _Plan, size: int, nid: int | None, start: int) -> PhysRange:
    """Return the chunk of ``size`` bytes at a start, with what the host has put behind it."""
    backed = min(max(plan.backed_end - start, 0), size)
    return PhysRange(start=start, size=size, nid=nid, backed=backed if backed < size else None, withheld=size - backed)


def _check(kernel: Kernel, request: AddRequest) -> None:
    if kernel.state.driver_state.get(_STATE, {}).get(request.driver):
        error = MemoryHotplugError(errno.EOPNOTSUPP, "hot-add is switched off for good since an earlier EEXIST")
        error.driver_result = "0 pages added; the host is told success (result 1), so that it never asks again"
        raise error
    if kernel.geometry.page_size != _PAGE_SIZE:
        size = format_size(kernel.geometry.page_size)
        raise MemoryHotplugError(errno.ENODEV, f"Hyper-V counts in pages of 4K, and this kernel has pages of {size}")
    for value in (request.address or 0, request.size, request.options.get("backed", 0)):
        if not isinstance(value, int) or value % _PAGE_SIZE:
            raise MemoryHotplugError(errno.EINVAL, f"the host counts in whole pages of 4K, {value} is none")


def _chunk(kernel: Kernel) -> int:
    """Return the bytes of a chunk: 32768 pages whatever the block size, a memory block since 6.10."""
    if kernel.has("chunks_are_blocks"):
        return kernel.geometry.memory_block_size
    return _HA_CHUNK_PAGES * _PAGE_SIZE


def _plan(kernel: Kernel, request: AddRequest) -> _Plan:
    chunk = _chunk(kernel)
    start = request.address
    if start is None:
        start = kernel.state.first_free_address(round_up(request.size, chunk))
    end = start + request.size
    backed = request.options.get("backed", request.size)
    backed_end = min(start + backed, end) if isinstance(backed, int) else end
    added_end = start
    for low, high in ranges_of(kernel, request.driver):
        if low <= kernel.geometry.pfn(start) < high:
            added_end = min(kernel.geometry.address(high), end)
    if added_end > start:
        # The region grows by whole chunks.
        region = added_end, added_end + round_up(end - added_end, chunk)
    else:
        # The size is rounded by itself, so the pages of an unaligned request may reach beyond the region.
        low_end = round_down(start, chunk)
        region = low_end, low_end + round_up(request.size, chunk)
    return _Plan(start=start, end=end, backed_end=backed_end, added_end=added_end, region=region)


@models("drivers/hv/hv_balloon.c:hot_add_req() (v5.2 to v6.12)")
@hookimpl
def mhp_flags(kernel: Kernel) -> int:
    """None in the 2019 series; MHP_MERGE_RESOURCE since 5.10."""
    return kernel.flag("MHP_MERGE_RESOURCE")


@hookimpl
def driver_add(kernel: Kernel, request: AddRequest, ranges: Sequence[PhysRange]) -> str | None:
    """Back what was added before, then add chunk after chunk until one fails."""
    plan = _plan(kernel, request)
    waiting = _added_but_offline(kernel, request.driver)
    given = added = 0
    if plan.added_end > plan.start:
        given = release(kernel, *_pfns(kernel, plan.start, min(plan.added_end, plan.backed_end)))
    for number, phys_range in enumerate(ranges):
        try:
            _add_chunk(kernel, request, phys_range, plan)
        except MemoryHotplugError as problem:
            return _failed(kernel, request.driver, problem, number, len(ranges), given + added)
        end = phys_range.start + phys_range.size
        first, last = _pfns(kernel, max(plan.start, phys_range.start), min(end, plan.backed_end))
        added += max(last - first, 0)
        waiting -= _wait_for_online(kernel, phys_range)
        _post_status(kernel, max(waiting, 0))
    return _verdict(plan, given, added)


def _verdict(plan: _Plan, given: int, added: int) -> str | None:
    notes = []
    if given:
        notes.append(f"{format_size(given * _PAGE_SIZE)} are backed in chunks that were added before")
    withheld = plan.region[1] - plan.region[0] - added * _PAGE_SIZE
    if withheld:
        notes.append(f"{format_size(withheld)} of the chunks are not backed and stay PG_offline")
    beyond = plan.end - max(plan.region[1], plan.added_end)
    if beyond > 0:
        notes.append(f"{format_size(beyond)} of the request lie beyond its region and are not added")
    return "; ".join([f"the host is told {given + added} pages", *notes]) if notes else None


def _pfns(kernel: Kernel, start: int, end: int) -> tuple[int, int]:
    return kernel.geometry.pfn(start), kernel.geometry.pfn(end)


def _add_chunk(kernel: Kernel, request: AddRequest, phys_range: PhysRange, plan: _Plan) -> None:
    """Add one chunk; pages in front of an unaligned request are not backed either."""
    withheld, unbacked = kernel.state.withheld.copy(), kernel.state.unbacked.copy()
    if phys_range.start < plan.start:
        for pages in (kernel.state.withheld, kernel.state.unbacked):
            pages.add(*_pfns(kernel, phys_range.start, min(plan.start, phys_range.start + phys_range.size)))
    try:
        kernel.add_range(request, phys_range)
    except MemoryHotplugError:
        kernel.state.withheld, kernel.state.unbacked = withheld, unbacked
        raise


def _failed(kernel: Kernel, driver: str, problem: MemoryHotplugError, done: int, total: int, pages: int) -> str:
    told = f"{done} of {total} chunks added, then {problem.name}"
    if problem.errno == errno.EEXIST:
        kernel.state.driver_state[_STATE] = {**kernel.state.driver_state.get(_STATE, {}), driver: True}
        return f"{told}, which switches hot-add off for good; the host is told {pages} pages (result 1)"
    if problem.errno == errno.EINVAL and _chunk(kernel) % kernel.geometry.memory_block_size:
        block = format_size(kernel.geometry.memory_block_size)
        told += f", since a chunk of {format_size(_chunk(kernel))} is not made of whole memory blocks of {block}"
    result = f"the host is told {pages} pages (result {int(pages > 0)})"
    return f"{told}; the request stops, and {result}" if pages else f"{told}; {result} and may try again"


def _wait_for_online(kernel: Kernel, phys_range: PhysRange) -> int:
    """Wait 5 s; what is still offline then stays so until somebody onlines it. Return the backed pages online."""
    state, size = kernel.state, kernel.geometry.memory_block_size
    rows = state.blocks.rows(phys_range.start // size, (phys_range.start + phys_range.size) // size - 1)
    common = state.blocks.common("state", rows)
    if common == _ONLINE:
        start_pfn, end_pfn = state.span_of(rows)
        return end_pfn - start_pfn - state.unbacked.covered(start_pfn, end_pfn)
    if common is not None:
        first = state.blocks.value("id", rows.start)
        named = format_blocks(range(first, first + rows.stop - rows.start))
        kernel.log("hv_wait_timeout", blocks=named, waited_seconds=5)
        return 0
    online = state.blocks.state[rows] == _ONLINE
    offline = state.blocks.id[rows][~online].tolist()
    kernel.log("hv_wait_timeout", blocks=format_blocks(offline), waited_seconds=5)
    starts, ends = state.block_bounds(rows)
    there = ends[online] - starts[online] - state.unbacked.covered_many(starts[online], ends[online])
    return int(there.sum())


def _post_status(kernel: Kernel, waiting: int) -> None:
    """Report memory pressure: pages that are available, and pages that the host must leave alone."""
    committed = sum(held.pages.total for held in kernel.state.allocations.values() if not held.kernel)
    kernel.log(
        "hv_post_status",
        available_pages=sum(_available(kernel)),
        committed_pages=committed + waiting + _balloon_floor(kernel),
    )


def _available(kernel: Kernel) -> Iterator[int]:
    """Yield what each zone can give away. Models: mm/page_alloc.c:si_mem_available(), without page cache."""
    for zone in kernel.state.zones():
        reserve = min(zone.wmark[2] + max(zone.protection), zone.managed)
        yield max(zone.nr_free - reserve, 0)


def _added_but_offline(kernel: Kernel, driver: str) -> int:
    """Return the backed pages that earlier requests brought and that are not online yet."""
    state = kernel.state
    pages = ranges_of(kernel, driver)
    if not pages.total:
        return 0
    pages.remove_many(state.unbacked.starts, state.unbacked.ends)
    starts, ends = state.block_bounds(slice(None))
    online = state.blocks.state == BlockState.ONLINE
    pages.remove_many(starts[online], ends[online])
    return pages.total


def _balloon_floor(kernel: Kernel) -> int:
    """Return the pages below which the guest should not be ballooned. Models: compute_balloon_floor()."""
    pages, per_mib = kernel.state.total_managed(), (1 << 20) // _PAGE_SIZE
    for limit, base, shift in ((128, 8, 1), (512, 40, 2), (2048, 104, 3), (8192, 232, 4)):
        if pages < limit * per_mib:
            return base * per_mib + (pages >> shift)
    return 488 * per_mib + (pages >> 5)


@hookimpl
def driver_eject() -> str | None:
    """Refuse: the host takes pages out of the guest, never memory blocks.

    Raises:
        MemoryHotplugError: EOPNOTSUPP.
    """
    raise MemoryHotplugError(errno.EOPNOTSUPP, "the Hyper-V balloon never hot-removes memory")
