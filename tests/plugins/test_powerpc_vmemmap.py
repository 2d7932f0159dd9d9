"""powerpc: vmemmap mappings that describe many sections, and what that does to the 2019 flags.

hash, 64K pages: one 16 MiB page (256 pages, order 8) of memmap describes 16 GiB

0                            16G                           32G
|--- boot 4G ---|............|--- dimm ---|................|
|<----- window of boot ----->|<------- fresh window ------>|
"""

import errno
from collections.abc import Callable

import pytest

from memhotplug import Machine, MemoryHotplugError
from memhotplug.plugin import Altmap
from memhotplug.testing import free_pages, heads, memmap_pages, populate, shatter

_MIB, _GIB = 1 << 20, 1 << 30
_FRESH = 0x40000  # pfn of 16 GiB at 64K pages


@pytest.fixture
def hashed() -> Machine:
    """The 2019 kernel with hash MMU, 64K pages, 256 MiB blocks and 4 GiB."""
    return Machine.boot(
        arch="powerpc", kernel="v2-2019", memory="4G", memory_block_size="256M", cmdline="disable_radix"
    )


@pytest.fixture
def radix() -> Machine:
    """The 2019 kernel with radix MMU, 64K pages, 256 MiB blocks and 4 GiB."""
    return Machine.boot(arch="powerpc", kernel="v2-2019", memory="4G", memory_block_size="256M")


def test_plain_add_fails_for_order_8_while_plenty_is_free(hashed: Machine) -> None:
    """In a fresh window one 16 MiB page is needed; about 2 GiB free in smaller chunks do not help."""
    shatter(hashed, 7)
    before = free_pages(hashed)
    assert before > 30_000
    with pytest.raises(MemoryHotplugError) as caught:
        hashed.add_memory(driver="dax", size="256M", address="16G", mhp_flags="none")
    assert caught.value.errno == errno.ENOMEM
    assert caught.value.reason == "no 16M page (order 8) for the memmap of pfn 0x40000"
    assert free_pages(hashed) == before
    assert hashed.violations() == []


@pytest.mark.parametrize("flag", ["device", "memblock"])
def test_self_hosted_add_needs_no_order_8_page(hashed: Machine, flag: str) -> None:
    """The whole 16 MiB page comes from the new memory."""
    shatter(hashed, 7)
    hashed.add_memory(driver="dax", size="256M", address="16G", mhp_flags=flag)
    assert heads(hashed) == [(_FRESH, 16, 256)]


def test_add_in_a_mapped_window_takes_nothing(hashed: Machine) -> None:
    """Boot memory's own 16 MiB page describes 16 GiB, so an add there cannot fail for order 8."""
    shatter(hashed, 7)
    for flag in ("none", "device", "memblock"):
        hashed.add_memory(driver="dax", size="512M", mhp_flags=flag)
    assert memmap_pages(hashed) == (0, 0)
    assert heads(hashed) == []


def test_4k_hash_page_describes_1_gib() -> None:
    """At 4K pages a 16 MiB page is order 12 and 4 GiB take four of them."""
    machine = Machine.boot(
        arch="powerpc",
        kernel="v2-2019",
        memory="4G",
        page_size="4K",
        memory_block_size="256M",
        cmdline="disable_radix",
    )
    machine.add_memory(driver="dax", size="512M", mhp_flags="none")
    assert memmap_pages(machine) == (0, 4096)
    machine.add_memory(driver="dax", size="512M", mhp_flags="none")
    assert memmap_pages(machine) == (0, 4096)
    machine.add_memory(driver="dax", size="256M", mhp_flags="memblock")
    assert heads(machine) == [(5 * _GIB >> 12, 16, 4096)]


def test_small_machine_uses_base_pages() -> None:
    """Below 1 GiB of boot memory a 64K page describes four sections."""
    machine = Machine.boot(
        arch="powerpc", kernel="v2-2019", memory="512M", memory_block_size="16M", cmdline="disable_radix"
    )
    for pages in (1, 1, 1, 1, 2):
        machine.add_memory(driver="dax", size="16M", mhp_flags="none")
        assert memmap_pages(machine) == (0, pages)


def test_memblock_hosts_in_the_first_block_of_the_window_only(hashed: Machine) -> None:
    """Four blocks, one mapping: only the first block has vmemmap pages."""
    hashed.add_memory(driver="dax", size="1G", address="16G", mhp_flags="memblock")
    blocks = hashed.kernel.state.vmemmap_pages_by_block().tolist()
    assert blocks[-4:] == [256, 0, 0, 0]
    assert heads(hashed) == [(_FRESH, 16, 256)]


