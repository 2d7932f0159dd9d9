"""acpi_memhotplug: resources, what counts as enabled, what the firmware is told, eject."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import pytest

from memhotplug import Machine, MemoryHotplugError

View: TypeAlias = Callable[[Machine], object]
Refused: TypeAlias = Callable[..., MemoryHotplugError]
Boot: TypeAlias = Callable[..., Machine]


def test_each_resource_is_one_add_under_the_series(machine: Machine, brief: View, iomem: View) -> None:
    """Expect two device-wide memmaps, each at the start of its own resource."""
    dimm = machine.add_memory(driver="acpi", name="dimm", resources=["256M", "128M"])

    assert (dimm.start, dimm.size, dimm.blocks, dimm.driver_result) == (4 << 30, 384 << 20, (32, 33, 34), None)
    assert brief(machine) == [(32, "offline", 31744, 1024), (33, "offline", 32768, 0), (34, "offline", 32256, 512)]
    assert iomem(machine) == [(4096, 256, "System RAM"), (4352, 128, "System RAM")]


def test_neighbouring_resources_are_one_add_in_mainline(boot: Boot, iomem: View) -> None:
    """Mainline merges resources of equal attributes."""
    machine = boot(kernel="linux-6.12")
    machine.add_memory(driver="acpi", resources=["256M", "128M"])
    assert iomem(machine) == [(4096, 384, "System RAM")]


@pytest.mark.parametrize(
    ("kernel", "cmdline", "size", "vmemmap"),
    [
        ("linux-5.13", "memory_hotplug.memmap_on_memory=1", "128M", [512]),
        ("linux-5.13", "memory_hotplug.memmap_on_memory=1", "256M", [0, 0]),
        ("linux-6.1", "", "128M", [0]),
        ("linux-6.12", "memory_hotplug.memmap_on_memory=1", "256M", [512, 512]),
        ("linux-6.12", "", "256M", [0, 0]),
    ],
)
def test_mainline_passes_memmap_on_memory_where_the_range_may_host_it(
    boot: Boot, kernel: str, cmdline: str, size: str, vmemmap: list[int]
) -> None:
    """Up to 6.5 the driver asks first, so that an add never fails for the flag's sake."""
    machine = boot(kernel=kernel, cmdline=cmdline)
    machine.add_memory(driver="acpi", size=size)
    blocks: Any = machine.to_dict()["blocks"]
    assert [block["vmemmap_pages"] for block in blocks[32:]] == vmemmap


def test_flags_of_the_step_replace_the_policy(machine: Machine, brief: View) -> None:
    """The policy is MHP_MEMMAP_DEVICE."""
    machine.add_memory(driver="acpi", size="256M", mhp_flags="memblock")
    assert brief(machine) == [(32, "offline", 32256, 512), (33, "offline", 32256, 512)]


def test_node_is_the_proximity_domain_else_that_of_the_address(boot: Boot) -> None:
    """The first resource's address decides for all; above all memory the first node answers."""
    two = boot(memory=[{"node": 0, "size": "2G"}, {"node": 1, "size": "2G"}])
    two.add_memory(driver="acpi", resources=["128M", "128M"], node=1)
    two.add_memory(driver="acpi", size="128M")
    blocks: Any = two.to_dict()["blocks"]
    assert [block["node"] for block in blocks[32:]] == [1, 1, 0]


def test_misaligned_resource_is_skipped_and_the_others_work(machine: Machine, refused: Refused, brief: View) -> None:
    """The step ends in the first error of add_memory(), the device works all the same."""
    problem = refused(machine.add_memory, driver="acpi", name="dimm", resources=["128M", "100M"])

    assert problem.name == "EINVAL"
    assert problem.reason == "Block size [0x8000000] unaligned hotplug range: start 0x108000000, size 0x6400000"
    assert problem.driver_result == (
        "1 of 2 resources enabled; the firmware is told success; skipped: resource 1 (100M): EINVAL"
    )
    assert brief(machine) == [(32, "offline", 32256, 512)]
    assert machine.online("dimm") == [32]


