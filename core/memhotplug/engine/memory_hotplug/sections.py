"""Adding sections: what every kernel does between the range check and the block devices.

Models: mm/memory_hotplug.c:check_hotplug_memory_range(), __try_online_node(), __add_pages();
mm/sparse.c:sparse_add_section(), section_activate() (v5.3 to v6.12).
"""

from __future__ import annotations

import errno
from typing import Final

from memhotplug.contracts import Restrictions
from memhotplug.engine.kernel import Kernel
from memhotplug.engine.memory_hotplug.online import online_blocks
from memhotplug.errors import MemoryHotplugError
from memhotplug.model.altmap import Altmap
from memhotplug.model.blocks import OnlineType
from memhotplug.model.zones import Node
from memhotplug.units import format_size, round_down

__all__ = [
    "add_sections",
    "arch_add_memory",
    "auto_online",
    "check_hotplug_memory_range",
    "take_down_sections",
    "try_online_node",
]

_OFFLINE: Final = OnlineType.OFFLINE  # members of an enum take their time to be looked up


def check_hotplug_memory_range(kernel: Kernel, start: int, size: int) -> None:
    """Check that a range of ``size`` bytes consists of whole memory blocks.

    Raises:
        MemoryHotplugError: EINVAL, with the text that the kernel prints.
    """
    block_size = kernel.geometry.memory_block_size
    if size <= 0 or start % block_size or size % block_size:
        raise MemoryHotplugError(
            errno.EINVAL, f"Block size [{block_size:#x}] unaligned hotplug range: start {start:#x}, size {size:#x}"
        )


def try_online_node(kernel: Kernel, nid: int) -> bool:
    """Bring a node online; return whether it is new.

    Raises:
        MemoryHotplugError: EINVAL, the node is not possible.
    """
    if not 0 <= nid < kernel.geometry.max_nodes:
        raise MemoryHotplugError(errno.EINVAL, f"node {nid} is not possible on this machine")
    if nid in kernel.state.nodes:
        return False
    kernel.state.nodes = dict(sorted({**kernel.state.nodes, nid: Node(nid)}.items()))
    kernel.log("node_online", node=nid)
    return True


def arch_add_memory(kernel: Kernel, start_pfn: int, nr_pages: int, nid: int, restrictions: Restrictions) -> None:
    """Have the architecture add a range, and check that it did.

    Raises:
        MemoryHotplugError: what the architecture raised.
        PluginError: the architecture said it was done and it was not.
    """
    others = kernel.state.sections.total - kernel.state.sections.covered(start_pfn, start_pfn + nr_pages)
    kernel.plugins.call(
        kernel.plugins.arch, "arch_add_memory",
        kernel=kernel, start_pfn=start_pfn, nr_pages=nr_pages, nid=nid, restrictions=restrictions,
    )  # fmt: skip
    if not kernel.state.sections.contains(start_pfn, start_pfn + nr_pages):
        raise kernel.plugins.blame(kernel.plugins.arch, "arch_add_memory did not add all sections of the range")
    if kernel.state.sections.total != others + nr_pages:
        raise kernel.plugins.blame(kernel.plugins.arch, "arch_add_memory added sections outside of the range")


def add_sections(
    kernel: Kernel, start_pfn: int, nr_pages: int, nid: int, altmap: Altmap | None
) -> tuple[int, MemoryHotplugError | None]:
    """Give a range its sections and their memmap, ascending; what was done stays if a section fails.

    Returns:
        The end of the sections that were added, and the error that stopped there, None if all are.

    Raises:
        MemoryHotplugError: EINVAL, not aligned to a subsection; nothing was done.
    """
    subsection = kernel.geometry.pages_per_subsection
    if start_pfn % subsection or nr_pages % subsection:
        raise MemoryHotplugError(errno.EINVAL, f"pfn range {start_pfn:#x}+{nr_pages:#x} is not aligned to a subsection")
    end_pfn = start_pfn + nr_pages
    present = kernel.state.sections.first_from(start_pfn)
    reach = end_pfn if present is None else min(present, end_pfn)
    added, problem = _populate(kernel, start_pfn, reach, nid, altmap)
    kernel.state.sections.add(start_pfn, added)
    if problem is None and reach < end_pfn:
        problem = MemoryHotplugError(errno.EEXIST, f"the section at pfn {reach:#x} is there already")
    if problem is not None and added > start_pfn:
        problem.leaks = (*problem.leaks, _leak(kernel, start_pfn, added))
    return added, problem


def take_down_sections(kernel: Kernel, start_pfn: int, nr_pages: int, problem: MemoryHotplugError) -> None:
    """Remove a range that was added a moment ago because its block devices cannot be created.

    What the architecture leaves behind goes into the error's ``leaks``: arm64 frees no memmap before v5.7.

    Models: mm/memory_hotplug.c:add_memory_resource() (v5.3), where create_memory_block_devices() fails.
    """
    kernel.arch_remove_memory(start_pfn, nr_pages)
    stuck = kernel.state.vmemmap.mapped.covered(start_pfn, start_pfn + nr_pages)
    if stuck and not kernel.state.sections.covered(start_pfn, start_pfn + nr_pages):
        memmap = kernel.geometry.memmap_pages(stuck) * kernel.geometry.page_size
        problem.leaks = (*problem.leaks, f"{format_size(memmap)} of memmap of sections that are gone")


def _populate(
    kernel: Kernel, start_pfn: int, end_pfn: int, nid: int, altmap: Altmap | None
) -> tuple[int, MemoryHotplugError | None]:
    """Back the memmap of sections; return the end of those that are complete, and what went wrong.

    The section that failed gives back what it had got, as section_deactivate() does.
    """
    if end_pfn <= start_pfn:
        return start_pfn, None
    try:
        kernel.tables.ensure_section_roots(start_pfn, end_pfn - start_pfn, nid)
        kernel.vmemmap_populate(start_pfn, end_pfn - start_pfn, nid, altmap)
    except MemoryHotplugError as problem:
        missing = kernel.memmap.first_unmapped(start_pfn, end_pfn - start_pfn)
        if missing is None:
            raise
        section = kernel.geometry.pages_per_section
        done = round_down(missing, section)
        kernel.vmemmap_free(done, section)
        stuck = kernel.state.vmemmap.mapped.covered(done, done + section)
        if stuck:
            memmap = kernel.geometry.memmap_pages(stuck) * kernel.geometry.page_size
            problem.leaks = (*problem.leaks, f"{format_size(memmap)} of memmap of the section that failed")
        return done, problem
    return end_pfn, None


def _leak(kernel: Kernel, start_pfn: int, added: int) -> str:
    """Describe what a failed add leaves behind: __add_pages() undoes nothing."""
    geometry = kernel.geometry
    sections = (added - start_pfn) // geometry.pages_per_section
    memmap = geometry.memmap_pages(added - start_pfn) * geometry.page_size
    kernel.log("leaked", sections=sections, start_pfn=start_pfn, memmap_bytes=memmap)
    return f"{sections} sections from pfn {start_pfn:#x} on with {format_size(memmap)} of memmap"


def auto_online(kernel: Kernel, first: int, count: int) -> None:
    """Online new blocks if the policy says so; the walk stops at the first that fails, which is no error.

    Models: mm/memory_hotplug.c:add_memory_resource(), walk_memory_blocks(online_memory_block) (v5.8 to v6.12).
    """
    if kernel.state.auto_online is _OFFLINE:
        return
    try:
        online_blocks(kernel, list(range(first, first + count)), kernel.state.auto_online)
    except MemoryHotplugError as problem:
        kernel.warn(f"auto-onlining stopped: {problem}")
