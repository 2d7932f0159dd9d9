"""Machines in mid-life: hot-added ranges, their devices and groups, and parameters as they stand now."""

from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path

import pytest

from memhotplug import Machine, MemoryHotplugError
from memhotplug.engine.boot.midlife import adopt
from memhotplug.engine.boot.recorded import kernel_from_machine
from memhotplug.formats.snapshot import SnapshotFiles, read_recording
from memhotplug.live.export import export
from memhotplug.model.zones import ZoneKind
from memhotplug.naming import choose_profile, read_machine

RECORDINGS = Path(__file__).parents[3] / "data" / "recordings"


def snapshot(name: str, step: int) -> SnapshotFiles:
    """Return the files of a step of a shipped recording."""
    return read_recording(RECORDINGS / f"{name}.json.xz").snapshot(step)


def booted(files: SnapshotFiles, extra: str = "") -> Machine:
    """Return the machine that files describe, with more on its command line."""
    machine = read_machine(files)
    assert machine.arch is not None
    profile = choose_profile(machine.kernel_release)
    return Machine(kernel_from_machine(machine, machine.arch, profile, f"{machine.cmdline or ''} {extra}"))


@pytest.mark.parametrize(
    ("name", "step", "devices"),
    [
        ("x86_64-6.12-mom-1-a", 0, []),
        ("x86_64-6.12-mom-1-a", 1, [("acpi-0x100000000", 1 << 30)]),
        ("x86_64-6.12-mom-1-a", 5, [("acpi-0x100000000", 1 << 30)]),
        ("ppc64el-6.12-mom-1-r", 0, []),
        ("ppc64el-6.12-mom-1-r", 1, [("pseries-0x80000000", 256 << 20), ("pseries-0x90000000", 256 << 20)]),
        ("x86_64-6.1-manual-ratio-150", 12, [("acpi-0x100000000", 1 << 30), ("acpi-0x140000000", 1 << 30)]),
    ],
)
def test_lines_of_system_ram_tell_what_was_hot_added(name: str, step: int, devices: list[tuple[str, int]]) -> None:
    """Boot memory is one line as far as it reaches; each DIMM or LMB is a line of its own."""
    machine = booted(snapshot(name, step))

    assert [(device.name, device.size) for device in machine.kernel.state.devices] == devices
    assert any("were hot-added" in line for line in machine.kernel.journal.warnings) is bool(devices)
    assert machine.violations() == []


@pytest.mark.parametrize("mask", ["1\n", "3\n"])
def test_memory_of_a_node_that_is_not_online_is_there(mask: str) -> None:
    """The mask of nodes contradicts zones and blocks: these count, and blocks of that node go online."""
    files = snapshot("x86_64-6.12-mom-1-a", 1)
    texts = dict(files.files) | {"sys/devices/system/node/online": mask}
    machine, right = booted(replace(files, files=texts)), booted(files)

    assert "inconsistent: node 0 has memory blocks, but is not online" in machine.kernel.journal.warnings
    assert machine.kernel.state.total_managed() == right.kernel.state.total_managed()
    machine.online("block 32")
    right.online("block 32")
    assert machine.to_dict()["blocks"] == right.to_dict()["blocks"]
    assert machine.violations() == []


def test_a_recognised_device_can_be_ejected_by_its_name() -> None:
    """Its blocks, its resource and its memmap go, as they do for one that was added before our eyes."""
    machine = booted(snapshot("x86_64-6.12-mom-0-a", 9))
    before = machine.kernel.state.total_managed()

    machine.eject("acpi-0x100000000")

    assert machine.kernel.state.blocks.id.max() == 7
    assert before - machine.kernel.state.total_managed() == 262144
    assert machine.violations() == []


def test_boot_memory_that_the_command_line_makes_movable_was_not_added() -> None:
    """With movablecore= a line of System RAM may be Movable from the start."""
    machine = booted(snapshot("arm64-6.12-movablecore", 0))

    assert machine.kernel.state.devices == []


def test_a_device_gets_the_name_by_which_somebody_knows_it() -> None:
    """Only memory that is there, and that has no other name yet."""
    machine = booted(snapshot("x86_64-6.12-mom-1-a", 1))

    assert not adopt(machine.kernel, "d1", 8 << 30, 1 << 30)
    assert adopt(machine.kernel, "d0", 4 << 30, 1 << 30)
    assert not any(device.name == "acpi-0x100000000" for device in machine.kernel.state.devices)
    machine.eject("d0")
    with pytest.raises(MemoryHotplugError) as caught:
        machine.eject("d0")
    assert caught.value.errno == errno.ENODEV


def test_neighbouring_memory_of_one_device_is_one_device() -> None:
    """A device of two LMBs takes both over."""
    machine = booted(snapshot("ppc64el-6.12-mom-1-r", 1))

    assert adopt(machine.kernel, "d0", 0x80000000, 512 << 20)
    (device,) = (device for device in machine.kernel.state.devices if device.ranges)
    assert (device.name, device.ranges) == ("d0", ((0x80000000, 256 << 20), (0x90000000, 256 << 20)))
    blocks = machine.kernel.state.blocks
    assert len(set(blocks.device[blocks.id >= 8].tolist())) == 1


def test_groups_know_what_is_online() -> None:
    """Eight blocks of one DIMM online under the ratio of 150 %: kernel and movable pages of its group add up."""
    machine = booted(snapshot("x86_64-6.1-manual-ratio-150", 9))
    blocks = machine.kernel.state.blocks

    assert set(blocks.group[blocks.id >= 32].tolist()) == {0}
    assert set(blocks.group[blocks.id < 32].tolist()) == {-1}
    assert machine.violations() == []  # I7 counts them


