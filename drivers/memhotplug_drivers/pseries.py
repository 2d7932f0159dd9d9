"""pseries DLPAR: logical memory blocks (LMBs), added, onlined and removed one at a time.

An LMB is a memory block. A request is for neighbouring LMBs and is met as a whole: if one cannot be
added, those before it are removed again; if one cannot be removed, those before it are added again.

Models: arch/powerpc/platforms/pseries/hotplug-memory.c:dlpar_add_lmb(), dlpar_memory_add_by_ic(),
dlpar_remove_lmb(), dlpar_memory_remove_by_ic() (v5.2 to v6.12). Simplified: the hypervisor grants
every LMB, and none is reserved.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from memhotplug.plugin import (
    AddRequest,
    BlockState,
    DriverTraits,
    Kernel,
    KeySpec,
    LazyRanges,
    MemoryHotplugError,
    OnlineType,
    PhysRange,
    format_blocks,
    hookimpl,
    models,
    offline_blocks,
    online_blocks,
    remove_memory,
)
from memhotplug_drivers._groups import numa_off

__all__ = [
    "driver_add",
    "driver_eject",
    "driver_eject_blocks",
    "driver_keys",
    "driver_ranges",
    "driver_traits",
    "mhp_flags",
]

_ONLINE = BlockState.ONLINE


@models("arch/powerpc/platforms/pseries/hotplug-memory.c:dlpar_add_lmb() (v5.2 to v6.12)")
@hookimpl
def driver_traits() -> DriverTraits:
    """A platform of powerpc. Each LMB is online before the next one is added."""
    return DriverTraits(
        qemu_devices={"pc-dimm": {"memdev": "size"}},
        aliases=("dlpar", "lmb"),
        arches={"powerpc": (0, 0)},
        absence="it is a platform of powerpc",
        onlines=True,
        rolls_back=True,
    )


@hookimpl
def driver_keys() -> Mapping[str, KeySpec]:
    """An LMB is a memory block; there is nothing more to say."""
    return {}


@hookimpl
def driver_ranges(kernel: Kernel, request: AddRequest) -> Sequence[PhysRange]:
    """One range for each LMB, ascending, on the node of its associativity.

    Raises:
        MemoryHotplugError: EINVAL no whole LMBs or some that are assigned already,
            E2BIG some that cannot be addressed.
    """
    size = kernel.geometry.memory_block_size
    start = kernel.state.first_free_address(request.size) if request.address is None else request.address
    if request.size % size or start % size:
        where = f"{start:#x}+{request.size:#x}"
        raise MemoryHotplugError(errno.EINVAL, f"{where} is not made of whole LMBs of {size:#x} bytes")
    kernel.check_reach(start, request.size)
    blocks = kernel.state.blocks
    taken = blocks.id[blocks.rows(start // size, (start + request.size) // size - 1)].tolist()
    if taken:
        raise MemoryHotplugError(errno.EINVAL, f"LMBs are assigned already: memory blocks {format_blocks(taken)}")
    nid = _node(kernel, request.nid)
    return LazyRanges(range(start, start + request.size, size), partial(_lmb, size, nid))


def _lmb(size: int, nid: int, start: int) -> PhysRange:
    return PhysRange(start=start, size=size, nid=nid)


def _node(kernel: Kernel, nid: int | None) -> int:
    """Return the node of an associativity, the first online node if there is none or it is not possible.

    Models: arch/powerpc/mm/numa.c:of_drconf_to_nid_single() (v5.2 to v6.12), which does not look with ``numa=off``.
    """
    if not numa_off(kernel) and nid is not None and 0 <= nid < kernel.geometry.max_nodes:
        return nid
    return min(number for number, node in kernel.state.nodes.items() if node.online)


@models("arch/powerpc/platforms/pseries/hotplug-memory.c:dlpar_add_lmb() (v5.2 to v6.12)")
@hookimpl
def mhp_flags(kernel: Kernel) -> int:
    """MHP_MEMMAP_ON_MEMORY since 6.6, nothing before."""
    return kernel.flag("on_memory") if kernel.has("radix_vmemmap") else 0


@hookimpl
def driver_add(kernel: Kernel, request: AddRequest, ranges: Sequence[PhysRange]) -> None:
    """Add and online each LMB; a failure takes the LMBs of this request away again.

    Raises:
        MemoryHotplugError: EINVAL, one of several LMBs could not be added; a single one's own error.
    """
    for number, lmb in enumerate(ranges):
        try:
            _add_lmb(kernel, request, lmb)
        except MemoryHotplugError as problem:
            done = [earlier.start for earlier in ranges[:number]]
            kept = _each(done, lambda start: _remove_lmb(kernel, start))
            raise _shortfall(kernel, problem, lmb.start, len(ranges), ("added", "removed"), done, kept) from problem


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
    blocks = kernel.state.blocks
    return blocks.common("state", blocks.rows(block, block)) == _ONLINE


def _each(starts: Sequence[int], operation: Callable[[int], None]) -> list[int]:
    """Undo something for each LMB, ascending; return those where that failed; others are undone all the same."""
    failed: list[int] = []
    for start in starts:
        try:
            operation(start)
        except MemoryHotplugError:
            failed.append(start)
    return failed


def _shortfall(
    kernel: Kernel,
    problem: MemoryHotplugError,
    start: int,
    total: int,
    words: tuple[str, str],
    undone: Sequence[int],
    failed: Sequence[int],
) -> MemoryHotplugError:
    """Return the error of a request: its LMB's own if that was the only one, else EINVAL."""
    size = kernel.geometry.memory_block_size
    done, back = words
    number = problem.errno if total == 1 and problem.errno else errno.EINVAL
    error = MemoryHotplugError(
        number, f"LMB {start // size} cannot be {done}: {problem}" if total > 1 else problem.reason, leaks=problem.leaks
    )
    notes = [f"LMB {start // size} is not {done} ({problem.name})"]
    if undone:
        notes.append(f"those before it are {back} again")
    if failed:
        notes.append(f"failed to be {back}: LMBs {format_blocks([at // size for at in failed])}")
    error.driver_result = "; ".join(notes)
    return error


