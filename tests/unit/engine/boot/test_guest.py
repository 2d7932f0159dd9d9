"""What the command line of a fresh guest sets aside: the area for contiguous allocations (CMA)."""

from __future__ import annotations

import pytest

from memhotplug import InputError, Machine, MemoryHotplugError
from memhotplug.engine.boot.guest import boot_guest, contiguous_area, crash_kernel
from memhotplug.engine.boot.sizes import BootConfig
from memhotplug.model.zones import ZoneKind
from memhotplug.reserves import DISTRO

MIB = 1 << 20


def booted(cmdline: str, memory: int = 512 * MIB) -> Machine:
    """Return a fresh x86_64 guest."""
    config = BootConfig(arch="x86_64", profile="linux-6.12", memory=((0, memory),), cmdline=cmdline, reserve=DISTRO)
    return Machine(boot_guest(config))


@pytest.mark.parametrize(
    ("cmdline", "size"), [("", 0), ("cma=64M", 64), ("cma=0", 0), ("cma=64M@0x10000000", 64), ("cma=64M@0-4G", 64)]
)
def test_the_size_is_what_the_parameter_says(cmdline: str, size: int) -> None:
    """Its place is not heeded."""
    assert contiguous_area(cmdline) == size * MIB


def test_a_value_that_is_no_size_is_refused() -> None:
    """With the place where it was given."""
    with pytest.raises(InputError) as caught:
        contiguous_area("cma=lots", path="--cmdline")

    assert str(caught.value).startswith("--cmdline: got cma=lots, expected cma=SIZE[@START[-END]] (")


@pytest.mark.parametrize("memory", [512 * MIB, 8 << 30])
def test_the_area_is_managed_and_free_but_not_for_kernel_memory(memory: int) -> None:
    """It lies in the highest zone, in whole pageblocks; movable pages may have it."""
    plain, machine = booted("", memory), booted("cma=65M", memory)
    zones = [zone for zone in machine.kernel.state.zones() if zone.cma]

    (zone,) = zones
    assert zone.kind is (ZoneKind.DMA32 if memory < 4 << 30 else ZoneKind.NORMAL)
    assert zone.cma == zone.cma_pages.total == 66 * MIB // 4096
    other = plain.kernel.state.zone(zone.key)
    assert (zone.managed, zone.nr_free) == (other.managed, other.nr_free)
    assert zone.unusable(movable=False) - zone.unusable(movable=True) == zone.cma
    assert machine.violations() == []


def test_without_room_nothing_is_kept_and_said() -> None:
    """As the kernel goes on without an area."""
    machine = booted("cma=600M")

    assert not any(zone.cma for zone in machine.kernel.state.zones())
    assert (
        "cma=600M: no free range of boot memory is that large, and nothing is kept" in machine.kernel.journal.warnings
    )


def test_memmap_does_not_come_from_the_area() -> None:
    """16 MiB a GiB: 64 MiB less are room for 4 GiB less."""
    refused = booted("cma=64M")
    with pytest.raises(MemoryHotplugError, match="vmemmap alloc failure"):
        refused.add_memory(driver="acpi", size="20G")
    booted("").add_memory(driver="acpi", size="20G")


_RANGES = "crashkernel=1G-4G:192M,4G-64G:256M,64G-:512M"


@pytest.mark.parametrize(
    ("cmdline", "memory", "size"),
    [
        ("", 4096, 0), ("crashkernel=256M", 4096, 256), ("crashkernel=256M@16M", 4096, 256),
        ("crashkernel=256M,high", 4096, 256), ("crashkernel=72M,low", 4096, 72), ("crashkernel=0", 4096, 0),
        (_RANGES, 1023, 0), (_RANGES, 1024, 192), (_RANGES, 4095, 192), (_RANGES, 4096, 256), (_RANGES, 65535, 256),
        (_RANGES, 65536, 512), (_RANGES, 1 << 20, 512), ("crashkernel=0-:64M", 1, 64),
        ("crashkernel=2G-:64M,1G-:32M", 1024, 32), ("crashkernel=1G-4G:192M@64M", 2048, 192),
    ],
)  # fmt: skip
def test_a_crash_kernel_is_set_aside_by_size_or_by_range(cmdline: str, memory: int, size: int) -> None:
    """In MiB: the first range that the machine lies in, its end exclusive; offsets are not heeded."""
    assert crash_kernel(cmdline, memory * MIB) == size * MIB


@pytest.mark.parametrize("value", ["lots", "1G-x:64M", "x-:64M", "1G-:lots", "1G-2G:64M,y:1M"])
def test_a_crash_kernel_that_cannot_be_read_is_refused(value: str) -> None:
    """With both forms, and with what is wrong."""
    with pytest.raises(InputError) as caught:
        crash_kernel(f"crashkernel={value}", 3072 * MIB, path="--cmdline")
    assert str(caught.value).startswith(
        f"--cmdline: got crashkernel={value}, expected crashkernel=SIZE[@OFFSET] or crashkernel=START-END:SIZE,"
    )


def test_a_crash_kernels_memory_is_not_managed() -> None:
    """On top of what the guest's own kernel takes."""
    plain, machine = booted(""), booted("crashkernel=64M")
    managed = [sum(zone.managed for zone in one.kernel.state.zones()) for one in (plain, machine)]
    assert managed[0] - managed[1] == 64 * MIB // 4096
    assert machine.violations() == []


def test_the_video_memory_is_no_memory() -> None:
    """Neither present nor reserved, in no zone; the pages around it are the guest's."""
    state = booted("").kernel.state
    low, high = 0xA0, 0x100
    assert list(state.holes) == [(low, high)]
    assert not state.reserved.intersects(low, high)
    dma = state.zone((0, ZoneKind.DMA))
    assert not dma.linked.intersects(low, high)
    assert dma.linked.contains(low - 1, low)
    assert dma.linked.contains(high, high + 1)
    assert (dma.present, dma.present_early) == (dma.spanned - (high - low),) * 2


@pytest.mark.parametrize(
    ("cmdline", "pages"), [("cma=1", 512), ("cma=2M", 512), ("cma=2M@4G", 512), ("cma=3M", 1024), ("cma=4M", 1024)]
)
def test_the_area_has_whole_pageblocks_from_the_top(cmdline: str, pages: int) -> None:
    """It ends at the highest border of a pageblock below which there is room, and is all free."""
    state = booted(cmdline).kernel.state
    (zone,) = [zone for zone in state.zones() if zone.cma]
    ((low, high),) = list(zone.cma_pages)
    assert (high - low, low % 512, zone.cma) == (pages, 0, pages)
    assert zone.free.contains(low, high)
    assert not any(end // 512 * 512 - max(start, high) >= pages for start, end in zone.free if end > high)


def test_no_area_is_kept_in_movable_memory() -> None:
    """kernelcore= makes the upper part Movable; devices' memory lies below."""
    state = booted("cma=64M kernelcore=50%", 2048 * MIB).kernel.state
    assert [zone.kind for zone in state.zones() if zone.cma] == [ZoneKind.DMA32]
    assert state.zone((0, ZoneKind.MOVABLE)).managed > 0
