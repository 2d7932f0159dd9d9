"""Devices of recorded machines that /proc/iomem names: virtio-mem regions and device-dax instances."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from memhotplug import Machine
from memhotplug.engine.boot.recorded import KnownPages, kernel_from_machine
from memhotplug.engine.memory_hotplug.add import resize
from memhotplug.engine.slab import SLAB
from memhotplug.formats.snapshot import SnapshotFiles, open_snapshot, read_recording
from memhotplug.live.export import export
from memhotplug.model.extents import ExtentSet
from memhotplug.naming import choose_profile, read_machine

RECORDINGS = Path(__file__).parents[3] / "data" / "recordings"
VIRTIO = "x86_64-6.12-virtio-mem-auto-movable"
OFFLINE = "x86_64-6.12-virtio-mem-mom1-offline"
MIB = 1 << 20
SHARED = "inferred: node 0 zone Movable lacks {} pages of several devices: the last of them lack first"


def files_of(name: str, step: int, changes: dict[str, str] | None = None) -> SnapshotFiles:
    """Return the files of a step of a shipped recording, some of them changed."""
    files = read_recording(RECORDINGS / f"{name}.json.xz").snapshot(step)
    return replace(files, files={**files.files, **(changes or {})})


def booted(files: SnapshotFiles, log: dict[str, dict[str, int]] | None = None) -> Machine:
    """Return the machine that files and a log describe."""
    machine = read_machine(files)
    assert machine.arch is not None
    profile = choose_profile(machine.kernel_release)
    return Machine(kernel_from_machine(machine, machine.arch, profile, machine.cmdline or "", log=lambda: log or {}))


def plugged(machine: Machine) -> int:
    """Return the bytes of the hot-added blocks that are not withheld."""
    state = machine.kernel.state
    blocks = int((state.blocks.early == 0).sum()) * machine.kernel.geometry.memory_block_size
    return blocks - state.withheld.total * machine.kernel.geometry.page_size


def inferred(machine: Machine) -> list[str]:
    """Return what the machine says of the device that it found."""
    return [line for line in machine.kernel.journal.warnings if "virtio0" in line or "dax0.0" in line]


@pytest.mark.parametrize(("step", "size"), [(0, 0), (1, 512), (2, 1024), (3, 3072), (4, 1024), (5, 4)])
def test_a_virtio_mem_region_is_a_device_with_what_is_plugged(step: int, size: int) -> None:
    """At every step of a device's life; what zones lack tells the unplugged subblocks of online blocks."""
    machine = booted(files_of(VIRTIO, step))

    (device,) = machine.kernel.state.devices
    assert (device.name, device.driver, plugged(machine)) == ("virtio0", "virtio_mem", size * MIB)
    assert (device.group >= 0) is True
    assert machine.violations() == []
    assert inferred(machine) == [
        "inferred: 0x0000000100000000-0x00000001ffffffff is virtio0, a device of virtio_mem: /proc/iomem names it",
        "inferred: virtio0: device blocks of 2M",
    ]


def test_a_recognised_device_grows_and_shrinks_as_its_driver_has_it() -> None:
    """Its region is claimed, its memory is one line of System RAM again, its blocks go from the highest on."""
    machine = booted(files_of(VIRTIO, 1))

    resize(machine.kernel, "virtio0", 768 * MIB)
    assert plugged(machine) == 768 * MIB
    ram = [(entry.start, entry.size) for entry in machine.kernel.state.resources if "virtio_mem" in entry.name]
    assert ram == [(4 << 30, 768 * MIB)]
    resize(machine.kernel, "virtio0", 256 * MIB)
    assert machine.kernel.state.blocks.id.max() == 33
    assert machine.violations() == []


@pytest.mark.parametrize(
    ("log", "size", "said"),
    [
        ({}, 640, "virtio0: device blocks of 2M and all of its offline blocks plugged"),
        ({"device block size": 4 * MIB}, 640, "virtio0: all of its offline blocks plugged"),
        ({"device block size": 2 * MIB, "requested size": 518 * MIB}, 518, None),
        ({"device block size": 2 * MIB, "requested size": 9 << 30}, 640, "virtio0: all of its offline blocks plugged"),
    ],
)
def test_of_offline_blocks_only_the_log_tells(log: dict[str, int], size: int, said: str | None) -> None:
    """Five blocks of which one has 6 MiB: a log of another time, which cannot be, is not believed."""
    machine = booted(files_of(OFFLINE, 2), {"virtio0": log})

    assert plugged(machine) == size * MIB
    assert inferred(machine)[1:] == ([f"inferred: {said}"] if said else [])


@pytest.mark.parametrize("kept", [1024, 2048])
def test_flags_tell_which_pages_of_online_blocks_are_kept(kept: int) -> None:
    """Block 39 has 4 MiB left: flags say which, as long as they fit what the zone lacks."""
    low, high = 39 << 15, 40 << 15
    machine = read_machine(files_of(VIRTIO, 5))
    assert machine.arch is not None
    offline = ExtentSet.of((low, low + 512), (low + 512 + kept, high))
    known = KnownPages(
        covered=ExtentSet.of((low, high)),
        free=ExtentSet(),
        waiting=ExtentSet(),
        reserved=ExtentSet(),
        movable=ExtentSet(),
        offline=offline,
    )
    profile = choose_profile(machine.kernel_release)
    kernel = kernel_from_machine(machine, machine.arch, profile, machine.cmdline or "", known)

    expected = offline if kept == 1024 else ExtentSet.of((low + 1024, high))
    assert list(kernel.state.withheld) == list(expected)


