"""arm64: sizes by page size and version, the flags' effect, and what is never freed."""

import errno
from collections.abc import Callable

import pytest

from memhotplug import InputError, Machine, MemoryHotplugError
from memhotplug.plugin import Altmap, SizingRequest, ZoneKind
from memhotplug.testing import free_pages, heads, memmap_pages, page_table_pages, populate, shatter
from memhotplug_arm64 import page_sizing, zone_limits

_ADDRESS = 0x1_4000_0000  # behind 4 GiB of boot memory


def machine_with(page_size: str, **keywords: object) -> Machine:
    """Boot the 2019 kernel with 4 GiB."""
    return Machine.boot(arch="arm64", kernel="v2-2019", memory="4G", page_size=page_size, **keywords)


@pytest.mark.parametrize(
    ("version", "page_kib", "section_mib", "max_order", "pageblock_order", "pmd_mib"),
    [
        ((5, 2), 4, 1024, 10, 9, 2),
        ((5, 2), 16, 1024, 11, 11, 32),
        ((5, 2), 64, 1024, 13, 13, 512),
        ((5, 11), 4, 1024, 10, 9, 2),
        ((5, 12), 4, 128, 10, 9, 2),
        ((6, 12), 16, 128, 11, 11, 32),
        ((6, 12), 64, 512, 13, 13, 512),
    ],
)
def test_sizes_follow_page_size_and_version(
    sizing: Callable[..., SizingRequest],
    version: tuple[int, int],
    page_kib: int,
    section_mib: int,
    max_order: int,
    pageblock_order: int,
    pmd_mib: int,
) -> None:
    """A block is one section: 1 GiB up to v5.11, then 128 MiB, or 512 MiB with 64K pages."""
    geometry = page_sizing(request=sizing(version, page_size=page_kib << 10))
    assert geometry.section_size == geometry.memory_block_size == section_mib << 20
    assert (geometry.max_order, geometry.pageblock_order) == (max_order, pageblock_order)
    assert geometry.pmd_size == pmd_mib << 20


def test_default_is_4k_pages_and_48_bits(sizing: Callable[..., SizingRequest]) -> None:
    """Nothing asked for means the most common configuration."""
    geometry = page_sizing(request=sizing())
    assert (geometry.page_size, geometry.physical_address_bits) == (4096, 48)


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ({"page_size": 8192}, "machine.page_size: got 8K, expected 4K, 16K or 64K, the page sizes of arm64"),
        (
            {"memory_block_size": 128 << 20},
            "machine.memory_block_size: got 128M, expected 1G: a memory block of arm64 is one section",
        ),
        ({"physical_address_bits": 53}, "machine.physical_address_bits: got 53, expected 36 to 52 address bits"),
    ],
)
def test_impossible_sizes_are_bad_input(sizing: Callable[..., SizingRequest], asked: dict[str, int], text: str) -> None:
    """What arm64 does not have is refused with what it has."""
    with pytest.raises(InputError) as caught:
        page_sizing(request=sizing(**asked))
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ((5, 2), [(ZoneKind.DMA32, 4)]),
        ((5, 5), [(ZoneKind.DMA, 2), (ZoneKind.DMA32, 4)]),
        ((5, 11), [(ZoneKind.DMA, 4), (ZoneKind.DMA32, 4)]),
        ((6, 12), [(ZoneKind.DMA, 4), (ZoneKind.DMA32, 4)]),
    ],
)
def test_low_zones_follow_the_version(
    sizing: Callable[..., SizingRequest], version: tuple[int, int], expected: list[tuple[ZoneKind, int]]
) -> None:
    """DMA came with v5.5, 1 GiB above the start of memory; since v5.11 it leaves DMA32 empty."""
    limits = zone_limits(geometry=page_sizing(request=sizing(version)))
    assert [(limit.kind, limit.end_pfn >> 18) for limit in limits[:-1]] == expected
    assert limits[-1].kind is ZoneKind.NORMAL


