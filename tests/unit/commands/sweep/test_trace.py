"""Traces of an autoscaler: what a file says, where it is wrong, and which operations it means."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from memhotplug.commands.sweep.trace import TraceStep, read_trace, trace_steps
from memhotplug.errors import InputError

_MIB, _GIB = 1 << 20, 1 << 30
Written = Callable[[str], str]
_HEADER = "a header with the columns time or index, size, and optionally pressure, separated by commas"
_SIZE = "a size such as 128M, 1GiB or 0x8000000"


@pytest.fixture
def written(tmp_path: Path) -> Written:
    """Return a function that writes a file and gives its path."""

    def write(text: str) -> str:
        path = tmp_path / "t.csv"
        path.write_text(text, encoding="utf-8", newline="")
        return str(path)

    return write


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("\ufefftime,size\n0,1G\n", [("0", _GIB, None)]),
        ("time,size\n0,1G\n", [("0", _GIB, None)]),
        ("index,size\r\n7,128M\r\n8,0x40000000\r\n", [("7", 128 * _MIB, None), ("8", _GIB, None)]),
        ("Size , TIME\n 1G , a b \n", [("a b", _GIB, None)]),
        ("time,size,pressure\n0,1G,512M\n1,1G,\n2,1G,0\n", [
            ("0", _GIB, 512 * _MIB), ("1", _GIB, None), ("2", _GIB, 0),
        ]),
        ('time,size\n"x, y",1G\n\n , \n2,2G', [("x, y", _GIB, None), ("2", 2 * _GIB, None)]),
        ("time,index,size\n1,2,1G\n", [("1", _GIB, None)]),
    ],
)  # fmt: skip
def test_requests_come_in_the_order_of_the_file(
    written: Written, text: str, steps: list[tuple[str, int, int | None]]
) -> None:
    """Columns in any order and case, with blanks around; empty lines are passed over."""
    assert [step.values() for step in read_trace(written(text))] == steps


@pytest.mark.parametrize(
    ("text", "place", "got", "expected"),
    [
        ("", ":1", "nothing", _HEADER),
        ("\n1,2\n", ":1", "nothing", _HEADER),
        ("time\n", ":1", "time", _HEADER),
        ("size\n", ":1", "size", _HEADER),
        ("time,size,colour\n", ":1:11", "time, size, colour", _HEADER),
        ("time;size\n0;1G\n", ":1:1", "time;size", _HEADER),
        ("time,size\n\n", ":2", "nothing", "a request in the line behind the header"),
        ("time,size,size\n", ":1", "time, size, size", _HEADER),
        ("time,size\n0\n", ":2", "1", "2 columns"),
        ("time,size\n0,1G\n\n1,1G,3\n", ":4", "3", "2 columns"),
        ("time,size\n0,lots\n", ":2:3", "lots", _SIZE),
        ("time,size\n0,  lots\n", ":2:5", "lots", _SIZE),
        ("time,size\n0,\n", ":2:3", "nothing", _SIZE),
        ("time,size,pressure\n0,1G,-1\n", ":2:6", "-1", _SIZE),
        ('time,size\n"1,2, 3",lots\n', ":2:10", "lots", _SIZE),
        ('time,size\n"1\n2",1G\n\n"3\n4",lots\n', ":5", "lots", _SIZE),
        ("time,size\n0," + "9" * 200 + "\n", ":2:3", "9" * 79 + "…", _SIZE),
        ("time,size\n0,1G\n" + "9" * 200_000 + ",1G\n", ":3", "field larger than field limit (131072)", "a CSV file"),
    ],
)
def test_a_bad_line_has_its_number(written: Written, text: str, place: str, got: str, expected: str) -> None:
    """The header is line 1."""
    path = written(text)
    with pytest.raises(InputError) as caught:
        read_trace(path)
    assert str(caught.value).startswith(f"{path}{place}: got {got}, expected {expected}")


def test_lines_that_end_in_a_carriage_return_alone_are_refused(written: Written) -> None:
    """Whatever the reader of CSV calls it."""
    with pytest.raises(InputError, match="expected a CSV file, one request a line"):
        read_trace(written("time,size\r0,1G\r"))


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    """No file, a folder, or bytes that are no text."""
    raw = tmp_path / "raw"
    raw.write_bytes(b"time,size\n\xff\xfe\n")
    for path, got in (
        (tmp_path / "none", "No such file or directory"),
        (tmp_path, "Is a directory"),
        (raw, "bytes that are no UTF-8"),
    ):
        with pytest.raises(InputError) as caught:
            read_trace(str(path))
        assert str(caught.value) == f"{path}: got {got}, expected a trace that can be read, a CSV file"


@pytest.mark.parametrize(("more", "refused"), [(0, False), (1, True)])
def test_a_trace_has_so_many_bytes(written: Written, monkeypatch: pytest.MonkeyPatch, more: int, refused: bool) -> None:
    """The limit itself is fine."""
    text = "time,size\n0,1G\n"
    monkeypatch.setattr("memhotplug.commands.sweep.trace._MOST_BYTES", len(text) - more)
    if not refused:
        assert len(read_trace(written(text))) == 1
        return
    with pytest.raises(InputError, match="a trace of at most 0M"):
        read_trace(written(text))


def played(steps: list[tuple[int, int | None]], *, resizes: bool, size: int = _GIB) -> list[tuple[int, str, object]]:
    """Return number, operation and what it is about, for requests of a device of 1 GiB."""
    made = tuple(TraceStep(str(number), *step) for number, step in enumerate(steps))
    found = trace_steps(made, "d0", "virtio_mem" if resizes else "acpi", size, resizes=resizes)
    return [(number, op, arguments) for number, op, arguments in found]


def test_a_device_that_can_be_resized_is_resized() -> None:
    """At each request, to what is asked for, whether it grows, shrinks or stays."""
    assert played([(2 * _GIB, None), (_GIB, None), (_GIB, None)], resizes=True) == [
        (0, "resize", {"range": "d0", "size": 2 * _GIB}),
        (1, "resize", {"range": "d0", "size": _GIB}),
        (2, "resize", {"range": "d0", "size": _GIB}),
    ]


def test_one_that_cannot_grows_by_others_and_never_shrinks() -> None:
    """By the difference to the most that was asked for so far; each is brought online."""
    assert played([(_GIB, None), (3 * _GIB, None), (2 * _GIB, None), (4 * _GIB, None)], resizes=False) == [
        (1, "add", {"driver": "acpi", "name": "d0-1", "size": 2 * _GIB}),
        (1, "online", {"range": "d0-1"}),
        (3, "add", {"driver": "acpi", "name": "d0-3", "size": _GIB}),
        (3, "online", {"range": "d0-3"}),
    ]


def test_a_workload_lets_go_before_it_takes_again() -> None:
    """Before the device changes; nothing said changes nothing, and zero is nothing held."""
    steps = [(_GIB, 10), (_GIB, None), (_GIB, 20), (_GIB, 0), (_GIB, 0), (_GIB, 5)]
    assert [(number, op, dict(arguments)) for number, op, arguments in played(steps, resizes=False)] == [  # type: ignore[call-overload]
        (0, "allocate", {"name": "pressure", "size": 10}),
        (2, "release", {"name": "pressure"}),
        (2, "allocate", {"name": "pressure", "size": 20}),
        (3, "release", {"name": "pressure"}),
        (5, "allocate", {"name": "pressure", "size": 5}),
    ]
    assert [op for _, op, _ in played([(_GIB, 10)], resizes=True)] == ["allocate", "resize"]
