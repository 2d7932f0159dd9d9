"""A stand-in for QEMU with a guest in it: speaks on its standard input and output, and QMP on a unix socket.

It is a program of its own, so that the recorder under test starts, talks to and kills a real process.
Words in the guest's command line (``fake=silent``) make it misbehave.
"""

from __future__ import annotations

import asyncio
import errno
import json
import re
import sys
import time
import zlib
from collections.abc import Callable
from typing import Any

BLOCK = 1 << 27
PAGE = 4096
STATES = {"online": "online", "online_kernel": "online", "online_movable": "online", "offline": "offline"}


class FakeGuest:
    """A kernel of eight boot blocks, and whatever is plugged in; knows the commands of init.c."""

    def __init__(self, cmdline: str = "") -> None:
        self.cmdline = cmdline
        self.states = dict.fromkeys(range(8), "online")
        self.node = 1 if "fake=node" in cmdline else 0
        self.log = ["6,1,1000,-;Linux version 6.1.0-fake\n SUBSYSTEM=none", "6,2,2500,-;odd \\x1b text"]
        self.read_order: list[str] = []
        self.reads = 0  # of meminfo, since the last resize

    def files(self) -> dict[str, str]:
        """Return path -> text of everything that can be read."""
        files = {f"/proc/{name}": f"{name}\n" for name in ("zoneinfo", "buddyinfo", "pagetypeinfo", "iomem")}
        files |= {
            "/proc/meminfo": f"MemTotal: {self.reads + 1 if 'fake=slow' in self.cmdline else 1} kB\n",
            "/proc/vmstat": "nr_free_pages 7\npgfault 9\nnr_mlock 1\n",
        }
        files |= {"/proc/sys/vm/stat_refresh": "", "/sys/devices/system/node/online": "0\n"}
        files |= {f"/sys/devices/system/node/node{n}/meminfo": "Node MemTotal: 1 kB\n" for n in range(self.node + 1)}
        memory = "/sys/devices/system/memory"
        files |= {f"{memory}/block_size_bytes": f"{BLOCK:x}\n", f"{memory}/auto_online_blocks": "offline\n"}
        for block, state in self.states.items():
            files |= {f"{memory}/memory{block}/state": f"{state}\n", f"{memory}/memory{block}/valid_zones": "none\n"}
        return files | {"/sys/module/memory_hotplug/parameters/memmap_on_memory": "Y\n"}

    def answer(self, command: str, arguments: list[str]) -> tuple[int, bytes]:
        """Return errno and data of one command (all but wait)."""
        known: dict[str, Callable[[list[str]], tuple[int, bytes]]] = {
            "read": self._read,
            "list": self._list,
            "write": self._write,
            "try": lambda words: self._write(words[1:]),
            "hog": lambda words: (errno.ENOMEM if int(words[0]) > 1 << 30 else 0, b""),
            "flags": self._flags,
            "log": self._log,
            "clock": lambda _: (0, b"%d\n" % time.monotonic_ns()),
            "facts": lambda _: (0, b"release 6.1.0-fake\nversion #1 SMP\nmachine x86_64\npage_size 4096\ncpus 1\n"),
        }
        return known[command](arguments) if command in known else (errno.ENOSYS, b"")

    def _read(self, arguments: list[str]) -> tuple[int, bytes]:
        files, data = self.files(), b""
        for name in arguments[1:]:
            path = f"{arguments[0]}/{name}"
            self.read_order.append(path)
            self.reads += path == "/proc/meminfo"
            text = files.get(path, "").encode()
            data += b"F %s %d %d\n%s\n" % (name.encode(), 0 if path in files else errno.ENOENT, len(text), text)
        return 0, data

    def _list(self, arguments: list[str]) -> tuple[int, bytes]:
        below = {path[len(arguments[0]) + 1 :].split("/")[0] for path in self.files() if path.startswith(arguments[0])}
        if arguments[0].endswith(f"/node{self.node}"):
            below |= {f"memory{block}" for block in self.states}
        return 0, "".join(f"{name}\n" for name in sorted(below, reverse=True)).encode()

    def _write(self, arguments: list[str]) -> tuple[int, bytes]:
        match = re.fullmatch(r"/sys/devices/system/memory/memory(\d+)/state", arguments[0])
        if match is None:
            return (0 if arguments[0] == "/proc/sys/vm/drop_caches" else errno.EACCES), b""
        if arguments[1] not in STATES or int(match[1]) not in self.states:
            return errno.EINVAL, b""
        if int(match[1]) == 0:
            return errno.EBUSY, b""
        if "fake=pinned" in self.cmdline and arguments[1] == "offline" and int(match[1]) == 7:
            return errno.EINTR, b""
        if "fake=dies" in self.cmdline and arguments[1] == "offline":
            _print(b"Kernel panic - not syncing: System is deadlocked on memory\r\n")
            sys.exit(0)
        self.states[int(match[1])] = STATES[arguments[1]]
        return 0, b""

    def _flags(self, arguments: list[str]) -> tuple[int, bytes]:
        start, end = int(arguments[1]), int(arguments[2])
        last = min(end, (max(self.states) + 1) * BLOCK // PAGE)
        return 0, b"%d %d 400\n" % (start, last) if last > start else b""

    def _log(self, _: list[str]) -> tuple[int, bytes]:
        new, self.log = self.log, []
        return 0, "".join(f"{record}\n\n" for record in new).encode()


async def serve_console(guest: FakeGuest, reader: asyncio.StreamReader, write: Callable[[bytes], None]) -> None:
    """Greet, then answer commands until the other side is gone."""
    write(b"[    0.1] booting\r\n@E 0 0 1478000000\n")
    while line := await reader.readline():
        words = line.decode().split()
        if not words:
            continue
        if words[1] == "wait":
            error, data = await _wait(guest, words[2:], reader)
        else:
            error, data = guest.answer(words[1], words[2:])
        if data:
            write(b"@D %s %d %08x\n%s\n" % (words[0].encode(), len(data), zlib.crc32(data), data))
        write(b"@E %s %d 1500\n" % (words[0].encode(), error))


async def _wait(guest: FakeGuest, words: list[str], reader: asyncio.StreamReader) -> tuple[int, bytes]:
    ids = range(int(words[3]), int(words[4]) + 1)
    wanted = len(ids) if words[0] == "present" else 0
    interrupted = asyncio.ensure_future(reader.readline())
    while (present := sum(block in guest.states for block in ids)) != wanted and not interrupted.done():
        await asyncio.wait({interrupted}, timeout=0.001)
    if interrupted.done():
        return errno.EINTR, b"%d %d\n" % (present, time.monotonic_ns())
    interrupted.cancel()
    return 0, b"%d %d\n" % (present, time.monotonic_ns())


class FakeMonitor:
    """QMP for one guest: DIMMs from 4 GiB on."""

    def __init__(self, guest: FakeGuest, writer: asyncio.StreamWriter) -> None:
        self.guest = guest
        self.dimms: dict[str, tuple[int, int]] = {}
        self._sizes: dict[str, int] = {}
        self.virtio = {"vm0": 0} if "fake=virtio" in guest.cmdline else {}
        self._writer = writer

    def say(self, message: object) -> None:
        """Send one message."""
        self._writer.write(json.dumps(message).encode() + b"\r\n")

    def event(self, name: str, data: object) -> None:
        """Send an event, with a time as QEMU does."""
        self.say({"event": name, "data": data, "timestamp": {"seconds": 1, "microseconds": 2}})

    def handle(self, message: dict[str, Any]) -> None:
        """Do one command, answer it (under its id, if it has one), then let the guest react."""
        command, arguments = message["execute"], message.get("arguments", {})
        ident = {"id": message["id"]} if "id" in message else {}
        if command == "object-add" and arguments.get("reserve") is not False:
            self.say({"error": {"class": "GenericError", "desc": "cannot set up guest memory"}} | ident)
            return
        if command == "device_add" and arguments.get("addr") == 1:
            self.say({"error": {"class": "GenericError", "desc": "no room"}} | ident)
            return
        if command == "device_del" and arguments["id"] not in self.dimms:
            self.say({"error": {"class": "DeviceNotFound", "desc": f"Device '{arguments['id']}' not found"}} | ident)
            return
        if command == "qom-set" and arguments["value"] > 2 << 30:
            self.say({"error": {"class": "GenericError", "desc": "'requested-size' cannot exceed"}} | ident)
            return
        after: Callable[[], None] = lambda: None  # noqa: E731
        result: object = {}
        match command:
            case "object-add":
                self._sizes[arguments["id"]] = int(arguments["size"])
            case "object-del":
                del self._sizes[arguments["id"]]
            case "device_add":
                after = self._add(arguments["id"], arguments.get("addr", 0))
            case "device_del":
                after = self._remove(arguments["id"])
            case "query-memory-devices":
                dimms = self.dimms.items()
                result = [{"type": "dimm", "data": {"id": n, "addr": a, "size": s}} for n, (a, s) in dimms]
                result += [
                    {"type": "virtio-mem", "data": {"id": n, "memaddr": 5 << 30, "size": s, "max-size": 2 << 30}}
                    for n, s in self.virtio.items()
                ]
            case "qom-set":
                after = self._resize(arguments["path"].rpartition("/")[2], arguments["value"])
            case "qom-get":
                is_slow = "fake=slow" in self.guest.cmdline and self.guest.reads < 3
                result = 0 if is_slow else self.virtio[arguments["path"].rpartition("/")[2]]
        self.say({"return": result} | ident)
        after()

    def _add(self, name: str, address: int) -> Callable[[], None]:
        address = address or max((a + s for a, s in self.dimms.values()), default=1 << 32)
        size = self._sizes[f"mem-{name}"]
        self.dimms[name] = (address, size)
        blocks = range(address // BLOCK, (address + size) // BLOCK) if size % BLOCK == 0 else range(0)
        appear = blocks[:-1] if "fake=half" in self.guest.cmdline else blocks

        def react() -> None:
            self.event("RTC_CHANGE", {"offset": 0})
            self.guest.states |= dict.fromkeys(appear, "offline")
            self.guest.log.append("6,3,3000000,-;a line for the add")
            info = {"device": name, "source": 1, "status": 0, "slot": "0", "slot-type": "DIMM"}
            self.event("ACPI_DEVICE_OST", {"info": info})

        return react

    def _resize(self, name: str, size: int) -> Callable[[], None]:
        """Give what is asked for, but at most 1 GiB."""
        self.virtio[name] = min(size, 1 << 30)
        blocks = range((5 << 30) // BLOCK, ((5 << 30) + self.virtio[name]) // BLOCK)
        self.guest.states |= dict.fromkeys(blocks, "online")
        self.guest.reads = 0
        if "fake=slow" in self.guest.cmdline:
            return lambda: None
        return lambda: self.event("MEMORY_DEVICE_SIZE_CHANGE", {"id": name, "size": self.virtio[name]})

    def _remove(self, name: str) -> Callable[[], None]:
        def react() -> None:
            self.event("ACPI_DEVICE_OST", {"info": {"device": name, "source": 3, "status": 132, "slot": "0"}})
            if "fake=busy" in self.guest.cmdline:
                self.event("ACPI_DEVICE_OST", {"info": {"device": name, "source": 3, "status": 130, "slot": "0"}})
                return
            address, size = self.dimms.pop(name)
            for block in range(address // BLOCK, (address + size) // BLOCK):
                self.guest.states.pop(block, None)
            self.event("DEVICE_DELETED", {"device": name, "path": f"/machine/peripheral/{name}"})
            self.event("ACPI_DEVICE_OST", {"info": {"source": 3, "status": 0, "slot": "0"}})

        return react


async def serve_monitor(guest: FakeGuest, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Greet and do QMP commands until the client is gone."""
    monitor = FakeMonitor(guest, writer)
    version = {"qemu": {"major": 7, "minor": 2, "micro": 0}, "package": "fake"}
    monitor.say({"QMP": {"version": version, "capabilities": []}})
    text = ""
    while part := await reader.read(4096):
        text = (text + part.decode()).lstrip()
        while text:  # messages follow each other without anything between
            try:
                message, end = json.JSONDecoder().raw_decode(text)
            except ValueError:
                break
            text = text[end:].lstrip()
            monitor.handle(message)
    writer.close()


def _print(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


async def _main(arguments: list[str]) -> None:
    cmdline = arguments[arguments.index("-append") + 1]
    path = arguments[arguments.index("-qmp") + 1].removeprefix("unix:").split(",")[0]
    guest = FakeGuest(cmdline)
    await asyncio.start_unix_server(lambda reader, writer: serve_monitor(guest, reader, writer), path)
    if "fake=panic" in cmdline:
        _print(b"Kernel panic - not syncing: fake\r\n")
        await asyncio.sleep(0.5)
        return
    if "fake=silent" in cmdline:
        await asyncio.sleep(30)
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await serve_console(guest, reader, _print)


if __name__ == "__main__":
    if sys.argv[1:] == ["--version"]:
        print("QEMU emulator version 7.2.0 (fake)\nmore")
    elif "fake=broken" in " ".join(sys.argv):
        sys.exit("fake: no such machine")
    else:
        asyncio.run(_main(sys.argv[1:]))
