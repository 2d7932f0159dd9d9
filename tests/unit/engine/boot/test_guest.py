"""What the command line of a fresh guest sets aside: the area for contiguous allocations (CMA)."""

from __future__ import annotations

import pytest

from memhotplug import InputError, Machine, MemoryHotplugError
from memhotplug.engine.boot.guest import boot_guest, contiguous_area
from memhotplug.engine.boot.sizes import BootConfig
from memhotplug.model.zones import ZoneKind
from memhotplug.reserves import DISTRO

MIB = 1 << 20


def booted(cmdline: str, memory: int = 512 * MIB) -> Machine:
    """Return a fresh x86_64 guest."""
    config = BootConfig(
        arch="x86_64", profile="linux-6.12", memory=((0, memory),), cmdline=cmdline, reserve=DISTRO
    )  # fmt: skip
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