def test_memory_that_is_there_already_counts_as_enabled(machine: Machine, refused: Refused, state_of: View) -> None:
    """Firmware describes boot memory as devices too."""
    before = state_of(machine)
    problem = refused(machine.add_memory, driver="acpi", size="128M", address=0)

    assert problem.name == "EEXIST"
    assert problem.driver_result == (
        "1 of 1 resources enabled; the firmware is told success; "
        "counted as enabled because memory is there already: resource 0 (128M): EEXIST"
    )
    assert state_of(machine) == before


def test_device_without_an_enabled_resource_fails(machine: Machine, refused: Refused, state_of: View) -> None:
    """The device gets no driver, but the firmware is told success, as it is for every add (x86_64-6.12-unaligned)."""
    before = state_of(machine)
    problem = refused(machine.add_memory, driver="acpi", size="100M")

    assert problem.driver_result == (
        "no resource enabled, so the device fails with EINVAL, yet the firmware is told success: "
        "resource 0 (100M): EINVAL"
    )
    assert state_of(machine) == before


def test_eject_offlines_and_removes(machine: Machine, state_of: View) -> None:
    """An ejected device leaves nothing but grown spans."""
    before = state_of(machine)
    machine.add_memory(driver="acpi", name="dimm", size="512M")
    machine.online("dimm", zone="movable")
    assert machine.eject("dimm") is None
    assert state_of(machine) == before


def test_eject_brings_back_what_it_offlined_when_one_block_stays(machine: Machine, refused: Refused) -> None:
    """Unmovable pages in one block keep the whole device."""
    machine.add_memory(driver="acpi", name="dimm", size="512M")
    machine.online("dimm", zone="movable")
    machine.offline("block 35")
    machine.online("block 35", zone="kernel")
    # Kernel pages come from the highest kernel zone first, which is block 35.
    machine.allocate("slab", "1M", zone="kernel")

    problem = refused(machine.eject, "dimm")

    assert problem.name == "EBUSY"
    assert problem.reason.startswith("blocks of 'dimm' stay online (35): failure to isolate range:")
    blocks: Any = machine.to_dict()["blocks"]
    assert [block["state"] for block in blocks[32:]] == ["online"] * 4


def test_copies_are_independent(machine: Machine, state_of: View) -> None:
    """A what-if on a copy leaves the machine alone."""
    before = state_of(machine)
    twin = machine.copy()
    twin.add_memory(driver="acpi", size="1G")
    assert state_of(machine) == before != state_of(twin)


def test_acpi_no_memhotplug_switches_the_driver_off(boot: Boot, refused: Refused) -> None:
    """No memory device is taken, under any kernel."""
    for kernel in ("v2-2019", "linux-6.12"):
        machine = boot(kernel=kernel, cmdline="acpi_no_memhotplug")
        problem = refused(machine.add_memory, driver="acpi", size="1G")
        assert str(problem) == "ENODEV: acpi_no_memhotplug: the driver takes no memory device"


def _after_a_failed_add(boot: Boot, refused: Refused, kernel: str) -> Machine:
    """256 MiB cannot describe 24 GiB; the sections that were described until then stay."""
    machine = boot(kernel=kernel, memory="256M", cmdline="memhp_default_state=offline")
    machine.kernel.state.failed_devices_stay = True
    assert refused(machine.add_memory, driver="acpi", name="big", size="24G", address="4G").name == "ENOMEM"
    assert _allocated(machine) > 64 * 512
    return machine


def _allocated(machine: Machine) -> int:
    memmap: Any = machine.to_dict()["memmap"]
    return int(memmap["allocated_pages"])


def test_next_device_has_the_one_that_failed_tried_again(boot: Boot, refused: Refused) -> None:
    """It finds its own leftovers (EEXIST), counts as enabled, and takes them along when it goes."""
    machine = _after_a_failed_add(boot, refused, "linux-6.12")

    assert refused(machine.add_memory, driver="acpi", name="next", size="128M", address="64G").name == "ENOMEM"
    machine.eject("big")

    assert _allocated(machine) == 0
    assert machine.add_memory(driver="acpi", name="again", size="128M", address="4G").blocks == (32,)


