"""Whatever is done to a snapshot, reading it gives a machine or one InputError, never a traceback."""

from __future__ import annotations

import copy
import functools
import json
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memhotplug.errors import InputError
from memhotplug.formats.snapshot import SnapshotFiles, SnapshotMeta, Source, open_snapshot, read_recording
from memhotplug.formats.snapshot.placement import count_by_order
from memhotplug.naming import read_machine

RECORDINGS = Path(__file__).parents[3] / "data" / "recordings"
ODD = st.one_of(st.none(), st.booleans(), st.integers(-2, 1 << 70), st.text(max_size=5), st.just([]), st.just({}))

T = TypeVar("T")

fuzz = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def _outcome(read: Callable[[], T]) -> tuple[T | None, str]:
    """Return what was read, or the one error that is allowed."""
    try:
        return read(), ""
    except InputError as error:
        return None, str(error)


@functools.cache
def _document(name: str = "x86_64-6.12-numa2-mom-1") -> dict[str, Any]:
    document: dict[str, Any] = json.loads(lzma.decompress((RECORDINGS / f"{name}.json.xz").read_bytes()))
    document["steps"] = document["steps"][:4]
    return document


def _files() -> dict[str, str]:
    files: dict[str, str] = _document()["steps"][3]["files"]
    return files


def _try(files: dict[str, str], meta: SnapshotMeta | None = None) -> str:
    snapshot = SnapshotFiles(
        source=Source(file="snap"), kind="directory", step=None, meta=meta or SnapshotMeta(), files=files
    )
    machine, message = _outcome(lambda: read_machine(snapshot))
    if machine is None:
        assert message.startswith("snap")
        assert "\n" not in message
        return "refused"
    assert all(len(zone.free_by_order) == machine.max_order + 1 for zone in machine.zones)
    assert all("\n" not in note.text for note in machine.notes)
    return "read"


@fuzz
@given(name=st.sampled_from(sorted(_files())), data=st.data())
def test_any_file_cut_off_anywhere(name: str, data: st.DataObject) -> None:
    """As a full disk leaves it."""
    text = _files()[name]

    _try(_files() | {name: text[: data.draw(st.integers(0, len(text)))]})


@fuzz
@given(name=st.sampled_from(sorted(_files())), data=st.data())
def test_any_line_of_any_file_lost_or_doubled(name: str, data: st.DataObject) -> None:
    """As careless editing leaves it."""
    lines = _files()[name].splitlines(keepends=True)
    index = data.draw(st.integers(0, max(0, len(lines) - 1)))
    times = data.draw(st.sampled_from([0, 2]))

    _try(_files() | {name: "".join(lines[:index] + lines[index : index + 1] * times + lines[index + 1 :])})


@fuzz
@given(name=st.sampled_from(sorted(_files())), text=st.text(max_size=60))
def test_any_file_replaced_by_any_text(name: str, text: str) -> None:
    """Foreign content under a known name."""
    _try(_files() | {name: text})


@fuzz
@given(
    missing=st.sets(st.sampled_from(["proc/zoneinfo", "proc/buddyinfo", "proc/iomem", "proc/meminfo", "sys/devices"])),
    arch=st.sampled_from([None, "x86_64", "arm64", "powerpc", "s390"]),
)
def test_any_files_missing(missing: set[str], arch: str | None) -> None:
    """Only without both zoneinfo and buddyinfo, or nothing to place zones by, is there no machine."""
    files = {name: text for name, text in _files().items() if not name.startswith(tuple(missing))}

    outcome = _try(files, SnapshotMeta(arch=arch)) if files else "refused"

    if "proc/zoneinfo" not in missing:
        assert outcome == "read"
    if {"proc/zoneinfo", "proc/buddyinfo"} <= missing:
        assert outcome == "refused"


def _paths(value: object, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    keys: Any = ()
    if isinstance(value, dict):
        keys = value
    elif isinstance(value, list):
        keys = range(min(len(value), 3))
    return [path, *(found for key in keys for found in _paths(value[key], (*path, key)))]  # type: ignore[index]


@fuzz
@given(data=st.data(), odd=ODD)
def test_any_value_of_a_recording_replaced(tmp_path: Path, data: st.DataObject, odd: object) -> None:
    """Wrong types and absurd numbers anywhere in the document."""
    document = copy.deepcopy(_document())
    path = data.draw(st.sampled_from([p for p in _paths(document) if p and "files" not in p]))
    place: Any = document
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = odd
    file = tmp_path / "r.json"
    file.write_text(json.dumps(document))

    recording, message = _outcome(lambda: read_recording(file))

    assert message.startswith(str(file)) if recording is None else len(recording.steps) == 4


@fuzz
@given(position=st.integers(0, 9000), byte=st.integers(0, 255))
def test_any_byte_of_a_compressed_recording_changed(tmp_path: Path, position: int, byte: int) -> None:
    """The checksum of xz finds it, or it changes nothing."""
    data = bytearray((RECORDINGS / "arm64-6.12-movablecore.json.xz").read_bytes())
    data[position] = byte
    file = tmp_path / "r.json.xz"
    file.write_bytes(data)

    machine, message = _outcome(lambda: read_machine(open_snapshot(file)))

    assert machine is not None or message.startswith(str(file))


@fuzz
@given(position=st.integers(0, 20000), byte=st.integers(0, 255))
def test_any_byte_of_an_archive_changed(tmp_path: Path, pack: Any, position: int, byte: int) -> None:
    """Headers that lie, and content that changed."""
    wanted = ("proc/zoneinfo", "proc/buddyinfo", "proc/iomem")
    path: Path = pack({name: _files()[name] for name in wanted}, "s.tar")
    data = bytearray(path.read_bytes())
    data[position % len(data)] = byte
    path.write_bytes(data)

    machine, message = _outcome(lambda: read_machine(open_snapshot(path)))

    assert machine is not None or message.startswith(str(path))


@fuzz
@given(noise=st.binary(max_size=2000))
def test_any_bytes_as_a_file(tmp_path: Path, noise: bytes) -> None:
    """Neither archive nor recording."""
    path = tmp_path / "noise"
    path.write_bytes(noise)

    with pytest.raises(InputError) as caught:
        open_snapshot(path)

    assert str(caught.value).startswith(str(path))


def test_the_same_snapshot_read_twice_is_equal() -> None:
    """Nothing depends on the order of sets or on when it runs."""
    for path in sorted(RECORDINGS.glob("*.json.xz")):
        assert read_machine(open_snapshot(path)) == read_machine(open_snapshot(path))


def test_counting_needs_no_pages() -> None:
    """The module that needs NumPy works on empty input as well."""
    import numpy as np

    none = np.empty(0, np.int64)

    assert count_by_order(none, none, 3).tolist() == [0, 0, 0, 0]
