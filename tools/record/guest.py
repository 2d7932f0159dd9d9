"""Talks with the guest's init over its console: one line asks, frames with a checksum answer.

The other side is init.c. Whatever else appears on the console is kept as the tail that explains a
guest that died.
"""

from __future__ import annotations

import asyncio
import errno
import os
import re
import zlib
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from tools.record.errors import RecordError

from memhotplug.errors import errno_name

__all__ = ["Answer", "FlagRun", "Guest", "LogLine", "Waited", "errno_text"]

_FRAME = re.compile(rb"@([DE]) (\d{1,9}) (\d{1,9}) ([0-9a-f]{1,20})\r?\n\Z")
_FILE = re.compile(rb"F (\S+) (\d+) (\d+)\n")
_COMMAND_BYTES = 1000  # a console driver may drop what does not fit into its buffer
_TAIL_LINES = 500
_FLAGS_AT_ONCE = 1 << 18  # pages
_SHOWN_LINES = 10
_TELLING = re.compile(r"Kernel panic|BUG:|Out of memory|page allocation failure|vmemmap alloc failure|Oops")

FlagRun = tuple[int, int, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What the guest said to one command.

    Attributes:
        errno: 0 if it was done.
        seconds: what it took, by the guest's clock.
        data: what it sent along.
    """

    errno: int
    seconds: float
    data: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Waited:
    """How a wait for memory blocks ended.

    Attributes:
        complete: whether it came true.
        present: how many of the blocks are there.
        clock: when, in the guest's seconds since boot.
    """

    complete: bool
    present: int
    clock: float


@dataclass(frozen=True, kw_only=True, slots=True)
class LogLine:
    """One line of the kernel's log; ``seconds`` since boot."""

    seconds: float
    text: str


def errno_text(number: int) -> str:
    """Return the result that a recording has for an errno.

    >>> errno_text(0), errno_text(16)
    ('ok', 'EBUSY: Device or resource busy')
    """
    return "ok" if number == 0 else f"{errno_name(number)}: {os.strerror(number)}"


class Guest:
    """A guest at the other end of a console.

    Attributes:
        timeout: seconds that any single command may take.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, timeout: float = 60.0) -> None:
        self.timeout = timeout
        self._reader = reader
        self._writer = writer
        self._sequence = 0
        self._tail: deque[str] = deque(maxlen=_TAIL_LINES)

    async def boot(self) -> float:
        """Wait for init's greeting; return the guest's seconds since boot."""
        return (await self._answer("the boot", self.timeout)).seconds

    async def ask(self, command: str, *, timeout: float | None = None) -> Answer:
        """Send one command and return the answer.

        Raises:
            RecordError: the guest stopped, does not answer in time, or what it sent is damaged.
        """
        if "\n" in command or len(command.encode()) > _COMMAND_BYTES:
            raise RecordError(f"the guest takes commands of one line of at most {_COMMAND_BYTES} bytes")
        self._sequence += 1
        self._writer.write(f"{self._sequence} {command}\n".encode())
        return await self._answer(command, timeout or self.timeout)

    async def read_files(self, directory: str, names: Sequence[str]) -> dict[str, str]:
        """Return the text of files below a directory; those that cannot be read are left out."""
        answer = await self.ask(f"read {directory} {' '.join(names)}")
        files: dict[str, str] = {}
        position = 0
        while match := _FILE.match(answer.data, position):
            position = match.end() + int(match[3]) + 1
            if match[2] == b"0":
                files[match[1].decode()] = answer.data[match.end() : position - 1].decode(errors="backslashreplace")
        if position != len(answer.data):
            raise self._error(f"an answer to read {directory} that cannot be parsed")
        return files

    async def list_directory(self, directory: str) -> list[str]:
        """Return the sorted names in a directory; none if there is no such directory."""
        return sorted((await self.ask(f"list {directory}")).data.decode().split())

    async def write(self, path: str, value: str, *, limit: float | None = None) -> Answer:
        """Write a value to a file, in one write; after ``limit`` seconds a signal ends it (EINTR)."""
        if limit is None:
            return await self.ask(f"write {path} {value}")
        return await self.ask(f"try {int(limit * 1000)} {path} {value}", timeout=limit + self.timeout)

    async def hog(self, size: int) -> Answer:
        """Have init map, touch and lock so many bytes, for good."""
        return await self.ask(f"hog {size}")

    async def page_flags(self, start_pfn: int, end_pfn: int) -> list[FlagRun]:
        """Return runs [start_pfn, end_pfn) of equal /proc/kpageflags; they end where the file ends.

        Long ranges are asked for in pieces, so that no single answer takes too long.
        """
        runs: list[FlagRun] = []
        for start in range(start_pfn, end_pfn, _FLAGS_AT_ONCE):
            end = min(start + _FLAGS_AT_ONCE, end_pfn)
            answer = self._done(await self.ask(f"flags /proc/kpageflags {start} {end}"), "flags")
            for first, last, value in (line.split() for line in answer.data.splitlines()):
                run = (int(first), int(last), int(value, 16))
                if runs and runs[-1][1:] == (run[0], run[2]):
                    run = (runs.pop()[0], *run[1:])
                runs.append(run)
            if not runs or runs[-1][1] < end:
                break
        return runs

    async def wait_for_blocks(self, *, first: int, last: int, present: bool, limit: float) -> Waited:
        """Wait until all of the memory blocks are there, or none; at most ``limit`` seconds."""
        what = "present" if present else "absent"
        where = "/sys/devices/system/memory memory"
        command = f"wait {what} {where} {first} {last} {int(limit * 1000)}"
        answer = await self.ask(command, timeout=limit + self.timeout)
        if answer.errno not in (0, errno.ETIMEDOUT, errno.EINTR):
            raise self._error(f"{errno_text(answer.errno)} from wait")
        count, clock = answer.data.split()
        return Waited(complete=answer.errno == 0, present=int(count), clock=int(clock) / 1e9)

    async def clock(self) -> float:
        """Return the guest's seconds since boot."""
        return int(self._done(await self.ask("clock"), "clock").data) / 1e9

    def end_wait(self) -> None:
        """Make a wait that is under way return at once; harmless if there is none."""
        self._writer.write(b"\n")

    async def kernel_log(self) -> list[LogLine]:
        """Return the kernel's log lines since the last call."""
        answer = self._done(await self.ask("log"), "log")
        records = answer.data.decode(errors="backslashreplace").split("\n")
        return [_log_line(record) for record in records if record and not record.startswith(" ")]

    async def facts(self) -> dict[str, str]:
        """Return release, version, machine, page_size and cpus."""
        answer = self._done(await self.ask("facts"), "facts")
        return dict(line.split(" ", 1) for line in answer.data.decode().splitlines())

    def _done(self, answer: Answer, command: str) -> Answer:
        if answer.errno:
            raise self._error(f"{errno_text(answer.errno)} from {command}")
        return answer

    async def _answer(self, command: str, limit: float) -> Answer:
        try:
            async with asyncio.timeout(limit):
                return await self._frames(command)
        except TimeoutError:
            raise self._error(f"no answer to {command!r} within {limit:g} seconds") from None
        except (asyncio.IncompleteReadError, ConnectionError):
            raise self._error(f"it stopped during {command!r}") from None

    async def _frames(self, command: str) -> Answer:
        data = bytearray()
        while True:
            line = await self._reader.readline()
            if not line:
                raise self._error(f"it stopped during {command!r}")
            frame = _FRAME.search(line)
            if frame is None or int(frame[2]) != self._sequence:
                self._tail.append(line.decode(errors="replace").rstrip())
                continue
            if frame[1] == b"E":
                return Answer(errno=int(frame[3]), seconds=int(frame[4]) / 1e9, data=bytes(data))
            part = (await self._reader.readexactly(int(frame[3]) + 1))[:-1]
            if zlib.crc32(part) != int(frame[4], 16):
                raise self._error(f"a damaged answer to {command!r}")
            data += part

    def _error(self, problem: str) -> RecordError:
        lines = list(self._tail)
        shown = [line for line in lines[:-_SHOWN_LINES] if _TELLING.search(line)] + lines[-_SHOWN_LINES:]
        tail = "".join(f"\n  {line}" for line in shown)
        return RecordError(f"the guest: {problem}" + (f"; from the end of its console:{tail}" if tail else ""))


def _log_line(record: str) -> LogLine:
    """Return a record of /dev/kmsg: "priority,sequence,microseconds,flags;text"."""
    head, text = record.split(";", 1)
    microseconds = int(head.split(",")[2])
    plain = re.sub(r"\\x([0-9a-f]{2})", lambda match: chr(int(match[1], 16)), text)
    return LogLine(seconds=microseconds / 1e6, text=plain)
