"""The dax bus in sysfs: what its files read, and which driver a write gives a device to."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import pytest

from memhotplug import Machine, MemoryHotplugError
from memhotplug.contracts import SysfsFile
from memhotplug.engine.base_memory import tree_of

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
        ("/sys/devices/platform/hmem.0/dax_region/delete", "dax0.0",
         "EBUSY: dax0.0 is what region 0 is for, and stays"),
        ("/sys/module/kmem/initstate", "x", "EACCES: /sys/module/kmem/initstate is read-only"),
    ],
)  # fmt: skip
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
        ("linux-6.12", "cxl", "kmem"), ("linux-6.12", "hmem", "kmem"), ("linux-6.12", "pmem", "device_dax"),
        ("linux-6.2", "cxl", "device_dax"), ("linux-6.12", "dynamic", "device_dax"),
    ],
)  # fmt: skip
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


# ---- what there is below /sys and /dev ----


def shown(machine: Machine, top: str) -> dict[str, object]:
    """Return what is below a directory: text, where a link leads, or a device's numbers; writable ones have a star."""
    found: dict[str, object] = {}
    for path, entry in tree_of(machine.kernel).walk(machine.kernel, top):
        node, name = entry.node, path.removeprefix(f"{top}/")
        if not isinstance(node, SysfsFile):
            continue
        if node.link is not None:
            found[name] = f"-> {node.link(machine.kernel, entry.ids)}"
        elif node.device is not None:
            found[name] = node.device(machine.kernel, entry.ids)
        else:
            mark = "" if node.store is None else "*"
            found[name + mark] = None if node.show is None else node.show(machine.kernel, entry.ids)
    return found


@pytest.fixture
def three(boot: Boot) -> Machine:
    """A character device, one with two ranges that is memory, and one in the region of that, which nobody has."""
    machine = boot(kernel="linux-6.12", cmdline="memory_hotplug.memmap_on_memory=1")
    machine.add_memory(driver="dax", name="dax0.0", size="256M", mode="devdax")
    machine.add_memory(driver="dax", name="dax2.1", ranges=["128M", "256M"])
    machine.add_memory(driver="dax", name="dax2.0", size="128M")
    machine.eject("dax2.0")
    return machine


def test_the_bus_lists_devices_and_each_driver_those_that_it_has(three: Machine) -> None:
    """A device that nobody has is on the bus only."""
    files = {f"drivers/{driver}/{name}*": None for driver in ("device_dax", "kmem")
             for name in ("bind", "unbind", "new_id", "remove_id")}  # fmt: skip
    assert shown(three, "sys/bus/dax") == files | {
        "devices/dax0.0": "-> ../../../devices/platform/hmem.0/dax0.0",
        "devices/dax2.0": "-> ../../../devices/platform/hmem.2/dax2.0",
        "devices/dax2.1": "-> ../../../devices/platform/hmem.2/dax2.1",
        "drivers/device_dax/dax0.0": "-> ../../../../devices/platform/hmem.0/dax0.0",
        "drivers/device_dax/module": "-> ../../../../module/device_dax",
        "drivers/kmem/dax2.1": "-> ../../../../devices/platform/hmem.2/dax2.1",
        "drivers/kmem/module": "-> ../../../../module/kmem",
    }


def test_nodes_are_numbered_in_the_order_of_regions_and_devices(three: Machine) -> None:
    """In /dev and, by their numbers, in /sys/dev/char."""
    assert shown(three, "dev") == {"dax0.0": (510, 0), "dax2.0": (510, 1), "dax2.1": (510, 2)}
    assert shown(three, "sys/dev/char") == {
        "510:0": "-> ../../devices/platform/hmem.0/dax0.0",
        "510:1": "-> ../../devices/platform/hmem.2/dax2.0",
        "510:2": "-> ../../devices/platform/hmem.2/dax2.1",
    }


def test_both_drivers_are_loaded_as_far_as_libkmod_looks(three: Machine) -> None:
    """So that nobody tries to load a module."""
    for driver in ("kmem", "device_dax"):
        assert shown(three, f"sys/module/{driver}") == {"initstate": "live\n", "refcnt": "0\n"}


