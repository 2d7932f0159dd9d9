"""The Xen balloon: a raised target brings a new resource, whose pages come to be through the balloon.

``size`` is by how much the target rises. Pages that the balloon still has from earlier requests are
used first; the rest is rounded up to whole sections and hot-added. Every hot-added page goes to the
balloon when it is onlined, and as many as the target allows are populated from there; what the
rounding added stays in the balloon.

Models: drivers/xen/balloon.c:reserve_additional_memory(), xen_online_page(), increase_reservation()
(v5.2 to v6.12). Simplified: the pages that stay in the balloon are the last of the range (kernel:
whichever the list has at its end), and the resource lies above all memory.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence

from memhotplug.plugin import (
    AddRequest,
    DriverTraits,
    ExtentSet,
    Kernel,
    KeySpec,
    MemoryHotplugError,
    PhysRange,
    div_round_up,
    format_size,
    hookimpl,
    models,
    round_up,
)
from memhotplug_drivers.withheld import ranges_of, release

__all__ = ["driver_add", "driver_eject", "driver_keys", "driver_ranges", "driver_traits", "mhp_flags"]


@models("drivers/xen/Kconfig:XEN_BALLOON_MEMORY_HOTPLUG")
@hookimpl
def driver_traits() -> DriverTraits:
    """Where Xen runs Linux guests."""
    return DriverTraits(
        aliases=("xen_balloon", "xen-balloon"),
        arches={"arm64": (0, 0), "x86_64": (0, 0)},
        absence="Xen runs no Linux guests there",
    )


@hookimpl
def driver_keys() -> Mapping[str, KeySpec]:
    """The target is all that the balloon knows."""
    return {}


@hookimpl
def driver_ranges(kernel: Kernel, request: AddRequest) -> Sequence[PhysRange]:
    """What the balloon lacks, rounded up to whole sections, in one range; none if it lacks nothing.

    The hypervisor backs nothing of it when it is added, so whatever is put there before the pages
    went through the balloon lies on memory that is not there.
    """
    credit = (
        round_up(request.size, kernel.geometry.page_size)
        - _in_balloon(kernel, request.driver).total * kernel.geometry.page_size
    )
    if credit <= 0:
        return []
    size = round_up(credit, kernel.geometry.section_size)
    start = kernel.state.first_free_address(size) if request.address is None else request.address
    return [PhysRange(start=start, size=size, nid=request.nid, backed=0, withheld=size - credit)]


def _in_balloon(kernel: Kernel, driver: str) -> ExtentSet:
    own = ranges_of(kernel, driver)
    return ExtentSet(*kernel.state.withheld.clip_many(own.starts, own.ends))


@models("drivers/xen/balloon.c:reserve_additional_memory() (v5.2 to v6.12)")
@hookimpl
def mhp_flags(kernel: Kernel) -> int:
    """None in the 2019 series; MHP_MERGE_RESOURCE since 5.10."""
    return kernel.flag("MHP_MERGE_RESOURCE")


@hookimpl
def driver_add(kernel: Kernel, request: AddRequest, ranges: Sequence[PhysRange]) -> str | None:
    """Populate what the balloon has, then hot-add the rest; a failure cancels the balloon operation."""
    wanted = div_round_up(request.size, kernel.geometry.page_size)
    populated = _populate(kernel, request.driver, wanted)
    notes = []
    if populated:
        size = format_size(populated * kernel.geometry.page_size)
        notes.append(f"{size} come from what the balloon had already")
    for phys_range in ranges:
        try:
            kernel.add_range(request, phys_range)
        except MemoryHotplugError as problem:
            return "; ".join([*notes, _cancelled(kernel, phys_range, problem)])
        if phys_range.withheld:
            notes.append(f"{format_size(phys_range.withheld)} stay in the balloon, which adds whole sections")
    return "; ".join(notes) or None


def _populate(kernel: Kernel, driver: str, wanted: int) -> int:
    """Take up to ``wanted`` pages out of the balloon, lowest first; return how many."""
    done = 0
    for low, high in _in_balloon(kernel, driver):
        if done < wanted:
            done += release(kernel, low, min(high, low + wanted - done))
    return done


def _cancelled(kernel: Kernel, phys_range: PhysRange, problem: MemoryHotplugError) -> str:
    block_size = kernel.geometry.memory_block_size
    told = f"balloon operation cancelled (BP_ECANCELED): {problem.name}"
    if problem.errno != errno.EINVAL or not phys_range.size % block_size:
        return told
    section, block = format_size(kernel.geometry.section_size), format_size(block_size)
    return f"{told}, since the driver rounds up to sections of {section} and not to memory blocks of {block}"


@hookimpl
def driver_eject() -> str | None:
    """Refuse: a lowered target takes pages out of the guest, never memory blocks.

    Raises:
        MemoryHotplugError: EOPNOTSUPP.
    """
    raise MemoryHotplugError(errno.EOPNOTSUPP, "the Xen balloon never hot-removes memory")
