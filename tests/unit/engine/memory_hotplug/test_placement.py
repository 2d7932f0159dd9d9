"""Where memory goes that nobody gives an address: above all memory, and not into what is somebody's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from memhotplug import Machine
from memhotplug.cli import main
from memhotplug.model.blocks import BlockState

GIB = 1 << 30
RECORDINGS = Path(__file__).parents[3] / "data" / "recordings"


def _start(machine: Machine, name: str) -> int:
    index = machine.kernel.state.device_index(name)
    assert index is not None
    return machine.kernel.state.devices[index].ranges[0][0]


@pytest.mark.parametrize("driver", ["acpi", "dax", "hv_balloon", "xen"])
@pytest.mark.parametrize("plugged", [0, 1 * GIB, 3 * GIB])
def test_no_driver_adds_into_the_region_of_a_virtio_mem_device(driver: str, plugged: int) -> None:
    """However full it is; all of what was added goes online."""
    cmdline = "memhp_default_state=online_movable"
    machine = Machine.boot(arch="x86_64", kernel="linux-6.12", memory="4G", cmdline=cmdline)
    machine.add_memory(driver="virtio_mem", name="vm0", size=GIB, device_size=8 * GIB)
    machine.resize("vm0", plugged)

    machine.add_memory(driver=driver, name="other", size=2 * GIB)

    assert _start(machine, "other") == 12 * GIB
    assert (machine.kernel.state.blocks.state == BlockState.ONLINE).all()
    assert machine.violations() == []


def test_gaps_are_filled_only_where_all_of_it_fits() -> None:
    """A region that lies apart leaves room below it, and nothing begins below it and ends in it."""
    machine = Machine.boot(arch="x86_64", kernel="linux-6.12", memory="4G")
    machine.add_memory(driver="virtio_mem", name="vm0", size=0x8000000, device_size=GIB, address=6 * GIB)
    machine.remove("vm0")
    machine.add_memory(driver="acpi", name="large", size=3 * GIB)
    assert _start(machine, "large") == 7 * GIB
    machine.remove("large")
    machine.add_memory(driver="acpi", name="small", size=2 * GIB)
    assert _start(machine, "small") == 4 * GIB


def test_a_second_virtio_mem_device_has_a_region_of_its_own() -> None:
    """And one that is made anew under its old name gets its place back."""
    machine = Machine.boot(arch="x86_64", kernel="linux-6.12", memory="4G")
    machine.add_memory(driver="virtio_mem", name="vm0", size=GIB, device_size=8 * GIB)
    machine.add_memory(driver="virtio_mem", name="vm1", size=GIB, device_size=8 * GIB)
    assert (_start(machine, "vm0"), _start(machine, "vm1")) == (4 * GIB, 12 * GIB)


def test_a_dax_region_stays_its_own_when_nobody_has_the_device() -> None:
    """Unbound, with all its memory removed."""
    machine = Machine.boot(arch="x86_64", kernel="linux-6.12", memory="4G")
    machine.add_memory(driver="dax", name="dax0.0", size=4 * GIB)
    machine.eject("dax0.0")
    machine.add_memory(driver="acpi", name="dimm", size=GIB)
    assert _start(machine, "dimm") == 8 * GIB


def test_standby_memory_that_is_not_configured_stays_sclps() -> None:
    """It is attached to its addresses."""
    machine = Machine.boot(arch="s390", kernel="linux-7.2", memory="4G")
    machine.add_memory(driver="sclp", name="standby", size=4 * GIB, config=False)
    machine.add_memory(driver="virtio_mem", name="vm0", size=GIB)
    assert _start(machine, "vm0") == 8 * GIB


WINDOWS = """\
00000000-1ffffffff : System RAM
{more}
8000000000-ffffffffff : PCI Bus 0000:00
"""


@pytest.fixture
def recorded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Return a function that plans an add on a machine of 8G with some lines more in /proc/iomem."""

    def ask(more: str, *arguments: str) -> dict[str, Any]:
        main(["export", "--boot", "8G", "--kernel", "6.12", "-o", str(tmp_path / "machine")])
        (tmp_path / "machine/proc/iomem").write_text(WINDOWS.format(more=more), encoding="utf-8")
        capsys.readouterr()
        scenario = tmp_path / "question.yaml"
        base = ["plan", "--from", str(tmp_path / "machine"), "--kernel", "6.12", *arguments]
        main([*base, "--scenario", str(scenario), "--brief"])
        capsys.readouterr()
        main(["run", str(scenario), "--json"])
        document: dict[str, Any] = json.loads(capsys.readouterr().out)
        step: dict[str, Any] = document["steps"][0]
        return step

    return ask


@pytest.mark.parametrize(
    ("more", "start"),
    [
        ("200000000-3ffffffff : Reserved", 16 * GIB),
        ("200000000-5ffffffff : CXL Window 0\n  200000000-3ffffffff : region0", 24 * GIB),
        (
            "200000000-2ffffffff : Soft Reserved\n300000000-3ffffffff : Persistent Memory\n"
            "  300000000-3ffffffff : namespace0.0",
            16 * GIB,
        ),
        ("200000000-3ffffffff : dax0.0", 16 * GIB),
        ("200000000-3ffffffff : virtio3", 16 * GIB),
        ("400000000-4ffffffff : Reserved", 8 * GIB),
        ("220000000-227ffffff : Reserved", 0x228000000),
    ],
)
def test_what_a_recorded_machine_has_reserved_is_passed_over(recorded: Any, more: str, start: int) -> None:
    """By a DIMM for which no address is given."""
    assert recorded(more, "--add", "1G")["start"] == start


def test_room_for_memory_ends_at_a_pci_window(recorded: Any) -> None:
    """What lies beyond is no room for DIMMs."""
    step = recorded("200000000-7fffffffff : PCI Bus 0000:01", "--add", "1G")
    assert step["message"] == (
        "0x0000000200000000-0x000000023fffffff overlaps PCI Bus 0000:01 at 0x0000000200000000-0x0000007fffffffff"
    )


@pytest.mark.parametrize("outer", ["CXL Window 0", "Soft Reserved", "Persistent Memory", "region7"])
def test_memory_goes_into_a_window_that_is_asked_for(recorded: Any, outer: str) -> None:
    """The window only describes what may lie there: it is nobody's."""
    step = recorded(f"200000000-5ffffffff : {outer}", "--add", "2G", "--driver", "dax", "--address", "0x300000000")
    assert (step["ok"], step["start"], step["size"]) == (True, 0x300000000, 2 * GIB)


def test_what_somebody_has_within_a_window_stays_taken(recorded: Any) -> None:
    """A character device, say."""
    more = "200000000-5ffffffff : CXL Window 0\n  300000000-3ffffffff : dax0.0"
    step = recorded(more, "--add", "2G", "--driver", "dax", "--address", "0x300000000")
    assert step["message"] == ("could not reserve region 0x0000000300000000-0x000000037fffffff: dax0.0 has part of it")


@pytest.mark.parametrize("step", [0, 1, 3, 5])
@pytest.mark.parametrize("name", ["auto-movable", "mom1-offline"])
def test_a_recorded_machine_with_a_part_filled_device_takes_a_dimm(
    name: str, step: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its region reaches to where nothing is plugged yet."""
    recording = RECORDINGS / f"x86_64-6.12-virtio-mem-{name}.json.xz"
    status = main(["plan", "--from", str(recording), "--step", str(step), "--add", "1G", "--json"])
    assert (status, json.loads(capsys.readouterr().out)["verdict"]) == (0, "fits")
