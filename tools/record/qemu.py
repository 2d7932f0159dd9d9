"""Runs QEMU: its command line, the process, and the monitor (QMP) through which DIMMs come and go.

Nothing listens on the network: there is no network device, and the monitor is a unix socket in a
directory that only this user may enter.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import shlex
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from qemu.qmp import ConnectError, ExecuteError, QMPClient, QMPError
from tools.record.arch import ARCHITECTURES
from tools.record.errors import MonitorRefusedError, RecordError
from tools.record.scenario import Scenario

__all__ = [
    "EVENTS",
    "Dimm",
    "Monitor",
    "MonitorRefusedError",
    "Qemu",
    "command_line",
    "kernel_cmdline",
    "shown_command",
    "version",
]

#: The events that a recording keeps.
EVENTS = (
    "ACPI_DEVICE_OST",
    "DEVICE_DELETED",
    "DEVICE_UNPLUG_GUEST_ERROR",
    "MEMORY_DEVICE_SIZE_CHANGE",
    "MEM_UNPLUG_ERROR",
)
_SLOTS = 16
_STOP_SECONDS = 5.0
_MIB, _GIB = 1 << 20, 1 << 30

Event = dict[str, object]


def kernel_cmdline(scenario: Scenario) -> str:
    """Return the guest kernel's whole command line."""
    console = ARCHITECTURES[scenario.arch].console
    return f"console={console} panic=-1 loglevel=7 {scenario.cmdline}".rstrip()


def command_line(scenario: Scenario, *, binary: str, kernel: str, initrd: str) -> list[str]:
    """Return QEMU's command line without the monitor: emulation (TCG), no devices but the console."""
    arch = ARCHITECTURES[scenario.arch]
    limit = f",slots={_SLOTS},maxmem={scenario.maxmem // _MIB}M" if arch.has_dimms else ""
    command = [binary, "-machine", arch.machine, "-accel", "tcg"]
    cpu = scenario.cpu or arch.cpu
    command += ["-cpu", cpu] if cpu else []
    command += ["-m", f"{scenario.memory // _MIB}M{limit}", "-smp", str(scenario.cpus)]
    command += ["-kernel", kernel, "-initrd", initrd, "-append", kernel_cmdline(scenario)]
    command += ["-display", "none", *(["-vga", "none"] if arch.vga else [])]
    command += ["-nodefaults", "-no-reboot", "-monitor", "none", *arch.serial]
    return command + _numa(scenario) + _virtio_mem(scenario)


def _virtio_mem(scenario: Scenario) -> list[str]:
    options: list[str] = []
    for number, device in enumerate(scenario.virtio_mem):
        options += ["-object", f"memory-backend-ram,id=vmem{number},size={_size(device.size)},reserve=off"]
        node = "" if device.node is None else f",node={device.node}"
        unit = _size(device.block_size)
        options += [
            "-device",
            f"virtio-mem-pci,id={device.device},memdev=vmem{number},requested-size=0,block-size={unit}{node}",
        ]
    return options


def _size(size: int) -> str:
    """Return a size exactly, as QEMU reads it; boot memory comes in whole MiB."""
    return f"{size // _MIB}M" if size % _GIB else f"{size // _GIB}G"


def _numa(scenario: Scenario) -> list[str]:
    objects: list[str] = []
    nodes: list[str] = []
    cpu = 0
    for number, node in enumerate(scenario.numa):
        option = f"node,nodeid={number}"
        if node.memory:
            objects += ["-object", f"memory-backend-ram,id=n{number},size={_size(node.memory)}"]
            option += f",memdev=n{number}"
        if node.cpus:
            option += f",cpus={cpu}" + (f"-{cpu + node.cpus - 1}" if node.cpus > 1 else "")
            cpu += node.cpus
        nodes += ["-numa", option]
    return objects + nodes


