"""powerpc: sizes by page size and MMU, and the memory block size rule."""

import errno
from collections.abc import Callable

import pytest

from memhotplug import InputError, Machine, MemoryHotplugError
from memhotplug.plugin import SizingRequest, ZoneKind
from memhotplug.testing import page_table_pages
from memhotplug_powerpc import zone_limits
from memhotplug_powerpc.sizes import geometry_for


@pytest.mark.parametrize(
    ("page_kib", "cmdline", "max_order", "pageblock_order", "pmd_mib", "bits"),
    [
        (4, {}, 12, 9, 2, 51),
        (64, {}, 8, 5, 2, 51),
        (4, {"disable_radix": ""}, 12, 12, 2, 46),
        (64, {"disable_radix": ""}, 8, 8, 16, 51),
    ],
)
def test_orders_follow_page_size_and_mmu(
    sizing: Callable[..., SizingRequest],
    page_kib: int,
    cmdline: dict[str, str],
    max_order: int,
    pageblock_order: int,
    pmd_mib: int,
    bits: int,
) -> None:
    """Sections always have 16 MiB, and so has the largest buddy chunk."""
    geometry = geometry_for(sizing(page_size=page_kib << 10, cmdline=cmdline))
    assert geometry.section_size == geometry.page_size << geometry.max_order == 16 << 20
    assert (geometry.max_order, geometry.pageblock_order) == (max_order, pageblock_order)
    assert (geometry.pmd_size, geometry.physical_address_bits) == (pmd_mib << 20, bits)


def test_default_is_64k_pages_with_radix(sizing: Callable[..., SizingRequest]) -> None:
    """Nothing asked for means 64K pages and radix trees."""
    geometry = geometry_for(sizing())
    assert (geometry.page_size, geometry.radix) == (64 << 10, True)


@pytest.mark.parametrize(
    ("value", "radix"),
    [(None, True), ("", False), ("yes", False), ("1", False), ("on", False), ("no", True), ("0", True), ("off", True)],
)
def test_disable_radix_is_a_boolean(sizing: Callable[..., SizingRequest], value: str | None, radix: bool) -> None:
    """Alone it is true, with a value it is what the kernel's boolean parser makes of it."""
    cmdline = {} if value is None else {"disable_radix": value}
    assert geometry_for(sizing(cmdline=cmdline)).radix is radix


@pytest.mark.parametrize(
    ("nodes_mib", "block_mib"),
    [
        ((512,), 1024),
        ((1024,), 256),
        ((2048,), 1024),
        ((3072,), 256),
        ((4096,), 1024),
        ((1280,), 64),
        ((1040,), 256),
        ((1104,), 256),
        ((1360,), 16),
        ((2048, 2048), 1024),
        ((2048, 1024), 256),
        ((1024, 1024), 256),
    ],
)
def test_block_size_tests_one_bit_of_each_node(
    sizing: Callable[..., SizingRequest], nodes_mib: tuple[int, ...], block_mib: int
) -> None:
    """From 1 GiB down by four while a node's size has that bit: no test of divisibility."""
    memory = tuple((nid, size << 20) for nid, size in enumerate(nodes_mib))
    assert geometry_for(sizing(memory=memory)).memory_block_size == block_mib << 20


def test_lmb_size_can_be_given(sizing: Callable[..., SizingRequest]) -> None:
    """memory_block_size stands for ibm,lmb-size, down to one section."""
    assert geometry_for(sizing(memory_block_size=16 << 20)).memory_block_size == 16 << 20


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ({"page_size": 16 << 10}, "machine.page_size: got 16K, expected 4K or 64K, the page sizes of powerpc"),
        (
            {"memory_block_size": 8 << 20},
            "machine.memory_block_size: got 8M, expected a power of two from 16M (the LMB size) to 32G",
        ),
        ({"physical_address_bits": 52}, "machine.physical_address_bits: got 52, expected 36 to 51 address bits"),
        (
            {"physical_address_bits": 47, "page_size": 4096, "cmdline": {"disable_radix": ""}},
            "machine.physical_address_bits: got 47, expected 36 to 46 address bits",
        ),
    ],
)
def test_impossible_sizes_are_bad_input(
    sizing: Callable[..., SizingRequest], asked: dict[str, object], text: str
) -> None:
    """What powerpc does not have is refused with what it has."""
    with pytest.raises(InputError) as caught:
        geometry_for(sizing(**asked))
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("page_kib", "cmdline", "memory_mib", "psize_kib"),
    [
        (4, {}, 4096, 2048),
        (64, {}, 512, 2048),
        (64, {"disable_radix": ""}, 1024, 16384),
        (64, {"disable_radix": ""}, 1023, 64),
        (4, {"disable_radix": ""}, 1024, 16384),
        (4, {"disable_radix": ""}, 512, 4),
    ],
)
def test_vmemmap_pages_are_huge_from_1_gib_on(
    sizing: Callable[..., SizingRequest], page_kib: int, cmdline: dict[str, str], memory_mib: int, psize_kib: int
) -> None:
    """Hash uses 16 MiB pages if the machine booted with 1 GiB or more, radix always 2 MiB."""
    request = sizing(page_size=page_kib << 10, cmdline=cmdline, memory=((0, memory_mib << 20),))
    assert geometry_for(request).vmemmap_psize == psize_kib << 10


