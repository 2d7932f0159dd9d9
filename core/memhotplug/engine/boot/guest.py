"""Booting a fresh guest as a user has one: what its kernel takes, what the command line sets aside, and holes.

A scenario's plain ``memory`` has none of that, so that its numbers are round; ``boot_profile`` asks for it.
"""

from __future__ import annotations

from dataclasses import replace

from memhotplug.engine.boot.sizes import BootConfig, boot_kernel, parse_cmdline
from memhotplug.engine.kernel import Kernel
from memhotplug.errors import InputError
from memhotplug.manager import arch_traits
from memhotplug.model.zones import ZoneKind
from memhotplug.units import format_size, parse_size, round_down, round_up

__all__ = ["boot_guest", "contiguous_area", "crash_kernel"]


def boot_guest(config: BootConfig) -> Kernel:
    """Boot a guest with the configuration's reserve, its crash kernel, and the holes of its architecture.

    Raises:
        InputError: the configuration is not possible. PluginError: a plugin is missing or broken.
    """
    size = sum(size for _, size in config.memory)
    image = config.reserve.image + crash_kernel(config.cmdline, size)
    kernel = boot_kernel(replace(config, reserve=config.reserve._replace(image=image)))
    for hole in arch_traits(config.arch).boot_holes:
        _without_hole(kernel, *hole)
    _reserve_contiguous(kernel, contiguous_area(config.cmdline))
    return kernel


def contiguous_area(cmdline: str, *, path: str = "machine.cmdline") -> int:
    """Return the bytes that ``cma=`` keeps for movable pages and for devices; 0 without it.

    Models: kernel/dma/contiguous.c:early_cma() (v5.2 to v6.12). Simplified: its place is not heeded, and a kernel that
    was built without DMA_CMA, which ignores the parameter, is taken to have it.
    Raises:
        InputError: the value is no size.
    """
    value = parse_cmdline(cmdline).get("cma", "")
    try:
        return _bytes(value) if value else 0
    except ValueError as problem:
        raise InputError(f"cma=SIZE[@START[-END]] ({problem})", got=f"cma={value}", path=path) from None


def _reserve_contiguous(kernel: Kernel, size: int) -> None:
    """Make the highest free range of a kernel zone CMA: managed and free, but not for kernel memory.

    Models: mm/cma.c:cma_declare_contiguous_nid() (v5.2 to v6.12): whole pageblocks, from the top down; without room
    there is none. Simplified: bottom-up above 4 GiB, where memory reaches beyond it, is in the same zone.
    """
    unit = kernel.geometry.pageblock_pages
    pages = kernel.geometry.pfn(round_up(size, kernel.geometry.address(unit)))
    if not pages:
        return
    for zone in sorted(kernel.state.zones(), key=lambda zone: -zone.end_pfn):
        if zone.kind is ZoneKind.MOVABLE:
            continue
        for low, high in reversed(list(zone.free)):
            start = round_down(high - pages, unit)
            if start >= low:
                zone.cma += pages
                zone.cma_pages.add(start, start + pages)
                return
    kernel.warn(f"cma={format_size(size)}: no free range of boot memory is that large, and nothing is kept")


def _without_hole(kernel: Kernel, start: int, end: int) -> None:
    """Make a range of reserved boot memory a range without memory."""
    low, high = kernel.geometry.pfn(start), kernel.geometry.pfn(end)
    state = kernel.state
    for zone in state.zones():
        absent = zone.linked.covered(low, high)
        zone.linked.remove(low, high)
        zone.present -= absent
        zone.present_early -= absent
    state.reserved.remove(low, high)
    state.holes.add(low, high)


def crash_kernel(cmdline: str, boot: int, *, path: str = "machine.cmdline") -> int:
    """Return the bytes that ``crashkernel=`` sets aside on a machine with ``boot`` bytes; 0 without it.

    Args:
        path: where the command line was given, for errors.

    Models: kernel/crash_reserve.c:parse_crashkernel() (kernel/crash_core.c up to v6.8). Simplified: ``,low`` and
    ``,high`` are sizes like any other, and there is always room.
    Raises:
        InputError: the value is none of the kernel's forms.
    """
    value = parse_cmdline(cmdline).get("crashkernel", "")
    if not value:
        return 0
    try:
        return _by_range(value, boot) if ":" in value else _bytes(value.partition(",")[0])
    except ValueError as problem:
        expected = f"crashkernel=SIZE[@OFFSET] or crashkernel=START-END:SIZE,… ({problem})"
        raise InputError(expected, got=f"crashkernel={value}", path=path) from None


def _by_range(value: str, boot: int) -> int:
    for entry in value.split(","):
        bounds, _, size = entry.partition(":")
        low, _, high = bounds.partition("-")
        if parse_size(low) <= boot and (not high or boot < parse_size(high)):
            return _bytes(size)
    return 0


def _bytes(text: str) -> int:
    return parse_size(text.partition("@")[0])
