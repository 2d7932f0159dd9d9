"""The sizes of a machine and what follows from them."""

from __future__ import annotations

from typing import Any

import pytest

from memhotplug.model.geometry import Geometry

X86: dict[str, Any] = {
    "page_size": 4096,
    "section_size": 128 << 20,
    "memory_block_size": 1 << 30,
    "pageblock_order": 9,
    "max_order": 10,
    "pmd_size": 2 << 20,
    "physical_address_bits": 52,
}


def test_derived_sizes_of_x86_64() -> None:
    """4 KiB pages, 128 MiB sections, 1 GiB blocks, 64-byte struct pages."""
    geometry = Geometry(**X86)

    assert geometry.page_shift == 12
    assert geometry.pages_per_section == 32768
    assert geometry.pages_per_block == 262144
    assert geometry.sections_per_block == 8
    assert geometry.pageblock_pages == 512
    assert geometry.pages_per_subsection == 512
    assert geometry.described_per_page == 64
    assert geometry.end_pfn == 1 << 40
    assert geometry.memmap_pages(32768) == 512
    assert geometry.memmap_pages(1) == 1
    assert (geometry.pfn(0x1_0000_0FFF), geometry.address(0x100000)) == (0x100000, 0x1_0000_0000)


def test_memmap_of_a_small_section_takes_part_of_a_page() -> None:
    """64 KiB pages, 16 MiB sections: 256 struct pages fill a quarter of one page, rounded up."""
    geometry = Geometry(
        **{**X86, "page_size": 64 << 10, "section_size": 16 << 20, "max_order": 8, "pageblock_order": 8}
    )

    assert geometry.memmap_pages(geometry.pages_per_section) == 1
    assert geometry.pages_per_subsection == 32


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"page_size": 5000}, "page_size must be a power of two, not 5000"),
        ({"memory_block_size": 3 << 30}, "memory_block_size must be a power of two, not 3221225472"),
        ({"memory_block_size": 64 << 20}, "memory_block_size 67108864 is less than a section, 134217728"),
        ({"max_order": 16}, "max_order 16 exceeds a section of 134217728 bytes"),
        ({"pageblock_order": 11}, "pageblock_order 11 is not from 0 to max_order, 10"),
        ({"struct_page_size": 8192}, "a struct page of 8192 bytes is larger than a page"),
        ({"pmd_size": 2048}, "pmd_size 2048 is less than a page, 4096"),
        ({"physical_address_bits": 27}, "27 address bits hold no memory block"),
        ({"hotplug_base": -1}, "hotplug_base -1 is negative"),
        ({"pmd_size": 0}, "pmd_size must be a power of two, not 0"),
    ],
)
def test_impossible_sizes_are_refused(changes: dict[str, int], message: str) -> None:
    """As the kernel would panic at boot or fail to build."""
    with pytest.raises(ValueError, match=r".*") as caught:
        Geometry(**{**X86, **changes})

    assert str(caught.value) == message


@pytest.mark.parametrize(
    "changes",
    [
        {"memory_block_size": 128 << 20},
        {"max_order": 15},
        {"pageblock_order": 0},
        {"pageblock_order": 10},
        {"struct_page_size": 4096},
        {"pmd_size": 4096},
        {"physical_address_bits": 31},
        {"hotplug_base": 0},
    ],
)
def test_the_last_possible_size_is_possible(changes: dict[str, int]) -> None:
    """Each bound itself is on the right side: a block of one section, a pageblock of one page …"""
    made = Geometry(**{**X86, **changes})
    for name, value in changes.items():
        assert getattr(made, name) == value


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"physical_address_bits": 30}, "30 address bits hold no memory block"),
        ({"pageblock_order": -1}, "pageblock_order -1 is not from 0 to max_order, 10"),
        ({"section_size": 0}, "section_size must be a power of two, not 0"),
        ({"struct_page_size": 56}, "struct_page_size must be a power of two, not 56"),
    ],
)
def test_the_first_impossible_size_is_refused(changes: dict[str, int], message: str) -> None:
    """A machine whose only block would be all that it can address has no room for boot memory."""
    with pytest.raises(ValueError, match=f"^{message}$"):
        Geometry(**{**X86, **changes})


@pytest.mark.parametrize(("pages", "memmap"), [(0, 0), (1, 1), (64, 1), (65, 2), (128, 2), (32768, 512)])
def test_memmap_is_rounded_up_to_pages(pages: int, memmap: int) -> None:
    """A page describes 64."""
    assert Geometry(**X86).memmap_pages(pages) == memmap
