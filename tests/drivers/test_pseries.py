"""pseries DLPAR: whole LMBs, always online, taken back as a whole when one fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import pytest

from memhotplug import InputError, Machine, MemoryHotplugError
from memhotplug.model.extents import ExtentSet
from memhotplug.model.state import Allocation
from memhotplug.plugin import AddRequest, PhysRange
from memhotplug_drivers.pseries import driver_ranges

View: TypeAlias = Callable[[Machine], object]
Events: TypeAlias = Callable[[Machine, str], list[dict[str, object]]]
Refused: TypeAlias = Callable[..., MemoryHotplugError]
Boot: TypeAlias = Callable[..., Machine]

_PAGES = 4096  # of 64 KiB in a block of 256 MiB


def _lpar(boot: Boot, **keywords: object) -> Machine:
    return boot(arch="powerpc", **{"memory": "4G", "memory_block_size": "256M", "kernel": "linux-6.12", **keywords})


@pytest.fixture
def lpar(boot: Boot) -> Machine:
    """64K pages, radix, LMBs of 256 MiB, 4 GiB at boot: the first hot-added LMB is 16."""
    return _lpar(boot)


def _pin(machine: Machine, block: int) -> None:
    """Let the kernel have one page in the middle of a block, as it happens in kernel zones."""
    state = machine.kernel.state
    pfn = block * _PAGES + 100
    zone = state.zone_of(pfn)
    assert zone is not None
    zone.free.remove(pfn, pfn + 1)
    state.allocations["slab"] = Allocation(owner="slab", pages=ExtentSet.of((pfn, pfn + 1)))


@pytest.mark.parametrize("policy", ["offline", "online", "online_movable"])
def test_lmbs_are_online_whatever_the_policy(boot: Boot, policy: str) -> None:
    """With a policy of its own LMB by LMB goes by that, without one by a plain online."""
    machine = _lpar(boot, cmdline=f"memhp_default_state={policy}")
    machine.add_memory(driver="pseries", name="lmbs", size="512M")

    zone = "Movable" if policy == "online_movable" else "Normal"
    blocks: list[dict[str, Any]] = machine.to_dict()["blocks"]  # type: ignore[assignment]  # plain JSON
    assert [(b["id"], b["state"], b["zone"]) for b in blocks if b["device"]] == [
        (16, "online", zone),
        (17, "online", zone),
    ]
    assert machine.violations() == []


@pytest.mark.parametrize(("kernel", "flags"), [("v2-2019", "MHP_NONE"), ("linux-6.12", "MHP_MEMMAP_ON_MEMORY")])
def test_each_lmb_is_one_add(boot: Boot, events: Events, kernel: str, flags: str) -> None:
    """Two LMBs are two calls of add_memory(), with the flag where powerpc may self-host."""
    machine = _lpar(boot, kernel=kernel)
    machine.add_memory(driver="pseries", size="512M")
    added = [(event["start"], event["size"]) for event in events(machine, "added")]
    assert added == [(4 << 30, 256 << 20), (4352 << 20, 256 << 20)]
    if kernel != "v2-2019":
        assert [event["flags"] for event in events(machine, "added")] == [flags, flags]


def test_lmbs_host_their_memmap_when_forced(boot: Boot, brief: View) -> None:
    """256 MiB with 64K pages: 4 pages of memmap, a pageblock of 32 set aside."""
    machine = _lpar(boot, cmdline="memory_hotplug.memmap_on_memory=force")
    machine.add_memory(driver="pseries", size="256M")
    assert brief(machine) == [(16, "online", 4064, 4)]
    assert machine.violations() == []


def test_other_architectures_have_no_dlpar(machine: Machine, refused: Refused) -> None:
    """pseries is a platform of powerpc."""
    problem = refused(machine.add_memory, driver="pseries", size="128M")
    assert str(problem) == "ENODEV: there is no pseries on x86_64: it is a platform of powerpc"


@pytest.mark.parametrize("keys", [{"size": "384M"}, {"size": "256M", "address": 0x108000000}])
def test_requests_are_for_whole_lmbs(lpar: Machine, refused: Refused, keys: dict[str, object]) -> None:
    """Half an LMB, and an LMB at half of one."""
    problem = refused(lpar.add_memory, driver="pseries", **keys)
    where = "0x100000000+0x18000000" if keys["size"] == "384M" else "0x108000000+0x10000000"
    assert str(problem) == f"EINVAL: {where} is not made of whole LMBs of 0x10000000 bytes"


def test_assigned_lmbs_cannot_be_added_again(lpar: Machine, refused: Refused, state_of: View) -> None:
    """EINVAL, not the EEXIST of add_memory(), and nothing is added in front of it."""
    lpar.add_memory(driver="pseries", size="256M", address=0x110000000)
    before = state_of(lpar)
    problem = refused(lpar.add_memory, driver="pseries", size="1G", address=0x100000000)
    assert str(problem) == "EINVAL: LMBs are assigned already: memory blocks 17"
    assert state_of(lpar) == before


@pytest.mark.parametrize(("asked", "got"), [(None, 0), (1, 1), (3, 3)])
def test_lmbs_go_to_the_node_of_their_associativity(boot: Boot, asked: int | None, got: int) -> None:
    """A node that is not online yet comes online; without any it is the first online node."""
    machine = _lpar(boot, memory=[{"node": 0, "size": "2G"}, {"node": 1, "size": "2G"}])
    memory = machine.add_memory(driver="pseries", size="256M", node=asked)
    row = machine.kernel.state.blocks.row(memory.blocks[0])
    assert machine.kernel.state.blocks.nid[row] == got
    assert machine.violations() == []


def test_impossible_nodes_become_the_first_online_one(lpar: Machine) -> None:
    """An associativity that names no possible node counts as none."""
    request = AddRequest(driver="pseries", name="lmb", size=256 << 20, nid=4000)
    assert list(driver_ranges(lpar.kernel, request)) == [PhysRange(start=4 << 30, size=256 << 20, nid=0)]


def _failing_at(lpar: Machine, lmbs: int) -> Machine:
    """Return a copy on which memory runs out after the allocations of so many LMBs."""
    for allowed in range(1000):
        copy = lpar.copy()
        copy.kernel.state.fail_allocation = allowed
        try:
            copy.add_memory(driver="pseries", size="1G")
        except MemoryHotplugError as problem:
            if problem.driver_result and problem.driver_result.startswith(f"LMB {16 + lmbs} "):
                fresh = lpar.copy()
                fresh.kernel.state.fail_allocation = allowed
                return fresh
    raise AssertionError("memory never ran out there")


def test_a_third_lmb_that_fails_takes_the_first_two_away(boot: Boot, refused: Refused, state_of: View) -> None:
    """The errno is that of add_memory(); the request as a whole is rolled back."""
    machine = _failing_at(_lpar(boot, page_size="4K"), 2)
    before = state_of(machine)
    problem = refused(machine.add_memory, driver="pseries", size="1G")

    assert problem.name == "ENOMEM"
    assert problem.driver_result == "LMB 18 is not added (ENOMEM); those before it are removed again"
    after: dict[str, Any] = state_of(machine)  # type: ignore[assignment]  # plain JSON
    assert after["blocks"] == before["blocks"]  # type: ignore[index]  # plain JSON
    assert after["iomem"] == before["iomem"]  # type: ignore[index]  # plain JSON
    assert after["violations"] == []


def test_roll_back_goes_on_when_an_lmb_cannot_be_removed(boot: Boot, refused: Refused, brief: View) -> None:
    """What stays is said, and belongs to the device."""
    machine = _failing_at(_lpar(boot, page_size="4K"), 2)
    veto = {"event": "MEM_GOING_OFFLINE", "errno": "EBUSY"}
    problem = refused(machine.add_memory, driver="pseries", size="1G", name="lmbs", veto=veto)

    assert problem.driver_result == (
        "LMB 18 is not added (ENOMEM); those before it are removed again; failed to be removed: LMBs 16-17"
    )
    assert brief(machine) == [(16, "online", 65536, 0), (17, "online", 65536, 0)]
    assert machine.violations() == []


@pytest.mark.parametrize(
    ("size", "errno", "reason"),
    [
        ("256M", "ENOMEM", "a notifier vetoed MEM_GOING_ONLINE"),
        ("512M", "EINVAL", "LMB 16 cannot be added: ENOMEM: a notifier vetoed MEM_GOING_ONLINE"),
    ],
)
def test_an_lmb_that_cannot_be_onlined_is_removed(
    lpar: Machine, refused: Refused, state_of: View, size: str, errno: str, reason: str
) -> None:
    """A single LMB fails with its own error, several with EINVAL; the machine is as before."""
    before = state_of(lpar)
    problem = refused(
        lpar.add_memory, driver="pseries", size=size, veto={"event": "MEM_GOING_ONLINE", "errno": "ENOMEM"}
    )
    assert (problem.name, problem.reason) == (errno, reason)
    assert problem.driver_result == "LMB 16 is not added (ENOMEM)"
    assert state_of(lpar) == before


def test_eject_removes_lmbs_ascending(lpar: Machine, events: Events, state_of: View) -> None:
    """Offline and remove, LMB by LMB, and the machine is as before."""
    before = state_of(lpar)
    lpar.add_memory(driver="pseries", name="lmbs", size="512M")
    seen = len(lpar.kernel.journal.events)
    lpar.eject("lmbs")

    names = [event["event"] for event in lpar.kernel.journal.events[seen:]]
    assert names == ["offlined", "removed", "offlined", "removed"]
    assert [event["start"] for event in events(lpar, "removed")] == [4 << 30, 4352 << 20]
    assert state_of(lpar) == before


def test_eject_takes_offline_lmbs_too(lpar: Machine) -> None:
    """An LMB that somebody took offline is removed all the same."""
    lpar.add_memory(driver="pseries", name="lmbs", size="512M")
    lpar.offline("block 17")
    lpar.eject("lmbs")
    assert lpar.kernel.state.blocks.id.tolist() == list(range(16))
    assert lpar.kernel.state.device_index("lmbs") is None


def test_eject_adds_earlier_lmbs_back_when_a_middle_one_stays(
    lpar: Machine, refused: Refused, brief: View, events: Events
) -> None:
    """LMB 17 holds a kernel page: 16 goes and comes back online, 18 is never touched.

    16 | 17 (slab) | 18      Expect: removed 16, EBUSY at 17, added 16
    """
    lpar.add_memory(driver="pseries", name="lmbs", size="768M")
    _pin(lpar, 17)
    problem = refused(lpar.eject, "lmbs")

    assert str(problem) == (
        "EINVAL: LMB 17 cannot be removed: EBUSY: failure to isolate range: 1 of 4096 pages are unmovable"
    )
    assert problem.driver_result == "LMB 17 is not removed (EBUSY); those before it are added again"
    assert brief(lpar) == [(block, "online", _PAGES, 0) for block in (16, 17, 18)]
    assert [event["start"] for event in events(lpar, "removed")] == [4 << 30]
    assert lpar.memory("lmbs").blocks == (16, 17, 18)
    assert lpar.violations() == []


def test_a_single_lmb_that_stays_gives_its_own_errno(lpar: Machine, refused: Refused, state_of: View) -> None:
    """By index there is nothing to roll back."""
    lpar.add_memory(driver="pseries", name="lmb", size="256M")
    _pin(lpar, 16)
    before = state_of(lpar)
    problem = refused(lpar.eject, "lmb")
    assert str(problem) == "EBUSY: failure to isolate range: 1 of 4096 pages are unmovable"
    assert state_of(lpar) == before


def test_lmbs_added_back_after_a_failed_eject_can_be_ejected_later(lpar: Machine, refused: Refused) -> None:
    """The device is whole again: a second eject takes all of it."""
    lpar.add_memory(driver="pseries", name="lmbs", size="768M")
    _pin(lpar, 17)
    refused(lpar.eject, "lmbs")
    lpar.release("slab")
    lpar.eject("lmbs")
    assert lpar.kernel.state.device_index("lmbs") is None
    assert lpar.violations() == []


def test_ejecting_a_copy_leaves_the_original_alone(lpar: Machine, state_of: View) -> None:
    """What-if copies share nothing that changes."""
    lpar.add_memory(driver="pseries", name="lmbs", size="512M")
    before = state_of(lpar)
    lpar.copy().eject("lmbs")
    assert state_of(lpar) == before


def test_keys_of_other_drivers_are_refused(lpar: Machine) -> None:
    """DLPAR knows LMBs only."""
    with pytest.raises(InputError):
        lpar.add_memory(driver="pseries", size="256M", device_size="1G")


def test_lmbs_beyond_the_address_bits_are_e2big() -> None:
    """Before they are counted out."""
    machine = Machine.boot(arch="powerpc", kernel="v2-2019", memory="4G")
    with pytest.raises(MemoryHotplugError) as caught:
        machine.add_memory(driver="pseries", size="8P")
    assert str(caught.value) == "E2BIG: 8P at 0x100000000 ends beyond 51 physical address bits (2P)"


@pytest.mark.parametrize(("word", "node"), [("numa=off", 0), ("", 1)])
def test_without_numa_associativity_counts_for_nothing(word: str, node: int) -> None:
    """of_drconf_to_nid_single() does not look, and the first online node has the LMB."""
    machine = Machine.boot(
        arch="powerpc",
        kernel="linux-6.12",
        cmdline=word,
        memory=[{"node": 0, "size": "1G"}, {"node": 1, "size": "1G"}],
    )
    machine.add_memory(driver="pseries", name="lmb", size="256M", node=1)
    blocks: Any = machine.to_dict()["blocks"]
    assert {block["node"] for block in blocks if block["device"]} == {node}


def test_single_lmbs_leave_a_device_that_stays(lpar: Machine) -> None:
    """drmgr -c mem -r -s: the blocks go, the others stay online, and the place is free again."""
    memory = lpar.add_memory(driver="pseries", name="d0", size="1G")
    assert memory.blocks == (16, 17, 18, 19)
    lpar.eject("block 17-18")
    left = [(b["id"], b["state"], b["device"]) for b in lpar.to_dict()["blocks"] if b["device"]]
    assert left == [(16, "online", "d0"), (19, "online", "d0")]
    assert lpar.violations() == []
    again = lpar.add_memory(driver="pseries", name="d1", size="512M", address=17 << 28)
    assert again.blocks == (17, 18)
    lpar.eject("d0")
    assert [b["id"] for b in lpar.to_dict()["blocks"] if b["device"]] == [17, 18]
    assert lpar.violations() == []


def test_lmbs_that_left_come_back_if_a_later_one_stays(lpar: Machine, refused: Refused) -> None:
    """EINVAL for several, the LMB's own error for one."""
    lpar.add_memory(driver="pseries", name="d0", size="1G")
    _pin(lpar, 18)
    assert refused(lpar.eject, "block 17-18").name == "EINVAL"
    assert refused(lpar.eject, "memory18").name == "EBUSY"
    assert [b["state"] for b in lpar.to_dict()["blocks"] if b["device"]] == ["online"] * 4
    assert lpar.violations() == []


