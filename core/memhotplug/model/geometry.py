"""The fixed sizes of a machine, in one record, with the conversions that follow from them."""

from __future__ import annotations

from dataclasses import dataclass, field

from memhotplug.units import div_round_up, is_power_of_two

__all__ = ["SUBSECTION_SIZE", "Geometry"]

SUBSECTION_SIZE = 2 << 20
"""Bytes in a subsection, on every architecture. Models: include/linux/mmzone.h:SUBSECTION_SHIFT."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Geometry:
    """The sizes that an architecture fixes at boot.

    Attributes:
        page_size: bytes in a base page.
        section_size: bytes in a SPARSEMEM section.
        memory_block_size: bytes in a memory block, the unit of online and offline.
        struct_page_size: bytes in a ``struct page``.
        pageblock_order: order of the unit in which the allocator keeps a migrate type.
        max_order: the highest buddy order, inclusive (the kernel's MAX_PAGE_ORDER).
        pmd_size: bytes that one PMD-level leaf maps.
        physical_address_bits: no memory can lie at or beyond 2 to this power.
        hotplug_base: lowest address that the machine ever hot-adds memory at.
        hotplug_limit: no memory is hot-added that ends beyond this address, None if only the address bits limit it.
        max_nodes: node ids are below this.
        increment_size: bytes in a storage increment (s390), by which ``phys_device`` counts; 0 without.
        page_shift: bits in the offset within a page.
        pages_per_section, pages_per_subsection, pages_per_block: pages in each of them.
        pageblock_pages: pages in a pageblock.
        described_per_page: pages whose struct pages fill one page of memmap.
    """

    page_size: int
    section_size: int
    memory_block_size: int
    struct_page_size: int = 64
    pageblock_order: int
    max_order: int
    pmd_size: int
    physical_address_bits: int
    hotplug_base: int = 0
    hotplug_limit: int | None = None
    max_nodes: int = 1024
    increment_size: int = 0
    # What follows from these is worked out once: every operation asks for it many times.
    page_shift: int = field(init=False, repr=False, compare=False)
    pages_per_section: int = field(init=False, repr=False, compare=False)
    pages_per_subsection: int = field(init=False, repr=False, compare=False)
    pages_per_block: int = field(init=False, repr=False, compare=False)
    pageblock_pages: int = field(init=False, repr=False, compare=False)
    described_per_page: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self._check()
        derived = {
            "page_shift": self.page_size.bit_length() - 1,
            "pages_per_section": self.section_size // self.page_size,
            "pages_per_subsection": SUBSECTION_SIZE // self.page_size,
            "pages_per_block": self.memory_block_size // self.page_size,
            "pageblock_pages": 1 << self.pageblock_order,
            "described_per_page": self.page_size // self.struct_page_size,
        }
        for name, value in derived.items():
            object.__setattr__(self, name, value)

    def _check(self) -> None:
        for name in ("page_size", "section_size", "memory_block_size", "struct_page_size", "pmd_size"):
            if not is_power_of_two(getattr(self, name)):
                raise ValueError(f"{name} must be a power of two, not {getattr(self, name)}")
        if self.memory_block_size < self.section_size:
            # Models: drivers/base/memory.c:memory_dev_init(), which panics.
            raise ValueError(f"memory_block_size {self.memory_block_size} is less than a section, {self.section_size}")
        if self.page_size << self.max_order > self.section_size:
            raise ValueError(f"max_order {self.max_order} exceeds a section of {self.section_size} bytes")
        if not 0 <= self.pageblock_order <= self.max_order:
            raise ValueError(f"pageblock_order {self.pageblock_order} is not from 0 to max_order, {self.max_order}")
        if self.struct_page_size > self.page_size:
            raise ValueError(f"a struct page of {self.struct_page_size} bytes is larger than a page")
        if self.pmd_size < self.page_size:
            raise ValueError(f"pmd_size {self.pmd_size} is less than a page, {self.page_size}")
        if self.memory_block_size >= 1 << self.physical_address_bits:
            raise ValueError(f"{self.physical_address_bits} address bits hold no memory block")
        if self.hotplug_base < 0:
            raise ValueError(f"hotplug_base {self.hotplug_base} is negative")

    @property
    def sections_per_block(self) -> int:
        """Sections in a memory block."""
        return self.memory_block_size // self.section_size

    @property
    def end_pfn(self) -> int:
        """First pfn beyond what the machine can address."""
        return 1 << (self.physical_address_bits - self.page_shift)

    def memmap_pages(self, nr_pages: int) -> int:
        """Return the pages of memmap that describe ``nr_pages`` pages, rounded up."""
        return div_round_up(nr_pages * self.struct_page_size, self.page_size)

    def pfn(self, address: int) -> int:
        """Return the page frame number of a physical address in bytes."""
        return address >> self.page_shift

    def address(self, pfn: int) -> int:
        """Return the physical address in bytes of a pfn."""
        return pfn << self.page_shift
