"""A client of the control socket: one command, or the stream of events."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Final

from memhotplug.errors import InputError

__all__ = ["Client", "Refused"]

_VARIABLE: Final = "MHP_CTL"


class Refused(Exception):  # noqa: N818  # not an error of this program
    """The machine refused a command."""


class Client:
    """A connection.

    Args:
        path: the socket; by default what MHP_CTL says.

    Raises:
        InputError: there is no machine to talk to.
    """

    def __init__(self, path: str | None = None) -> None:
        place = path or os.environ.get(_VARIABLE)
        if not place:
            raise InputError(f"--socket PATH, or {_VARIABLE} as 'mhp exec' sets it", got="neither")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.connect(place)
        except OSError as problem:
            raise InputError("the control socket of a machine", got=problem.strerror, file=place) from None
        self._stream = self._socket.makefile("rb")
        self._next()
        self.execute("qmp_capabilities")

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()
        self._socket.close()

    def _next(self) -> dict[str, Any]:
        line = self._stream.readline()
        if not line:
            raise InputError("an answer", got="the end of the machine")
        message: dict[str, Any] = json.loads(line)
        return message

    def execute(self, name: str, arguments: Mapping[str, object] | None = None) -> Any:
        """Do a command and return its answer.

        Raises:
            Refused: with the machine's words.
        """
        request = {"execute": name, "arguments": dict(arguments or {})}
        self._socket.sendall(json.dumps(request).encode() + b"\n")
        while True:
            message = self._next()
            if "error" in message:
                raise Refused(message["error"]["desc"])
            if "return" in message:
                return message["return"]

    def events(self) -> Iterator[dict[str, Any]]:
        """Yield every event, until the machine ends."""
        while True:
            try:
                message = self._next()
            except InputError:
                return
            if "event" in message:
                yield message