def test_removing_the_hosting_block_breaks_the_others(hashed: Machine) -> None:
    """MEMBLOCK is no protection here: the memmap of three blocks lies in removed memory (I11)."""
    hashed.add_memory(driver="dax", size="1G", address="16G", mhp_flags="memblock")
    hashed.remove("block 64")
    assert hashed.violations() == ["I11: the memmap of blocks 65-67 lies in removed memory (256 pages)"]
    hashed.remove("block 65-67")
    assert hashed.violations() == []
    assert memmap_pages(hashed) == (0, 0)


def test_other_blocks_may_go_before_the_hosting_one(hashed: Machine) -> None:
    """In this order nothing breaks, and the mapping goes with its last user."""
    hashed.add_memory(driver="dax", size="1G", address="16G", mhp_flags="memblock")
    hashed.remove("block 65-67")
    assert hashed.violations() == []
    assert memmap_pages(hashed) == (256, 0)
    hashed.remove("block 64")
    assert hashed.violations() == []
    assert memmap_pages(hashed) == (0, 0)


def test_second_dimm_lives_on_the_first(hashed: Machine) -> None:
    """Two DIMMs in a window under DEVICE: the second hosts nothing, and loses its memmap with the first."""
    first = hashed.add_memory(driver="dax", size="512M", address="16G", mhp_flags="device")
    hashed.add_memory(driver="dax", size="512M", mhp_flags="device")
    assert heads(hashed) == [(_FRESH, 32, 256)]
    hashed.remove(first)
    assert hashed.violations() == ["I11: the memmap of blocks 66-67 lies in removed memory (256 pages)"]


def test_allocated_mapping_goes_with_its_last_user(hashed: Machine) -> None:
    """Plain adds share the 16 MiB page of the first, which stays until both are gone."""
    before = free_pages(hashed)
    first = hashed.add_memory(driver="dax", size="512M", address="16G", mhp_flags="none")
    second = hashed.add_memory(driver="dax", size="512M", mhp_flags="none")
    hashed.remove(first)
    assert memmap_pages(hashed) == (0, 256)
    hashed.remove(second)
    assert memmap_pages(hashed) == (0, 0)
    assert free_pages(hashed) == before


def test_radix_leaf_describes_2_gib_in_2019(radix: Machine) -> None:
    """A 2 MiB page is 32 pages of 64K, and eight blocks of 256 MiB share it."""
    for _ in range(8):
        radix.add_memory(driver="dax", size="256M", mhp_flags="none")
        assert memmap_pages(radix) == (0, 32)
    radix.add_memory(driver="dax", size="256M", mhp_flags="none")
    assert memmap_pages(radix) == (0, 64)


def test_radix_device_add_in_2019(radix: Machine) -> None:
    """4 GiB take two leaves at the start of the range; the head serves 256 sections."""
    radix.add_memory(driver="dax", size="4G", mhp_flags="device")
    assert heads(radix) == [(4 * _GIB >> 16, 256, 64)]


def test_exhausted_altmap_is_enomem_in_2019(radix: Machine) -> None:
    """The page allocator stands behind an altmap only since v5.4."""
    with pytest.raises(MemoryHotplugError) as caught:
        populate(radix, 4 * _GIB, 256 * _MIB, Altmap(4 * _GIB >> 16, 16))
    assert caught.value.reason == "no 2M page (order 5) for the memmap of pfn 0x10000"


def test_freeing_one_mapping_clears_the_marks_of_those_behind_it(radix: Machine) -> None:
    """vmemmap_free() clears from the mapping's first page on until a page that is not vmemmap.

    ::

        pages  0      32      64      96     three leaves of 2 GiB each; blocks 24-31 are
               [kept ][freed ][cleared]      described by the second one
    """
    radix.add_memory(driver="dax", size="6G", mhp_flags="device")
    base = 4 * _GIB >> 16

    radix.remove("block 24-31")

    assert [radix.page(base + page).head for page in (0, 31, 32, 63, 64, 95)] == [base, base, None, None, None, None]
    assert radix.violations() == [
        "head pfn 0x10000: 64 of its 96 vmemmap pages lost their marks when sections that they described were removed "
        "by themselves"
    ]


def test_backward_freeing_keeps_the_mappings_of_sections_in_between(radix: Machine) -> None:
    """vmemmap_populated() is asked about each mapping, so what a deferral runs over keeps its memmap here.

    ::

        block    16 ... 23 | 24 ... 31 | 32 ...    Expect the leaf of 24-31 to stay: nothing of it was
        removed   1           (kept)      2        removed, though the freeing passes it.
    """
    radix.add_memory(driver="dax", name="dimm0", size="4G", mhp_flags="device")
    radix.add_memory(driver="dax", name="dimm1", size="4G", mhp_flags="none")

    radix.remove("block 16-23")
    radix.remove("block 32-39")

    per_block = radix.kernel.geometry.pages_per_block
    assert radix.kernel.memmap.first_unmapped(24 * per_block, 8 * per_block) is None
    assert radix.kernel.memmap.first_unmapped(16 * per_block, per_block) == 16 * per_block
    assert radix.kernel.memmap.first_unmapped(32 * per_block, per_block) == 32 * per_block


