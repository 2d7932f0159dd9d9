"""The control socket: QMP, as QEMU speaks it, for what happens to a machine from outside."""

from __future__ import annotations

import os
from types import TracebackType

from memhotplug.live.execute import CONTROL
from memhotplug.live.machine import LiveMachine
from memhotplug.live.qmp import Server

__all__ = ["Control"]


class Control:
    """A server for as long as a block lasts.

    Args:
        live: the machine.
        folder: where the socket is made.
    """

    def __init__(self, live: LiveMachine, folder: str) -> None:
        self.path = os.path.join(folder, CONTROL)
        self._server = Server(live, self.path)

    def __enter__(self) -> Control:
        self._server.bind()
        return self

    def start(self) -> None:
        """Answer from now on; whoever has come before that has waited."""
        self._server.start()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.stop()