def test_the_directory_of_a_device_with_two_ranges(three: Machine) -> None:
    """Its driver is a link, its ranges are mappings, and what cannot be written is not."""
    assert shown(three, "sys/devices/platform/hmem.2/dax2.1") == {
        "size*": "402653184\n", "align*": "2097152\n", "resource": "0x110000000\n", "target_node": "0\n",
        "numa_node": "0\n", "modalias": "dax:t0\n", "dev": "510:2\n", "memmap_on_memory*": "0\n",
        "uevent*": "MAJOR=510\nMINOR=2\nDEVNAME=dax2.1\nDRIVER=kmem\nMODALIAS=dax:t0\n",
        "subsystem": "-> ../../../../bus/dax", "driver": "-> ../../../../bus/dax/drivers/kmem",
        "mapping0/start": "0x110000000\n", "mapping0/end": "0x117ffffff\n", "mapping0/page_offset": "0\n",
        "mapping1/start": "0x118000000\n", "mapping1/end": "0x127ffffff\n", "mapping1/page_offset": "0x8000\n",
    }  # fmt: skip


def test_a_device_that_nobody_has_has_no_driver(three: Machine) -> None:
    """Neither as a link nor in its event."""
    files = shown(three, "sys/devices/platform/hmem.2/dax2.0")
    assert files["uevent*"] == "MAJOR=510\nMINOR=1\nDEVNAME=dax2.0\nMODALIAS=dax:t0\n"
    assert "driver" not in files


def test_a_region_has_the_memory_of_all_its_devices(three: Machine, refused: Refused) -> None:
    """Whatever they have given up of it is available."""
    region = "/sys/devices/platform/hmem.2/dax_region"
    three.write("/sys/devices/platform/hmem.2/dax2.0/size", str(96 << 20))
    assert shown(three, region[1:]) == {
        "id": "2\n", "size": f"{512 << 20}\n", "align": "2097152\n", "available_size": f"{32 << 20}\n",
        "create*": "\n", "seed": "\n", "delete*": None,
    }  # fmt: skip
    assert str(refused(three.write, f"{region}/delete", "dax2.1\n")) == (
        "EBUSY: dax2.1 is what region 2 is for, and stays"
    )
    assert str(refused(three.write, f"{region}/delete", "dax0.0")) == "ENXIO: region 2 has no device 'dax0.0'"
    assert str(refused(three.write, f"{region}/create", "1")) == (
        "ENOSPC: region 2 has room for dax2.0 and dax2.1 only"
    )


def test_the_seed_is_a_device_that_nobody_has_and_that_is_not_the_first(boot: Boot) -> None:
    """Device 0 of a region is never its seed. Models: drivers/dax/bus.c:seed_show()."""
    machine = boot(kernel="linux-6.12")
    for name in ("dax1.0", "dax4.2"):
        machine.add_memory(driver="dax", name=name, size="128M")
    seeds = "/sys/devices/platform/hmem.{}/dax_region/seed"
    assert (machine.read(seeds.format(1)), machine.read(seeds.format(4))) == ("\n", "\n")
    machine.eject("dax1.0")
    machine.eject("dax4.2")
    assert (machine.read(seeds.format(1)), machine.read(seeds.format(4))) == ("\n", "dax4.2\n")


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("dax_region/create", "4294967296", "ERANGE: a number of at most 32 bits is wanted"),
        ("dax0.0/size", "18446744073709551616", "ERANGE: a number of at most 64 bits is wanted"),
        ("dax0.0/align", "18446744073709551616", "ENXIO: align takes a number, not '18446744073709551616'"),
        ("dax0.0/align", "0", "EINVAL: a dax device cannot be aligned to 0x0"),
        ("dax0.0/align", "4194304", "EINVAL: a dax device cannot be aligned to 0x400000"),
    ],
)
def test_numbers_are_those_that_fit(boot: Boot, refused: Refused, path: str, value: str, message: str) -> None:
    """Each store has its own errno for what is no number of its kind."""
    machine = boot(kernel="linux-6.12")
    machine.add_memory(driver="dax", name="dax0.0", size="128M")
    machine.eject("dax0.0")
    problem = refused(machine.write, f"/sys/devices/platform/hmem.0/{path}", value)
    assert str(problem) == message


def test_a_device_is_aligned_to_a_page_or_to_what_all_its_ranges_are(boot: Boot, refused: Refused) -> None:
    """A range that is no multiple is named by its device; a page fits all."""
    machine = boot(kernel="linux-6.12")
    machine.add_memory(driver="dax", name="dax0.0", ranges=["128M", "129M"])
    machine.eject("dax0.0")
    path = f"{_DEVICE}/align"
    assert str(refused(machine.write, path, "2097152")) == "EINVAL: a range of dax0.0 is not aligned to 0x200000"
    machine.write(path, "4096")
    assert machine.read(path) == "4096\n"
    machine.write(f"{_DEVICE}/size", str((257 << 20) - 4096))
    assert shown(machine, f"{_DEVICE[1:]}/mapping1") == {
        "start": "0x108000000\n", "end": "0x1100fefff\n", "page_offset": "0x8000\n",
    }  # fmt: skip