def test_radix_needs_an_order_5_page_in_2019(radix: Machine) -> None:
    """There is no fallback either, but the page is small."""
    shatter(radix, 4)
    with pytest.raises(MemoryHotplugError) as caught:
        populate(radix, 4 * _GIB, 256 * _MIB)
    assert caught.value.reason == "no 2M page (order 5) for the memmap of pfn 0x10000"


def test_4k_radix_leaf_describes_128_mib() -> None:
    """512 pages describe eight sections, so 16 MiB blocks share a leaf by eights."""
    machine = Machine.boot(arch="powerpc", kernel="v2-2019", memory="4G", page_size="4K", memory_block_size="16M")
    machine.add_memory(driver="dax", size="128M", mhp_flags="none")
    assert memmap_pages(machine) == (0, 512)
    machine.add_memory(driver="dax", size="16M", mhp_flags="none")
    assert memmap_pages(machine) == (0, 1024)


# ---- radix since v6.6, 64K pages ----


@pytest.fixture
def modern(boot_at: Callable[..., Machine]) -> Machine:
    """Linux 6.12's architecture, radix, 64K pages, 256 MiB blocks and 4 GiB."""
    return boot_at((6, 12), arch="powerpc", memory="4G", memory_block_size="256M")


def altmap(address: int, size: int, pages: int) -> Altmap:
    """Return a block's altmap with ``pages`` pages."""
    return Altmap(address >> 16, pages, window_pages=size >> 16)


def test_small_block_takes_base_pages_of_its_altmap(modern: Machine) -> None:
    """A leaf would describe more than the block: four 64K pages hold the memmap of 256 MiB."""
    own = altmap(4 * _GIB, 256 * _MIB, 32)
    assert populate(modern, 4 * _GIB, 256 * _MIB, own) == [(4096, 1, "altmap")]
    assert own.total_alloc == 4


def test_2_gib_block_takes_a_leaf_of_its_altmap(modern: Machine) -> None:
    """Here the leaf fits: 32 pages at once, the first section's doing."""
    own = altmap(4 * _GIB, 2 * _GIB, 32)
    assert populate(modern, 4 * _GIB, 2 * _GIB, own) == [(32768, 32, "altmap")]
    assert own.total_alloc == 32


def test_plain_add_at_a_leaf_border_takes_the_whole_leaf(modern: Machine) -> None:
    """The first block of 2 GiB pays for all eight; the others find the leaf."""
    assert populate(modern, 4 * _GIB, 256 * _MIB) == [(32768, 32, "allocator")]
    assert populate(modern, 4 * _GIB + 256 * _MIB, 256 * _MIB) == []


def test_plain_add_elsewhere_takes_base_pages(modern: Machine) -> None:
    """A block that is not the first of its 2 GiB takes base pages, and the window stays with them."""
    assert populate(modern, 4 * _GIB + 256 * _MIB, 256 * _MIB) == [(4096, 1, "allocator")]
    assert populate(modern, 4 * _GIB, 256 * _MIB) == [(4096, 1, "allocator")]


def test_base_pages_replace_a_leaf_that_cannot_be_had(modern: Machine) -> None:
    """The own populate function of radix has a fallback, unlike the shared one before."""
    shatter(modern, 4)
    assert populate(modern, 4 * _GIB, 256 * _MIB) == [(4096, 1, "allocator")]


def test_exhausted_altmap_goes_on_with_system_memory(modern: Machine) -> None:
    """Sources may mix: three pages of the altmap, one of the allocator."""
    own = altmap(4 * _GIB, 256 * _MIB, 3)
    assert populate(modern, 4 * _GIB, 256 * _MIB, own) == [(3072, 1, "altmap"), (1024, 1, "allocator")]


def test_shared_leaf_is_freed_with_its_last_section(modern: Machine) -> None:
    """The leaf stays while one of the sections that it describes is there."""
    first = modern.add_memory(driver="dax", size="256M", mhp_flags="none")
    second = modern.add_memory(driver="dax", size="256M", mhp_flags="none")
    modern.remove(first)
    assert memmap_pages(modern) == (0, 32)
    modern.remove(second)
    assert memmap_pages(modern) == (0, 0)


def test_hash_altmap_ends_at_its_borders_since_5_4(boot_at: Callable[..., Machine]) -> None:
    """A 16 MiB page that describes memory outside of the altmap comes from system memory."""
    for version, source in (((5, 3), "altmap"), ((5, 4), "allocator")):
        machine = boot_at(version, arch="powerpc", memory="4G", memory_block_size="256M", cmdline="disable_radix")
        own = altmap(16 * _GIB, 256 * _MIB, 4096)
        assert populate(machine, 16 * _GIB, 256 * _MIB, own) == [(262144, 256, source)]
