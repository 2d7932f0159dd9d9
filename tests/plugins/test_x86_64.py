"""x86_64: the layouts of the 2019 series, leaves and their fallback, and the memory block size."""

import errno
from collections.abc import Callable

import pytest

from memhotplug import InputError, Machine, MemoryHotplugError
from memhotplug.plugin import SizingRequest, ZoneKind
from memhotplug.testing import free_pages, heads, memmap_pages, page_table_pages, shatter
from memhotplug_x86_64 import page_sizing, zone_limits

_BASE = 1 << 20  # pfn of 4 GiB


@pytest.fixture
def machine() -> Machine:
    """The 2019 kernel with 4 GiB."""
    return Machine.boot(arch="x86_64", kernel="v2-2019", memory="4G")


@pytest.mark.parametrize(
    ("size", "flag", "block", "expected"),
    [
        ("1G", "device", "128M", [(0, 8, 4096)]),
        ("1G", "memblock", "128M", [(32768 * i, 1, 512) for i in range(8)]),
        ("384M", "device", "128M", [(0, 3, 1536)]),
        ("384M", "memblock", "128M", [(0, 1, 512), (32768, 1, 512), (65536, 1, 512)]),
        ("8G", "device", "128M", [(0, 64, 32768)]),
        ("16G", "device", "128M", [(0, 128, 65536)]),
        ("1G", "memblock", "1G", [(0, 8, 4096)]),
        ("4G", "memblock", "2G", [(0, 16, 8192), (524288, 16, 8192)]),
        ("1G", "none", "128M", []),
    ],
)
def test_layouts_of_the_series(size: str, flag: str, block: str, expected: list[tuple[int, int, int]]) -> None:
    """Vmemmap pages lie where the cover letter says, with its counts in the head pages."""
    machine = Machine.boot(arch="x86_64", kernel="v2-2019", memory="4G", memory_block_size=block)
    machine.add_memory(driver="acpi", size=size, mhp_flags=flag)
    assert [(pfn - _BASE, refcount, private) for pfn, refcount, private in heads(machine)] == expected


def test_plain_add_takes_512_pages_a_section(machine: Machine) -> None:
    """The memmap of 1 GiB comes from the page allocator."""
    before = free_pages(machine)
    machine.add_memory(driver="acpi", size="1G", mhp_flags="none")
    assert memmap_pages(machine) == (0, 4096)
    objects = 12  # 8 blocks, 6 KiB each
    assert before - free_pages(machine) == 4096 + page_table_pages(machine) + objects


def test_plain_add_falls_back_to_base_pages(machine: Machine) -> None:
    """Without an order-9 page the memmap is made of base pages, one page table for each section."""
    shatter(machine, 8)
    machine.add_memory(driver="acpi", size="1G", mhp_flags="none")
    assert memmap_pages(machine) == (0, 4096)
    assert page_table_pages(machine) == 8


def test_add_beyond_all_free_memory_is_enomem(machine: Machine) -> None:
    """When even base pages run out, the sections that were finished are left behind."""
    with pytest.raises(MemoryHotplugError) as caught:
        machine.add_memory(driver="acpi", size="1T", mhp_flags="none")
    assert caught.value.errno == errno.ENOMEM
    assert len(caught.value.leaks) == 1


@pytest.mark.parametrize(
    ("boot_gib", "version", "hypervisor", "block_mib"),
    [
        (4, (5, 2), True, 128),
        (63, (6, 12), False, 128),
        (64, (5, 2), True, 2048),
        (65, (5, 2), True, 1024),
        (66, (6, 12), True, 2048),
        (65, (6, 12), False, 2048),
        (65, (5, 2), False, 1024),
    ],
)
def test_block_size_divides_large_boot_memory(
    sizing: Callable[..., SizingRequest], boot_gib: int, version: tuple[int, int], hypervisor: bool, block_mib: int
) -> None:
    """128 MiB below 64 GiB; above, what divides the end of memory; on bare metal 2 GiB, later than 2019."""
    request = sizing(version, memory=((0, boot_gib << 30),), hypervisor=hypervisor)
    assert page_sizing(request=request).memory_block_size == block_mib << 20


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ({"page_size": 65536}, "machine.page_size: got 64K, expected 4K, the only page size of x86_64"),
        (
            {"memory_block_size": 64 << 20},
            "machine.memory_block_size: got 64M, expected a power of two from 128M to 64G",
        ),
        ({"physical_address_bits": 53}, "machine.physical_address_bits: got 53, expected 32 to 52 address bits"),
    ],
)
def test_impossible_sizes_are_bad_input(sizing: Callable[..., SizingRequest], asked: dict[str, int], text: str) -> None:
    """What x86_64 does not have is refused with what it has."""
    with pytest.raises(InputError) as caught:
        page_sizing(request=sizing(**asked))
    assert str(caught.value) == text


def test_zones(sizing: Callable[..., SizingRequest]) -> None:
    """DMA ends at 16 MiB, DMA32 at 4 GiB."""
    limits = zone_limits(geometry=page_sizing(request=sizing()))
    assert [(limit.kind, limit.end_pfn) for limit in limits] == [
        (ZoneKind.DMA, 4096),
        (ZoneKind.DMA32, 1 << 20),
        (ZoneKind.NORMAL, 1 << 40),
    ]


def test_emptied_tables_are_freed_but_for_the_top(machine: Machine) -> None:
    """A block 64 GiB up needs a PMD table for its memmap and one for its ragged GiB; both go."""
    dimm = machine.add_memory(driver="acpi", size="128M", address="64G", mhp_flags="none")
    assert page_table_pages(machine) == 2
    machine.remove(dimm)
    assert page_table_pages(machine) == 0


def test_the_block_size_goes_by_the_memory_that_is_used(boot: Callable[..., Machine]) -> None:
    """mem= cuts off what would make blocks larger."""
    assert boot(kernel="linux-6.12", memory="128G").kernel.geometry.memory_block_size == 2 << 30
    assert boot(kernel="linux-6.12", memory="128G", cmdline="mem=32G").kernel.geometry.memory_block_size == 128 << 20


@pytest.mark.parametrize(("bits", "left"), [(None, 1), (46, 2)])
def test_only_five_levels_give_an_empty_pud_table_back(bits: int | None, left: int) -> None:
    """The boot memory's table, and one for 40 TiB of which nothing is left: with four levels it is never freed."""
    sizes = {} if bits is None else {"physical_address_bits": bits}
    machine = Machine.boot(arch="x86_64", kernel="linux-6.12", memory="4G", **sizes)
    tables = machine.kernel.state.page_tables

    machine.add_memory(driver="acpi", name="far", size="128M", address="40T", mhp_flags="none")
    assert (tables["vmemmap-pud"].total, tables["direct-pud"].total) == (2, 2)
    machine.remove("far")

    tables = machine.kernel.state.page_tables
    assert (tables["vmemmap-pud"].total, tables["direct-pud"].total) == (left, left)
