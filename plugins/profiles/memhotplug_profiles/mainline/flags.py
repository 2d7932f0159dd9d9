"""MHP flags of mainline. Models: include/linux/memory_hotplug.h:mhp_t (v5.13 to v6.19)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

__all__ = ["MEMMAP_ON_MEMORY", "MERGE_RESOURCE", "NID_IS_MGID", "SHORT_FLAGS", "flags_of"]

MERGE_RESOURCE = 1 << 0
MEMMAP_ON_MEMORY = 1 << 1
NID_IS_MGID = 1 << 2
_OFFLINE_INACCESSIBLE = 1 << 3

SHORT_FLAGS = {"none": "MHP_NONE", "on_memory": "MHP_MEMMAP_ON_MEMORY"}


def flags_of(has: Callable[[str], bool]) -> Mapping[str, int]:
    """Return the bit of each flag that a kernel with some features has, by its kernel name."""
    flags = {"MHP_MERGE_RESOURCE": MERGE_RESOURCE, "MHP_MEMMAP_ON_MEMORY": MEMMAP_ON_MEMORY}
    if has("memory_groups"):
        flags["MHP_NID_IS_MGID"] = NID_IS_MGID
    if has("prepare_online"):
        flags["MHP_OFFLINE_INACCESSIBLE"] = _OFFLINE_INACCESSIBLE
    return flags