def shown_command(command: list[str]) -> str:
    """Return a command line as a recording shows it: without directories, which are this machine's alone."""
    files = {"-kernel", "-initrd"}
    shown = [Path(command[0]).name]
    shown += [Path(b).name if a in files else b for a, b in itertools.pairwise(command)]
    return " ".join(shown)


@dataclass(frozen=True, slots=True)
class Dimm:
    """Where QEMU plugged a DIMM: address and size in bytes."""

    address: int
    size: int


class Monitor:
    """QEMU's monitor, for what recordings need of it.

    Attributes:
        events: what happened since the last :meth:`take_events`.
    """

    def __init__(self, client: QMPClient) -> None:
        self._client = client
        self.events: list[Event] = []

    async def add_dimm(self, name: str, size: int, *, node: int | None = None, address: int | None = None) -> Dimm:
        """Plug a DIMM in; the guest hears of it by itself.

        Raises:
            MonitorRefusedError: QEMU does not take it.
        """
        await self._execute(
            "object-add", {"qom-type": "memory-backend-ram", "id": f"mem-{name}", "size": size, "reserve": False}
        )
        device: dict[str, object] = {"driver": "pc-dimm", "id": name, "memdev": f"mem-{name}"}
        device |= {} if node is None else {"node": node}
        device |= {} if address is None else {"addr": address}
        try:
            await self._execute("device_add", device)
        except MonitorRefusedError:
            await self._execute("object-del", {"id": f"mem-{name}"})  # so that the name is free again
            raise
        return await self._find(name)

    async def place_of(self, device: str) -> Dimm:
        """Return where a virtio-mem device may have memory, and how much at most.

        Raises:
            RecordError: QEMU does not list it.
        """
        return await self._find(device)

    async def resize(self, device: str, size: int) -> None:
        """Ask for another size of a virtio-mem device.

        Raises:
            MonitorRefusedError: QEMU does not ask for it.
        """
        where = {"path": f"/machine/peripheral/{device}", "property": "requested-size"}
        await self._execute("qom-set", where | {"value": size})

    async def actual_size(self, device: str) -> int:
        """Return how much memory a virtio-mem device has, in bytes."""
        found = await self._execute("qom-get", {"path": f"/machine/peripheral/{device}", "property": "size"})
        assert isinstance(found, int)
        return found

    async def remove_dimm(self, name: str) -> None:
        """Ask the guest to let a DIMM go.

        Raises:
            MonitorRefusedError: QEMU does not ask it.
        """
        await self._execute("device_del", {"id": name})

    async def forget_dimm(self, name: str) -> None:
        """Free the memory behind a DIMM that is gone."""
        await self._execute("object-del", {"id": f"mem-{name}"})

    async def wait_event(self, limit: float) -> Event | None:
        """Return the next event that recordings keep, None if there is none within ``limit`` seconds."""
        try:
            async with asyncio.timeout(limit):
                while True:
                    message = dict(await self._client.events.get())
                    message.pop("timestamp", None)
                    if message.get("event") in EVENTS:
                        self.events.append(message)
                        return message
        except TimeoutError:
            return None

    def take_events(self) -> list[Event]:
        """Return the events since the last call."""
        taken, self.events = self.events, []
        return taken

    async def _find(self, name: str) -> Dimm:
        devices = await self._execute("query-memory-devices", {})
        for device in devices if isinstance(devices, list) else []:
            data = device.get("data", {})
            if data.get("id") != name:
                continue
            if "memaddr" in data:  # a virtio-mem device
                return Dimm(address=data["memaddr"], size=data["max-size"])
            return Dimm(address=data["addr"], size=data["size"])
        raise RecordError(f"QEMU does not list the device {name} that it has accepted")

    async def _execute(self, command: str, arguments: Mapping[str, object]) -> object:
        try:
            return await self._client.execute(command, dict(arguments))
        except ExecuteError as refusal:
            raise MonitorRefusedError(f"QEMU refuses {command}: {refusal}") from None
        except QMPError as problem:
            raise RecordError(f"QEMU's monitor is gone during {command}: {problem}") from None


