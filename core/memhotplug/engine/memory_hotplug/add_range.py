"""add_memory() of one range, as a driver calls it.

Models: mm/memory_hotplug.c:__add_memory(), register_memory_resource() (v5.2 to v6.12).
"""

from __future__ import annotations

import errno
from bisect import bisect
from typing import TYPE_CHECKING

from memhotplug.contracts import AddRequest, PhysRange
from memhotplug.engine.memory_hotplug.steps_done import check_blocks_came
from memhotplug.engine.mhp_flags import flags_for
from memhotplug.errors import MemoryHotplugError
from memhotplug.model.resources import Resource
from memhotplug.model.state import MachineState
from memhotplug.model.vmemmap import Source
from memhotplug.units import format_size

if TYPE_CHECKING:
    from memhotplug.engine.kernel import Kernel

__all__ = ["add_range", "check_reach"]


def add_range(kernel: Kernel, request: AddRequest, phys_range: PhysRange, name: str) -> None:
    """Add one range for a driver, with the flags that the driver passes, and note what was refused.

    Args:
        name: what the range is called in /proc/iomem.

    Raises:
        MemoryHotplugError: E2BIG, EEXIST, EINVAL, ENOMEM, or what a plugin raised.
    """
    flags = flags_for(kernel, request, phys_range)
    try:
        _add_memory(kernel, request, phys_range, flags, name)
    except MemoryHotplugError as problem:
        kernel.step.add_errors.append(problem)
        kernel.log("add_failed", device=request.name, start=phys_range.start, size=phys_range.size, errno=problem.name)
        raise


def _add_memory(kernel: Kernel, request: AddRequest, phys_range: PhysRange, flags: int, name: str) -> None:
    start, size = phys_range.start, phys_range.size
    index = kernel.open_device(request)
    nid = phys_range.nid if phys_range.nid is not None else kernel.node_of_address(start)
    kernel.check_reach(start, size)
    if size <= 0:
        kernel.profile.add_memory_resource(kernel, index, start, size, nid, flags)
        return
    kernel.state.resources.request(Resource(start=start, end=start + size - 1, name=name, hotplugged=True))
    pfns = kernel.geometry.pfn(start), kernel.geometry.pfn(start + size)
    _note_backing(kernel.state, phys_range, *pfns)
    try:
        kernel.profile.add_memory_resource(kernel, index, start, size, nid, flags)
    except MemoryHotplugError:
        kernel.state.resources.release(start, size)
        kernel.state.withheld.remove(*pfns)
        kernel.state.unbacked.remove(*pfns)
        raise
    check_blocks_came(kernel, start, size)
    state = kernel.state  # another object than before, where auto-onlining was undone
    _forget_withheld_memmap(state, *pfns)
    ranges = state.devices[index].ranges
    place = bisect(ranges, (start, size))
    state.put_device(index, nid=nid, ranges=(*ranges[:place], (start, size), *ranges[place:]))


def _note_backing(state: MachineState, phys_range: PhysRange, start_pfn: int, end_pfn: int) -> None:
    page_size = state.geometry.page_size
    if phys_range.backed is not None:
        state.unbacked.add(start_pfn + phys_range.backed // page_size, end_pfn)
    if phys_range.withheld:
        state.withheld.add(end_pfn - phys_range.withheld // page_size, end_pfn)


def _forget_withheld_memmap(state: MachineState, start_pfn: int, end_pfn: int) -> None:
    """Pages that hold memmap never reach the driver, so it cannot withhold them."""
    if state.withheld.intersects(start_pfn, end_pfn):
        memmap = state.vmemmap.backing_from(Source.ALTMAP)
        state.withheld.remove_many(*memmap.clip(start_pfn, end_pfn))


def check_reach(kernel: Kernel, start: int, size: int) -> None:
    """Refuse what ends beyond the address space, or where this kernel ends memory for good.

    Models: mm/memory_hotplug.c:register_memory_resource() (v5.2: max_mem_size), mhp_range_allowed() (v5.12 to
    v6.12).
    Raises: MemoryHotplugError: E2BIG.
    """
    geometry, end = kernel.geometry, start + size
    limit = 1 << geometry.physical_address_bits
    if end > limit:
        raise MemoryHotplugError(
            errno.E2BIG,
            f"{format_size(size)} at {start:#x} ends beyond {geometry.physical_address_bits} "
            f"physical address bits ({format_size(limit)})",
        )
    most = geometry.hotplug_limit
    if most is not None and end > most:
        raise MemoryHotplugError(
            errno.E2BIG,
            f"{format_size(size)} at {start:#x} ends beyond {format_size(most)}, where mem= ends memory",
        )
