"""QEMU's command line, process and monitor."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

pytest.importorskip("qemu.qmp", reason="the library qemu.qmp is not installed (extra: record)")

from tools.record.errors import RecordError
from tools.record.qemu import MonitorRefusedError, Qemu, command_line, shown_command, version
from tools.record.scenario import Scenario, parse


def _scenario(arch: str = "x86_64", memory: str = "1G", **keys: object) -> Scenario:
    cmdline = "memhp_default_state=offline"
    return parse({"name": "n", "what": "w", "arch": arch, "memory": memory, "cmdline": cmdline, "steps": []} | keys)


def _shown(scenario: Scenario) -> str:
    return shown_command(
        command_line(scenario, binary="/opt/q/qemu", kernel="/boot/vmlinuz", initrd="/tmp/x/initrd.gz")
    )


HEAD = "-kernel vmlinuz -initrd initrd.gz -append"
TAIL = "-nodefaults -no-reboot -monitor none"
PSERIES = "pseries,cap-cfpc=broken,cap-sbbc=broken,cap-ibs=broken,cap-ccf-assist=off"


@pytest.mark.parametrize(
    ("arch", "machine", "memory", "console", "end"),
    [
        ("x86_64", "pc", "1024M,slots=16,maxmem=65536M", "ttyS0", f"-vga none {TAIL} -serial stdio"),
        ("ppc64el", PSERIES, "1024M,slots=16,maxmem=65536M", "hvc0", f"-vga none {TAIL} -serial stdio"),
        ("arm64", "virt", "1024M", "ttyAMA0", f"-vga none {TAIL} -serial stdio"),
        (
            "s390x",
            "s390-ccw-virtio",
            "1024M",
            "ttysclp0",
            f"{TAIL} -chardev stdio,id=con0 -device sclpconsole,chardev=con0",
        ),
    ],
)
def test_command_line_is_that_of_the_published_recordings(
    arch: str, machine: str, memory: str, console: str, end: str
) -> None:
    """Emulation everywhere, no device but a console, no directory of this machine."""
    cpu = {"ppc64el": "-cpu power9 ", "arm64": "-cpu cortex-a57 "}.get(arch, "")

    assert _shown(_scenario(arch)) == (
        f"qemu -machine {machine} -accel tcg {cpu}-m {memory} -smp 1 {HEAD} console={console} panic=-1 loglevel=7 "
        f"memhp_default_state=offline -display none {end}"
    )


def test_nodes_get_memory_and_processors_of_their_own() -> None:
    """Processors are numbered through; a node without memory has no backend."""
    nodes = [{"memory": "1G", "cpus": 2}, {"memory": "1G", "cpus": 1}, {}]
    shown = _shown(_scenario(memory="2G", numa=nodes))

    assert shown.partition("-serial stdio ")[2] == (
        "-object memory-backend-ram,id=n0,size=1G -object memory-backend-ram,id=n1,size=1G "
        "-numa node,nodeid=0,memdev=n0,cpus=0-1 -numa node,nodeid=1,memdev=n1,cpus=2 -numa node,nodeid=2"
    )


def test_sizes_of_nodes_are_exact() -> None:
    """A size for people is rounded, and QEMU refuses nodes that do not add up to the memory."""
    nodes = [{"memory": "2304M", "cpus": 1}, {"memory": "768M"}]

    shown = _shown(_scenario(memory="3G", numa=nodes))

    assert "id=n0,size=2304M " in shown
    assert "id=n1,size=768M " in shown


def test_processor_of_the_scenario_is_used() -> None:
    """arm64 kernels with pages of 16K do not start on the one that is used otherwise."""
    assert "-cpu neoverse-n1 " in _shown(_scenario("arm64", cpu="neoverse-n1"))


def _run(program: Path, cmdline: str = "") -> tuple[Qemu, int]:
    """Start a fake QEMU, plug a DIMM in and out, and return what is left of it."""

    async def run() -> tuple[Qemu, int]:
        command = command_line(_scenario(cmdline=cmdline), binary=str(program), kernel="k", initrd="i")
        async with Qemu.run(command) as qemu:
            dimm = await qemu.monitor.add_dimm("d0", 1 << 28, node=0)
            assert (dimm.address, dimm.size) == (1 << 32, 1 << 28)
            added = await qemu.monitor.wait_event(5)
            assert added is not None
            assert added["event"] == "ACPI_DEVICE_OST"
            assert "timestamp" not in added
            await qemu.monitor.remove_dimm("d0")
            events = [await qemu.monitor.wait_event(5) for _ in range(3)]
            assert [event["event"] for event in events if event] == [
                "ACPI_DEVICE_OST",
                "DEVICE_DELETED",
                "ACPI_DEVICE_OST",
            ]
            assert len(qemu.monitor.take_events()) == 4
            assert qemu.monitor.take_events() == []
            assert await qemu.monitor.wait_event(0.01) is None
            await qemu.monitor.forget_dimm("d0")
            with pytest.raises(MonitorRefusedError) as caught:
                await qemu.monitor.add_dimm("d1", 1 << 27, address=1)
            assert str(caught.value) == "QEMU refuses device_add: no room"
            return qemu, qemu._process.pid

    return asyncio.run(run())


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_dimms_come_and_go_through_the_monitor(fake_qemu: Path) -> None:
    """Events of other devices are passed over; the process is gone afterwards."""
    _, pid = _run(fake_qemu)

    assert not _alive(pid)


def test_process_is_killed_when_the_recording_fails(fake_qemu: Path) -> None:
    """Whatever is raised inside."""
    pids = []

    async def run() -> None:
        command = command_line(_scenario(), binary=str(fake_qemu), kernel="k", initrd="i")
        async with Qemu.run(command) as qemu:
            pids.append(qemu._process.pid)
            raise KeyError

    with pytest.raises(KeyError):
        asyncio.run(run())

    assert not _alive(pids[0])


def test_qemu_that_does_not_start_is_quoted(fake_qemu: Path) -> None:
    """Its standard error says why."""
    with pytest.raises(RecordError) as caught:
        _run(fake_qemu, "fake=broken")

    assert str(caught.value).splitlines()[1] == "it said: fake: no such machine"


def test_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    """Both where it is asked for its version and where it is started."""
    missing = tmp_path / "qemu"
    messages = []
    for action in (lambda: asyncio.run(version(str(missing))), lambda: _run(missing)):
        with pytest.raises(RecordError) as caught:
            action()
        messages.append(str(caught.value))

    assert messages == [f"{missing} cannot be started: No such file or directory"] * 2


def test_version_is_the_first_line(fake_qemu: Path) -> None:
    """It goes into the recording."""
    assert asyncio.run(version(str(fake_qemu))) == "QEMU emulator version 7.2.0 (fake)"


def test_virtio_mem_devices_are_there_at_boot() -> None:
    """As in the published recordings: no memory yet, and the backend is not reserved."""
    keys = {"name": "v", "what": "virtio-mem", "arch": "x86_64", "memory": "1G"}
    scenario = parse(
        keys | {"virtio_mem": [{"device": "vm0", "size": "4G"}, {"device": "v1", "size": "8G", "node": 1}]}
    )
    command = command_line(scenario, binary="q", kernel="k", initrd="i")
    assert command[command.index("-object") :] == [
        "-object",
        "memory-backend-ram,id=vmem0,size=4G,reserve=off",
        "-device",
        "virtio-mem-pci,id=vm0,memdev=vmem0,requested-size=0,block-size=2M",
        "-object",
        "memory-backend-ram,id=vmem1,size=8G,reserve=off",
        "-device",
        "virtio-mem-pci,id=v1,memdev=vmem1,requested-size=0,block-size=2M,node=1",
    ]
