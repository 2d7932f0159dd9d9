"""Online and offline requests: one a block, as writes to the ``state`` files are.

Neighbouring blocks whose requests would all succeed the same way are handled as one run, which is
what makes a terabyte cheap. If a run fails, everything is put back and its blocks are tried one by
one, so that the outcome is exactly that of single requests.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Final

from memhotplug.engine.kernel import Kernel
from memhotplug.engine.memory_hotplug.steps_done import check_state
from memhotplug.engine.slab import take_first_slab
from memhotplug.errors import MemoryHotplugError
from memhotplug.lazy import np
from memhotplug.model.blocks import NO_ZONE, BlockState, BlockTable, OnlineType
from memhotplug.model.extents import Array
from memhotplug.model.runs import FEW
from memhotplug.model.zones import Zone, ZoneKind

__all__ = ["device_online", "offline_blocks", "online_blocks", "online_runs", "zone_of_rows"]

_ONLINE: Final = BlockState.ONLINE
_OFFLINE: Final = BlockState.OFFLINE
_PLAIN: Final = OnlineType.ONLINE
_KINDS: Final = tuple(ZoneKind)


def online_blocks(kernel: Kernel, ids: list[int], online_type: OnlineType) -> list[int]:
    """Request online for each block, ascending; return the blocks done.

    Raises:
        MemoryHotplugError: the first block that fails ends it (``blocks_done`` says what came before):
            ENOENT no such block, EINVAL it is online already, or why the kernel refused.
    """
    return _expanded(online_runs(kernel, ids, online_type))


def online_runs(kernel: Kernel, ids: Sequence[int] | Array, online_type: OnlineType) -> list[range]:
    """Do what :func:`online_blocks` does for any number of blocks; return the blocks done, run by run.

    Raises:
        MemoryHotplugError: as :func:`online_blocks`.
    """
    try:
        return _each_run(kernel, ids, _OFFLINE, lambda rows: _online_rows(kernel, rows, online_type))
    except MemoryHotplugError as problem:
        _remember_type(kernel, int(ids[len(problem.blocks_done)]), online_type)
        raise


def _remember_type(kernel: Kernel, block: int, online_type: OnlineType) -> None:
    """Note what was asked of a block that is online already; an online that runs forgets it again.

    Models: drivers/base/memory.c:state_store(), memory_subsys_online() (v5.2 to v6.12).
    """
    blocks = kernel.state.blocks
    row = blocks.row(block)
    if row is not None and blocks.value("state", row) == BlockState.ONLINE:
        blocks.set(slice(row, row + 1), online_type=online_type)


def device_online(kernel: Kernel, block: int) -> None:
    """Online one offline block as whoever names no zone does it: by what was last asked of it in vain, else plainly.

    The file ``online`` does so, and a driver that brings back what it had taken offline.

    Models: drivers/base/core.c:device_online(), drivers/base/memory.c:memory_subsys_online() (v5.2 to v6.12):
    only MMOP_OFFLINE is replaced by MMOP_ONLINE.
    Raises:
        MemoryHotplugError: as :func:`online_blocks`.
    """
    blocks = kernel.state.blocks
    row = blocks.row(block)
    asked = OnlineType.ONLINE if row is None else OnlineType(blocks.value("online_type", row))
    online_blocks(kernel, [block], asked)


def offline_blocks(kernel: Kernel, ids: list[int]) -> list[int]:
    """Request offline for each block, ascending; return the blocks done.

    Raises:
        MemoryHotplugError: as :func:`online_blocks`.
    """
    return _expanded(_each_run(kernel, ids, _ONLINE, lambda rows: _offline_rows(kernel, rows)))


def _expanded(runs: list[range]) -> list[int]:
    return [block for run in runs for block in run]


def _each_run(
    kernel: Kernel, ids: Sequence[int] | Array, wanted: BlockState, operation: Callable[[slice], None]
) -> list[range]:
    """Apply an operation to runs of neighbouring blocks that are in the wanted state."""
    done: list[range] = []
    for first, last in _neighbours(ids):
        while first <= last:
            rows = _ready(kernel, first, last, wanted, done)
            _attempt(kernel, rows, first, operation, done)
            first += rows.stop - rows.start
    return done


def _neighbours(ids: Sequence[int] | Array) -> list[tuple[int, int]]:
    """Return the first and the last of each run of ids that ascend by one, in their order."""
    if len(ids) <= FEW:
        return _few_neighbours(ids)
    column = np.asarray(ids, dtype=np.int64)
    cuts = np.flatnonzero(column[1:] - column[:-1] != 1) + 1
    bounds = [0, *cuts.tolist(), len(column)] if len(column) else []
    return [(int(column[low]), int(column[high - 1])) for low, high in pairwise(bounds)]


def _few_neighbours(ids: Iterable[int]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for block in map(int, ids):
        if found and block == found[-1][1] + 1:
            found[-1] = found[-1][0], block
        else:
            found.append((block, block))
    return found


def _ready(kernel: Kernel, first: int, last: int, wanted: BlockState, done: list[range]) -> slice:
    """Return the rows, beginning with block ``first``, that exist and are in the wanted state."""
    blocks = kernel.state.blocks
    rows = blocks.rows(first, last)
    if rows.start == rows.stop or blocks.value("id", rows.start) != first:
        raise MemoryHotplugError(errno.ENOENT, f"there is no memory block {first}", blocks_done=_expanded(done))
    state = blocks.value("state", rows.start)
    if state != wanted:
        word = BlockState(state).label
        raise MemoryHotplugError(errno.EINVAL, f"memory block {first} is {word} already", blocks_done=_expanded(done))
    if rows.stop - rows.start == 1:
        return rows
    if blocks.value("id", rows.stop - 1) - first != rows.stop - 1 - rows.start:
        rows = slice(rows.start, rows.start + int(np.argmax(np.diff(blocks.id[rows]) != 1)) + 1)
    if blocks.common("state", rows) == wanted:
        return rows
    return slice(rows.start, rows.start + int(np.argmax(blocks.state[rows] != wanted)))


def _attempt(kernel: Kernel, rows: slice, first: int, operation: Callable[[slice], None], done: list[range]) -> None:
    """Do all rows, of blocks from ``first`` on, at once; if that fails, put everything back and do one by one."""
    count = rows.stop - rows.start
    if count > 1:
        saved = kernel.copy()
        try:
            operation(rows)
        except MemoryHotplugError:
            kernel.restore(saved)
        else:
            done.append(range(first, first + count))
            return
    for offset in range(count):
        try:
            operation(slice(rows.start + offset, rows.start + offset + 1))
        except MemoryHotplugError as problem:
            problem.blocks_done = tuple(_expanded(done))
            raise
        done.append(range(first + offset, first + offset + 1))


def _online_rows(kernel: Kernel, rows: slice, online_type: OnlineType) -> None:
    if kernel.state.blocks.common("online_type", rows) != _PLAIN:
        kernel.state.blocks.set(rows, online_type=_PLAIN)
    first = rows.start
    while first < rows.stop:
        zone, count = kernel.profile.zone_for_rows(kernel, slice(first, rows.stop), online_type)
        was_empty, was_bare = not zone.managed, not kernel.state.nodes[zone.nid].present
        kernel.profile.online(kernel, slice(first, first + count), zone)
        check_state(kernel, "online", slice(first, first + count), _ONLINE)
        if was_empty:
            take_first_slab(kernel, zone, is_first_of_node=was_bare)
        first += count


def _offline_rows(kernel: Kernel, rows: slice) -> None:
    if rows.stop - rows.start == 1:  # what is one block is one request
        _offline_run(kernel, rows)
        return
    for first, last in pairwise(_zone_bounds(kernel.state.blocks, rows)):
        while first < last:
            count = _without_migration(kernel, slice(first, last))
            _offline_run(kernel, slice(first, first + count))
            first += count


def _offline_run(kernel: Kernel, rows: slice) -> None:
    kernel.profile.offline(kernel, rows)
    check_state(kernel, "offline", rows, _OFFLINE)


def _zone_bounds(blocks: BlockTable, rows: slice) -> list[int]:
    """Return the first of some rows, each that lies in another zone than the one before it, and the row behind them."""
    if blocks.common("nid", rows) is not None and blocks.common("zone", rows) is not None:
        return [rows.start, rows.stop]
    nids, zones = blocks.nid[rows], blocks.zone[rows]
    cuts = np.flatnonzero((nids[1:] != nids[:-1]) | (zones[1:] != zones[:-1])) + 1
    return [rows.start, *(cuts + rows.start).tolist(), rows.stop]


def _without_migration(kernel: Kernel, rows: slice) -> int:
    """Return how many leading blocks have no page to migrate, at least 1.

    A block with such pages is a request of its own: they may move to a block whose turn is yet to
    come, as they would not if both blocks were isolated together.
    """
    start_pfn, first = kernel.state.span_of(rows)
    for held in kernel.state.allocations.values():
        pfn = held.pages.first_from(start_pfn) if held.movable else None
        first = first if pfn is None else min(first, pfn)
    return max((first - start_pfn) // kernel.geometry.pages_per_block, 1)


def zone_of_rows(kernel: Kernel, rows: slice) -> Zone:
    """Return the zone that online rows lie in.

    Raises:
        MemoryHotplugError: EINVAL, the pages lie in several zones.
    """
    blocks = kernel.state.blocks
    kind = blocks.value("zone", rows.start)
    if kind == NO_ZONE:
        raise MemoryHotplugError(errno.EINVAL, f"memory block {blocks.value('id', rows.start)} spans several zones")
    return kernel.state.zone((blocks.value("nid", rows.start), _KINDS[kind]))
