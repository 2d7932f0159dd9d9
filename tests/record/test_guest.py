"""The protocol on the console: frames, checksums, noise, and guests that die."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable

import pytest
from tests.record.fake_qemu import FakeGuest
from tools.record.errors import RecordError
from tools.record.guest import Answer, Guest, LogLine, Waited, errno_text

Talk = Callable[[Callable[[Guest], Awaitable[object]], FakeGuest], object]


class _Sink:
    """The writing end of a console that nobody reads; keeps what was sent."""

    def __init__(self) -> None:
        self.sent = b""

    def write(self, data: bytes) -> None:
        self.sent += data


def _hear(console: bytes, command: str = "facts", *, ends: bool = True, timeout: float = 5) -> Answer:
    """Return what a guest makes of these bytes from the console, after one command."""

    async def ask() -> Answer:
        reader = asyncio.StreamReader()
        reader.feed_data(console)
        if ends:
            reader.feed_eof()
        guest = Guest(reader, _Sink(), timeout=timeout)  # type: ignore[arg-type]  # only write is used
        return await guest.ask(command)

    return asyncio.run(ask())


def _frame(data: bytes, sequence: int = 1) -> bytes:
    return b"@D %d %d %08x\n%s\n" % (sequence, len(data), zlib.crc32(data), data)


def _refused(console: bytes, **options: object) -> str:
    with pytest.raises(RecordError) as caught:
        _hear(console, **options)  # type: ignore[arg-type]  # passed through
    return str(caught.value)


def test_frames_are_joined_in_their_order() -> None:
    """An answer longer than one frame, with line feeds and frame marks as data in it."""
    console = _frame(b"first\n@E 1 0 0\n") + _frame(b"second") + b"@E 1 16 2500000\n"

    assert _hear(console) == Answer(errno=16, seconds=0.0025, data=b"first\n@E 1 0 0\nsecond")


def test_kernel_messages_between_frames_are_no_data() -> None:
    """A message may even stand before a frame on the same line."""
    console = b"[ 1.0] hello\r\n[ 2.0] partial @E 1 0 7000\r\n"

    assert _hear(console) == Answer(errno=0, seconds=7e-06, data=b"")


def test_answers_to_other_commands_are_skipped() -> None:
    """What is left of a command that was given up."""
    console = b"@E 9 5 1\n" + b"@E 1 0 0\n"

    assert _hear(console).errno == 0


def test_damaged_frame_is_refused() -> None:
    """A message in the middle of a frame changes its checksum."""
    assert _refused(_frame(b"abc").replace(b"abc", b"aXc")) == "the guest: a damaged answer to 'facts'"


def test_guest_that_stops_shows_the_end_of_its_console() -> None:
    """The panic is what one wants to know."""
    assert _refused(b"one\r\nKernel panic - not syncing\r\n") == (
        "the guest: it stopped during 'facts'; from the end of its console:\n  one\n  Kernel panic - not syncing"
    )
    assert _refused(b"@D 1 100 00000000\nshort") == "the guest: it stopped during 'facts'"


def test_panic_is_shown_even_if_a_long_trace_follows() -> None:
    """Of the rest only the last ten lines."""
    trace = b"".join(b"trace %d\r\n" % number for number in range(40))
    message = _refused(b"boot\r\nKernel panic - not syncing: deadlock\r\n" + trace)

    assert message.splitlines()[1:3] == ["  Kernel panic - not syncing: deadlock", "  trace 30"]
    assert len(message.splitlines()) == 12


def test_guest_that_is_silent_is_given_up() -> None:
    """The limit is a setting, here none at all."""
    assert _refused(b"", ends=False, timeout=0.01) == "the guest: no answer to 'facts' within 0.01 seconds"


@pytest.mark.parametrize("command", ["two\nlines", "x" * 1001])
def test_commands_that_the_console_cannot_take_are_not_sent(command: str) -> None:
    """A console driver drops what does not fit into its buffer."""
    assert _refused(b"", command=command) == "the guest takes commands of one line of at most 1000 bytes"


def test_results_are_named_as_in_recordings() -> None:
    """The symbol, and the C library's text."""
    assert [errno_text(number) for number in (0, 1, 16, 22)] == [
        "ok",
        "EPERM: Operation not permitted",
        "EBUSY: Device or resource busy",
        "EINVAL: Invalid argument",
    ]


def test_files_that_cannot_be_read_are_left_out(talk: Talk) -> None:
    """One answer for several files of a directory."""
    files = talk(lambda guest: guest.read_files("/proc", ["meminfo", "nonsense", "iomem"]), FakeGuest())

    assert files == {"meminfo": "MemTotal: 1 kB\n", "iomem": "iomem\n"}


def test_kernel_log_is_given_once_and_plain(talk: Talk) -> None:
    """Times come from the records; escapes are undone; dictionary lines are no messages."""

    async def twice(guest: Guest) -> object:
        return await guest.kernel_log(), await guest.kernel_log()

    assert talk(twice, FakeGuest()) == (
        [LogLine(seconds=0.001, text="Linux version 6.1.0-fake"), LogLine(seconds=0.0025, text="odd \x1b text")],
        [],
    )


def test_wait_ends_when_the_blocks_are_there(talk: Talk) -> None:
    """Blocks 0 to 7 are there at once."""

    async def wait(guest: Guest) -> Waited:
        return await guest.wait_for_blocks(first=0, last=7, present=True, limit=5)

    waited = talk(wait, FakeGuest())

    assert isinstance(waited, Waited)
    assert (waited.complete, waited.present) == (True, 8)


def test_wait_can_be_ended(talk: Talk) -> None:
    """An empty line ends it; the commands after it are answered as ever."""

    async def wait(guest: Guest) -> object:
        waiting = asyncio.create_task(guest.wait_for_blocks(first=7, last=8, present=True, limit=5))
        await asyncio.sleep(0)
        guest.end_wait()
        waited = await waiting
        guest.end_wait()
        return waited.complete, waited.present, (await guest.facts())["machine"]

    assert talk(wait, FakeGuest()) == (False, 1, "x86_64")


def test_commands_that_must_work_say_why_not(talk: Talk) -> None:
    """The page flags need a kernel with CONFIG_PROC_PAGE_MONITOR."""

    class NoFlags(FakeGuest):
        def answer(self, command: str, arguments: list[str]) -> tuple[int, bytes]:
            return (2, b"") if command == "flags" else super().answer(command, arguments)

    with pytest.raises(RecordError) as caught:
        talk(lambda guest: guest.page_flags(0, 8), NoFlags())

    assert str(caught.value).startswith("the guest: ENOENT: No such file or directory from flags")
