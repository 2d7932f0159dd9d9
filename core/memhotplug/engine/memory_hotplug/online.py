"""Online and offline requests: one a block, as writes to the ``state`` files are.

Neighbouring blocks whose requests would all succeed the same way are handled as one run, which is
what makes a terabyte cheap. If a run fails, everything is put back and its blocks are tried one by
one, so that the outcome is exactly that of single requests.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from itertools import pairwise

import numpy as np

from memhotplug.engine.kernel import Kernel
from memhotplug.engine.slab import take_first_slab
from memhotplug.errors import MemoryHotplugError
from memhotplug.model.blocks import NO_ZONE, BlockState, OnlineType
from memhotplug.model.extents import Array
from memhotplug.model.zones import Zone, ZoneKind

__all__ = ["device_online", "offline_blocks", "online_blocks", "online_runs", "zone_of_rows"]


def online_blocks(kernel: Kernel, ids: list[int], online_type: OnlineType) -> list[int]:
    """Request online for each block, ascending; return the blocks done.

    Raises:
        MemoryHotplugError: the first block that fails ends it (``blocks_done`` says what came before):
            ENOENT no such block, EINVAL it is online already, or why the kernel refused.
    """
    return _expanded(online_runs(kernel, np.asarray(ids, dtype=np.int64), online_type))


def online_runs(kernel: Kernel, ids: Array, online_type: OnlineType) -> list[range]:
    """Do what :func:`online_blocks` does for any number of blocks; return the blocks done, run by run.

    Raises:
        MemoryHotplugError: as :func:`online_blocks`.
    """
    try:
        return _each_run(kernel, ids, BlockState.OFFLINE, lambda rows: _online_rows(kernel, rows, online_type))
    except MemoryHotplugError as problem:
        _remember_type(kernel, int(ids[len(problem.blocks_done)]), online_type)
        raise


def _remember_type(kernel: Kernel, block: int, online_type: OnlineType) -> None:
    """Note what was asked of a block that is online already; an online that runs forgets it again.

    Models: drivers/base/memory.c:state_store(), memory_subsys_online() (v5.2 to v6.12).
    """
    blocks = kernel.state.blocks
    row = blocks.row(block)
    if row is not None and blocks.state[row] == BlockState.ONLINE:
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
    asked = OnlineType.ONLINE if row is None else OnlineType(int(blocks.online_type[row]))
    online_blocks(kernel, [block], asked)


def offline_blocks(kernel: Kernel, ids: list[int]) -> list[int]:
    """Request offline for each block, ascending; return the blocks done.

    Raises:
        MemoryHotplugError: as :func:`online_blocks`.
    """
    ascending = np.asarray(ids, dtype=np.int64)
    return _expanded(_each_run(kernel, ascending, BlockState.ONLINE, lambda rows: _offline_rows(kernel, rows)))


def _expanded(runs: list[range]) -> list[int]:
    return [block for run in runs for block in run]


def _each_run(kernel: Kernel, ids: Array, wanted: BlockState, operation: Callable[[slice], None]) -> list[range]:
    """Apply an operation to runs of neighbouring blocks that are in the wanted state."""
    done: list[range] = []
    for first, last in _neighbours(ids):
        while first <= last:
            rows = _ready(kernel, first, last, wanted, done)
            _attempt(kernel, rows, operation, done)
            first = int(kernel.state.blocks.id[rows.stop - 1]) + 1
    return done


def _neighbours(ids: Array) -> list[tuple[int, int]]:
    cuts = np.flatnonzero(np.diff(ids) != 1) + 1
    return [(int(part[0]), int(part[-1])) for part in np.split(ids, cuts) if len(part)]


def _ready(kernel: Kernel, first: int, last: int, wanted: BlockState, done: list[range]) -> slice:
    """Return the rows, beginning with block ``first``, that exist and are in the wanted state."""
    blocks = kernel.state.blocks
    rows = blocks.rows(first, last)
    if rows.start == rows.stop or int(blocks.id[rows.start]) != first:
        raise MemoryHotplugError(errno.ENOENT, f"there is no memory block {first}", blocks_done=_expanded(done))
    gaps = np.flatnonzero(np.diff(blocks.id[rows]) != 1)
    stop = rows.start + int(gaps[0]) + 1 if len(gaps) else rows.stop
    unready = np.flatnonzero(blocks.state[rows.start : stop] != wanted)
    if len(unready) and not unready[0]:
        state = BlockState(int(blocks.state[rows.start])).label
        raise MemoryHotplugError(errno.EINVAL, f"memory block {first} is {state} already", blocks_done=_expanded(done))
    return slice(rows.start, rows.start + int(unready[0]) if len(unready) else stop)


def _attempt(kernel: Kernel, rows: slice, operation: Callable[[slice], None], done: list[range]) -> None:
    """Do all rows at once; if that fails, put everything back and do one after the other."""
    first, count = int(kernel.state.blocks.id[rows.start]), rows.stop - rows.start
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
    if (kernel.state.blocks.online_type[rows] != OnlineType.ONLINE).any():
        kernel.state.blocks.set(rows, online_type=OnlineType.ONLINE)
    first = rows.start
    while first < rows.stop:
        zone, count = kernel.profile.zone_for_rows(kernel, slice(first, rows.stop), online_type)
        was_empty = not zone.managed
        kernel.profile.online(kernel, slice(first, first + count), zone)
        if was_empty:
            take_first_slab(kernel, zone)
        first += count


def _offline_rows(kernel: Kernel, rows: slice) -> None:
    blocks = kernel.state.blocks
    keys = np.stack((blocks.nid[rows].astype(np.int64), blocks.zone[rows].astype(np.int64)))
    cuts = np.flatnonzero((np.diff(keys) != 0).any(axis=0)) + 1
    bounds = [rows.start, *(cuts + rows.start).tolist(), rows.stop]
    for first, last in pairwise(bounds):
        while first < last:
            count = _without_migration(kernel, slice(first, last))
            kernel.profile.offline(kernel, slice(first, first + count))
            first += count


def _without_migration(kernel: Kernel, rows: slice) -> int:
    """Return how many leading blocks have no page to migrate, at least 1.

    A block with such pages is a request of its own: they may move to a block whose turn is yet to
    come, as they would not if both blocks were isolated together.
    """
    starts, ends = kernel.state.block_bounds(rows)
    pfns = [held.pages.first_from(int(starts[0])) for held in kernel.state.allocations.values() if held.movable]
    first = min((pfn for pfn in pfns if pfn is not None), default=int(ends[-1]))
    return max(int(np.searchsorted(ends, first, side="right")), 1)


def zone_of_rows(kernel: Kernel, rows: slice) -> Zone:
    """Return the zone that online rows lie in.

    Raises:
        MemoryHotplugError: EINVAL, the pages lie in several zones.
    """
    blocks = kernel.state.blocks
    kind = int(blocks.zone[rows.start])
    if kind == NO_ZONE:
        raise MemoryHotplugError(errno.EINVAL, f"memory block {int(blocks.id[rows.start])} spans several zones")
    return kernel.state.zone((int(blocks.nid[rows.start]), ZoneKind(kind)))
