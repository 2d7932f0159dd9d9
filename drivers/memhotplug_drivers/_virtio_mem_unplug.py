"""virtio-mem shrinks: subblocks or big blocks leave, what is easiest to give up first.

Pages of online memory are taken by alloc_contig_range(): free ones, and movable ones that migrate.
They stay present, PageOffline and unmanaged until their whole block goes.

Models: drivers/virtio/virtio_mem.c:virtio_mem_sbm_unplug_request(),
virtio_mem_sbm_unplug_any_sb_online(), virtio_mem_bbm_offline_remove_and_unplug_bb(),
virtio_mem_fake_offline(), virtio_mem_cleanup_pending_mb() (v5.13 to v6.12). Simplified: migration
prefers another node (alloc_contig_range(): the same), as in offlining; a try that fails once fails
five times.
"""

from __future__ import annotations

import errno
from collections.abc import Callable

from memhotplug.plugin import (
    BlockState,
    ExtentSet,
    Kernel,
    MemoryHotplugError,
    OnlineType,
    ZoneKind,
    format_size,
    isolate,
    migrate,
    offline_blocks,
    online_blocks,
    remove_memory,
    unisolate,
)
from memhotplug_drivers._virtio_mem_device import (
    Region,
    SbmState,
    block_pages,
    blocks_in,
    has_withheld,
    own_blocks,
    plugged_size,
    zone_kind,
)
from memhotplug_drivers._virtio_mem_plug import log_change
from memhotplug_drivers.withheld import release

__all__ = ["clean_up", "unplug"]

_OFFLINE = (SbmState.OFFLINE_PARTIAL, SbmState.OFFLINE)
_ONLINE = (SbmState.MOVABLE_PARTIAL, SbmState.KERNEL_PARTIAL, SbmState.MOVABLE, SbmState.KERNEL)
_PENDING = (SbmState.MOVABLE_PARTIAL, SbmState.KERNEL_PARTIAL, SbmState.OFFLINE_PARTIAL)


def unplug(kernel: Kernel, region: Region) -> MemoryHotplugError | None:
    """Unplug what is beyond the requested size; return why that stopped early, None if it did not."""
    left = (plugged_size(kernel, region) - region.requested) // region.sizes.step
    left = _unplug_subblocks(kernel, region, left) if region.sizes.in_sbm else _unplug_big(kernel, region, left)
    if left > 0 and region.unplug_online:
        busy = format_size(left * region.sizes.step)
        return MemoryHotplugError(errno.EBUSY, f"{region.name}: {busy} are busy and stay plugged")
    return None


def clean_up(kernel: Kernel, region: Region) -> bool:
    """Try again to remove blocks that are wholly unplugged; return whether one had to stay."""
    if not region.sizes.in_sbm or not has_withheld(kernel, region):
        return False
    stuck = False
    for state in _PENDING:
        for block in blocks_in(kernel, region, state):
            stuck |= not _remove_if_unplugged(kernel, block)
    return stuck


# ---- subblock mode ----


def _unplug_subblocks(kernel: Kernel, region: Region, left: int) -> int:
    """Unplug up to ``left`` subblocks, block ids and subblocks descending; return how many are left."""
    for state in (*_OFFLINE, *(_ONLINE if region.unplug_online else ())):
        unplug_from = _unplug_offline if state in _OFFLINE else _unplug_online
        for block in reversed(blocks_in(kernel, region, state)):
            if left <= 0:
                return left
            left = unplug_from(kernel, region, block, left)
    return left