def test_zones_of_6_12_are_those_of_a_recorded_machine(boot_at: Callable[..., Machine]) -> None:
    """Boot memory of 2 GiB at 1 GiB lies in DMA alone, as on Debian's 6.12."""
    machine = boot_at((6, 12), arch="arm64", memory="2G")
    zones = [(zone.kind, zone.start_pfn, zone.present) for zone in machine.kernel.state.zones() if zone.present]
    assert zones == [(ZoneKind.DMA, 262144, 524288)]


def test_device_add_hosts_its_memmap_with_4k_pages() -> None:
    """1 GiB with 1 GiB sections: 4096 pages at the start, one section served."""
    machine = machine_with("4K")
    dimm = machine.add_memory(driver="acpi", size="1G", mhp_flags="device")
    assert heads(machine) == [(dimm.start >> 12, 1, 4096)]
    assert memmap_pages(machine) == (4096, 0)


def test_memblock_add_hosts_one_memmap_per_block_with_4k_pages() -> None:
    """2 GiB are two blocks, and each begins with its own 4096 pages."""
    machine = machine_with("4K")
    dimm = machine.add_memory(driver="acpi", size="2G", mhp_flags="memblock")
    first = dimm.start >> 12
    assert heads(machine) == [(first, 1, 4096), (first + 262144, 1, 4096)]


@pytest.mark.parametrize(("page_size", "pages"), [("16K", 256), ("64K", 16)])
@pytest.mark.parametrize("flag", ["none", "device", "memblock"])
def test_flags_have_no_effect_with_large_pages(page_size: str, pages: int, flag: str) -> None:
    """With 16K and 64K pages populate takes no altmap: nothing is marked, system memory pays."""
    machine = machine_with(page_size)
    machine.add_memory(driver="acpi", size="1G", mhp_flags=flag)
    assert heads(machine) == []
    assert memmap_pages(machine) == (0, pages)
    assert machine.kernel.journal.warnings == []


def test_plain_add_fails_without_an_order_9_page() -> None:
    """Up to v5.10 nothing replaces a 2 MiB page, although half of memory is free."""
    machine = machine_with("4K")
    shatter(machine, 8)
    before = free_pages(machine)
    with pytest.raises(MemoryHotplugError) as caught:
        machine.add_memory(driver="acpi", size="1G", mhp_flags="none")
    assert caught.value.errno == errno.ENOMEM
    assert before > 400_000
    assert free_pages(machine) >= before - 2


def test_self_hosted_add_needs_no_order_9_page() -> None:
    """With a flag the leaves come from the new memory, whatever the state of the old."""
    machine = machine_with("4K")
    shatter(machine, 8)
    machine.add_memory(driver="acpi", size="1G", mhp_flags="device")
    assert memmap_pages(machine) == (4096, 0)


def test_plain_add_falls_back_since_5_11(boot_at: Callable[..., Machine]) -> None:
    """Base pages replace the leaves, at the price of a page table for each 2 MiB of memmap."""
    machine = boot_at((5, 11), arch="arm64", memory="4G")
    shatter(machine, 8)
    assert populate(machine, _ADDRESS, 1 << 30) == [(262144, 1, "allocator")]
    assert page_table_pages(machine) == 8


@pytest.mark.parametrize("version", [(5, 11), (6, 1)])
def test_small_altmap_goes_on_with_base_pages(boot_at: Callable[..., Machine], version: tuple[int, int]) -> None:
    """From v5.11 to v6.1 base pages of the altmap replace a leaf that does not fit."""
    machine = boot_at(version, arch="arm64", memory="4G")
    altmap = Altmap(_ADDRESS >> 12, 4000)
    with pytest.raises(MemoryHotplugError) as caught:
        populate(machine, _ADDRESS, 1 << 30, altmap)
    assert caught.value.errno == errno.ENOMEM
    assert altmap.total_alloc == 4000


