"""What the notifier chain is told, and the flags of a struct page."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass

__all__ = ["MemoryEvent", "MemoryNotify", "PageFlag"]


class MemoryEvent(IntFlag):
    """What the memory notifier chain is told, with the kernel's numbers (include/linux/memory.h)."""

    MEM_ONLINE = 1
    MEM_GOING_OFFLINE = 2
    MEM_OFFLINE = 4
    MEM_GOING_ONLINE = 8
    MEM_CANCEL_ONLINE = 16
    MEM_CANCEL_OFFLINE = 32
    MEM_PREPARE_ONLINE = 64
    MEM_FINISH_OFFLINE = 128


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryNotify:
    """One call of the memory notifier chain, for one or more whole neighbouring blocks.

    Models: include/linux/memory.h:struct memory_notify.

    Attributes:
        event: what happens.
        start_pfn, nr_pages: the blocks, whole; the kernel leaves out the memmap at a block's start.
        altmap_pages: how many of these pages are at the start of a block and hold its memmap.
    """

    event: MemoryEvent
    start_pfn: int
    nr_pages: int
    altmap_pages: int = 0


class PageFlag(IntFlag):
    """What a struct page says of itself, with the bits of /proc/kpageflags.

    Models: include/uapi/linux/kernel-page-flags.h, fs/proc/page.c:stable_page_flags().
    """

    LRU = 1 << 5
    SLAB = 1 << 7
    BUDDY = 1 << 10
    MMAP = 1 << 11
    ANON = 1 << 12
    COMPOUND_HEAD = 1 << 15
    COMPOUND_TAIL = 1 << 16
    HUGE = 1 << 17
    HWPOISON = 1 << 19
    NOPAGE = 1 << 20
    THP = 1 << 22
    OFFLINE = 1 << 23
    PGTABLE = 1 << 26
    RESERVED = 1 << 32
    OWNER_PRIVATE = 1 << 37
    VMEMMAP = 1 << 40
    """Not in /proc/kpageflags: the page has the series' VMEMMAP_PAGE mapping."""