def test_device_that_failed_is_tried_again_when_there_is_room(boot: Boot, refused: Refused) -> None:
    """Its blocks appear with those of the next device, whose own result they do not change."""
    machine = _after_a_failed_add(boot, refused, "linux-6.12")
    assert refused(machine.add_memory, driver="acpi", name="late", size="128M", address="64G").name == "ENOMEM"
    machine.eject("big")

    assert machine.add_memory(driver="acpi", name="next", size="128M", address="32G").blocks == (256,)

    blocks: Any = machine.to_dict()["blocks"]
    assert [(block["id"], block["device"]) for block in blocks[2:]] == [(256, "next"), (512, "late")]
    machine.eject("late")
    assert len(machine.to_dict()["blocks"]) == 3


def test_step_that_fails_takes_its_device_back(boot: Boot, refused: Refused) -> None:
    """Nothing of it turns up in a later step."""
    machine = boot(kernel="linux-6.12", memory="256M", cmdline="memhp_default_state=offline")
    assert refused(machine.add_memory, driver="acpi", name="big", size="24G", address="4G").name == "ENOMEM"

    assert [device.name for device in machine.kernel.state.devices] == []


def test_before_6_9_nobody_looks_at_a_device_that_failed(boot: Boot, refused: Refused) -> None:
    """The scan handler is not attached to it, so what it left behind stays; whoever comes into it takes it along."""
    machine = _after_a_failed_add(boot, refused, "linux-6.1")
    assert refused(machine.add_memory, driver="acpi", name="next", size="128M", address="64G").name == "ENOMEM"
    left = _allocated(machine)
    with pytest.raises(ValueError, match="big"):
        machine.eject("big")

    assert refused(machine.add_memory, driver="acpi", name="again", size="128M", address="4G").name == "EEXIST"
    machine.eject("again")

    assert _allocated(machine) == left - 512
    assert machine.add_memory(driver="acpi", name="third", size="128M", address="4G").blocks == (32,)


def test_what_comes_back_goes_where_somebody_wanted_it_in_vain(boot: Boot, refused: Refused) -> None:
    """A word refused on an online block (EINVAL) stays, and the roll-back of the eject goes by it."""
    machine = boot(kernel="linux-6.12", cmdline="memhp_default_state=offline")
    machine.add_memory(driver="acpi", name="dimm", size="384M")
    machine.online("dimm", zone="kernel")
    for block in (33, 34):
        refused(machine.write, f"memory/memory{block}/state", "online_movable")
    machine.write("memory/memory34/state", "offline")
    machine.write("memory/memory34/state", "online")  # an online that runs forgets what was asked
    machine.allocate("slab", "1M", zone="kernel")  # in block 32

    assert refused(machine.eject, "dimm").name == "EBUSY"

    blocks: Any = machine.to_dict()["blocks"]
    assert [(block["id"], block["zone"]) for block in blocks[32:]] == [(32, "Normal"), (33, "Movable"), (34, "Normal")]


@pytest.mark.parametrize(("word", "node"), [("numa=off", 0), ("numa=fake=2", 1), ("", 1)])
def test_without_numa_the_proximity_domain_counts_for_nothing(boot: Boot, word: str, node: int) -> None:
    """acpi_map_pxm_to_node() answers NUMA_NO_NODE, and the address decides."""
    machine = boot(kernel="linux-6.12", memory=[{"node": 0, "size": "1G"}, {"node": 1, "size": "1G"}], cmdline=word)
    machine.add_memory(driver="acpi", name="dimm", size="256M", node=1)
    blocks: Any = machine.to_dict()["blocks"]
    assert {block["node"] for block in blocks if block["device"]} == {node}


@pytest.fixture
def two_nodes(boot: Boot) -> Machine:
    """Two nodes of 128 MiB, too small for 24 GiB of memmap, on a recorded machine's terms: failed devices stay."""
    machine = boot(
        kernel="linux-6.12",
        memory=[{"node": 0, "size": "128M"}, {"node": 1, "size": "128M"}],
        cmdline="memhp_default_state=offline",
    )
    machine.kernel.state.failed_devices_stay = True
    return machine