@pytest.mark.parametrize(("size", "mappings"), [(128, 1), (130, 2), (256, 2), (258, 3), (384, 3)])
def test_a_smaller_device_has_its_first_ranges(boot: Boot, size: int, mappings: int) -> None:
    """Of three of 128 MiB; a range of which nothing is left is no mapping."""
    machine = boot(kernel="linux-6.12")
    machine.add_memory(driver="dax", name="dax0.0", ranges=["128M", "128M", "128M"])
    machine.eject("dax0.0")
    machine.write(f"{_DEVICE}/size", str(size << 20))
    ends = [machine.read(f"{_DEVICE}/mapping{number}/end") for number in range(mappings)]
    whole = [(4 << 30) + (128 << 20) * (number + 1) - 1 for number in range(mappings)]
    assert ends == [f"{end:#x}\n" for end in [*whole[:-1], (4 << 30) + (size << 20) - 1]]
    assert f"mapping{mappings}/end" not in shown(machine, _DEVICE[1:])


def test_the_attribute_is_refused_where_no_block_may_host_its_memmap(boot: Boot, refused: Refused) -> None:
    """EOPNOTSUPP with the profile's reason; what is no memory hotplug of its own is always taken."""
    machine = boot(kernel="linux-6.12")
    machine.add_memory(driver="dax", name="dax0.0", size="128M", mode="devdax")
    path = f"{_DEVICE}/memmap_on_memory"
    assert str(refused(machine.write, path, "1")) == (
        "EOPNOTSUPP: memmap_on_memory: memory_hotplug.memmap_on_memory is off"
    )
    machine.write(path, "0")
    assert machine.read(path) == "0\n"


def test_memory_comes_to_the_node_that_the_device_names(boot: Boot) -> None:
    """The attribute target_node; the device itself is near a node that is online."""
    machine = boot(kernel="linux-6.12", memory=[{"node": 0, "size": "2G"}, {"node": 1, "size": "2G"}])
    machine.add_memory(driver="dax", name="dax0.0", size="128M", node=1, mode="devdax")
    machine.add_memory(driver="dax", name="dax1.0", size="128M", node=3, mode="devdax")
    attributes = [f"/sys/devices/platform/hmem.{region}/dax{region}.0/" for region in (0, 1)]
    assert [machine.read(at + "target_node") for at in attributes] == ["1\n", "3\n"]
    assert [machine.read(at + "numa_node") for at in attributes] == ["1\n", "0\n"]
    unbind(machine, "device_dax", "dax1.0")
    bind(machine, "kmem", "dax1.0")
    assert machine.kernel.state.blocks.nid[-1] == 3
    machine.online("dax1.0")
    assert machine.read(attributes[1] + "numa_node") == "3\n"


def test_an_id_that_was_taken_back_is_accepted_no_more(devdax: Machine, refused: Refused) -> None:
    """Twice written it is there once."""
    unbind(devdax, "device_dax")
    for _ in range(2):
        bind(devdax, "kmem")
    unbind(devdax, "kmem")
    problem = refused(devdax.write, f"{_DRIVERS}/kmem/bind", "dax0.0")
    assert str(problem) == "ENODEV: kmem does not accept dax0.0: write it to new_id first"


def test_an_event_that_is_written_is_taken_and_changes_nothing(devdax: Machine) -> None:
    """udevadm trigger writes to it."""
    before = shown(devdax, _DEVICE[1:])
    devdax.write(f"{_DEVICE}/uevent", "change")
    assert shown(devdax, _DEVICE[1:]) == before


def test_a_driver_is_not_asked_for_a_device_of_the_other(devdax: Machine, refused: Refused) -> None:
    """Unbinding it there says so and leaves it."""
    bind(devdax, "device_dax")
    assert str(refused(devdax.write, f"{_DRIVERS}/kmem/unbind", "dax0.0\n")) == "ENODEV: dax0.0 is not bound to kmem"
    devdax.write(f"{_DRIVERS}/device_dax/unbind", "dax0.0\n")
    assert str(refused(devdax.write, f"{_DRIVERS}/device_dax/unbind", "dax0.0")) == (
        "ENODEV: dax0.0 is not bound to device_dax"
    )