@pytest.mark.parametrize("blocks", ["15-16", "19-20", "3", "40"])
def test_blocks_of_nobody_or_of_two_are_refused(blocks: str, lpar: Machine, refused: Refused, state_of: View) -> None:
    """Boot memory, another device, or nothing."""
    lpar.add_memory(driver="pseries", name="d0", size="1G")
    lpar.add_memory(driver="pseries", name="d1", size="512M")
    before = state_of(lpar)
    problem = refused(lpar.eject, f"block {blocks}")
    whose = "no one device has blocks" if "-" in blocks else "no device has block"
    assert str(problem) == f"ENODEV: {whose} {blocks}"
    assert state_of(lpar) == before


def test_a_dimm_goes_as_a_whole(boot: Boot, refused: Refused) -> None:
    """ACPI ejects devices."""
    machine = boot(kernel="linux-6.12", memory="4G")
    machine.add_memory(driver="acpi", name="d0", size="1G")
    problem = refused(machine.eject, "block 33")
    assert str(problem) == "EOPNOTSUPP: acpi takes a device out as a whole (d0), and no block of it alone"


@pytest.mark.parametrize(
    ("address", "size", "message"),
    [
        (0, "256M", "EINVAL: LMBs are assigned already: memory blocks 0"),
        ((4 << 30) - (256 << 20), "512M", "EINVAL: LMBs are assigned already: memory blocks 15"),
        (3 << 30, "2G", "EINVAL: LMBs are assigned already: memory blocks 12-15"),
        ((4 << 30) + (1 << 20), "256M", "EINVAL: 0x100100000+0x10000000 is not made of whole LMBs of 0x10000000 bytes"),
    ],
)
def test_lmbs_that_are_there_are_named(
    lpar: Machine, refused: Refused, state_of: View, address: int, size: str, message: str
) -> None:
    """Those of the request only; nothing is added of the others."""
    before = state_of(lpar)
    assert str(refused(lpar.add_memory, driver="pseries", size=size, address=address)) == message
    assert state_of(lpar) == before


