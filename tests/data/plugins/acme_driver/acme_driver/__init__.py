"""acme: memory sleds, each spread over some lanes, one range a lane.

The flag policy is the point of this example: it decides from the range, its node and the size of a
memory block where the memmap goes.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence

from memhotplug.plugin import AddRequest, Kernel, KeySpec, MemoryHotplugError, PhysRange, format_size, hookimpl

_LARGE_BLOCK = 1 << 30


@hookimpl
def driver_keys() -> Mapping[str, KeySpec]:
    """A sled says over how many lanes it is spread."""
    return {"lanes": KeySpec("int", "over how many lanes the sled is spread, one range each", minimum=1, maximum=8)}


@hookimpl
def driver_ranges(kernel: Kernel, request: AddRequest) -> Sequence[PhysRange]:
    """One range a lane, all of the same size, one behind the other."""
    lanes = request.options.get("lanes", 1)
    assert isinstance(lanes, int)
    block = kernel.geometry.memory_block_size
    if request.size % (lanes * block):
        each = f"{lanes} lanes of whole blocks of {format_size(block)}"
        raise MemoryHotplugError(errno.EINVAL, f"{format_size(request.size)} is not made of {each}")
    start = kernel.state.first_free_address() if request.address is None else request.address
    size = request.size // lanes
    return [PhysRange(start=start + lane * size, size=size, nid=request.nid) for lane in range(lanes)]


@hookimpl
def mhp_flags(kernel: Kernel, phys_range: PhysRange) -> int:
    """Decide where the memmap of a range goes.

    Blocks of 1 GiB and more stay whole, so that they can be gigantic pages: no flag. Memory of
    another node than 0 leaves as it came, so all its memmap may lie at its start. On node 0 single
    blocks leave, and each has to carry its own memmap.
    """
    if kernel.geometry.memory_block_size >= _LARGE_BLOCK:
        return 0
    nid = kernel.node_of_address(phys_range.start) if phys_range.nid is None else phys_range.nid
    wanted = "device" if nid else "memblock"
    return kernel.flag(wanted) or kernel.flag("on_memory")


@hookimpl
def driver_add(kernel: Kernel, request: AddRequest, ranges: Sequence[PhysRange]) -> str | None:
    """Add lane after lane; a lane that fails is left out, and the sled works with the others."""
    failed = []
    for number, phys_range in enumerate(ranges):
        try:
            kernel.add_range(request, phys_range)
        except MemoryHotplugError as problem:
            failed.append(f"lane {number}: {problem.name}")
    return f"works with {len(ranges) - len(failed)} of {len(ranges)} lanes ({', '.join(failed)})" if failed else None
