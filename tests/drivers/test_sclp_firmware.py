"""/sys/firmware/memory of s390: configuring and deconfiguring standby memory block by block."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import pytest

from memhotplug import Machine, MemoryHotplugError
from memhotplug.model.resources import Resource

Refused: TypeAlias = Callable[..., MemoryHotplugError]
View: TypeAlias = Callable[[Machine], object]
_FIRMWARE = "/sys/firmware/memory"


@pytest.fixture
def machine() -> Machine:
    """2 GiB, blocks 0-15, and 512 MiB of standby memory that nobody has configured, blocks 16-19."""
    machine = Machine.boot(arch="s390", kernel="linux-6.19", memory="2G", cmdline="memory_hotplug.memmap_on_memory=1")
    added = machine.add_memory(driver="sclp", name="standby", size="512M", config=False)
    assert (added.blocks, added.driver_result) == ((), "4 blocks are attached, and none is configured")
    return machine


def test_boot_memory_is_configured_and_standby_memory_is_not(machine: Machine) -> None:
    """Only standby memory hosts its memmap, where the kernel lets it."""
    shown = [
        (machine.read(f"{_FIRMWARE}/memory{block}/config"), machine.read(f"{_FIRMWARE}/memory{block}/memmap_on_memory"))
        for block in (0, 15, 16, 19)
    ]
    assert shown == [("1\n", "0\n"), ("1\n", "0\n"), ("0\n", "1\n"), ("0\n", "1\n")]


def test_the_files_are_there_before_anything_is_attached() -> None:
    """The driver belongs to the machine."""
    machine = Machine.boot(arch="s390", kernel="linux-6.19", memory="1G")
    assert machine.read(f"{_FIRMWARE}/memory0/config") == "1\n"


@pytest.mark.parametrize("kernel", ["v2-2019", "linux-6.12"])
def test_older_kernels_have_no_such_files(kernel: str, refused: Refused) -> None:
    """They came with 6.19; neither has the driver the keys."""
    machine = Machine.boot(arch="s390", kernel=kernel, memory="1G")
    assert refused(machine.read, f"{_FIRMWARE}/memory0/config").name == "ENOENT"
    problem = refused(machine.add_memory, driver="sclp", size="256M", config=False)
    assert str(problem) == "ENOENT: there is no /sys/firmware/memory/*/config before Linux 6.19"


def test_a_block_is_configured_with_its_own_memmap_or_without(machine: Machine, brief: View) -> None:
    """As its attribute says when it is configured; all belong to the device that was attached."""
    machine.write(f"{_FIRMWARE}/memory17/memmap_on_memory", "0")
    for block in (16, 17):
        machine.write(f"{_FIRMWARE}/memory{block}/config", "1")
    assert brief(machine) == [(16, "offline", 32256, 512), (17, "offline", 32768, 0)]
    assert machine.memory("standby").blocks == (16, 17)
    assert machine.violations() == []


def test_a_block_is_deconfigured_once_it_is_offline(machine: Machine, refused: Refused, state_of: View) -> None:
    """EBUSY before; then everything is as it was."""
    before = state_of(machine)
    machine.write(f"{_FIRMWARE}/memory18/config", "1\n")
    machine.online("block 18", zone="movable")
    problem = refused(machine.write, f"{_FIRMWARE}/memory18/config", "0")
    assert str(problem) == "EBUSY: memory block 18 is not offline"
    machine.offline("block 18")
    machine.write(f"{_FIRMWARE}/memory18/config", "0")
    assert state_of(machine) == before


def test_writing_what_is_so_already_does_nothing(machine: Machine, state_of: View) -> None:
    """Both ways."""
    before = state_of(machine)
    machine.write(f"{_FIRMWARE}/memory0/config", "on")
    machine.write(f"{_FIRMWARE}/memory16/config", "n")
    assert state_of(machine) == before


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("memory16/config", "maybe", "EINVAL: config takes a boolean, not 'maybe'"),
        ("memory16/memmap_on_memory", "", "EINVAL: memmap_on_memory takes a boolean, not ''"),
        ("memory0/memmap_on_memory", "0", "EBUSY: memory block 0 is configured"),
        ("memory20/config", "1", f"ENOENT: there is no {_FIRMWARE}/memory20/config"),
        ("memory0/config", "0", "EBUSY: memory block 0 is not offline"),
    ],
)
def test_writes_are_refused_as_in_the_kernel(
    machine: Machine, refused: Refused, state_of: View, path: str, value: str, message: str
) -> None:
    """And nothing changes."""
    before = state_of(machine)
    assert str(refused(machine.write, f"{_FIRMWARE}/{path}", value)) == message
    assert state_of(machine) == before


def test_no_block_hosts_its_memmap_where_the_kernel_does_not(refused: Refused) -> None:
    """EOPNOTSUPP, with the reason; the attribute is off to begin with."""
    machine = Machine.boot(arch="s390", kernel="linux-6.19", memory="1G")
    machine.add_memory(driver="sclp", name="standby", size="256M", config=False)
    path = f"{_FIRMWARE}/memory8/memmap_on_memory"
    assert machine.read(path) == "0\n"
    problem = refused(machine.write, path, "1")
    assert str(problem) == "EOPNOTSUPP: memmap_on_memory: memory_hotplug.memmap_on_memory is off"


def test_boot_memory_becomes_standby_memory(machine: Machine) -> None:
    """A block that was offlined and deconfigured stays in the list and can come back."""
    machine.offline("block 12")
    machine.write(f"{_FIRMWARE}/memory12/config", "0")
    assert machine.read(f"{_FIRMWARE}/memory12/config") == "0\n"
    machine.write(f"{_FIRMWARE}/memory12/config", "1")
    assert machine.read("memory/memory12/state") == "offline\n"
    assert machine.violations() == []


def test_a_second_piece_of_standby_memory_lies_above_the_first(machine: Machine) -> None:
    """Whether or not that was configured."""
    machine.add_memory(driver="sclp", name="more", size="256M", config=False)
    machine.write(f"{_FIRMWARE}/memory20/config", "1")
    assert machine.memory("more").blocks == (20,)


@pytest.mark.parametrize(("first", "block"), [(16, 16), (14, 14), (19, 19)])
def test_standby_memory_is_there_once(machine: Machine, refused: Refused, first: int, block: int) -> None:
    """Another piece overlaps standby memory that nobody has configured, or boot memory: a block has one directory."""
    problem = refused(machine.add_memory, driver="sclp", name="more", size="512M", address=first << 27)

    assert str(problem) == f"EEXIST: there is a /sys/firmware/memory/memory{block} already"
    machine.write(f"{_FIRMWARE}/memory19/config", "1")
    assert machine.memory("standby").blocks == (19,)
    assert [device.name for device in machine.kernel.state.devices] == ["standby"]
    assert machine.violations() == []


def storage_log(
    machine: Machine, events: Callable[[Machine, str], list[dict[str, object]]]
) -> list[tuple[object, float, float]]:
    """Return what became of storage, in memory blocks."""
    pages = machine.kernel.geometry.pages_per_block
    found = []
    for event in events(machine, "sclp_"):
        first, count = event["start_pfn"], event["nr_pages"]
        assert isinstance(first, int)
        assert isinstance(count, int)
        found.append((event["event"], first / pages, count / pages))
    return found


def test_storage_is_assigned_when_a_block_is_configured(
    machine: Machine, events: Callable[[Machine, str], list[dict[str, object]]]
) -> None:
    """Going online and offline does nothing to it; deconfiguring gives it back."""
    machine.write(f"{_FIRMWARE}/memory17/config", "1")
    machine.online("block 17", zone="movable")
    machine.offline("block 17")
    assert storage_log(machine, events) == [("sclp_assign", 17.0, 1.0)]
    machine.write(f"{_FIRMWARE}/memory17/config", "0")
    machine.write(f"{_FIRMWARE}/memory17/config", "1")
    assert storage_log(machine, events)[1:] == [("sclp_unassign", 17.0, 1.0), ("sclp_assign", 17.0, 1.0)]


@pytest.mark.parametrize("others", [(), (16,), (16, 19)])
def test_a_block_that_cannot_be_added_is_unassigned_again(
    machine: Machine,
    refused: Refused,
    state_of: View,
    others: tuple[int, ...],
    events: Callable[[Machine, str], list[dict[str, object]]],
) -> None:
    """Somebody else has its addresses: EEXIST, the device has the blocks that it had, and is left as it was."""
    for block in others:
        machine.write(f"{_FIRMWARE}/memory{block}/config", "1")
    size = 128 << 20
    claim = Resource(start=18 * size, end=19 * size - 1, name="hsa")
    machine.kernel.state.resources.request(claim)
    before, devices, log = state_of(machine), list(machine.kernel.state.devices), storage_log(machine, events)
    assert refused(machine.write, f"{_FIRMWARE}/memory18/config", "1").name == "EEXIST"
    assert storage_log(machine, events) == [*log, ("sclp_assign", 18.0, 1.0), ("sclp_unassign", 18.0, 1.0)]
    assert state_of(machine) == before
    assert list(machine.kernel.state.devices) == devices
    machine.kernel.state.resources.release(claim.start, size)
    machine.write(f"{_FIRMWARE}/memory18/config", "1")
    assert machine.memory("standby").blocks == tuple(sorted((*others, 18)))


def test_blocks_of_one_device_are_one_device_whatever_their_order(machine: Machine) -> None:
    """The second joins the first, and both leave one by one; a device without a block is not ejected by name."""
    for block in (18, 16, 17):
        machine.write(f"{_FIRMWARE}/memory{block}/config", "1")
    assert [device.name for device in machine.kernel.state.devices if device.ranges] == ["standby"]
    assert machine.memory("standby").blocks == (16, 17, 18)
    assert all(device.closed for device in machine.kernel.state.devices if device.name == "standby")
    machine.write(f"{_FIRMWARE}/memory16/config", "0")
    assert machine.memory("standby").blocks == (17, 18)


def test_only_boot_memory_and_standby_memory_have_files(machine: Machine, refused: Refused) -> None:
    """What another driver added is no storage of the service processor."""
    added = machine.add_memory(driver="virtio_mem", name="vm0", size="128M", address="4G")
    (block,) = added.blocks
    for name in ("config", "memmap_on_memory"):
        path = f"{_FIRMWARE}/memory{block}/{name}"
        assert str(refused(machine.read, path)) == f"ENOENT: there is no {path}"
        assert str(refused(machine.read, f"{_FIRMWARE}/memory99/{name}")) == (
            f"ENOENT: there is no {_FIRMWARE}/memory99/{name}"
        )


def test_what_was_boot_memory_comes_back_without_a_memmap_of_its_own(machine: Machine, brief: View) -> None:
    """Unless its attribute asks for one meanwhile."""
    for block in (12, 13):
        machine.offline(f"block {block}")
        machine.write(f"{_FIRMWARE}/memory{block}/config", "0")
    assert machine.read(f"{_FIRMWARE}/memory12/memmap_on_memory") == "0\n"
    machine.write(f"{_FIRMWARE}/memory13/memmap_on_memory", "1")
    for block in (12, 13):
        machine.write(f"{_FIRMWARE}/memory{block}/config", "1")
    assert brief(machine) == [(12, "offline", 32768, 0), (13, "offline", 32256, 512)]
    assert [machine.read(f"{_FIRMWARE}/memory{block}/memmap_on_memory") for block in (12, 13)] == ["0\n", "1\n"]
