"""Which files of a machine a snapshot is made of, and what their links mean."""

from __future__ import annotations

import re

__all__ = ["MAX_PFN", "MEMORY", "NODE", "PARAMETERS", "SYSCTLS", "SYSCTL_LIST", "THP", "VM", "block_node", "is_wanted"]

MEMORY = "sys/devices/system/memory"
NODE = "sys/devices/system/node"
PARAMETERS = "sys/module/memory_hotplug/parameters"
VM = "proc/sys/vm"
SYSCTLS = ("min_free_kbytes", "watermark_scale_factor", "lowmem_reserve_ratio")
"""The files of ``VM`` that tell how much memory a kernel keeps free."""
THP = "sys/kernel/mm/transparent_hugepage"
SYSCTL_LIST = "sos_commands/kernel/sysctl_-a"
"""The same as ``sysctl -a`` prints them."""
MAX_PFN = 1 << 52
"""A pfn is less than this: addresses have 64 bits, pages 4K at least."""

_WANTED = re.compile(
    r"proc/(zoneinfo|buddyinfo|pagetypeinfo|iomem|meminfo|cmdline|version|vmstat|sys/kernel/(osrelease|arch))"
    rf"|{VM}/({'|'.join(SYSCTLS)})"
    r"|sys/devices/system/memory/(block_size_bytes|auto_online_blocks)"
    r"|sys/devices/system/memory/memory\d+/(state|valid_zones|removable|phys_index|phys_device|node)"
    r"|sys/devices/system/node/(online|possible|has_memory|has_normal_memory|has_cpu)"
    r"|sys/devices/system/node/node\d+/meminfo"
    rf"|{THP}/enabled"
    r"|sys/module/memory_hotplug/parameters/\w+"
    r"|sos_commands/(kernel|host)/uname_-a"
    r"|sos_commands/kernel/(dmesg|sysctl_-a)"
    r"|sos_commands/memory/lsmem[\w.,-]*"
)
_BLOCK_TO_NODE = re.compile(r"sys/devices/system/memory/(memory\d+)/node(\d+)(/.*)?")
_NODE_TO_BLOCK = re.compile(r"sys/devices/system/node/node(\d+)/(memory\d+)(/.*)?")


def is_wanted(name: str) -> bool:
    """Return whether the file at this real path (no leading slash) is read."""
    return _WANTED.fullmatch(name) is not None


def block_node(name: str) -> tuple[str, str] | None:
    """Return what a link between a memory block and its node says, as path and text of ``memoryN/node``.

    Models: drivers/base/node.c:register_mem_sect_under_node() (v5.2), which links in both directions.

    >>> block_node("sys/devices/system/node/node1/memory32")
    ('sys/devices/system/memory/memory32/node', '1')
    """
    match = _BLOCK_TO_NODE.fullmatch(name)
    if match:
        return f"{MEMORY}/{match[1]}/node", str(int(match[2]))
    match = _NODE_TO_BLOCK.fullmatch(name)
    if match:
        return f"{MEMORY}/{match[2]}/node", str(int(match[1]))
    return None
