"""What commands know of the built-in architectures: names, sizes, signs in logs, and lines of /proc/meminfo."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import pytest

import memhotplug_arm64
import memhotplug_powerpc
import memhotplug_s390
import memhotplug_x86_64
from memhotplug import InputError, Machine
from memhotplug.engine.boot.kernel_log.arch import sign_of
from memhotplug.manager import arch_traits, names
from memhotplug.naming import assumed_arch, canonical
from memhotplug.plugin import Geometry, SizingRequest
from memhotplug_powerpc.sizes import probe_memory_block_size as powerpc_block
from memhotplug_x86_64.sizes import probe_memory_block_size as x86_block

Boot: TypeAlias = Callable[..., Machine]
Sizing: TypeAlias = Callable[..., SizingRequest]
_KIB, _MIB, _GIB, _TIB = 1 << 10, 1 << 20, 1 << 30, 1 << 40
_SIZING: dict[str, Callable[[SizingRequest], Geometry]] = {
    "arm64": lambda request: memhotplug_arm64.page_sizing(request=request),
    "powerpc": lambda request: memhotplug_powerpc.page_sizing(request=request),
    "s390": lambda request: memhotplug_s390.page_sizing(request=request),
    "x86_64": lambda request: memhotplug_x86_64.page_sizing(request=request),
}


@pytest.mark.parametrize(
    ("word", "arch"),
    [
        ("aarch64", "arm64"), ("arm64", "arm64"), ("AArch64", "arm64"),
        ("ppc64le", "powerpc"), ("ppc64el", "powerpc"), ("powerpc64le", "powerpc"), ("ppc64", "powerpc"),
        ("s390x", "s390"), ("S390X", "s390"),
        ("amd64", "x86_64"), ("x86-64", "x86_64"), ("x64", "x86_64"), ("X86_64", "x86_64"),
        ("x86", None), ("arm", None), ("ppc", None), ("riscv64", None),
    ],
)  # fmt: skip
def test_architectures_go_by_what_uname_and_distributions_call_them(word: str, arch: str | None) -> None:
    """Whatever the case; a 32-bit one is none of them."""
    assert canonical("arch", word) == arch


def test_x86_64_is_assumed_and_no_other() -> None:
    """Where nobody says which, as in a log that tells nothing."""
    assert assumed_arch() == "x86_64"
    assert [name for name in names("arch") if arch_traits(name).is_assumed] == ["x86_64"]


@pytest.mark.parametrize("arch", sorted(_SIZING))
def test_the_page_sizes_that_it_has_are_those_that_it_takes(sizing: Sizing, arch: str) -> None:
    """The first is the one that a machine has unless somebody asks."""
    taken = []
    for size in [1 << order for order in range(9, 21)]:
        try:
            assert _SIZING[arch](sizing(page_size=size)).page_size == size
        except InputError:
            continue
        taken.append(size)
    sizes = arch_traits(arch).page_sizes
    assert taken == sorted(sizes)
    assert _SIZING[arch](sizing()).page_size == sizes[0]


@pytest.mark.parametrize(
    ("arch", "lowest", "highest", "default"),
    [("arm64", 36, 52, 48), ("powerpc", 36, 51, 51), ("s390", 42, 53, 46), ("x86_64", 32, 52, 52)],
)
def test_address_bits_have_both_bounds(sizing: Sizing, arch: str, lowest: int, highest: int, default: int) -> None:
    """Inclusive; the message names them."""
    for bits in (lowest, highest):
        geometry = _SIZING[arch](sizing(physical_address_bits=bits))
        assert (geometry.physical_address_bits, geometry.end_pfn) == (bits, (1 << bits) // geometry.page_size)
    assert _SIZING[arch](sizing()).physical_address_bits == default
    for bits in (lowest - 1, highest + 1):
        with pytest.raises(InputError) as caught:
            _SIZING[arch](sizing(physical_address_bits=bits))
        assert str(caught.value) == (
            f"machine.physical_address_bits: got {bits}, expected {lowest} to {highest} address bits"
        )


@pytest.mark.parametrize(
    ("arch", "version", "smallest", "largest", "expected"),
    [
        ("x86_64", (6, 12), 128 * _MIB, 64 * _GIB, "a power of two from 128M to 64G"),
        ("s390", (5, 2), 256 * _MIB, 2 * _TIB, "a power of two from 256M to 2T"),
        ("s390", (6, 14), 128 * _MIB, 2 * _TIB, "a power of two from 128M to 2T"),
        ("arm64", (6, 12), 128 * _MIB, 128 * _MIB, "128M: a memory block of arm64 is one section"),
        ("arm64", (5, 2), 1 * _GIB, 1 * _GIB, "1G: a memory block of arm64 is one section"),
    ],
)
def test_memory_blocks_have_both_bounds(
    sizing: Sizing, arch: str, version: tuple[int, int], smallest: int, largest: int, expected: str
) -> None:
    """Half the smallest, twice the largest and what is no power of two are refused with what would be taken."""
    for size in (smallest, largest):
        assert _SIZING[arch](sizing(version, memory_block_size=size)).memory_block_size == size
    for size in (smallest // 2, largest * 2, 3 * smallest):
        with pytest.raises(InputError) as caught:
            _SIZING[arch](sizing(version, memory_block_size=size))
        assert (caught.value.path, caught.value.expected) == ("machine.memory_block_size", expected)


@pytest.mark.parametrize(("size", "taken"), [(8, False), (16, True), (1 << 10, True), (24, False)])
def test_lmbs_are_powers_of_two_from_a_section_on(sizing: Sizing, size: int, taken: bool) -> None:
    """Of powerpc, in MiB."""
    request = sizing(memory_block_size=size * _MIB)
    if taken:
        assert memhotplug_powerpc.page_sizing(request=request).memory_block_size == size * _MIB
        return
    with pytest.raises(InputError) as caught:
        memhotplug_powerpc.page_sizing(request=request)
    assert str(caught.value).startswith(
        f"machine.memory_block_size: got {size}M, expected a power of two from 16M (the LMB size) to "
    )


@pytest.mark.parametrize(
    ("boot_end", "bare_metal", "advised", "block"),
    [
        (64 * _GIB - 1, True, None, 128 * _MIB),
        (64 * _GIB, True, None, 2 * _GIB),
        (64 * _GIB, False, None, 2 * _GIB),
        (65 * _GIB, True, None, 2 * _GIB),
        (65 * _GIB, False, None, _GIB),
        (64 * _GIB + 512 * _MIB, False, None, 512 * _MIB),
        (64 * _GIB + 256 * _MIB, False, None, 256 * _MIB),
        (64 * _GIB + 128 * _MIB, False, None, 128 * _MIB),
        (64 * _GIB + 64 * _MIB, False, None, 128 * _MIB),
        (64 * _GIB + 1, False, None, 128 * _MIB),
        (63 * _GIB, False, 2 * _GIB, 128 * _MIB),
        (66 * _GIB, True, 256 * _MIB, 256 * _MIB),
        (66 * _GIB, True, 4 * _GIB, 2 * _GIB),
        (65 * _GIB, True, 4 * _GIB, _GIB),
        (66 * _GIB, False, 64 * _MIB, 128 * _MIB),
        (66 * _GIB + 128 * _MIB, True, 256 * _MIB, 128 * _MIB),
    ],
)
def test_x86_64_probes_its_block_size(boot_end: int, bare_metal: bool, advised: int | None, block: int) -> None:
    """From 64 GiB on: 2 GiB on bare metal, what divides the end elsewhere, no more than firmware advises.

    Models: arch/x86/mm/init_64.c:probe_memory_block_size() (v6.15).
    """
    assert x86_block(boot_end, bare_metal=bare_metal, advised=advised) == block


@pytest.mark.parametrize(
    ("memory_gib", "hole_gib", "block_mib"),
    [
        (63, 0, 128), (64, 0, 2048), (63, 1, 2048), (62, 1, 128), (62, 2, 2048), (65, 1, 2048), (65, 2, 1024),
        (66, 1, 1024),
    ],
)  # fmt: skip
def test_the_hole_for_devices_moves_the_end_of_boot_memory(
    sizing: Sizing, memory_gib: int, hole_gib: int, block_mib: int
) -> None:
    """What would lie in it lies behind, and the end of memory decides."""
    request = sizing((6, 12), memory=((0, memory_gib * _GIB),), hole=hole_gib * _GIB)
    assert memhotplug_x86_64.page_sizing(request=request).memory_block_size == block_mib * _MIB


def test_memory_that_ends_below_the_hole_is_not_moved(sizing: Sizing) -> None:
    """mem= is an address: it cuts off what lies behind, the hole included."""
    words = {"mem": "64G"}
    for memory_gib, block_mib in ((63, 2048), (70, 2048), (60, 128)):
        request = sizing((6, 12), memory=((0, memory_gib * _GIB),), hole=_GIB, cmdline=words)
        assert memhotplug_x86_64.page_sizing(request=request).memory_block_size == block_mib * _MIB
    request = sizing((6, 12), memory=((0, 64 * _GIB),), cmdline={"mem": "nonsense"})
    assert memhotplug_x86_64.page_sizing(request=request).memory_block_size == 2048 * _MIB


@pytest.mark.parametrize(
    ("sizes", "block"),
    [
        ([], 1024), ([512], 1024), ([1024], 256), ([2048], 1024), ([1024 + 256], 64), ([1024 + 256 + 64], 16),
        ([1024 + 256 + 64 + 16], 16), ([2048, 1024], 256), ([1024, 256], 64), ([256, 1024], 256), ([64, 2048], 1024),
        ([1024, 1024], 256),
    ],
)  # fmt: skip
def test_powerpc_probes_its_block_size_bit_by_bit(sizes: list[int], block: int) -> None:
    """In MiB: each node has the block divided by four while the bit of the block is set in its size.

    Models: arch/powerpc/mm/init_64.c:probe_memory_block_size() (v6.12).
    """
    assert powerpc_block([size * _MIB for size in sizes]) == block * _MIB


_LINES = {
    "x86_64": [("DirectMap4k", 0), ("DirectMap2M", 1)],
    "s390": [("DirectMap4k", 0), ("DirectMap1M", 1), ("DirectMap2G", 0)],
    "powerpc": [("DirectMap4k", 0), ("DirectMap64k", 0), ("DirectMap2M", 1), ("DirectMap1G", 0)],
    "arm64": [],
}


@pytest.mark.parametrize("arch", sorted(_LINES))
def test_meminfo_says_by_what_leaves_memory_is_mapped(boot: Boot, arch: str) -> None:
    """In KiB, at the end; what is added is mapped, too, before it is online."""
    machine = boot(arch=arch, kernel="linux-6.12", memory="4G")
    driver = arch_traits(arch).drivers[0]
    for extra in (0, 1):
        if extra:
            machine.add_memory(driver=driver, size="1G")
        lines = [line for line in machine.read("/proc/meminfo").splitlines() if line.startswith("DirectMap")]
        whole = (4 + extra) << 20
        assert lines == [f"{name}:    {share * whole:8} kB" for name, share in _LINES[arch]]


def test_the_hash_mmu_counts_no_leaves(boot: Boot) -> None:
    """arch_report_meminfo() is the radix MMU's."""
    machine = boot(arch="powerpc", kernel="linux-6.12", memory="4G", cmdline="disable_radix")
    assert "DirectMap" not in machine.read("/proc/meminfo")


