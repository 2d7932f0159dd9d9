"""Where an error of a snapshot points at."""

from __future__ import annotations

import pytest

from memhotplug.formats.snapshot.source import LIMITS, SnapshotFiles, SnapshotMeta, Source

_FILE = Source(file="a.json")


@pytest.mark.parametrize(
    ("source", "place"),
    [
        (_FILE, ""),
        (_FILE.key("steps"), "steps"),
        (_FILE.key(3), "[3]"),
        (_FILE.key("steps").key(2), "steps[2]"),
        (_FILE.key("steps").key(2).key("op").key("size"), "steps[2].op.size"),
        (_FILE.key("steps").key(0).key(1), "steps[0][1]"),
        (_FILE.key("steps").at("proc/zoneinfo"), "proc/zoneinfo"),
    ],
)
def test_places_are_written_as_people_write_them(source: Source, place: str) -> None:
    """Members with dots, items in brackets."""
    assert (source.file, source.place) == ("a.json", place)


@pytest.mark.parametrize(
    ("place", "line", "message"),
    [
        ("", None, "a.json: got 'x', expected a number"),
        ("", 7, "a.json: line 7: got 'x', expected a number"),
        ("proc/meminfo", None, "a.json: proc/meminfo: got 'x', expected a number"),
        ("proc/meminfo", 7, "a.json: proc/meminfo line 7: got 'x', expected a number"),
    ],
)
def test_an_error_names_file_place_and_line(place: str, line: int | None, message: str) -> None:
    """As far as they are known."""
    error = _FILE.at(place).error("a number", got="'x'", line=line)
    assert str(error) == message
    assert (error.file, error.expected, error.got) == ("a.json", "a number", "'x'")


def files(step: int | None) -> SnapshotFiles:
    """Return the files of a snapshot with one of them."""
    return SnapshotFiles(
        source=_FILE, kind="recording", step=step, meta=SnapshotMeta(), files={"proc/meminfo": "MemTotal: 1 kB\n"}
    )


@pytest.mark.parametrize(
    ("step", "place"),
    [(None, "proc/meminfo"), (0, "steps[0].files[proc/meminfo]"), (12, "steps[12].files[proc/meminfo]")],
)
def test_a_file_of_a_recording_lies_in_its_step(step: int | None, place: str) -> None:
    """The first step is one, too."""
    snapshot = files(step)
    assert snapshot.at("proc/meminfo") == Source(file="a.json", place=place)
    assert (snapshot.get("proc/meminfo"), snapshot.get("proc/buddyinfo")) == ("MemTotal: 1 kB\n", None)


def test_what_a_recording_does_not_say_is_nothing() -> None:
    """Also its parameters, which nobody can add to."""
    meta = SnapshotMeta()
    assert (meta.arch, meta.kernel_release, meta.cmdline, meta.page_size, meta.block_size) == (None,) * 5
    assert dict(meta.parameters) == {}
    with pytest.raises(TypeError):
        meta.parameters["policy"] = "x"  # type: ignore[index]  # that it cannot be is what is tested


def test_an_archive_may_be_larger_than_what_is_wanted_of_it() -> None:
    """Each limit leaves room for the next smaller one."""
    assert LIMITS.header_bytes < LIMITS.file_bytes < LIMITS.total_bytes < LIMITS.stream_bytes
    assert LIMITS.file_bytes < LIMITS.json_bytes