def _unplug_offline(kernel: Kernel, region: Region, block: int, left: int) -> int:
    step = kernel.geometry.pfn(region.sizes.step)
    for low, high in reversed(list(kernel.state.withheld.gaps(*block_pages(kernel, block)))):
        count = min((high - low) // step, left)
        if count:
            _withhold(kernel, region, high - count * step, high)
            left -= count
    _remove_if_unplugged(kernel, block)
    return left


def _unplug_online(kernel: Kernel, region: Region, block: int, left: int) -> int:
    """Unplug a whole block in one go if it is wholly plugged, else or if that fails one subblock at a time."""
    step = kernel.geometry.pfn(region.sizes.step)
    low, high = block_pages(kernel, block)
    per_block = (high - low) // step
    is_whole = left >= per_block and not kernel.state.withheld.intersects(low, high)
    if is_whole and _fake_offline(kernel, block, low, high):
        _withhold(kernel, region, low, high)
        left -= per_block
    else:
        left = _unplug_each(kernel, region, block, left)
    _remove_if_unplugged(kernel, block)
    return left


def _unplug_each(kernel: Kernel, region: Region, block: int, left: int) -> int:
    """Unplug subblocks of an online block, each for itself, descending; return how many are left."""
    step = kernel.geometry.pfn(region.sizes.step)
    low, high = block_pages(kernel, block)
    for first in range(high - step, low - 1, -step):
        if left <= 0:
            break
        if kernel.state.withheld.intersects(first, first + step):
            continue
        if _fake_offline(kernel, block, first, first + step):
            _withhold(kernel, region, first, first + step)
            left -= 1
    return left


def _withhold(kernel: Kernel, region: Region, low: int, high: int) -> None:
    """Give pages that Linux does not use back to the hypervisor."""
    kernel.state.withheld.add(low, high)
    kernel.state.unbacked.add(low, high)
    log_change(kernel, region, "virtio_mem_unplugged", low, high - low)


def _fake_offline(kernel: Kernel, block: int, low: int, high: int) -> bool:
    """Take pages of an online block out of the page allocator; return False, and change nothing, if some are busy.

    Models: mm/page_alloc.c:alloc_contig_range(), adjust_managed_page_count().
    """
    if kernel.state.poisoned.intersects(low, high):
        return False  # only offlining passes over broken pages
    row = kernel.state.blocks.row(block)
    assert row is not None
    kind = zone_kind(kernel, row)
    assert kind is not None
    zone = kernel.state.zone((kernel.state.blocks.value("nid", row), kind))
    pages = ExtentSet.of((low, high))
    taken = ExtentSet()
    try:
        taken = isolate(kernel, zone, pages)
        migrate(kernel, zone, pages)
    except MemoryHotplugError:
        unisolate(zone, taken)
        return False
    zone.managed -= pages.total
    return True


def _remove_if_unplugged(kernel: Kernel, block: int) -> bool:
    """Remove a block that has no plugged subblock; return False if it has to stay although it has none."""
    low, high = block_pages(kernel, block)
    if not kernel.state.withheld.contains(low, high):
        return True
    return _offline_and_remove(kernel, [block], lambda: _take_back(kernel, low, high))


# ---- big block mode ----


def _unplug_big(kernel: Kernel, region: Region, left: int) -> int:
    """Unplug big blocks, numbers descending: offline ones, then movable ones, then all; return how many are left."""
    passes: tuple[Callable[[set[ZoneKind | None]], bool], ...] = (
        lambda kinds: kinds == {None},
        lambda kinds: kinds <= {None, ZoneKind.MOVABLE},
        lambda kinds: True,
    )
    for wanted in passes if region.unplug_online else passes[:1]:
        for ids in reversed(_big_blocks(kernel, region)):
            if left <= 0:
                return left
            if wanted(_kinds(kernel, ids)) and _unplug_one_big(kernel, region, ids):
                left -= 1
    return left


def _big_blocks(kernel: Kernel, region: Region) -> list[list[int]]:
    """Return the memory blocks of each big block that is there, ascending."""
    per_big = region.sizes.unit // kernel.geometry.memory_block_size
    found: dict[int, list[int]] = {}
    for block in own_blocks(kernel, region).tolist():
        found.setdefault(block // per_big, []).append(block)
    return list(found.values())


def _kinds(kernel: Kernel, ids: list[int]) -> set[ZoneKind | None]:
    rows = [kernel.state.blocks.row(block) for block in ids]
    return {zone_kind(kernel, row) for row in rows if row is not None}


def _unplug_one_big(kernel: Kernel, region: Region, ids: list[int]) -> bool:
    """Empty, offline and remove one big block; return False, with its pages back in use, if some are busy."""
    section = kernel.geometry.pages_per_section
    low, high = block_pages(kernel, ids[0])[0], block_pages(kernel, ids[-1])[1]
    for block in _online(kernel, ids):
        for first in range(*block_pages(kernel, block), section):
            if not _fake_offline(kernel, block, first, first + section):
                release(kernel, low, high)
                return False
            kernel.state.withheld.add(first, first + section)
    if not _offline_and_remove(kernel, ids, lambda: None):
        return False
    log_change(kernel, region, "virtio_mem_unplugged", low, high - low)
    return True


# ---- both modes ----


def _online(kernel: Kernel, ids: list[int]) -> list[int]:
    blocks = kernel.state.blocks
    return [block for block in ids if blocks.common("state", blocks.rows(block, block)) == BlockState.ONLINE]


def _offline_and_remove(kernel: Kernel, ids: list[int], undo: Callable[[], None]) -> bool:
    """Offline and remove neighbouring blocks without a page in use; return False if they have to stay.

    Models: mm/memory_hotplug.c:offline_and_remove_memory(): blocks that were offlined come back into
    the kind of zone that they were in.
    """
    online = {block: _kinds(kernel, [block]) for block in _online(kernel, ids)}
    for block in online:
        _lend(kernel, *block_pages(kernel, block))
    try:
        offline_blocks(kernel, list(online))
    except MemoryHotplugError as problem:
        for block in problem.blocks_done:
            movable = online[block] == {ZoneKind.MOVABLE}
            online_blocks(kernel, [block], OnlineType.ONLINE_MOVABLE if movable else OnlineType.ONLINE_KERNEL)
        undo()
        return False
    size = kernel.geometry.memory_block_size
    remove_memory(kernel, ids[0] * size, (ids[-1] - ids[0] + 1) * size)
    return True


def _lend(kernel: Kernel, low: int, high: int) -> None:
    """Let the pages that the driver holds in an online block count as free, which is how they may leave."""
    unbacked = kernel.state.unbacked.within(low, high)
    release(kernel, low, high)
    kernel.state.unbacked.update(unbacked)


def _take_back(kernel: Kernel, low: int, high: int) -> None:
    """Hold all pages of an online block again that :func:`_lend` let go of."""
    zone = kernel.state.zone_of(low)
    if zone is not None and zone.free.contains(low, high):
        zone.free.remove(low, high)
        zone.managed -= high - low
        kernel.state.withheld.add(low, high)