@pytest.mark.parametrize(
    ("line", "arch"),
    [
        ("RIP: 0033:0x7f1c", "x86_64"),
        (" entry_SYSCALL_64_after_hwframe+0x76/0x7e", "x86_64"),
        (" ? x64_sys_call+0x1a4f/0x1fd0", "x86_64"),
        (" __x64_sys_write+0x19/0x20", "x86_64"),
        ("pstate: 60400005 (nZCv daif +PAN -UAO)", "arm64"),
        ("Call trace:", "arm64"),
        (" el0t_64_sync_handler+0x120/0x130", "arm64"),
        (" el1_64_sync", "arm64"),
        (" __arm64_sys_write+0x1c/0x28", "arm64"),
        ("Krnl PSW : 0704c00180000000 0000000000a1b2c3", "s390"),
        (" [<0000000000a1b2c3>] dump_stack+0x1/0x2", "s390"),
        (" __s390x_sys_write+0x1/0x2", "s390"),
        (" __s390_sys_write+0x1/0x2", "s390"),
        ("NIP:  c00000000001a2b3 LR: c00000000001a2b4", "powerpc"),
        ("NIP [c00000000001a2b3] foo+0x1/0x2", "powerpc"),
        ("[c000000001a2b3c4] [c00000000001a2b3] foo", "powerpc"),
        (" system_call_exception+0x1/0x2", "powerpc"),
        (" system_call_vectored_common+0x1/0x2", "powerpc"),
        ("Call Trace:", None),
        ("Mem-Info:", None),
        ("RIP: 0x33", None),
        ("my Call trace:", None),
        ("upstate: 60400005", None),
        ("[c000000001a2b3c] short", None),
        ("system_calls", None),
    ],
)
def test_lines_of_a_log_that_only_one_architecture_prints(line: str, arch: str | None) -> None:
    """So that a log without a heading is of the right machine."""
    assert sign_of(line) == arch


