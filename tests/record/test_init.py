"""The guest's init itself, run as an ordinary program on this machine."""

from __future__ import annotations

import asyncio
import errno
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest
from tools.record.errors import RecordError
from tools.record.guest import Guest
from tools.record.initramfs import build_init

T = TypeVar("T")


def _talk(program: Path, action: Callable[[Guest], Awaitable[T]]) -> T:
    async def run() -> T:
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(str(program), stdin=pipe, stdout=pipe)
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            guest = Guest(process.stdout, process.stdin, timeout=20)
            await guest.boot()
            return await action(guest)
        finally:
            process.stdin.close()
            assert await process.wait() == 0

    return asyncio.run(run())


def test_reads_several_files_of_any_size(init_program: Path, tmp_path: Path) -> None:
    """Longer than a frame, empty, binary-looking, in a folder, and missing."""
    long = "".join(f"line {i}\n" for i in range(5000))
    (tmp_path / "long").write_text(long)
    (tmp_path / "empty").write_text("")
    (tmp_path / "marks").write_text("@E 1 0 0\nF x 0 3\n")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "file").write_text("below\n")

    names = ["long", "missing", "empty", "marks", "sub/file"]
    files = _talk(init_program, lambda guest: guest.read_files(str(tmp_path), names))

    assert files == {"long": long, "empty": "", "marks": "@E 1 0 0\nF x 0 3\n", "sub/file": "below\n"}


def test_lists_directories(init_program: Path, tmp_path: Path) -> None:
    """Hundreds of entries, sorted; a directory that is not there has none."""
    for number in range(300):
        (tmp_path / f"memory{number}").touch()

    async def both(guest: Guest) -> object:
        return await guest.list_directory(str(tmp_path)), await guest.list_directory("/nonsense")

    assert _talk(init_program, both) == (sorted(f"memory{number}" for number in range(300)), [])


def test_writes_the_rest_of_the_line(init_program: Path, tmp_path: Path) -> None:
    """Spaces belong to the value; what cannot be written has an errno."""
    (tmp_path / "file").touch()

    async def both(guest: Guest) -> object:
        good = await guest.write(str(tmp_path / "file"), "two words ")
        bad = await guest.write(str(tmp_path), "x")
        return good.errno, bad.errno, good.seconds > 0

    assert _talk(init_program, both) == (0, errno.EISDIR, True)
    assert (tmp_path / "file").read_text() == "two words "


def test_finds_runs_of_equal_words_up_to_the_end_of_the_file(init_program: Path, tmp_path: Path) -> None:
    """
    words  0 1 2 .......... 4999 5000 .. 9999 | end
           7 7 7               7    9       9
    Expect two runs within 1 to 20000, cut on the left, ended by the file on the right.
    """
    (tmp_path / "flags").write_bytes(struct.pack("<10000Q", *[7] * 5000, *[9 << 36] * 5000))

    async def ask(guest: Guest) -> bytes:
        return (await guest.ask(f"flags {tmp_path / 'flags'} 1 20000")).data

    assert _talk(init_program, ask) == b"1 5000 7\n5000 10000 9000000000\n"


def test_waits_for_names_with_a_number(init_program: Path, tmp_path: Path) -> None:
    """All there; none there; some there and no patience."""
    for name in ("memory8", "memory9", "memory", "memory10x", "memories10", "node10"):
        (tmp_path / name).touch()

    async def waits(guest: Guest) -> object:
        answers = [
            await guest.ask(f"wait {what} {tmp_path} memory {first} {last} 0")
            for what, first, last in (("present", 8, 9), ("absent", 10, 11), ("present", 9, 10), ("absent", 9, 8))
        ]
        return [(answer.errno, answer.data.split()[:1]) for answer in answers]

    assert _talk(init_program, waits) == [
        (0, [b"2"]),
        (0, [b"0"]),
        (errno.ETIMEDOUT, [b"1"]),
        (errno.EINVAL, []),
    ]


def test_wait_is_ended_by_an_empty_line(init_program: Path, tmp_path: Path) -> None:
    """Nothing ever comes, and a minute is long."""

    async def wait(guest: Guest) -> object:
        waiting = asyncio.create_task(guest.ask(f"wait present {tmp_path} memory 1 1 60000"))
        await asyncio.sleep(0)
        guest.end_wait()
        return (await waiting).errno

    assert _talk(init_program, wait) == errno.EINTR


def test_tells_facts_and_time(init_program: Path) -> None:
    """What the recording's meta is made of."""

    async def ask(guest: Guest) -> object:
        before = await guest.clock()
        return sorted(await guest.facts()), await guest.clock() > before > 0

    assert _talk(init_program, ask) == (["cpus", "machine", "page_size", "release", "version"], True)


def test_refuses_what_it_does_not_know(init_program: Path) -> None:
    """No command, no such folder, ranges that are none."""

    async def ask(guest: Guest) -> object:
        commands = ("dance", "read /nonsense x", "list /nonsense", "flags /dev/null 5 1", "flags /dev/null 1 x", "wait")
        return [(await guest.ask(command)).errno for command in commands]

    assert _talk(init_program, ask) == [
        errno.ENOSYS,
        errno.ENOENT,
        errno.ENOENT,
        errno.EINVAL,
        errno.EINVAL,
        errno.EINVAL,
    ]


def test_compiler_that_is_not_there_is_named(tmp_path: Path) -> None:
    """Cross compilers are packages of their own."""
    with pytest.raises(RecordError) as caught:
        build_init("no-such-gcc", tmp_path / "init")

    assert str(caught.value) == "there is no no-such-gcc; docs/recording.md lists the packages"


def test_compiler_that_fails_is_quoted(tmp_path: Path) -> None:
    """Its own words say why."""
    compiler = tmp_path / "cc"
    compiler.write_text("#!/bin/sh\necho no libc.a >&2\nexit 1\n")
    compiler.chmod(0o755)

    with pytest.raises(RecordError) as caught:
        build_init(str(compiler), tmp_path / "init")

    assert str(caught.value) == f"{compiler} failed:\nno libc.a"


def test_a_write_that_waits_is_ended_by_a_signal(init_program: Path, tmp_path: Path) -> None:
    """As offlining a block waits whose pages cannot move; here it is a pipe that nobody reads."""
    import os

    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    filler = os.open(tmp_path / "pipe", os.O_WRONLY | os.O_NONBLOCK)
    try:
        while True:
            os.write(filler, b"x" * 4096)
    except BlockingIOError:
        pass

    async def both(guest: Guest) -> object:
        waits = await guest.write(str(tmp_path / "pipe"), "x" * 8, limit=0.2)
        plain = await guest.write(str(tmp_path / "file"), "two words", limit=5)
        return waits.errno, plain.errno, (await guest.ask("try 0 /dev/null x")).errno

    (tmp_path / "file").touch()
    assert _talk(init_program, both) == (errno.EINTR, 0, errno.EINVAL)
    assert (tmp_path / "file").read_text() == "two words"
    os.close(reader)
    os.close(filler)


def test_hogs_memory(init_program: Path) -> None:
    """A size, or EINVAL; what cannot be mapped is ENOMEM."""

    async def all_of(guest: Guest) -> object:
        return [(await guest.ask(f"hog {size}")).errno for size in (0, "x", 1 << 16, 1 << 62)]

    assert _talk(init_program, all_of) == [errno.EINVAL, errno.EINVAL, 0, errno.ENOMEM]