def two_devices(folder: Path, sizes: tuple[str, str]) -> Machine:
    """Return the machine that a machine with two virtio-mem devices and a DIMM, all of it Movable, is read as."""
    line = "memory_hotplug.memmap_on_memory=1 memhp_default_state=online_movable"
    machine = Machine.boot(arch="x86_64", kernel="linux-6.12", memory="1G", cmdline=line)
    machine.add_memory(driver="virtio_mem", size=sizes[0], device_size="1G")
    machine.add_memory(driver="acpi", size="256M")
    machine.add_memory(driver="virtio_mem", size=sizes[1], device_size="1G")
    export(machine.kernel, str(folder / "machine"))
    again = Machine.boot(snapshot=str(folder / "machine"), arch="x86_64", kernel="linux-6.12")
    zones = again.to_dict()["zones"]
    assert [zone["managed"] for zone in zones] == [zone["managed"] for zone in machine.to_dict()["zones"]]
    assert again.violations() == []
    return again


@pytest.mark.parametrize(
    ("sizes", "plugged_pages"),
    [
        (("512M", "192M"), (131072, 49152)),
        (("192M", "512M"), (65536, 114688)),
        (("130M", "130M"), (33280, 33280)),
        (("256M", "256M"), (65536, 65536)),
    ],
)
def test_what_a_zone_lacks_is_that_of_all_devices_in_it_once(
    sizes: tuple[str, str], plugged_pages: tuple[int, int], tmp_path: Path
) -> None:
    """Nothing tells whose it is: the highest blocks lack first, as within one device, and the answer says so."""
    machine = two_devices(tmp_path, sizes)
    state = machine.kernel.state
    found = []
    for index, device in enumerate(state.devices):
        if device.driver == "virtio_mem":
            rows = [row for row in range(len(state.blocks)) if state.blocks.value("device", row) == index]
            bounds = [(state.blocks.value("id", row) << 15, (state.blocks.value("id", row) + 1) << 15) for row in rows]
            held = ExtentSet.of(*bounds)
            found.append(held.total - held.covered_by(state.withheld))
    assert tuple(found) == plugged_pages
    said = [line for line in machine.kernel.journal.warnings if "several devices" in line]
    assert said == ([SHARED.format(state.withheld.total)] if state.withheld.total else [])


def test_flags_tell_which_of_several_devices_lacks(tmp_path: Path) -> None:
    """The first one, of which half a block is not plugged, though the last would lack first."""
    two_devices(tmp_path, ("192M", "512M"))
    files = open_snapshot(tmp_path / "machine")
    offline = ExtentSet.of(((33 << 15) + 16384, 34 << 15))
    covered = ExtentSet.of((32 << 15, 34 << 15), (42 << 15, 46 << 15))
    nothing = ExtentSet()
    known = KnownPages(
        covered=covered, free=nothing, waiting=nothing, reserved=nothing, movable=nothing, offline=offline
    )
    kernel = kernel_from_machine(read_machine(files, "x86_64"), "x86_64", "linux-6.12", "", known)

    assert list(kernel.state.withheld) == list(offline)
    assert not [line for line in kernel.journal.warnings if "several devices" in line]


def test_a_kernel_zone_that_was_empty_at_boot_has_its_slab_in_its_first_block() -> None:
    """Blocks 39, 41 … 53 are Normal: what is in use there, and memmap, lies in block 39, and that block stays."""
    machine = booted(files_of(VIRTIO, 4))
    slab = machine.kernel.state.allocations[SLAB].pages

    assert slab.total > 0
    assert slab.covered(39 << 15, 40 << 15) == slab.total
    resize(machine.kernel, "virtio0", 256 * MIB)
    assert machine.kernel.state.blocks.id.tolist()[-2:] == [39, 41]


def test_a_dax_device_in_use_as_memory_is_a_device() -> None:
    """It lies in the range that its firmware reserved, below the name of the instance; its blocks are one group."""
    iomem = files_of("x86_64-6.12-mom-0-a", 1).files["proc/iomem"]
    assert "100000000-13fffffff : System RAM\n" in iomem
    changed = iomem.replace(
        "100000000-13fffffff : System RAM\n",
        "100000000-13fffffff : Soft Reserved\n  100000000-13fffffff : dax0.0\n"
        "    100000000-13fffffff : System RAM (kmem)\n",
    )
    machine = booted(files_of("x86_64-6.12-mom-0-a", 1, {"proc/iomem": changed}))

    (device,) = machine.kernel.state.devices
    assert (device.name, device.driver, device.size) == ("dax0.0", "dax", 1 << 30)
    assert device.group >= 0
    assert inferred(machine) == [
        "inferred: 0x0000000100000000-0x000000013fffffff is dax0.0, a device of dax: /proc/iomem names it"
    ]
    machine.eject("dax0.0")
    assert machine.kernel.state.blocks.id.max() == 7


def test_memory_of_a_name_that_no_driver_has_is_no_device() -> None:
    """``System RAM (other)`` was hot-added all the same."""
    iomem = files_of("x86_64-6.12-mom-0-a", 1).files["proc/iomem"]
    changed = iomem.replace("100000000-13fffffff : System RAM\n", "100000000-13fffffff : System RAM (other)\n")
    machine = booted(files_of("x86_64-6.12-mom-0-a", 1, {"proc/iomem": changed}))

    assert machine.kernel.state.devices == []
    assert not machine.kernel.state.early.intersects(32 << 15, 33 << 15)