@pytest.mark.parametrize(
    ("arch", "drivers", "resident"),
    [
        ("arm64", ("acpi",), ()),
        ("powerpc", ("pseries",), ()),
        ("s390", ("sclp",), ("sclp",)),
        ("x86_64", ("acpi",), ()),
    ],
)
def test_the_platforms_own_driver_adds_memory_first(
    arch: str, drivers: tuple[str, ...], resident: tuple[str, ...]
) -> None:
    """What is taken where nobody says by which driver; the service processor of s390 is always there."""
    traits = arch_traits(arch)
    assert (traits.drivers, traits.resident) == (drivers, resident)


def test_zones_of_x86_64_lie_where_they_do_on_every_pc(boot: Boot) -> None:
    """As the machine has them; no other architecture's zones have addresses of their own."""
    zones = {name: (start, end) for name, start, end in arch_traits("x86_64").zones}
    assert zones == {"DMA": (0, 16 * _MIB), "DMA32": (16 * _MIB, 4 * _GIB), "Normal": (4 * _GIB, 1 << 64)}
    machine = boot(kernel="linux-6.12", memory="8G")
    for zone in machine.kernel.state.zones():
        if zone.spanned:
            start, end = zones[zone.kind.label]
            assert start <= zone.start_pfn * 4096 < zone.end_pfn * 4096 <= end
    assert [arch_traits(arch).zones for arch in ("arm64", "powerpc", "s390")] == [(), (), ()]