def test_small_altmap_is_enomem_since_6_2(boot_at: Callable[..., Machine]) -> None:
    """vmemmap_populate_hugepages() does not mix leaf sizes within an altmap."""
    machine = boot_at((6, 2), arch="arm64", memory="4G")
    altmap = Altmap(_ADDRESS >> 12, 4000)
    with pytest.raises(MemoryHotplugError) as caught:
        populate(machine, _ADDRESS, 1 << 30, altmap)
    assert caught.value.reason == f"no 2M page for the memmap of pfn {(_ADDRESS >> 12) + 7 * 32768:#x}"
    assert altmap.total_alloc == 7 * 512


def test_base_pages_come_from_the_altmap_since_5_9(boot_at: Callable[..., Machine]) -> None:
    """Later kernels hand the altmap to the base page path too."""
    machine = boot_at((6, 12), arch="arm64", memory="4G", page_size="16K")
    altmap = Altmap(_ADDRESS >> 14, 8192)
    assert populate(machine, _ADDRESS, 128 << 20, altmap) == [(8192, 1, "altmap")]
    assert altmap.total_alloc == 32


def test_nothing_is_freed_before_hot_remove() -> None:
    """In the 2019 kernel a removed range keeps its memmap, and finds it when it comes back."""
    machine = machine_with("4K")
    before = free_pages(machine)
    dimm = machine.add_memory(driver="acpi", size="1G", mhp_flags="none")
    machine.remove(dimm)
    assert memmap_pages(machine) == (0, 4096)
    assert before - free_pages(machine) >= 4096
    after = free_pages(machine)
    machine.add_memory(driver="acpi", size="1G", mhp_flags="none")
    assert memmap_pages(machine) == (0, 4096)
    assert free_pages(machine) == after - 2  # but the objects of the one block went and come again


def test_memmap_is_freed_since_5_7(boot_at: Callable[..., Machine]) -> None:
    """Hot-remove gives leaves and tables back."""
    machine = boot_at((5, 7), arch="arm64", memory="4G")
    machine.remove(machine.add_memory(driver="acpi", size="1G", mhp_flags="none"))
    assert memmap_pages(machine) == (0, 0)
    assert page_table_pages(machine) == 0


def test_boot_memory_cannot_go_offline_since_5_7(boot_at: Callable[..., Machine]) -> None:
    """The notifier that came with hot-remove refuses every early section."""
    machine = boot_at((5, 7), arch="arm64", memory="4G")
    with pytest.raises(MemoryHotplugError) as caught:
        machine.offline("block 2")
    assert caught.value.errno == errno.EPERM
    assert caught.value.reason == "boot memory of arm64 cannot be taken offline"
    dimm = machine.add_memory(driver="acpi", size="1G", mhp_flags="none")
    machine.online(dimm)
    assert machine.offline(dimm) == [5]


def test_boot_memory_can_go_offline_in_2019() -> None:
    """Before hot-remove there was no veto: an idle boot block goes."""
    machine = machine_with("4K")
    assert machine.offline("block 2") == [2]
    assert machine.violations() == []


def test_full_rodata_maps_the_direct_map_by_pages() -> None:
    """One page table for each 2 MiB of memory, and a PMD table for the GiB."""
    machine = machine_with("4K", cmdline="rodata=full")
    machine.add_memory(driver="acpi", size="1G", mhp_flags="none")
    assert page_table_pages(machine) == 512 + 1


def test_block_mappings_take_no_table_for_a_whole_gib() -> None:
    """A GiB is one leaf of the direct map, and its memmap's tables are there since boot."""
    machine = machine_with("4K")
    machine.add_memory(driver="acpi", size="1G", mhp_flags="none")
    assert page_table_pages(machine) == 0


@pytest.mark.parametrize(
    ("page_size", "memmap_mib", "supported"),
    [("4K", 2, True), ("16K", 2, False), ("16K", 32, True), ("64K", 32, False)],
)
def test_memmap_on_memory_needs_whole_pmd_leaves(page_size: str, memmap_mib: int, supported: bool) -> None:
    """The rule is the default one."""
    machine = machine_with(page_size)
    plugins = machine.kernel.plugins
    answer = plugins.call(
        plugins.arch, "supports_memmap_on_memory", kernel=machine.kernel, memmap_bytes=memmap_mib << 20
    )
    assert answer is supported
