"""A QMP server on a Unix socket: enough of QEMU's monitor for what memory hotplug needs.

A client that does not read what it is sent is dropped; it never holds up the machine.

Models: QEMU's qapi/machine.json, qdev.json, qom.json, control.json (7.2). Simplified: a device is there when the
command returns, and what the guest made of it comes as an event.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from memhotplug.errors import InputError, MemoryHotplugError
from memhotplug.formats.jsonread import parse_json
from memhotplug.live.commands import Commands, QmpError
from memhotplug.live.machine import Change, LiveMachine

__all__ = ["Server"]

_GREETING: Final = {
    "QMP": {
        "version": {"qemu": {"micro": 0, "minor": 2, "major": 7}, "package": "memhotplug"},
        "capabilities": [],
    }
}
_NOW: Final = {"seconds": 0, "microseconds": 0}  # a modelled machine has no clock
_LONGEST: Final = 1 << 20
_WAITING: Final = 10_000
_PATIENCE: Final = 2.0  # seconds
_QUOTE, _BACKSLASH, _NEWLINE = b'"\\\n'


class Server:
    """Answers any number of clients.

    Args:
        live: the machine.
        path: the socket, which is made.
    """

    def __init__(self, live: LiveMachine, path: str) -> None:
        self._live = live
        self._path = path
        self._commands = Commands(live)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._clients: list[_Client] = []
        self._unlisten: Callable[[], None] | None = None

    def bind(self) -> None:
        """Make the socket, on which nobody answers yet."""
        self._socket.bind(self._path)
        self._socket.listen(16)

    def start(self) -> None:
        """Answer from now on."""
        self._unlisten = self._live.listen(self._tell)
        threading.Thread(target=self._accept, daemon=True, name="qmp").start()

    def stop(self) -> None:
        """Close the socket and every connection."""
        if self._unlisten is not None:
            self._unlisten()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for client in list(self._clients):
            client.close()
            client.join()
        with contextlib.suppress(OSError):
            os.unlink(self._path)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            client = _Client(connection, self._commands, self._clients.remove)
            self._clients.append(client)
            client.start()

    def _tell(self, change: Change) -> None:
        events = self._commands.events_of(change)
        for client in list(self._clients):
            for event, data in events:
                client.tell(event, data)


class _Splitter:
    """Cuts a stream into JSON objects, which nothing need separate; a line outside of any is handed on as it is."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._depth = 0
        self._in_string = self._escaped = False

    @property
    def waiting(self) -> int:
        """How many bytes wait for the rest of their object."""
        return len(self._held)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield what is whole by now."""
        for byte in data:
            self._held.append(byte)
            if self._is_over(byte):
                whole = bytes(self._held).strip()
                self._held.clear()
                if whole:
                    yield whole

    def _is_over(self, byte: int) -> bool:
        if self._in_string:
            self._in_string = self._escaped or byte != _QUOTE
            self._escaped = byte == _BACKSLASH and not self._escaped
            return False
        if byte == _QUOTE:
            self._in_string = self._depth > 0
        elif byte in b"{[":
            self._depth += 1
        elif byte in b"}]":
            self._depth = max(self._depth - 1, 0)
            return not self._depth
        return byte == _NEWLINE and not self._depth


class _Client:
    """One connection: a thread that reads, and one that writes."""

    def __init__(self, connection: socket.socket, commands: Commands, over: Callable[[_Client], None]) -> None:
        self._socket = connection
        self._commands = commands
        self._over = over
        self._outgoing: queue.Queue[bytes | None] = queue.Queue(_WAITING)
        self._negotiated = False
        works = (self._read, self._write)
        self._threads = [threading.Thread(target=work, daemon=True, name="qmp client") for work in works]

    def start(self) -> None:
        """Greet and answer."""
        self._send(_GREETING)
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """End the connection."""
        with contextlib.suppress(queue.Full):
            self._outgoing.put_nowait(None)
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def join(self) -> None:
        """Wait until the connection has ended."""
        for thread in self._threads:
            thread.join(_PATIENCE)

    def tell(self, event: str, data: Mapping[str, object]) -> None:
        """Send an event, once the client has said that it is ready."""
        if self._negotiated:
            self._send({"event": event, "data": data, "timestamp": _NOW})

    def _send(self, message: Mapping[str, object]) -> None:
        try:
            self._outgoing.put_nowait(json.dumps(message).encode() + b"\r\n")
        except queue.Full:
            self.close()

    def _write(self) -> None:
        with contextlib.suppress(OSError), self._socket:
            while (data := self._outgoing.get()) is not None:
                self._socket.sendall(data)

    def _read(self) -> None:
        splitter = _Splitter()
        with contextlib.suppress(OSError):
            while data := self._socket.recv(65536):
                for request in splitter.feed(data):
                    self._send(self._answer(request))
                if splitter.waiting > _LONGEST:
                    break
        self.close()
        with contextlib.suppress(ValueError):
            self._over(self)

    def _answer(self, line: bytes) -> dict[str, object]:
        try:
            request = parse_json(line)
        except ValueError:
            return _error("GenericError", "JSON parse error, expecting value")
        if not isinstance(request, dict) or not isinstance(request.get("execute"), str):
            return _error("GenericError", "QMP input lacks member 'execute'")
        answer = self._execute(request["execute"], request.get("arguments", {}))
        return {**answer, "id": request["id"]} if "id" in request else answer

    def _execute(self, name: str, arguments: Any) -> dict[str, object]:
        if not isinstance(arguments, dict):
            return _error("GenericError", "QMP input member 'arguments' must be an object")
        if name == "qmp_capabilities":
            self._negotiated = True
            return {"return": {}}
        if not self._negotiated:
            return _error("CommandNotFound", "Expecting capabilities negotiation with 'qmp_capabilities'")
        try:
            return {"return": self._commands.execute(name, arguments)}
        except QmpError as problem:
            return _error(problem.kind, str(problem))
        except (InputError, MemoryHotplugError) as problem:
            return _error("GenericError", str(problem))


def _error(kind: str, text: str) -> dict[str, object]:
    return {"error": {"class": kind, "desc": text}}