@pytest.mark.parametrize(
    ("cmdline", "huge_kib", "psize_kib"),
    [({"disable_radix": ""}, 0, 64), ({"disable_radix": ""}, 16384, 16384), ({}, 0, 2048), ({}, 2048, 2048)],
)
def test_without_huge_pages_the_vmemmap_has_none_either(
    sizing: Callable[..., SizingRequest], cmdline: dict[str, str], huge_kib: int, psize_kib: int
) -> None:
    """A hypervisor that offers a hash guest no 16 MiB pages leaves it without a default huge page; radix needs none."""
    request = sizing(page_size=64 << 10, cmdline=cmdline, memory=((0, 4 << 30),), huge_page_size=huge_kib << 10)
    assert geometry_for(request).vmemmap_psize == psize_kib << 10


def test_all_memory_is_normal(sizing: Callable[..., SizingRequest]) -> None:
    """There is one kernel zone, as on Debian's 6.12."""
    limits = zone_limits(geometry=geometry_for(sizing()))
    assert [(limit.kind, limit.end_pfn) for limit in limits] == [(ZoneKind.NORMAL, 1 << 35)]


@pytest.mark.parametrize(
    ("version", "page_size", "cmdline", "memmap_kib", "supported"),
    [
        ((5, 2), "64K", "", 256, True),
        ((6, 1), "64K", "", 2048, False),
        ((6, 6), "64K", "", 16, True),
        ((6, 6), "4K", "", 2048, True),
        ((6, 6), "4K", "", 256, False),
        ((6, 12), "64K", "disable_radix", 2048, False),
        ((6, 12), "4K", "disable_radix", 2048, False),
    ],
)
def test_memmap_on_memory_depends_on_mmu_and_pages(
    boot_at: Callable[..., Machine],
    version: tuple[int, int],
    page_size: str,
    cmdline: str,
    memmap_kib: int,
    supported: bool,
) -> None:
    """Never with hash; with 4K pages for whole PMD leaves, with 64K pages always."""
    machine = boot_at(version, arch="powerpc", memory="4G", page_size=page_size, cmdline=cmdline)
    plugins = machine.kernel.plugins
    answer = plugins.call(
        plugins.arch, "supports_memmap_on_memory", kernel=machine.kernel, memmap_bytes=memmap_kib << 10
    )
    assert answer is supported


@pytest.fixture
def ragged() -> Machine:
    """A radix machine with 4K pages and 256 MiB blocks: adding one block needs a PMD table."""
    return Machine.boot(arch="powerpc", kernel="v2-2019", memory="4G", page_size="4K", memory_block_size="256M")


def test_linear_map_without_a_table_is_efault(ragged: Machine) -> None:
    """The architecture hides why the linear map failed."""
    ragged.kernel.state.fail_allocation = 0
    with pytest.raises(MemoryHotplugError) as caught:
        ragged.add_memory(driver="dax", size="256M", mhp_flags="none")
    assert caught.value.errno == errno.EFAULT
    assert caught.value.reason == (
        "the linear mapping of pfn 0x100000 failed: no page for a page table (direct-pmd, order 0)"
    )


def test_failed_add_keeps_the_linear_map_in_2019(ragged: Machine) -> None:
    """The table of the linear map stays when the memmap cannot be had."""
    ragged.kernel.state.fail_allocation = 1
    with pytest.raises(MemoryHotplugError) as caught:
        ragged.add_memory(driver="dax", size="256M", mhp_flags="none")
    assert caught.value.errno == errno.ENOMEM
    assert page_table_pages(ragged) == 1


def test_failed_add_removes_the_linear_map_since_5_11(boot_at: Callable[..., Machine]) -> None:
    """Later kernels put the linear map back."""
    machine = boot_at((5, 11), arch="powerpc", memory="4G", page_size="4K", memory_block_size="256M")
    machine.kernel.state.fail_allocation = 1
    with pytest.raises(MemoryHotplugError):
        machine.add_memory(driver="dax", size="256M", mhp_flags="none")
    assert page_table_pages(machine) == 0


def test_whole_gib_takes_a_table_when_blocks_are_smaller_since_5_9(boot_at: Callable[..., Machine]) -> None:
    """Leaves of the linear map never exceed a memory block."""
    sizes = {"arch": "powerpc", "memory": "4G", "page_size": "4K", "memory_block_size": "256M"}
    for version, tables in (((5, 8), 0), ((5, 9), 1)):
        machine = boot_at(version, **sizes)
        machine.add_memory(driver="dax", size="1G", mhp_flags="none")
        assert page_table_pages(machine) == tables


def test_hash_takes_no_page_tables() -> None:
    """The hash table maps both the linear map and the memmap."""
    machine = Machine.boot(
        arch="powerpc", kernel="v2-2019", memory="4G", memory_block_size="256M", cmdline="disable_radix"
    )
    machine.add_memory(driver="dax", size="256M", address="64G", mhp_flags="none")
    assert page_table_pages(machine) == 0


@pytest.mark.parametrize(
    ("kernel", "cmdline", "name"),
    [
        ("linux-6.2", "", "ENOENT"),
        ("linux-6.2", "disable_radix", "ENOENT"),
        ("linux-6.6", "", "EACCES"),
        ("linux-6.6", "disable_radix", "EACCES"),
    ],
)
def test_the_parameter_is_built_in_whatever_the_mmu(kernel: str, cmdline: str, name: str) -> None:
    """Since 6.6 there is memmap_on_memory, which cannot be written, also where the hash MMU never lets it work."""
    machine = Machine.boot(arch="powerpc", kernel=kernel, memory="4G", cmdline=cmdline)
    with pytest.raises(MemoryHotplugError) as caught:
        machine.write("/sys/module/memory_hotplug/parameters/memmap_on_memory", "Y")
    assert caught.value.name == name
