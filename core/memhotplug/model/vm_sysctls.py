"""What user space asks of watermarks, reserves and huge pages."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

__all__ = ["HugePages", "VmSysctls"]


class HugePages(Enum):
    """Who gets transparent huge pages; the words of /sys/kernel/mm/transparent_hugepage/enabled."""

    ALWAYS = "always"
    MADVISE = "madvise"
    NEVER = "never"


class VmSysctls(NamedTuple):
    """What the files below /proc/sys/vm ask of watermarks and reserves.

    Models: mm/page_alloc.c:user_min_free_kbytes, watermark_scale_factor, sysctl_lowmem_reserve_ratio (v5.2 to v7.2).

    Attributes:
        user_min_free_kbytes: what somebody wrote to min_free_kbytes, -1 while nobody has.
        watermark_scale_factor: how far min, low and high are apart at least, in 10000ths of what a zone manages.
        lowmem_reserve_ratio: by type of zone, what share of the zones above it a zone keeps from their requests: one in
            so many pages, none if it is 0.
    """

    user_min_free_kbytes: int = -1
    watermark_scale_factor: int = 10
    lowmem_reserve_ratio: tuple[int, ...] = (256, 256, 32, 0)
