"""What the recorder's tests share: a guest at the end of a socket, and a program that looks like QEMU."""

from __future__ import annotations

import asyncio
import shutil
import socket
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import pytest

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))

from tests.record.fake_qemu import FakeGuest, serve_console  # noqa: E402
from tools.record.guest import Guest  # noqa: E402
from tools.record.initramfs import build_init  # noqa: E402

T = TypeVar("T")
Talk = Callable[[Callable[[Guest], Awaitable[T]], FakeGuest], T]


async def _connected(action: Callable[[Guest], Awaitable[T]], fake: FakeGuest) -> T:
    ours, theirs = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=ours)
    their_reader, their_writer = await asyncio.open_connection(sock=theirs)
    serving = asyncio.create_task(serve_console(fake, their_reader, their_writer.write))
    try:
        guest = Guest(reader, writer, timeout=5)
        await guest.boot()
        return await action(guest)
    finally:
        serving.cancel()
        with suppress(asyncio.CancelledError):
            await serving
        for end in (writer, their_writer):
            end.close()
            with suppress(ConnectionError):
                await end.wait_closed()


@pytest.fixture(scope="session")
def talk() -> Talk[object]:
    """Return a function that runs an action with a Guest which is connected to a fake one."""
    return lambda action, fake: asyncio.run(_connected(action, fake))


@pytest.fixture
def fake_qemu(tmp_path: Path) -> Path:
    """Return a program that takes QEMU's options."""
    program = tmp_path / "qemu-system-fake"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{Path(__file__).with_name("fake_qemu.py")}" "$@"\n')
    program.chmod(0o755)
    return program


@pytest.fixture(scope="session")
def init_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the guest's init, linked for this machine."""
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("gcc is not installed")
    return build_init(compiler, tmp_path_factory.mktemp("init") / "init")
