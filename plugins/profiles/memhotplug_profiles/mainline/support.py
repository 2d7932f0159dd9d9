"""May a range host its own memmap? The checks in the kernel's order, with the rule that decided.

Models: mm/memory_hotplug.c:mhp_supports_memmap_on_memory() (v5.13 to v6.12).
"""

from __future__ import annotations

from memhotplug.plugin import Kernel, format_size, round_up
from memhotplug_profiles.mainline.params import Mode, state_of

__all__ = ["refusal", "reserved_pages"]


def reserved_pages(kernel: Kernel) -> int:
    """Return the pages that a self-hosting block sets aside for its memmap.

    Models: memory_block_memmap_on_memory_pages(): with ``force`` rounded up to whole pageblocks.
    """
    pages = kernel.geometry.memmap_pages(kernel.geometry.pages_per_block)
    if state_of(kernel).mode is Mode.FORCE:
        pages = round_up(pages, kernel.geometry.pageblock_pages)
    return pages


def refusal(kernel: Kernel, size: int | None = None) -> str | None:
    """Return the first rule that forbids self-hosting, None if nothing does.

    Args:
        size: bytes of the range; None asks about one memory block.
    """
    geometry = kernel.geometry
    memmap_bytes = geometry.pages_per_block * geometry.struct_page_size
    reserved = reserved_pages(kernel)
    if not kernel.sparsemem_vmemmap:
        return "CONFIG_SPARSEMEM_VMEMMAP is not set"
    if state_of(kernel).mode is Mode.OFF:
        return "memory_hotplug.memmap_on_memory is off"
    if not kernel.has("one_altmap_a_block") and size not in (None, geometry.memory_block_size):
        return f"the range is not exactly one memory block of {format_size(geometry.memory_block_size)}"
    if not kernel.has("self_hosting_falls_back") and not _arch_supports(kernel, memmap_bytes):
        return _arch_refusal(memmap_bytes)
    if memmap_bytes % geometry.page_size:
        return "the memmap of a block does not fill whole pages"
    if reserved % geometry.pageblock_pages:
        return f"{reserved} pages of memmap are not a multiple of a pageblock of {geometry.pageblock_pages} pages"
    if reserved == geometry.pages_per_block:
        return "the memmap would take the whole block"
    return None if _arch_supports(kernel, memmap_bytes) else _arch_refusal(memmap_bytes)


def _arch_supports(kernel: Kernel, memmap_bytes: int) -> bool:
    """Ask the architecture, which comes last since v6.6; before, its PMD size was the second rule."""
    plugins = kernel.plugins
    answer: bool = plugins.ask(
        plugins.arch, "supports_memmap_on_memory", bool, kernel=kernel, memmap_bytes=memmap_bytes
    )
    return answer


def _arch_refusal(memmap_bytes: int) -> str:
    return f"the architecture refuses {format_size(memmap_bytes)} of memmap a block"