def test_a_device_that_waits_keeps_its_node_and_its_place(two_nodes: Machine, refused: Refused) -> None:
    """What is tried again is what was asked for: there, on that node, with its own keys."""
    asked = {"size": "24G", "address": "32G", "node": 1}
    assert refused(two_nodes.add_memory, driver="acpi", name="big", **asked).name == "ENOMEM"
    (device,) = two_nodes.kernel.state.devices
    assert (device.name, device.nid, device.ranges, device.closed) == ("big", 1, (), True)
    assert device.waiting == ((32 << 30, 24 << 30),)


def test_a_device_that_is_tried_again_comes_to_its_own_node(two_nodes: Machine, refused: Refused) -> None:
    """Once there is room: with the next device, whichever node that has."""
    assert refused(two_nodes.add_memory, driver="acpi", name="big", size="24G", address="4G", node=0).name == "ENOMEM"
    late = {"size": "128M", "address": "64G", "node": 1}
    assert refused(two_nodes.add_memory, driver="acpi", name="late", **late).name == "ENOMEM"
    two_nodes.eject("big")
    two_nodes.add_memory(driver="acpi", name="next", size="128M", address="32G", node=0)
    blocks: Any = two_nodes.to_dict()["blocks"]
    assert [(block["id"], block["node"], block["device"]) for block in blocks if block["device"]] == [
        (256, 0, "next"),
        (512, 1, "late"),
    ]
    assert [device.waiting for device in two_nodes.kernel.state.devices if device.name == "late"] == [()]
    assert all(device.closed for device in two_nodes.kernel.state.devices)


def test_memory_that_is_there_is_nobodys_leftover(boot: Boot, refused: Refused) -> None:
    """EEXIST with blocks: the device counts as enabled, and nothing is kept of it."""
    machine = boot(kernel="linux-6.12")
    machine.add_memory(driver="dax", name="dax0.0", size="128M", address=4 << 30)
    devices = list(machine.kernel.state.devices)
    problem = refused(machine.add_memory, driver="acpi", name="same", size="128M", address=4 << 30)
    assert (problem.name, problem.driver_result) == (
        "EEXIST",
        "1 of 1 resources enabled; the firmware is told success; counted as enabled because memory is there already: "
        "resource 0 (128M): EEXIST",
    )
    assert list(machine.kernel.state.devices) == devices


@pytest.mark.parametrize(("at", "leftover"), [(33, True), (32, False), (34, True)])
def test_only_blocks_in_the_range_are_in_it(boot: Boot, refused: Refused, at: int, leftover: bool) -> None:
    """Sections that a failed add left in blocks 33 and 34; a block below or above is another matter."""
    machine = boot(kernel="linux-6.12")
    kernel = machine.kernel
    kernel.state.failed_devices_stay = True
    size, pages = 128 << 20, 32768
    machine.add_memory(driver="dax", name="dax0.0", size=size, address=32 * size)
    machine.add_memory(driver="dax", name="dax1.0", size=size, address=35 * size)
    for block in (33, 34):
        kernel.state.sections.add(block * pages, (block + 1) * pages)
    assert refused(machine.add_memory, driver="acpi", name="x", size=size, address=at * size).name == "EEXIST"
    kept = [device.enabled for device in machine.kernel.state.devices if device.name == "x"]
    assert kept == ([((at * size, size),)] if leftover else [])


def test_devices_that_wait_are_tried_again_slot_by_slot(boot: Boot, refused: Refused) -> None:
    """A new device in a lower slot comes before one that failed earlier, and leaves it without memory once more."""
    machine = _after_a_failed_add(boot, refused, "linux-6.12")
    assert refused(machine.add_memory, driver="acpi", name="high", size="24G", address="64G").name == "ENOMEM"
    machine.eject("big")

    assert len(machine.add_memory(driver="acpi", name="new", size="2G", address="4G").blocks) == 16

    plugged = [(device.name, device.slot, bool(device.waiting)) for device in machine.kernel.state.devices]
    assert plugged == [("big", 0, False), ("high", 1, True), ("new", 0, False)]