def test_the_first_lmb_behind_the_others_is_free(lpar: Machine, refused: Refused) -> None:
    """A request ends before its end address: the LMB there does not count."""
    lpar.add_memory(driver="pseries", name="above", size="256M", address=(4 << 30) + (512 << 20))
    assert lpar.add_memory(driver="pseries", size="512M", address=4 << 30).blocks == (16, 17)
    problem = refused(lpar.add_memory, driver="pseries", size="256M", address=(4 << 30) + (512 << 20))
    assert str(problem) == "EINVAL: LMBs are assigned already: memory blocks 18"


@pytest.mark.parametrize("beyond", [False, True])
def test_nodes_below_the_limit_are_possible(lpar: Machine, beyond: bool) -> None:
    """The last possible one is taken as it is; the next is the first online one."""
    limit = lpar.kernel.geometry.max_nodes
    asked = limit if beyond else limit - 1
    ranges = driver_ranges(lpar.kernel, AddRequest(driver="pseries", name="x", size=256 << 20, nid=asked))
    assert list(ranges) == [PhysRange(start=4 << 30, size=256 << 20, nid=0 if beyond else asked)]


def test_the_node_of_an_lmb_that_comes_back_is_the_devices(boot: Boot, refused: Refused) -> None:
    """Roll-back adds to the same node, and leaves the device closed, as it was."""
    lpar = _lpar(boot, memory=[{"node": 0, "size": "2G"}, {"node": 1, "size": "2G"}])
    lpar.add_memory(driver="pseries", name="lmbs", size="768M", node=1)
    _pin(lpar, 18)
    problem = refused(lpar.eject, "lmbs")
    assert problem.driver_result == "LMB 18 is not removed (EBUSY); those before it are added again"
    assert lpar.kernel.state.blocks.nid[-3:].tolist() == [1, 1, 1]
    device = lpar.kernel.state.devices[lpar.kernel.state.device_index("lmbs") or 0]
    assert (device.closed, device.ranges) == (
        True,
        tuple(((4 << 30) + (number << 28), 1 << 28) for number in range(3)),
    )
