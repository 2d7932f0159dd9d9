"""s390: sizes, the veto on flags and altmaps, segments and their fallback."""

import errno
from collections.abc import Callable

import pytest

from memhotplug import InputError, Machine, MemoryHotplugError
from memhotplug.plugin import Altmap, Restrictions, SizingRequest, ZoneKind
from memhotplug.testing import free_pages, heads, memmap_pages, page_table_pages, populate, shatter
from memhotplug_s390 import page_sizing, zone_limits


@pytest.fixture
def machine() -> Machine:
    """The 2019 kernel with 4 GiB."""
    return Machine.boot(arch="s390", kernel="v2-2019", memory="4G")


@pytest.mark.parametrize(
    ("version", "rzm_mib", "block_mib", "section_mib"),
    [
        ((5, 2), None, 256, 256),
        ((5, 2), 1, 256, 256),
        ((5, 2), 512, 512, 256),
        ((6, 12), 2048, 2048, 256),
        ((6, 14), None, 128, 128),
        ((6, 14), 256, 256, 128),
    ],
)
def test_block_is_the_larger_of_section_and_increment(
    sizing: Callable[..., SizingRequest],
    version: tuple[int, int],
    rzm_mib: int | None,
    block_mib: int,
    section_mib: int,
) -> None:
    """Sections have 256 MiB, 128 MiB since v6.14."""
    geometry = page_sizing(request=sizing(version, options={"rzm": rzm_mib << 20} if rzm_mib else {}))
    assert (geometry.memory_block_size, geometry.section_size) == (block_mib << 20, section_mib << 20)
    assert (geometry.max_order, geometry.pageblock_order, geometry.physical_address_bits) == (10, 8, 46)


def test_block_size_alone_stands_for_an_increment(sizing: Callable[..., SizingRequest]) -> None:
    """Who asks for a block size gets it, as if the machine had such increments."""
    assert page_sizing(request=sizing(memory_block_size=1 << 30)).memory_block_size == 1 << 30


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ({"page_size": 65536}, "machine.page_size: got 64K, expected 4K, the only page size of s390"),
        ({"options": {"rzm": 3 << 20}}, "machine.rzm: got 3M, expected a power of two of at least 1M"),
        (
            {"options": {"rzm": 1 << 29}, "memory_block_size": 1 << 28},
            "machine.memory_block_size: got 256M, expected 512M: a memory block of s390 is the larger of a section"
            " and an increment (rzm)",
        ),
        (
            {"memory_block_size": 128 << 20},
            "machine.memory_block_size: got 128M, expected a power of two from 256M to 2T",
        ),
        ({"physical_address_bits": 54}, "machine.physical_address_bits: got 54, expected 42 to 53 address bits"),
    ],
)
def test_impossible_sizes_are_bad_input(sizing: Callable[..., SizingRequest], asked: dict[str, int], text: str) -> None:
    """What s390 does not have is refused with what it has."""
    with pytest.raises(InputError) as caught:
        page_sizing(request=sizing(**asked))
    assert str(caught.value) == text


def test_dma_ends_at_2_gib(sizing: Callable[..., SizingRequest]) -> None:
    """There are two kernel zones."""
    limits = zone_limits(geometry=page_sizing(request=sizing()))
    assert [(limit.kind, limit.end_pfn << 12) for limit in limits] == [
        (ZoneKind.DMA, 2 << 30),
        (ZoneKind.NORMAL, 1 << 46),
    ]


@pytest.mark.parametrize("flag", ["none", "device", "memblock"])
def test_flags_are_vetoed(machine: Machine, flag: str) -> None:
    """Memory that is accessible only when online cannot host its memmap: system memory pays, silently."""
    machine.add_memory(driver="dax", size="1G", mhp_flags=flag)
    assert heads(machine) == []
    assert memmap_pages(machine) == (0, 4096)
    assert machine.kernel.journal.warnings == []


