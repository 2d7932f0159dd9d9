"""Memory groups of the drivers whose devices come and go as a whole."""

from __future__ import annotations

from collections.abc import Sequence

from memhotplug.plugin import AddRequest, Kernel, PhysRange

__all__ = ["GROUPS", "register_static_group"]

GROUPS = (5, 15)
"""The first release in which drivers register memory groups."""


def register_static_group(kernel: Kernel, request: AddRequest, ranges: Sequence[PhysRange]) -> None:
    """Make the device one static memory group, where it knows its node and the kernel has groups.

    Models: drivers/base/memory.c:memory_group_register_static() (v5.15).
    """
    if kernel.version < GROUPS:
        return
    nid = ranges[0].nid
    if nid is not None:
        pages = sum(kernel.geometry.pfn(phys_range.size) for phys_range in ranges)
        kernel.register_group(request, nid, max_pages=pages)
