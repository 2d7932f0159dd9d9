"""pseries DLPAR: logical memory blocks, added, onlined and removed one at a time.

Models: arch/powerpc/platforms/pseries/hotplug-memory.c:dlpar_add_lmb(), dlpar_memory_add_by_ic(),
dlpar_remove_lmb(), dlpar_memory_remove_by_ic() (v5.2 to v6.12).
"""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence

from memhotplug.plugin import (
    AddRequest,
    BlockState,
    Kernel,
    KeySpec,
    MemoryHotplugError,
    OnlineType,
    PhysRange,
    hookimpl,
    offline_blocks,
    online_blocks,
    remove_memory,
)

__all__ = ["driver_add", "driver_eject", "driver_keys", "driver_ranges", "mhp_flags"]

_SELF_HOSTING = (6, 6)  # arch/powerpc selects ARCH_MHP_MEMMAP_ON_MEMORY_ENABLE from here on


@hookimpl
def driver_keys() -> Mapping[str, KeySpec]:
    """An LMB is a memory block; there is nothing more to say."""
    return {}


@hookimpl
def driver_ranges(kernel: Kernel, request: AddRequest) -> Sequence[PhysRange]:
    """One range for each LMB, ascending."""
    size = kernel.geometry.memory_block_size
    start = kernel.state.first_free_address() if request.address is None else request.address
    if request.size % size or start % size:
        where = f"{start:#x}+{request.size:#x}"
        raise MemoryHotplugError(errno.EINVAL, f"{where} is not made of whole LMBs of {size:#x} bytes")
    return [PhysRange(start=at, size=size, nid=request.nid) for at in range(start, start + request.size, size)]


@hookimpl
def mhp_flags(kernel: Kernel) -> int:
    """MHP_MEMMAP_ON_MEMORY since 6.6, nothing before."""
    return kernel.flag("on_memory") if kernel.version >= _SELF_HOSTING else 0


@hookimpl
def driver_add(kernel: Kernel, request: AddRequest, ranges: Sequence[PhysRange]) -> None:
    """Add and online each LMB; a failure takes the LMBs of this request away again."""
    done: list[PhysRange] = []
    for lmb in ranges:
        try:
            _add_lmb(kernel, request, lmb)
        except MemoryHotplugError:
            for earlier in done:
                _remove_lmb(kernel, earlier.start)
            raise
        done.append(lmb)


def _add_lmb(kernel: Kernel, request: AddRequest, lmb: PhysRange) -> None:
    """Add one LMB and bring it online, whatever the auto-online policy says."""
    kernel.add_range(request, lmb)
    block = lmb.start // kernel.geometry.memory_block_size
    if _is_online(kernel, block):
        return
    try:
        online_blocks(kernel, [block], OnlineType.ONLINE)
    except MemoryHotplugError:
        remove_memory(kernel, lmb.start, lmb.size)
        raise


def _remove_lmb(kernel: Kernel, start: int) -> None:
    size = kernel.geometry.memory_block_size
    if _is_online(kernel, start // size):
        offline_blocks(kernel, [start // size])
    remove_memory(kernel, start, size)


def _is_online(kernel: Kernel, block: int) -> bool:
    row = kernel.state.blocks.row(block)
    return row is not None and bool(kernel.state.blocks.state[row] == BlockState.ONLINE)


@hookimpl
def driver_eject(kernel: Kernel, name: str) -> None:
    """Remove the LMBs ascending; at the first that stays online, add the earlier ones back.

    What comes back is onlined into the default zone; later LMBs are not touched.
    """
    index = kernel.state.device_index(name)
    assert index is not None
    device = kernel.state.devices[index]
    size = kernel.geometry.memory_block_size
    starts = [at for low, length in device.ranges for at in range(low, low + length, size)]
    request = AddRequest(driver=device.driver, name=name, size=device.size, nid=device.nid, options=device.options)
    removed: list[int] = []
    for start in starts:
        try:
            _remove_lmb(kernel, start)
        except MemoryHotplugError:
            kernel.state.put_device(index, closed=False)
            for earlier in removed:
                _add_lmb(kernel, request, PhysRange(start=earlier, size=size, nid=device.nid))
            kernel.state.put_device(index, closed=True)
            raise
        removed.append(start)