def add_with_altmap(machine: Machine) -> Altmap:
    """Have the architecture add one block at 4 GiB with a caller's altmap."""
    kernel = machine.kernel
    altmap = Altmap(1 << 20, 1024)
    kernel.plugins.call(
        kernel.plugins.arch,
        "arch_add_memory",
        kernel=kernel,
        start_pfn=1 << 20,
        nr_pages=kernel.geometry.pages_per_block,
        nid=0,
        restrictions=Restrictions(altmap=altmap),
    )
    return altmap


def test_altmap_is_einval_with_a_warning(machine: Machine) -> None:
    """An altmap that a caller brought is a mistake before v6.8."""
    before = free_pages(machine)
    with pytest.raises(MemoryHotplugError) as caught:
        add_with_altmap(machine)
    assert caught.value.errno == errno.EINVAL
    assert machine.kernel.journal.warnings == [
        "s390 cannot use an altmap: the memory is accessible only when it is online"
    ]
    assert free_pages(machine) == before


def test_altmap_is_used_since_6_8(boot_at: Callable[..., Machine]) -> None:
    """Once memory can be made accessible early, whole segments come from the altmap."""
    machine = boot_at((6, 8), arch="s390", memory="4G")
    assert add_with_altmap(machine).total_alloc == 1024
    assert memmap_pages(machine) == (1024, 0)


def test_segments_fall_back_to_base_pages_of_the_same_source(machine: Machine) -> None:
    """Without an order-8 page the memmap is made of base pages, with a pair of page tables for each 2 MiB."""
    shatter(machine, 7)
    assert populate(machine, 4 << 30, 256 << 20) == [(65536, 1, "allocator")]
    assert page_table_pages(machine) == 2


def test_altmap_falls_back_within_itself(machine: Machine) -> None:
    """A segment that does not fit into the altmap becomes base pages of the altmap."""
    altmap = Altmap((4 << 30) + (1 << 12) >> 12, 1024)
    with pytest.raises(MemoryHotplugError) as caught:
        populate(machine, 4 << 30, 256 << 20, altmap)
    assert caught.value.errno == errno.ENOMEM
    assert (int(altmap.align.sum()), altmap.total_alloc) == (255, 769)


def test_segment_tables_have_16_kib(machine: Machine) -> None:
    """The memmap of memory 128 GiB up takes a segment table of four pages; so does a ragged 2 GiB of identity map."""
    machine.add_memory(driver="dax", size="2G", address="128G")
    assert page_table_pages(machine) == 4
    machine.add_memory(driver="dax", size="256M", address="132G")
    assert page_table_pages(machine) == 8


def test_removal_gives_memmap_and_tables_back(machine: Machine) -> None:
    """Nothing but region tables and section roots stays."""
    dimm = machine.add_memory(driver="dax", size="256M", address="128G")
    machine.remove(dimm)
    assert memmap_pages(machine) == (0, 0)
    assert page_table_pages(machine) == 0


@pytest.mark.parametrize(("version", "supported"), [((5, 2), False), ((6, 7), False), ((6, 8), True)])
def test_memmap_on_memory_came_with_6_8(
    boot_at: Callable[..., Machine], version: tuple[int, int], supported: bool
) -> None:
    """Before, the architecture never took part."""
    machine = boot_at(version, arch="s390", memory="4G")
    plugins = machine.kernel.plugins
    answer = plugins.call(plugins.arch, "supports_memmap_on_memory", kernel=machine.kernel, memmap_bytes=4 << 20)
    assert answer is supported


@pytest.mark.parametrize(("cmdline", "errnos"), [("", [None, None]), ("crashkernel=1G", ["EPERM", None])])
def test_what_a_crash_kernel_needs_stays_online(
    boot: Callable[..., Machine], cmdline: str, errnos: list[str | None]
) -> None:
    """The first GiB, if the crash kernel has one: blocks 3 and 4 of 256 MiB are its neighbours."""
    machine = boot(arch="s390", kernel="linux-6.12", cmdline=cmdline)
    found: list[str | None] = []
    for block in (3, 4):
        try:
            machine.offline(f"block {block}")
            found.append(None)
        except MemoryHotplugError as refused:
            found.append(refused.name)

    assert found == errnos