@hookimpl
def driver_eject(kernel: Kernel, name: str) -> None:
    """Remove the LMBs ascending; at the first that stays online, add the earlier ones back.

    What comes back is onlined into the default zone; later LMBs are not touched.

    Raises:
        MemoryHotplugError: EINVAL, one of several LMBs could not be removed; a single one's own error.
    """
    index = kernel.state.device_index(name)
    if index is None:
        raise MemoryHotplugError(errno.EINVAL, f"there is no LMB of {name!r}")
    device = kernel.state.devices[index]
    size = kernel.geometry.memory_block_size
    _remove_lmbs(kernel, index, [at for low, length in device.ranges for at in range(low, low + length, size)])


@models("arch/powerpc/platforms/pseries/hotplug-memory.c:dlpar_memory_remove_by_index() (v5.2 to v6.12)")
@hookimpl
def driver_eject_blocks(kernel: Kernel, name: str, blocks: Sequence[int]) -> None:
    """Remove single LMBs of a device, as ``drmgr -c mem -r -s`` does.

    Raises:
        MemoryHotplugError: as :func:`driver_eject`.
    """
    index = kernel.state.device_index(name)
    if index is None:
        raise MemoryHotplugError(errno.EINVAL, f"there is no LMB of {name!r}")
    size = kernel.geometry.memory_block_size
    _remove_lmbs(kernel, index, [block * size for block in blocks])


def _remove_lmbs(kernel: Kernel, index: int, starts: Sequence[int]) -> None:
    """Remove LMBs in this order; at the first that stays, add the earlier ones back."""
    device, size = kernel.state.devices[index], kernel.geometry.memory_block_size
    request = AddRequest(
        driver=device.driver, name=device.name, size=device.size, nid=device.nid, options=device.options
    )
    nid = _node(kernel, device.nid)

    def add_back(start: int) -> None:
        _add_lmb(kernel, request, PhysRange(start=start, size=size, nid=nid))

    for number, start in enumerate(starts):
        try:
            _remove_lmb(kernel, start)
        except MemoryHotplugError as problem:
            kernel.state.put_device(index, closed=False)
            done = starts[:number]
            lost = _each(done, add_back)
            kernel.state.put_device(index, closed=True)
            raise _shortfall(kernel, problem, start, len(starts), ("removed", "added"), done, lost) from problem
