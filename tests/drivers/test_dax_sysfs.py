"""What there is of DAX devices below /sys and /dev."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import pytest
from tests.drivers.test_dax_bus import bind, devdax, unbind

from memhotplug import Machine, MemoryHotplugError
from memhotplug.contracts import SysfsFile
from memhotplug.engine.base_memory import tree_of

__all__ = ["devdax"]  # the fixture

Boot: TypeAlias = Callable[..., Machine]
Refused: TypeAlias = Callable[..., MemoryHotplugError]
_DEVICE = "/sys/devices/platform/hmem.0/dax0.0"
_DRIVERS = "/sys/bus/dax/drivers"


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
    files = {
        f"drivers/{driver}/{name}*": None
        for driver in ("device_dax", "kmem")
        for name in ("bind", "unbind", "new_id", "remove_id")
    }
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
        "start": "0x108000000\n",
        "end": "0x1100fefff\n",
        "page_offset": "0x8000\n",
    }


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
