"""online_policy=auto-movable: the arithmetic, worked out by hand for each case.

Boot memory of 1 GiB has 262144 kernel pages; a block has 32768, so that ratio 100 allows eight
Movable blocks and ratio 301 floor(301 * 262144 / 100) = 789053 pages, which is 24 blocks.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from memhotplug import Machine
from memhotplug.engine.memory_hotplug.online import online_runs
from memhotplug.model.blocks import OnlineType
from memhotplug.model.zones import ZoneKind
from memhotplug_profiles.mainline.params import Group, MainlineState
from memhotplug_profiles.mainline.policy import _room

Boot = Callable[..., Machine]

POLICY = "memory_hotplug.online_policy=auto-movable"
RATIO = "memory_hotplug.auto_movable_ratio"


def letters(machine: Machine, name: str) -> str:
    """Return M or N for the zone of each block of a device, o for one that is offline."""
    zones = {block["id"]: block["zone"] or "o" for block in machine.to_dict()["blocks"]}
    return "".join(zones[block][0] for block in machine.memory(name).blocks)


def dimms(machine: Machine, *sizes: str, driver: str = "acpi", zone: str = "auto") -> str:
    """Add and online DIMMs of some sizes; return the zones of their blocks."""
    names = [
        machine.add_memory(driver=driver, name=f"{driver}{zone}{number}", size=size).name
        for number, size in enumerate(sizes)
    ]
    for name in names:
        machine.online(name, zone=zone)
    return " ".join(letters(machine, name) for name in names)


@pytest.mark.parametrize(
    ("cmdline", "sizes", "zones"),
    [
        (POLICY, ("1G", "1G", "1G", "1G"), "MMMMMMMM MMMMMMMM MMMMMMMM NNNNNNNN"),
        (POLICY, ("2G", "1152M", "1G"), "MMMMMMMMMMMMMMMM NNNNNNNNN MMMMMMMM"),  # 25 blocks do not fit, 24 do
        (f"{POLICY} {RATIO}=100", ("1G", "128M"), "MMMMMMMM N"),
        (f"{POLICY} {RATIO}=99", ("1G", "896M"), "NNNNNNNN MMMMMMM"),
        (f"{POLICY} {RATIO}=0", ("128M",), "N"),
        (f"{POLICY} {RATIO}=0x64", ("1152M", "1G"), "NNNNNNNNN MMMMMMMM"),
        ("", ("128M",), "N"),
    ],
)
def test_static_groups_go_as_a_whole(boot: Boot, cmdline: str, sizes: tuple[str, ...], zones: str) -> None:
    """A DIMM is Movable if all of it still fits; what kernel zones get later raises nothing."""
    assert dimms(boot(kernel="linux-6.12", memory="1G", cmdline=cmdline), *sizes) == zones


def test_a_static_group_stays_with_what_it_began_with(boot: Boot) -> None:
    """One block in a kernel zone and the rest follows; one in Movable and it is counted already."""
    machine = boot(kernel="linux-6.12", memory="1G", cmdline=f"{POLICY} {RATIO}=100")
    for name in ("a", "b"):
        machine.add_memory(driver="acpi", name=name, size="512M")
    machine.online(f"block {machine.memory('a').blocks[1]}", zone="kernel")
    machine.online(f"block {machine.memory('b').blocks[3]}", zone="movable")
    assert machine.read(f"memory/memory{machine.memory('a').blocks[0]}/valid_zones") == "Normal Movable\n"
    assert machine.read(f"memory/memory{machine.memory('b').blocks[0]}/valid_zones") == "Movable Normal\n"
    machine.write("/sys/module/memory_hotplug/parameters/auto_movable_ratio", "50")  # four blocks

    assert machine.read(f"memory/memory{machine.memory('b').blocks[0]}/valid_zones") == "Movable Normal\n"
    machine.write("/sys/module/memory_hotplug/parameters/auto_movable_ratio", "49\n")
    assert machine.read(f"memory/memory{machine.memory('b').blocks[0]}/valid_zones") == "Normal Movable\n"


def test_memory_without_a_group_is_counted_block_by_block(boot: Boot) -> None:
    """The probe file brings a block of its own each time."""
    machine = boot(kernel="linux-6.12", memory="1G", cmdline=f"{POLICY} {RATIO}=37")  # 96993 pages: two blocks

    assert dimms(machine, "128M", "128M", "128M", driver="probe") == "M M N"


@pytest.mark.parametrize("at_once", [True, False])
def test_kernel_memory_of_a_dynamic_group_lets_more_of_it_be_movable(boot: Boot, at_once: bool) -> None:
    """Six blocks are Movable, two more fit; then every kernel block makes room for one Movable block."""
    machine = boot(kernel="linux-6.12", memory="1G", cmdline=f"{POLICY} {RATIO}=100")
    assert dimms(machine, "768M", zone="movable") == "MMMMMM"
    memory = machine.add_memory(driver="virtio_mem", name="v", size="1G")
    for blocks in [str(memory)] if at_once else [f"block {block}" for block in memory.blocks]:
        machine.online(blocks)

    assert letters(machine, "v") == "MMNMNMNM"


def test_another_dynamic_group_takes_its_share_of_kernel_memory(boot: Boot) -> None:
    """Group v has four Movable blocks and none in a kernel zone: it claims four of eight for itself."""
    machine = boot(kernel="linux-6.12", memory="1G", cmdline=f"{POLICY} {RATIO}=100")
    assert dimms(machine, "512M", driver="virtio_mem", zone="movable") == "MMMM"

    assert dimms(machine, "640M") == "NNNNN"  # 8 - 4 blocks are left, 5 are needed
    machine.online(machine.add_memory(driver="acpi", name="c", size="512M"))
    assert letters(machine, "c") == "MMMM"


def test_big_blocks_are_judged_as_units(boot: Boot) -> None:
    """A unit of four blocks is Movable if all of it fits, and stays with the zone of its first block."""
    machine = boot(kernel="linux-6.12", memory="1G", cmdline=f"{POLICY} {RATIO}=75")  # 196608 pages: six blocks
    memory = machine.add_memory(
        driver="virtio_mem", name="v", size="1G", address="8G", force_bbm=True, bbm_block_size="512M"
    )
    machine.online(memory)

    # The first unit fits. The second does not; each of its kernel blocks raises the allowance by 3/4
    # of a block, but a unit that has begun in a kernel zone stays there.
    assert letters(machine, "v") == "MMMMNNNN"


@pytest.mark.parametrize(("aware", "zones"), [("Y", "N"), ("N", "M"), ("0", "M")])
def test_the_ratio_holds_on_the_node_too(boot: Boot, aware: str, zones: str) -> None:
    """Node 1 has no kernel memory of its own, so that nothing may be Movable there."""
    cmdline = f"{POLICY} memory_hotplug.auto_movable_numa_aware={aware}"
    machine = boot(kernel="linux-6.12", memory="1G", cmdline=cmdline)
    machine.online(machine.add_memory(driver="acpi", name="d", size="128M", node=1))

    assert letters(machine, "d") == zones


@pytest.mark.parametrize(("node", "size", "zones"), [(0, "1G", "MMMMMMMM"), (1, "640M", "NNNNN"), (1, "512M", "MMMM")])
def test_a_dynamic_group_claims_kernel_memory_of_its_own_node_only(
    boot: Boot, node: int, size: str, zones: str
) -> None:
    """Each node has eight kernel blocks. Group v claims four on node 1, and none on node 0.

    On all nodes together twelve are left, so that the node decides in each case.
    """
    nodes = [{"node": 0, "size": "1G"}, {"node": 1, "size": "1G"}]
    machine = boot(kernel="linux-6.12", memory=nodes, cmdline=f"{POLICY} {RATIO}=100")
    machine.online(machine.add_memory(driver="virtio_mem", name="v", size="512M", node=1), zone="movable")
    machine.online(machine.add_memory(driver="acpi", name="d", size=size, node=node))

    assert letters(machine, "d") == zones


def test_dynamic_groups_on_two_nodes_claim_from_both(boot: Boot) -> None:
    """Eight of sixteen blocks are claimed, four on each node: a DIMM of four blocks is Movable, one of five is not."""
    nodes = [{"node": 0, "size": "1G"}, {"node": 1, "size": "1G"}]
    machine = boot(kernel="linux-6.12", memory=nodes, cmdline=f"{POLICY} {RATIO}=100")
    for node in (0, 1):
        memory = machine.add_memory(driver="virtio_mem", name=f"v{node}", size="512M", node=node)
        machine.online(memory, zone="movable")
    for node, size, zones in ((0, "640M", "NNNNN"), (0, "512M", "MMMM"), (1, "640M", "NNNNN"), (1, "512M", "MMMM")):
        memory = machine.add_memory(driver="acpi", name=f"d{node}{size}", size=size, node=node)
        machine.online(memory)
        assert letters(machine, str(memory)) == zones


def test_movablecore_counts_as_movable(boot: Boot) -> None:
    """Boot memory that is Movable is no kernel memory, and takes part of the allowance."""
    machine = boot(kernel="linux-6.12", memory="1G", cmdline=f"{POLICY} {RATIO}=100 movablecore=256M")

    assert dimms(machine, "640M", "512M") == "NNNNN MMMM"  # 6 kernel blocks, 2 Movable ones: 4 more


def test_before_5_15_there_is_no_such_policy(boot: Boot) -> None:
    """The parameter is unknown there, which a kernel ignores."""
    assert dimms(boot(kernel="linux-5.13", memory="1G", cmdline=POLICY), "128M") == "N"


def test_nothing_is_movable_at_ratio_0_whatever_groups_there_are(boot: Boot) -> None:
    """Also where a growing device asks for its share of kernel memory."""
    machine = boot(kernel="linux-6.12", memory="1G", cmdline=f"{POLICY} {RATIO}=0")
    machine.add_memory(driver="virtio_mem", name="region", size="256M", device_size="256M")
    assert dimms(machine, "128M") == "N"


def test_pages_of_cma_count_as_movable_and_not_as_kernel_pages(boot: Boot) -> None:
    """Half of boot memory in CMA: 131072 kernel pages, and as many movable ones already."""
    machine = boot(kernel="linux-6.12", memory="1G", cmdline=f"{POLICY} {RATIO}=200")
    assert dimms(machine.copy(), "1G", "1G", "128M") == "MMMMMMMM MMMMMMMM N"
    zone = max(machine.kernel.state.zones(), key=lambda zone: zone.present)
    zone.cma = 131072
    assert dimms(machine.copy(), "512M", "128M") == "MMMM N"


def test_cma_inside_of_movable_memory_counts_once(boot: Boot) -> None:
    """Of boot memory that is Movable it is a part of what is there already, and takes no kernel page from anybody."""
    line = f"{POLICY} {RATIO}=200 movablecore=512M"
    machine = boot(kernel="linux-6.12", memory="1G", cmdline=line)
    before = dimms(machine.copy(), "512M", "128M")
    zones = {zone.kind: zone for zone in machine.kernel.state.zones()}
    zones[ZoneKind.MOVABLE].cma = 65536
    assert dimms(machine.copy(), "512M", "128M") == before == "MMMM N"


def test_kernel_memory_that_other_groups_need_wholly_is_nobody_elses(boot: Boot) -> None:
    """As much as there is, is too much: nothing of it is left to allow anything, not even with own kernel pages."""
    machine = boot(kernel="linux-6.12", memory="1G", cmdline=f"{POLICY} {RATIO}=100")
    state = machine.kernel.state.profile
    assert isinstance(state, MainlineState)
    other = Group(nid=0, max_pages=0, unit_pages=32768, present_kernel=0, present_movable=262144)
    own = Group(nid=0, max_pages=0, unit_pages=32768, present_kernel=65536, present_movable=0)
    for present, allowed in ((262144, False), (262143, True)):
        state.groups = (other._replace(present_movable=present), own)
        zones = {zone.kind: zone for zone in machine.kernel.state.zones()}
        zones[ZoneKind.MOVABLE].present = present
        room = _room(machine.kernel, state, own, None)
        assert (room is not None and room.movable_for(32768)) is allowed


@pytest.mark.parametrize("seed", range(40))
def test_blocks_in_a_run_go_where_single_blocks_would(boot: Boot, seed: int) -> None:
    """Whatever came before: ratio, nodes, groups, units, kernel memory of the device itself."""
    dice = random.Random(seed)
    ratio, aware = dice.choice((0, 1, 25, 33, 75, 100, 150, 301, 1000)), dice.choice("YN")
    line = f"{POLICY} {RATIO}={ratio} memory_hotplug.auto_movable_numa_aware={aware}"
    nodes = dice.choice((1, 2))
    sizes = [{"node": node, "size": dice.choice(("512M", "1G"))} for node in range(nodes)]
    machine = boot(kernel=dice.choice(("linux-5.15", "linux-6.12")), memory=sizes, cmdline=line)
    added: list[int] = []
    for number in range(dice.choice((1, 2, 3))):
        memory = machine.add_memory(name=f"d{number}", node=dice.choice((None, nodes - 1)), **_device(dice))
        added += memory.blocks
    for block in dice.sample(added, len(added) // 8):
        machine.online(f"block {block}", zone=dice.choice(("kernel", "movable")))
    offline = [block for block in added if machine.read(f"memory/memory{block}/state") == "offline\n"]
    single = machine.copy()

    online_runs(machine.kernel, offline, OnlineType.ONLINE)
    for block in offline:
        single.online(f"block {block}")

    assert machine.to_dict() == single.to_dict()


def _device(dice: random.Random) -> dict[str, object]:
    """Return the keys of a device whose memory stays offline; those that grow bring 1G at most so."""
    driver = dice.choice(("acpi", "virtio_mem", "virtio_mem", "big", "probe", "hv_balloon"))
    if driver == "big":
        return {"driver": "virtio_mem", "size": "1G", "force_bbm": True, "bbm_block_size": "512M"}
    size = {"acpi": dice.randrange(1, 24), "probe": 1}.get(driver, dice.randrange(1, 9))
    return {"driver": driver, "size": f"{size * 128}M"}