def test_parameters_stand_as_they_were_written() -> None:
    """What /sys/module shows counts before the command line; what the reader asks for counts before both."""
    files = snapshot("x86_64-6.1-manual-ratio-150", 9)
    path = "sys/module/memory_hotplug/parameters/auto_movable_ratio"
    written = SnapshotFiles(
        source=files.source, kind=files.kind, step=files.step, meta=files.meta, files={**files.files, path: "400\n"}
    )

    def ratio(machine: Machine) -> str:
        return machine.kernel.profile.module_parameters(machine.kernel)["auto_movable_ratio"].strip()

    assert ratio(booted(files)) == "150"
    assert ratio(booted(written)) == "400"
    assert ratio(booted(written, "memory_hotplug.auto_movable_ratio=90")) == "90"


@pytest.mark.parametrize("word", ["", "movable_node"])
def test_memory_that_is_all_offline_was_added_whatever_the_command_line_says(word: str) -> None:
    """Boot memory comes online by itself; ``movable_node`` makes some of it Movable, but none offline."""
    files = snapshot("x86_64-6.12-mom-0-a", 1)
    machine = read_machine(files)
    assert machine.arch is not None
    profile = choose_profile(machine.kernel_release)
    recorded = replace(machine, cmdline=f"{machine.cmdline} {word}")
    kernel = kernel_from_machine(recorded, machine.arch, profile, recorded.cmdline or "")

    assert [device.size for device in kernel.state.devices] == [1 << 30]


@pytest.mark.parametrize("name", ["ppc64el-6.12-64k-two-nodes", "ppc64el-6.12-64k-hash"])
def test_boot_memory_of_the_next_node_was_not_added(name: str) -> None:
    """Where /proc/iomem has a line for each node, only what a zone lacks tells: boot memory has reserved pages."""
    machine = booted(snapshot(name, 0))

    assert machine.kernel.state.devices == []
    assert machine.kernel.state.zone((1, ZoneKind.NORMAL)).present_early == 8192


def test_nodes_have_the_cpus_that_were_recorded() -> None:
    """Where no file says which nodes have CPUs, every node may."""
    files = snapshot("x86_64-6.12-memoryless-cpu-node", 0)
    without = {name: text for name, text in files.files.items() if not name.endswith("/has_cpu")}

    nodes = [booted(one).kernel.state.nodes for one in (files, replace(files, files=without))]
    assert [[node.has_cpu for node in of.values()] for of in nodes] == [[True, True, False], [True, True, True]]


def test_a_hash_guest_without_huge_pages_has_small_ones_in_its_vmemmap() -> None:
    """/proc/meminfo of such a guest has no line Hugepagesize."""
    machine = booted(snapshot("ppc64el-6.12-64k-hash", 0))

    assert set(machine.kernel.state.vmemmap.runs.leaf.tolist()) == {1}


@pytest.mark.parametrize("arch", ["x86_64", "arm64"])
@pytest.mark.parametrize("flag", ["1", "force"])
def test_boot_memory_that_lacks_just_its_memmap_does_not_host_it(arch: str, flag: str, tmp_path: Path) -> None:
    """A node on which nothing else is reserved has its memmap in one place: its free chunks are larger than blocks
    with memmap of their own would leave."""
    nodes = [{"node": 0, "size": "3G"}, {"node": 1, "size": "2G"}]
    machine = Machine.boot(
        arch=arch, kernel="linux-6.12", memory=nodes, cmdline=f"memory_hotplug.memmap_on_memory={flag}"
    )
    export(machine.kernel, str(tmp_path / "machine"))
    again = Machine.boot(snapshot=str(tmp_path / "machine"), arch=arch, kernel="linux-6.12")
    assert again.to_dict()["memmap"]["self_hosted_pages"] == 0
    assert [warning for warning in again.to_dict()["warnings"] if "host" in warning] == []
    assert [(zone["node"], zone["zone"], zone["free_by_order"]) for zone in again.to_dict()["zones"]] == [
        (zone["node"], zone["zone"], zone["free_by_order"]) for zone in machine.to_dict()["zones"]
    ]


def test_self_hosting_that_leaves_room_is_still_recognised(tmp_path: Path) -> None:
    """The memory that was added to such a machine, and none of that it booted with."""
    nodes = [{"node": 0, "size": "3G"}, {"node": 1, "size": "2G"}]
    machine = Machine.boot(
        arch="x86_64", kernel="linux-6.12", memory=nodes, cmdline="memory_hotplug.memmap_on_memory=1"
    )
    dimm = machine.add_memory(driver="acpi", name="dimm0", size="1G", node=1)
    machine.online(dimm, zone="movable")
    export(machine.kernel, str(tmp_path / "machine"))
    again = Machine.boot(snapshot=str(tmp_path / "machine"), arch="x86_64", kernel="linux-6.12")
    hosts = [block["id"] for block in again.to_dict()["blocks"] if block["vmemmap_pages"] == 512]
    assert hosts == list(dimm.blocks)


def test_memory_inside_of_a_recorded_region_is_told(tmp_path: Path) -> None:
    """What /proc/iomem shows below a device's region is System RAM as any other."""
    machine = Machine.boot(arch="x86_64", kernel="linux-6.12", memory="2G")
    machine.add_memory(driver="dax", name="dax0", size="1G")
    export(machine.kernel, str(tmp_path / "machine"))
    again = Machine.boot(snapshot=str(tmp_path / "machine"), arch="x86_64", kernel="linux-6.12")
    assert again.read("/proc/iomem") == machine.read("/proc/iomem")
    shown = [(entry["start"], entry["name"]) for entry in again.to_dict()["iomem"]]
    assert shown == [(0, "System RAM"), (4 << 30, "dax0.0"), (4 << 30, "System RAM (kmem)")]