class Qemu:
    """One QEMU process with a guest on its standard input and output; killed at the end, whatever happens.

    Attributes:
        reader, writer: the guest's console.
        monitor: QEMU's monitor.
    """

    def __init__(self, process: asyncio.subprocess.Process, client: QMPClient) -> None:
        assert process.stdout is not None
        assert process.stdin is not None
        self._process = process
        self.reader = process.stdout
        self.writer = process.stdin
        self.monitor = Monitor(client)

    def peak_memory(self) -> int | None:
        """Return the most memory that QEMU had so far, in bytes; None where the host does not say."""
        try:
            status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="ascii", errors="replace")
        except OSError:
            return None
        match = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
        return int(match[1]) * 1024 if match else None

    @classmethod
    @asynccontextmanager
    async def run(cls, command: list[str]) -> AsyncIterator[Qemu]:
        """Start QEMU with a monitor; kill it on the way out.

        Raises:
            RecordError: it cannot be started, or ends at once.
        """
        async with _Process(command) as started:
            client = QMPClient("recorder")
            try:
                await started.connect(client)
                yield cls(started.process, client)
            finally:
                await _disconnect(client)


async def version(binary: str) -> str:
    """Return the first line of ``qemu --version``.

    Raises:
        RecordError: there is no such program.
    """
    try:
        process = await asyncio.create_subprocess_exec(binary, "--version", stdout=asyncio.subprocess.PIPE)
    except OSError as problem:
        raise RecordError(f"{binary} cannot be started: {problem.strerror}") from None
    output, _ = await process.communicate()
    return output.decode(errors="replace").partition("\n")[0].strip()


class _Process:
    """QEMU's process and the directory of its monitor socket."""

    process: asyncio.subprocess.Process

    def __init__(self, command: list[str]) -> None:
        self._command = command

    async def __aenter__(self) -> _Process:
        self._directory = tempfile.TemporaryDirectory(prefix="mhp-record-")
        self._socket = Path(self._directory.name) / "qmp"
        self._errors = Path(self._directory.name) / "stderr"
        monitor = ["-qmp", f"unix:{self._socket},server=on,wait=off"]
        pipe = asyncio.subprocess.PIPE
        try:
            with self._errors.open("wb") as errors:
                self.process = await asyncio.create_subprocess_exec(
                    *self._command, *monitor, stdin=pipe, stdout=pipe, stderr=errors, limit=1 << 20
                )
        except OSError as problem:
            self._directory.cleanup()
            raise RecordError(f"{self._command[0]} cannot be started: {problem.strerror}") from None
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self.process.returncode is None:
                self.process.kill()
            async with asyncio.timeout(_STOP_SECONDS):
                await self.process.wait()
        finally:
            self._directory.cleanup()

    async def connect(self, client: QMPClient, limit: float = 10.0) -> None:
        """Connect to the monitor as soon as the socket is there."""
        try:
            async with asyncio.timeout(limit):
                while not await self._try_to_connect(client):
                    await asyncio.sleep(0.02)
        except (QMPError, TimeoutError):
            raise self._ended() from None

    async def _try_to_connect(self, client: QMPClient) -> bool:
        if self.process.returncode is not None:
            raise self._ended()
        if not self._socket.exists():
            return False
        try:
            await client.connect(str(self._socket))
        except ConnectError:
            return False  # the socket is there, but nobody listens yet
        return True

    def _ended(self) -> RecordError:
        said = self._errors.read_text(encoding="utf-8", errors="replace").strip() or "nothing"
        return RecordError(f"QEMU does not run: {shlex.join(self._command)}\nit said: {said}")


async def _disconnect(client: QMPClient) -> None:
    try:
        async with asyncio.timeout(_STOP_SECONDS):
            await client.disconnect()
    except (QMPError, TimeoutError, OSError, EOFError):
        pass  # the process is killed next
