"""The dax bus in sysfs: what its files read, and which driver a write gives a device to."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import pytest

from memhotplug import Machine, MemoryHotplugError

Boot: TypeAlias = Callable[..., Machine]
Refused: TypeAlias = Callable[..., MemoryHotplugError]
View: TypeAlias = Callable[[Machine], object]
_DEVICE = "/sys/devices/platform/hmem.0/dax0.0"
_DRIVERS = "/sys/bus/dax/drivers"


@pytest.fixture
def devdax(boot: Boot) -> Machine:
    """4 GiB, and a device of 256 MiB that is a character device."""
    machine = boot(kernel="linux-6.12", cmdline="memory_hotplug.memmap_on_memory=1")
    machine.add_memory(driver="dax", name="dax0.0", size="256M", mode="devdax")
    return machine


def bind(machine: Machine, driver: str, device: str = "dax0.0") -> None:
    """Have a driver accept a device, which binds it if nobody has it."""
    machine.write(f"{_DRIVERS}/{driver}/new_id", device)


def unbind(machine: Machine, driver: str, device: str = "dax0.0") -> None:
    """Take a device from a driver, as daxctl does."""
    machine.write(f"{_DRIVERS}/{driver}/remove_id", device)
    machine.write(f"{_DRIVERS}/{driver}/unbind", device)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("size", "268435456\n"), ("align", "2097152\n"), ("resource", "0x100000000\n"), ("target_node", "0\n"),
        ("numa_node", "0\n"), ("modalias", "dax:t0\n"), ("dev", "510:0\n"), ("memmap_on_memory", "0\n"),
        ("mapping0/start", "0x100000000\n"), ("mapping0/end", "0x10fffffff\n"), ("mapping0/page_offset", "0\n"),
        ("uevent", "MAJOR=510\nMINOR=0\nDEVNAME=dax0.0\nDRIVER=device_dax\nMODALIAS=dax:t0\n"),
        ("../dax_region/id", "0\n"), ("../dax_region/size", "268435456\n"), ("../dax_region/available_size", "0\n"),
    ],
)  # fmt: skip
def test_attributes_read_as_in_the_kernel(devdax: Machine, name: str, text: str) -> None:
    """Decimal, or hexadecimal with 0x, and 0 without."""
    path = f"{_DEVICE}/{name}".replace("/dax0.0/..", "")
    assert devdax.read(path) == text


def test_a_character_device_claims_its_range_and_is_no_memory(devdax: Machine, iomem: View) -> None:
    """By its own name; there are no blocks, and the next device lies above it."""
    assert iomem(devdax) == [(4096, 256, "dax0.0")]
    assert len(devdax.kernel.state.blocks) == 32
    assert devdax.violations() == []
    assert devdax.add_memory(driver="acpi", size="128M").start == (4 << 30) + (256 << 20)


def test_a_device_goes_to_kmem_and_back(devdax: Machine, iomem: View, brief: View) -> None:
    """By unbinding and a new id, as daxctl reconfigure-device does."""
    before = iomem(devdax)
    unbind(devdax, "device_dax")
    assert iomem(devdax) == []
    bind(devdax, "kmem")
    assert iomem(devdax) == [(4096, 256, "System RAM (kmem)")]
    assert brief(devdax) == [(32, "offline", 32768, 0), (33, "offline", 32768, 0)]
    assert "DRIVER=kmem\n" in devdax.read(f"{_DEVICE}/uevent")
    assert devdax.violations() == []
    unbind(devdax, "kmem")
    bind(devdax, "device_dax")
    assert iomem(devdax) == before
    assert brief(devdax) == []


def test_the_attribute_decides_where_the_memmap_lies(devdax: Machine, refused: Refused, brief: View) -> None:
    """It cannot be changed while kmem holds the device."""
    path = f"{_DEVICE}/memmap_on_memory"
    devdax.write(path, "y")
    unbind(devdax, "device_dax")
    bind(devdax, "kmem")
    assert brief(devdax) == [(32, "offline", 32256, 512), (33, "offline", 32256, 512)]
    problem = refused(devdax.write, path, "0")
    assert str(problem) == "EBUSY: dax0.0 is bound to kmem"
    devdax.write(path, "1")  # what it is already


def test_kmem_leaves_what_is_online_until_reboot(devdax: Machine, refused: Refused, brief: View) -> None:
    """Unbinding does not fail, and binding once more does."""
    unbind(devdax, "device_dax")
    bind(devdax, "kmem")
    devdax.online("block 33", zone="movable")
    unbind(devdax, "kmem")
    assert [row[1] for row in brief(devdax)] == ["offline", "online"]  # type: ignore[attr-defined]
    devdax.write(f"{_DRIVERS}/kmem/new_id", "dax0.0")
    problem = refused(devdax.write, f"{_DRIVERS}/kmem/bind", "dax0.0")
    assert problem.name == "EBUSY"
    assert problem.reason.startswith("could not reserve region 0x0000000100000000-0x000000010fffffff")


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (f"{_DRIVERS}/kmem/new_id", "dax0", "EINVAL: a dax device such as dax0.0 is wanted, not 'dax0'"),
        (f"{_DRIVERS}/kmem/new_id", "dax00.0", "EINVAL: a dax device such as dax0.0 is wanted, not 'dax00.0'"),
        (f"{_DRIVERS}/kmem/bind", "dax0.0", "ENODEV: kmem does not accept dax0.0: write it to new_id first"),
        (f"{_DRIVERS}/kmem/bind", "dax7.0", "ENODEV: there is no dax device 'dax7.0'"),
        (f"{_DRIVERS}/kmem/unbind", "dax0.0", "ENODEV: dax0.0 is not bound to kmem"),
        (f"{_DRIVERS}/device_dax/bind", "dax0.0", "EBUSY: dax0.0 is bound to device_dax"),
        (f"{_DEVICE}/size", "0x8000000", "EBUSY: dax0.0 is bound to device_dax"),
        (f"{_DEVICE}/size", "1000", "EINVAL: size 0x3e8 is not aligned to 0x200000"),
        (f"{_DEVICE}/size", "x", "EINVAL: a number is wanted, not 'x'"),
        (f"{_DEVICE}/align", "x", "ENXIO: align takes a number, not 'x'"),
        (f"{_DEVICE}/align", "12288", "EINVAL: a dax device cannot be aligned to 0x3000"),
        (f"{_DEVICE}/align", "4096", "EBUSY: dax0.0 is bound to device_dax"),
        (f"{_DEVICE}/memmap_on_memory", "maybe", "EINVAL: memmap_on_memory takes a boolean, not 'maybe'"),
        (f"{_DEVICE}/resource", "0", f"EACCES: {_DEVICE}/resource is read-only"),
        ("/sys/devices/platform/hmem.0/dax_region/create", "1", "ENOSPC: region 0 has room for dax0.0 only"),
        ("/sys/devices/platform/hmem.0/dax_region/create", "2", "EINVAL: create takes 1, not '2'"),
        ("/sys/devices/platform/hmem.0/dax_region/delete", "dax0.1", "ENXIO: region 0 has no device 'dax0.1'"),
        (
            "/sys/devices/platform/hmem.0/dax_region/delete",
            "dax0.0",
            "EBUSY: dax0.0 is what region 0 is for, and stays",
        ),
        ("/sys/module/kmem/initstate", "x", "EACCES: /sys/module/kmem/initstate is read-only"),
    ],
)
def test_writes_are_refused_as_in_the_kernel(
    devdax: Machine, refused: Refused, state_of: View, path: str, value: str, message: str
) -> None:
    """And nothing changes."""
    before = state_of(devdax)
    assert str(refused(devdax.write, path, value)) == message
    assert state_of(devdax) == before


def test_an_instance_is_resized_within_its_region_while_nobody_has_it(devdax: Machine, refused: Refused) -> None:
    """From its end; without a size it cannot be bound."""
    unbind(devdax, "device_dax")
    devdax.write(f"{_DEVICE}/size", "128M".replace("128M", str(128 << 20)))
    assert devdax.read("/sys/devices/platform/hmem.0/dax_region/available_size") == f"{128 << 20}\n"
    assert str(refused(devdax.write, f"{_DEVICE}/size", str(512 << 20))) == "ENOSPC: region 0 has 0x8000000 bytes left"
    bind(devdax, "kmem")
    assert devdax.kernel.state.blocks.id[-1] == 32
    unbind(devdax, "kmem")
    devdax.write(f"{_DEVICE}/size", "0")
    assert str(refused(devdax.write, f"{_DRIVERS}/device_dax/bind", "dax0.0")) == "ENXIO: dax0.0 has no size"


@pytest.mark.parametrize(
    ("kernel", "region", "driver"),
    [
        ("linux-6.12", "cxl", "kmem"),
        ("linux-6.12", "hmem", "kmem"),
        ("linux-6.12", "pmem", "device_dax"),
        ("linux-6.2", "cxl", "device_dax"),
        ("linux-6.12", "dynamic", "device_dax"),
    ],
)
def test_which_driver_takes_a_device_by_itself(
    boot: Boot, refused: Refused, kernel: str, region: str, driver: str
) -> None:
    """Since 6.3 kmem has what firmware and CXL call memory; the other one needs a new id."""
    machine = boot(kernel=kernel)
    machine.add_memory(driver="dax", name="dax0.0", size="256M", region=region)
    machine.eject("dax0.0")
    other = {"kmem": "device_dax", "device_dax": "kmem"}[driver]
    problem = refused(machine.write, f"{_DRIVERS}/{other}/bind", "dax0.0")
    assert problem.name == "ENODEV"
    machine.write(f"{_DRIVERS}/{driver}/bind", "dax0.0")
    assert f"DRIVER={driver}\n" in machine.read(f"{_DEVICE}/uevent")


def test_devices_are_numbered_as_their_names_say_or_by_regions_of_their_own(boot: Boot) -> None:
    """Each has a node, a link by its number, and a place on the bus."""
    machine = boot(kernel="linux-6.12")
    for name in ("pmem", "dax3.1", "other"):
        machine.add_memory(driver="dax", name=name, size="128M")
    for place, number in (("hmem.0/dax0.0", 0), ("hmem.1/dax1.0", 1), ("hmem.3/dax3.1", 2)):
        assert machine.read(f"/sys/devices/platform/{place}/dev") == f"510:{number}\n"
    assert machine.read("/sys/devices/platform/hmem.3/dax3.1/resource") == "0x108000000\n"


def test_a_device_has_several_mappings(boot: Boot) -> None:
    """One for each of its ranges, with its offset in pages."""
    machine = boot(kernel="linux-6.12")
    machine.add_memory(driver="dax", name="dax0.0", ranges=["128M", "256M"])
    shown = [machine.read(f"{_DEVICE}/mapping1/{name}") for name in ("start", "end", "page_offset")]
    assert shown == ["0x108000000\n", "0x117ffffff\n", "0x8000\n"]


def test_a_character_device_is_there_once(devdax: Machine, refused: Refused) -> None:
    """Whoever wants memory of it binds it to kmem."""
    problem = refused(devdax.add_memory, driver="dax", name="dax0.0", size="256M")
    assert str(problem) == "EEXIST: there is a character device dax0.0 already"


def test_a_range_that_somebody_has_is_no_character_device(boot: Boot, refused: Refused, state_of: View) -> None:
    """EBUSY, with who has it."""
    machine = boot(kernel="linux-6.12")
    machine.add_memory(driver="acpi", size="128M")
    before = state_of(machine)
    problem = refused(machine.add_memory, driver="dax", name="dax0.0", size="256M", address=4 << 30, mode="devdax")
    where = "0x0000000100000000-0x000000010fffffff"
    assert str(problem) == f"EBUSY: could not reserve range {where}: System RAM has part of it"
    assert state_of(machine) == before


def test_no_attribute_memmap_on_memory_before_6_8(boot: Boot, refused: Refused) -> None:
    """The file is not there."""
    machine = boot(kernel="linux-6.6")
    machine.add_memory(driver="dax", name="dax0.0", size="128M")
    assert refused(machine.read, f"{_DEVICE}/memmap_on_memory").name == "ENOENT"