def test_holes_at_boot_are_those_of_a_pc() -> None:
    """Video memory and ROMs are memory nowhere, page 0 and the EBDA are firmware's; devices have room up to 4 GiB."""
    traits = arch_traits("x86_64")
    assert (traits.boot_holes, traits.firmware_holes, traits.hole_end) == (
        ((640 * _KIB, _MIB),),
        ((0, 4 * _KIB), (636 * _KIB, _MIB)),
        4 * _GIB,
    )
    for arch in ("arm64", "powerpc", "s390"):
        assert (arch_traits(arch).boot_holes, arch_traits(arch).firmware_holes, arch_traits(arch).hole_end) == (
            (),
            (),
            0,
        )


@pytest.mark.parametrize(("arch", "leaf"), [("arm64", 1), ("powerpc", 1), ("s390", 2), ("x86_64", 1)])
def test_the_largest_leaf_of_the_direct_map(arch: str, leaf: int) -> None:
    """In GiB."""
    assert arch_traits(arch).largest_leaf == leaf * _GIB


def test_powerpc_chooses_its_mmu_on_the_command_line(boot: Boot) -> None:
    """The words that a plan tries are those that the kernel takes."""
    assert dict(arch_traits("powerpc").mmus) == {"radix": "", "hash": "disable_radix"}
    for mmu, word in arch_traits("powerpc").mmus.items():
        geometry = boot(arch="powerpc", kernel="linux-6.12", cmdline=word).kernel.geometry
        assert getattr(geometry, "radix") is (mmu == "radix")  # noqa: B009  # of powerpc's own geometry
    assert [dict(arch_traits(arch).mmus) for arch in ("arm64", "s390", "x86_64")] == [{}, {}, {}]
