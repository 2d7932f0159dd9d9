"""sclp_cmd: standby memory block by block, storage assigned by notifiers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import pytest

from memhotplug import InputError, Machine, MemoryHotplugError
from memhotplug.plugin import MemoryEvent

View: TypeAlias = Callable[[Machine], object]
Events: TypeAlias = Callable[[Machine, str], list[dict[str, object]]]
Refused: TypeAlias = Callable[..., MemoryHotplugError]
Boot: TypeAlias = Callable[..., Machine]
_BLOCK_PAGES = 65536
_FIRST = 16 * _BLOCK_PAGES


def _log(events: list[dict[str, object]]) -> list[tuple[object, object, object]]:
    return [(event["event"], event["start_pfn"], event["nr_pages"]) for event in events]


@pytest.fixture
def s390(boot: Boot) -> Machine:
    """4 GiB in blocks of 256 MiB; standby memory begins with block 16."""
    return boot(arch="s390")


def test_standby_memory_is_added_block_by_block(s390: Machine, iomem: View, brief: View) -> None:
    """One add_memory() a block, on node 0, and nothing is assigned yet."""
    standby = s390.add_memory(driver="sclp", name="standby", size="1G")
    assert standby.blocks == (16, 17, 18, 19)
    assert iomem(s390) == [(4096 + 256 * index, 256, "System RAM") for index in range(4)]
    assert brief(s390) == [(block, "offline", _BLOCK_PAGES, 0) for block in standby.blocks]


def test_storage_is_assigned_going_online_and_unassigned_offline(s390: Machine, events: Events) -> None:
    """Blocks 16 and 17 get storage; 17 gives it back."""
    s390.add_memory(driver="sclp", size="1G")
    s390.online("block 16-17", zone="movable")
    s390.offline("block 17")
    assert _log(events(s390, "sclp_")) == [
        ("sclp_assign", _FIRST, 2 * _BLOCK_PAGES),
        ("sclp_unassign", _FIRST + _BLOCK_PAGES, _BLOCK_PAGES),
    ]


def test_auto_onlined_blocks_are_assigned_too(boot: Boot, events: Events) -> None:
    """Each block goes online inside its own add_memory()."""
    machine = boot(arch="s390", cmdline="memhp_default_state=online")
    machine.add_memory(driver="sclp", size="512M")
    assert _log(events(machine, "sclp_")) == [
        ("sclp_assign", _FIRST, _BLOCK_PAGES),
        ("sclp_assign", _FIRST + _BLOCK_PAGES, _BLOCK_PAGES),
    ]


def test_vetoed_online_leaves_nothing_assigned(s390: Machine, refused: Refused, events: Events) -> None:
    """Whoever vetoes first, CANCEL_ONLINE reaches the driver."""
    s390.add_memory(driver="sclp", size="256M")
    veto = {"event": "MEM_GOING_ONLINE", "errno": "ENOMEM"}
    assert refused(s390.online, "block 16", veto=veto).name == "ENOMEM"
    assert events(s390, "sclp_") == []


def test_boot_memory_is_left_alone(s390: Machine, events: Events) -> None:
    """Only standby memory is assigned by the notifier."""
    s390.add_memory(driver="sclp", size="256M")
    s390.offline("block 4")
    s390.online("block 4")
    assert events(s390, "sclp_") == []


def test_boot_block_that_is_partly_standby_stays_online(boot: Boot, refused: Refused) -> None:
    """The end of boot memory lies in block 16, whose other half is standby."""
    machine = boot(arch="s390", memory=(4 << 30) + (128 << 20))
    machine.kernel.notify(MemoryEvent.MEM_GOING_OFFLINE, _FIRST, _BLOCK_PAGES)
    machine.add_memory(driver="sclp", size="512M")
    problem = refused(machine.kernel.notify, MemoryEvent.MEM_GOING_OFFLINE, _FIRST, _BLOCK_PAGES)
    assert str(problem) == "EPERM: the memory block contains standby memory and must stay online"


def test_flags_are_vetoed_by_the_architecture(s390: Machine, brief: View) -> None:
    """Memory that is not accessible before it goes online cannot hold a memmap."""
    s390.add_memory(driver="sclp", size="256M", mhp_flags="memblock")
    assert brief(s390) == [(16, "offline", _BLOCK_PAGES, 0)]


def test_standby_memory_outside_whole_blocks_stays_unused(s390: Machine, refused: Refused) -> None:
    """Trimmed to whole blocks; less than one is refused."""
    standby = s390.add_memory(driver="sclp", size="300M")
    assert standby.blocks == (16,)
    assert standby.driver_result == "44M of standby memory stays unused outside whole memory blocks"
    assert str(refused(s390.add_memory, driver="sclp", size="200M")) == (
        "EINVAL: 200M of standby memory hold no whole memory block of 256M"
    )


def test_increments_larger_than_a_section_make_larger_blocks(boot: Boot) -> None:
    """rzm=512M: one increment a block."""
    machine = boot(arch="s390", rzm="512M")
    assert machine.add_memory(driver="sclp", size="1G").blocks == (8, 9)


def test_blocks_that_fail_are_passed_over(s390: Machine, refused: Refused, brief: View) -> None:
    """The driver looks at no result of add_memory()."""
    s390.add_memory(driver="dax", size="256M", address=(4 << 30) + (256 << 20))
    problem = refused(s390.add_memory, driver="sclp", size="768M", address=4 << 30)
    assert problem.name == "EEXIST"
    assert problem.driver_result == (
        "2 of 3 blocks added (first error: EEXIST); sclp ignores what add_memory() returns"
    )
    assert [row[0] for row in brief(s390)] == [16, 17, 18]  # type: ignore[attr-defined]  # a list of rows


def test_other_architectures_have_no_sclp(machine: Machine, refused: Refused) -> None:
    """The service processor belongs to s390."""
    problem = refused(machine.add_memory, driver="sclp", size="128M")
    assert str(problem) == "ENODEV: there is no sclp on x86_64: only s390 has this service processor"


def test_other_nodes_are_bad_input(s390: Machine) -> None:
    """The kernel has node 0 built in."""
    with pytest.raises(InputError, match="got 1, expected node 0, the only one that sclp adds to"):
        s390.add_memory(driver="sclp", size="256M", node=1)


def test_copies_have_their_own_storage(s390: Machine, events: Events) -> None:
    """A copy that goes online assigns nothing in the original."""
    s390.add_memory(driver="sclp", size="256M")
    twin = s390.copy()
    twin.online("block 16")
    s390.online("block 16")
    assert _log(events(s390, "sclp_")) == _log(events(twin, "sclp_")) == [("sclp_assign", _FIRST, _BLOCK_PAGES)]


def test_6_12_hosts_the_memmap_and_assigns_it_with_its_block(boot: Boot, events: Events, brief: View) -> None:
    """PREPARE_ONLINE and FINISH_OFFLINE speak of the whole block."""
    machine = boot(arch="s390", kernel="linux-6.12", cmdline="memory_hotplug.memmap_on_memory=1")
    machine.add_memory(driver="sclp", size="256M")
    machine.online("block 16", zone="movable")
    machine.offline("block 16")
    assert brief(machine) == [(16, "offline", 64512, 1024)]
    assert _log(events(machine, "sclp_")) == [
        ("sclp_assign", _FIRST, _BLOCK_PAGES),
        ("sclp_unassign", _FIRST, _BLOCK_PAGES),
    ]


@pytest.mark.parametrize("kernel", ["v2-2019", "linux-6.1", "linux-6.12"])
def test_there_is_no_eject_before_6_19(boot: Boot, refused: Refused, kernel: str) -> None:
    """Standby memory is given back by taking it offline."""
    machine = boot(arch="s390", kernel=kernel)
    machine.add_memory(driver="sclp", name="standby", size="256M")
    assert str(refused(machine.eject, "standby")) == (
        "EOPNOTSUPP: standby memory cannot be taken out before Linux 6.19; offline it to give it back"
    )


def test_7_2_configures_and_deconfigures(boot: Boot, refused: Refused, events: Events, brief: View) -> None:
    """Storage is assigned with the add, and an online block keeps the device."""
    machine = boot(arch="s390", kernel="linux-7.2")
    pages: Any = machine.kernel.geometry.pages_per_block
    standby = machine.add_memory(driver="sclp", name="standby", size=pages * 4096)
    machine.online("standby", zone="movable")
    assert refused(machine.eject, "standby").name == "EBUSY"
    machine.offline("standby")
    assert machine.eject("standby") is None
    assert brief(machine) == []
    first = standby.start // 4096
    assert _log(events(machine, "sclp_")) == [("sclp_assign", first, pages), ("sclp_unassign", first, pages)]


def test_blocks_say_themselves_whether_they_host_their_memmap_since_6_19(boot: Boot, refused: Refused) -> None:
    """/sys/firmware/memory/memoryX/memmap_on_memory, written before the block is configured."""
    cmdline = "memory_hotplug.memmap_on_memory=1"
    machine = boot(arch="s390", kernel="linux-6.19", cmdline=cmdline)
    for name, keys in (("a", {}), ("b", {"memmap_on_memory": False}), ("c", {"memmap_on_memory": True})):
        machine.add_memory(driver="sclp", name=name, size="128M", **keys)
    assert machine.kernel.state.blocks.altmap_pages[-3:].tolist() == [512, 0, 512]

    machine = boot(arch="s390", kernel="linux-6.14", cmdline=cmdline)
    problem = refused(machine.add_memory, driver="sclp", size="128M", memmap_on_memory=True)
    assert str(problem) == "ENOENT: there is no /sys/firmware/memory/*/memmap_on_memory before Linux 6.19"


def test_deconfiguring_ends_at_the_first_block_that_is_online(boot: Boot, refused: Refused) -> None:
    """One write of 0 to config a block; those before it are gone."""
    machine = boot(arch="s390", kernel="linux-6.19")
    first, second, _ = machine.add_memory(driver="sclp", name="standby", size="384M").blocks
    machine.online(f"block {second}")
    problem = refused(machine.eject, "standby")

    assert (problem.name, problem.blocks_done) == ("EBUSY", (first,))
    assert machine.memory("standby").blocks == (second, second + 1)


def test_standby_memory_beyond_the_address_bits_is_e2big() -> None:
    """Before it is cut into blocks."""
    machine = Machine.boot(arch="s390", kernel="v2-2019", memory="4G")
    before = machine.to_dict()
    with pytest.raises(MemoryHotplugError) as caught:
        machine.add_memory(driver="sclp", size="8P")
    assert str(caught.value) == "E2BIG: 8P at 0x100000000 ends beyond 46 physical address bits (64T)"
    assert machine.to_dict() == before
