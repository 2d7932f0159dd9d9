"""Extents, nodes, policy by range, roll-back, eject and veto."""

from __future__ import annotations

import pytest

from memhotplug import Machine, MemoryHotplugError
from memhotplug.testing import memmap_pages

_ON = "memory_hotplug.memmap_on_memory=1"


@pytest.fixture
def machine() -> Machine:
    """4 GiB whose memory ends right below 4 GiB, and self-hosting allowed."""
    return Machine.boot(arch="x86_64", kernel="linux-6.12", memory="4G", cmdline=_ON)


def test_extents_are_apart(machine: Machine) -> None:
    """A gap lies between the blocks of two extents, and all are on firmware's node."""
    memory = machine.add_memory(driver="cxl_region", extents=["256M", "512M"], gap="128M", node=1)
    assert memory.blocks == (32, 33, 35, 36, 37, 38)
    blocks = machine.kernel.state.blocks
    assert set(blocks.nid[blocks.rows(32, 38)].tolist()) == {1}


def test_only_large_extents_host_their_memmap(machine: Machine) -> None:
    """256 MiB takes its memmap from the page allocator, 512 MiB from itself."""
    machine.add_memory(driver="cxl_region", extents=["256M", "512M"], host_from="512M")
    assert memmap_pages(machine) == (2048, 1024)


def test_attribute_came_with_6_8() -> None:
    """Before, the flag is not passed."""
    machine = Machine.boot(arch="x86_64", kernel="linux-6.6", memory="4G", cmdline=_ON)
    machine.add_memory(driver="cxl_region", size="128M")
    assert memmap_pages(machine) == (0, 512)


def test_extent_that_cannot_be_had_is_skipped(machine: Machine) -> None:
    """As kmem does: the probe succeeds with what could be added."""
    machine.add_memory(driver="cxl_region", name="first", size="256M", address=hex((4 << 30) + (256 << 20)))
    with pytest.raises(MemoryHotplugError) as caught:
        machine.add_memory(driver="cxl_region", name="second", extents=["256M", "256M", "256M"], address=hex(4 << 30))
    assert caught.value.name == "EEXIST"
    assert caught.value.driver_result == "0x0000000110000000-0x000000011fffffff skipped (EEXIST)"
    assert machine.memory("second").blocks == (32, 33, 36, 37)


@pytest.mark.parametrize("state", ["offline", "online_movable"])
def test_all_or_none_rolls_back(machine: Machine, state: str) -> None:
    """Whether new memory is onlined at once or not, nothing is left of the extents before."""
    machine.write("memory/auto_online_blocks", state)
    machine.add_memory(driver="cxl_region", name="first", size="256M", address=hex((4 << 30) + (512 << 20)))
    before = machine.to_dict()
    with pytest.raises(MemoryHotplugError) as caught:
        machine.add_memory(
            driver="cxl_region", name="second", extents=["256M", "256M", "256M"], address=hex(4 << 30), atomic=True
        )
    assert caught.value.driver_result == "no extent added: EEXIST for 0x0000000120000000-0x000000012fffffff"
    after = machine.to_dict()
    assert {key: after[key] for key in ("blocks", "memmap", "iomem", "violations")} == {
        key: before[key] for key in ("blocks", "memmap", "iomem", "violations")
    }


def test_eject_stops_at_the_first_busy_extent(machine: Machine) -> None:
    """Extents go from the highest down; a pinned page keeps its extent and those below."""
    memory = machine.add_memory(driver="cxl_region", name="region", extents=["128M", "128M", "128M"])
    machine.online(f"block {memory.blocks[1]}", zone="movable")
    machine.allocate("pinned", "100M", zone="movable", node=0, pinned=True)
    with pytest.raises(MemoryHotplugError) as caught:
        machine.eject("region")
    assert caught.value.driver_result == "1 of 3 extents released"
    assert machine.memory("region").blocks == memory.blocks[:2]
    machine.release("pinned")
    machine.eject("region")
    assert memmap_pages(machine) == (0, 0)


def test_locked_device_stays_offline(machine: Machine) -> None:
    """Its blocks are refused, those of others are not."""
    machine.add_memory(driver="cxl_region", name="locked", size="128M", locked=True)
    machine.add_memory(driver="cxl_region", name="open", size="128M")
    with pytest.raises(MemoryHotplugError, match="EACCES: 'locked' is locked"):
        machine.online("locked")
    assert machine.online("open") == [33]


def test_extent_of_half_a_block_is_refused(machine: Machine) -> None:
    """Nothing is trimmed."""
    with pytest.raises(MemoryHotplugError, match="EINVAL: 64M is not made of blocks of 128M"):
        machine.add_memory(driver="cxl_region", extents=["128M", "64M"])
