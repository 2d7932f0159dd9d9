"""Where each built-in driver exists, what people call it, and which hypervisor's devices it drives."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import pytest

from memhotplug import Machine, MemoryHotplugError
from memhotplug.contracts import DriverTraits
from memhotplug.manager import driver_traits, names
from memhotplug.naming import canonical

Refused: TypeAlias = Callable[..., MemoryHotplugError]

_ARCHES = ("arm64", "powerpc", "s390", "x86_64")
_FIRMWARE = "its firmware does not describe memory by ACPI"
_HYPERV = "the Hyper-V balloon hot-adds memory on x86_64 only"
_PROBE = "the architecture has no ARCH_MEMORY_PROBE (powerpc and x86_64 have)"
_XEN = "Xen runs no Linux guests there"
_ABSENT = {
    ("acpi", "powerpc"): f"ENODEV: there is no acpi on powerpc: {_FIRMWARE}",
    ("acpi", "s390"): f"ENODEV: there is no acpi on s390: {_FIRMWARE}",
    ("hv_balloon", "arm64"): f"ENODEV: there is no hv_balloon on arm64: {_HYPERV}",
    ("hv_balloon", "powerpc"): f"ENODEV: there is no hv_balloon on powerpc: {_HYPERV}",
    ("hv_balloon", "s390"): f"ENODEV: there is no hv_balloon on s390: {_HYPERV}",
    ("probe", "arm64"): f"ENOENT: there is no probe on arm64: {_PROBE}",
    ("probe", "s390"): f"ENOENT: there is no probe on s390: {_PROBE}",
    ("pseries", "arm64"): "ENODEV: there is no pseries on arm64: it is a platform of powerpc",
    ("pseries", "s390"): "ENODEV: there is no pseries on s390: it is a platform of powerpc",
    ("pseries", "x86_64"): "ENODEV: there is no pseries on x86_64: it is a platform of powerpc",
    ("sclp", "arm64"): "ENODEV: there is no sclp on arm64: only s390 has this service processor",
    ("sclp", "powerpc"): "ENODEV: there is no sclp on powerpc: only s390 has this service processor",
    ("sclp", "x86_64"): "ENODEV: there is no sclp on x86_64: only s390 has this service processor",
    ("virtio_mem", "powerpc"): "ENODEV: there is no virtio_mem on powerpc: VIRTIO_MEM cannot be configured there",
    ("xen", "powerpc"): f"ENODEV: there is no xen on powerpc: {_XEN}",
    ("xen", "s390"): f"ENODEV: there is no xen on s390: {_XEN}",
}


@pytest.fixture(scope="module")
def newest() -> dict[str, Machine]:
    """A machine of each architecture under a kernel on which each driver is there if it ever is."""
    return {arch: Machine.boot(arch=arch, kernel="linux-6.19", memory="4G") for arch in _ARCHES}


@pytest.mark.parametrize("arch", _ARCHES)
@pytest.mark.parametrize("driver", ["acpi", "dax", "hv_balloon", "probe", "pseries", "sclp", "virtio_mem", "xen"])
def test_a_driver_adds_memory_where_the_kernel_has_it(
    newest: dict[str, Machine], refused: Refused, driver: str, arch: str
) -> None:
    """One memory block; elsewhere the reason is said, and nothing has changed."""
    machine = newest[arch].copy()
    size = machine.kernel.geometry.memory_block_size
    before = machine.to_dict()
    if (driver, arch) in _ABSENT:
        assert str(refused(machine.add_memory, driver=driver, size=size)) == _ABSENT[driver, arch]
        assert machine.to_dict() == before
    else:
        machine.add_memory(driver=driver, size=size)
        assert len(machine.kernel.state.blocks) == len(newest[arch].kernel.state.blocks) + 1


@pytest.mark.parametrize(
    ("driver", "arch"),
    [
        ("acpi", "arm64"), ("acpi", "x86_64"), ("hv_balloon", "x86_64"), ("probe", "powerpc"), ("probe", "x86_64"),
        ("pseries", "powerpc"), ("sclp", "s390"), ("xen", "arm64"), ("xen", "x86_64"),
    ],
)  # fmt: skip
def test_most_drivers_are_as_old_as_the_oldest_kernel(driver: str, arch: str) -> None:
    """The 2019 series, which is the oldest modelled one, has them all; virtio-mem came later."""
    machine = Machine.boot(arch=arch, kernel="v2-2019", memory="4G")
    added = machine.add_memory(driver=driver, size=machine.kernel.geometry.memory_block_size)
    assert len(added.blocks) == 1


@pytest.mark.parametrize(
    ("word", "driver"),
    [
        ("acpi_memhotplug", "acpi"), ("acpi", "acpi"), ("ACPI", "acpi"),
        ("kmem", "dax"), ("device_dax", "dax"), ("dax_kmem", "dax"), ("cxl", "dax"), ("CXL", "dax"),
        ("hyperv", "hv_balloon"), ("hyper-v", "hv_balloon"), ("Hyper-V", "hv_balloon"), ("hv", "hv_balloon"),
        ("hv-balloon", "hv_balloon"),
        ("dlpar", "pseries"), ("lmb", "pseries"), ("LMB", "pseries"),
        ("sclp_cmd", "sclp"), ("sclp_mem", "sclp"), ("sclp-mem", "sclp"),
        ("virtio-mem", "virtio_mem"), ("virtio_mem_pci", "virtio_mem"), ("virtio-mem-pci", "virtio_mem"),
        ("xen_balloon", "xen"), ("xen-balloon", "xen"), ("Xen", "xen"),
        ("probe", "probe"),
        ("balloon", None), ("mem", None), ("virtio", None), ("", None),
    ],
)  # fmt: skip
def test_drivers_go_by_the_names_of_their_modules_and_hypervisors(word: str, driver: str | None) -> None:
    """Whatever the case, with dashes or underscores; a part of a name means nothing."""
    assert canonical("drivers", word) == driver


def test_no_name_means_two_drivers() -> None:
    """Names and aliases are all different, so that what one driver is called never depends on the others."""
    words = [word for name in names("drivers") for word in {name, *driver_traits(name).aliases}]
    plain = [word.lower().replace("-", "_") for word in words]
    twice = sorted({word for word in plain if plain.count(word) > 1})
    assert twice == ["virtio_mem", "xen_balloon"], "each of them is one driver's name in two spellings"
    assert [canonical("drivers", word) for word in twice] == ["virtio_mem", "xen"]


def qemu_models(driver: str) -> list[str]:
    """Return the device models of QEMU that a driver drives, ascending."""
    return sorted(driver_traits(driver).qemu_devices)


def test_devices_of_qemu_belong_to_their_drivers() -> None:
    """A DIMM is ACPI's or, on powerpc, the platform's; everything else has no device there."""
    found = {name: qemu_models(name) for name in names("drivers") if driver_traits(name).qemu_devices}
    assert found == {
        "acpi": ["pc-dimm"],
        "pseries": ["pc-dimm"],
        "virtio_mem": ["virtio-mem-ccw", "virtio-mem-pci"],
    }
    assert (
        driver_traits("virtio_mem").qemu_devices["virtio-mem-pci"]
        == (driver_traits("virtio_mem").qemu_devices["virtio-mem-ccw"])
    )


@pytest.mark.parametrize(
    ("driver", "waits", "onlines", "rolls_back", "static_group", "own_unit"),
    [
        ("acpi", False, False, False, True, False),
        ("dax", False, False, False, True, False),
        ("hv_balloon", True, False, False, False, False),
        ("probe", False, False, False, False, False),
        ("pseries", False, True, True, False, False),
        ("sclp", False, False, False, False, False),
        ("virtio_mem", True, False, False, False, True),
        ("xen", False, False, False, False, False),
    ],
)
def test_how_drivers_go_about_several_ranges(
    driver: str, waits: bool, onlines: bool, rolls_back: bool, static_group: bool, own_unit: bool
) -> None:
    """Plans and sweeps ask: who waits, who onlines, who undoes, whose memory is one group, who has his own unit."""
    traits = driver_traits(driver)
    assert (traits.waits, traits.onlines, traits.rolls_back, traits.static_group, traits.own_unit) == (
        waits,
        onlines,
        rolls_back,
        static_group,
        own_unit,
    )
    assert traits.block_by_block is (waits or onlines)


def test_a_plain_driver_has_nothing_special() -> None:
    """The defaults: it is everywhere, adds all at once, and nothing of a machine is recognised as its own."""
    plain = DriverTraits()
    assert (plain.arches, plain.absence, plain.absence_errno, plain.block_by_block) == (
        None,
        "no kernel has it there",
        19,
        False,
    )
    assert (plain.aliases, plain.windows, plain.devices, plain.regions, plain.opt_in, plain.boot_words) == ((),) * 6
    assert (plain.room_key, plain.managed_name, plain.attribute, dict(plain.qemu_devices)) == (None, None, None, {})
