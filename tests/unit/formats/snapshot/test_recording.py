"""Reading whole recordings for a replay."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from memhotplug.errors import InputError
from memhotplug.formats.snapshot import RecordedOp, read_recording

Save = Callable[[object], str]


def _message(path: object) -> str:
    with pytest.raises(InputError) as caught:
        read_recording(str(path))
    return str(caught.value)


def test_shipped_recordings_are_all_there(recordings: list[Path]) -> None:
    """Four architectures, three kernels, every kind of operation."""
    read = [read_recording(path) for path in recordings]

    assert len(read) >= 36
    assert {recording.meta.arch for recording in read} == {"x86_64", "ppc64el", "arm64", "s390x"}
    assert {step.op.kind for recording in read for step in recording.steps} == {
        "boot",
        "add",
        "online",
        "offline",
        "remove",
        "write",
        "resize",
        "hog",
    }
    assert all(recording.steps[0].op.kind == "boot" for recording in read)
    assert len({recording.name for recording in read}) == len(read)


def test_recording_holds_operations_with_their_results(document: dict[str, Any], save: Save) -> None:
    """One DIMM of one block: add, online_kernel, offline, online_movable."""
    recording = read_recording(save(document))

    assert [step.op for step in recording.steps[:3]] == [
        RecordedOp(kind="boot"),
        RecordedOp(kind="add", device="d0", size=1 << 27, address=1 << 32, node=0, blocks=(32,)),
        RecordedOp(kind="online", blocks=(32,), type="online_kernel"),
    ]
    assert [step.index for step in recording.steps] == [0, 1, 2, 3, 4]
    assert recording.steps[2].results == {32: "ok"}
    assert recording.steps[2].ok is True
    assert recording.steps[2].seconds is not None
    assert recording.what == "boot 1G, add one 128 MiB DIMM, online_kernel, offline, online_movable"
    assert recording.recorded_on == "2026-11-23"


def test_recording_holds_page_flags_as_runs(document: dict[str, Any], save: Save) -> None:
    """After the add the block is offline: one run without a page."""
    flags = read_recording(save(document)).steps[1].kpageflags

    assert flags is not None
    assert list(flags.ranges) == [(1 << 20, (1 << 20) + 32768, 0x100000)]
    assert flags.covered == ((1 << 20, (1 << 20) + 32768),)
    assert flags.past_end == ()


def test_recording_tells_what_failed(recordings: list[Path]) -> None:
    """arm64 boot memory refuses; the large DIMM fails without an errno; the removed device leaves nothing."""
    by_name = {path.name.removesuffix(".json.xz"): read_recording(path) for path in recordings}

    arm = by_name["arm64-6.12-movablecore"].steps
    kata = by_name["x86_64-6.12-kata4847-mom-0"].steps[1]
    assert [step.errno for step in arm[:4]] == [None, "EBUSY", "EPERM", "EPERM"]
    assert (kata.ok, kata.errno, kata.result) == (False, None, "failed: 0 of 96 blocks appeared")
    assert by_name["x86_64-6.12-mom-1-a"].steps[18].blocks_left == ()


def test_step_may_carry_only_its_operation(document: dict[str, Any], save: Save) -> None:
    """A scenario in the shape of a recording, to be answered."""
    document["steps"] = [document["steps"][0], {"op": {"kind": "offline", "blocks": [3, 2]}}]

    recording = read_recording(save(document))

    step = recording.steps[1]
    assert (step.op.blocks, step.result, step.ok, step.errno) == ((3, 2), None, None, None)
    assert (step.files, step.kpageflags, step.results, step.blocks_left) == (None, None, {}, None)
    with pytest.raises(InputError, match=r"steps\[1\]: got one without, expected a step with files"):
        recording.snapshot(1)
    with pytest.raises(InputError, match=r"got 2, expected a step from 0 to 1"):
        recording.snapshot(2)


def test_a_broken_page_has_an_errno_that_python_may_not_know(document: dict[str, Any], save: Save) -> None:
    """hard_offline_page says so of one that is given up already, and a block with one does not go online."""
    op = {"kind": "write", "path": "/sys/devices/system/memory/hard_offline_page", "value": "0x100000"}
    document["steps"][1] = {"op": op, "result": "EHWPOISON: Memory page has hardware error"}

    assert read_recording(save(document)).steps[1].errno == "EHWPOISON"


def test_write_steps_are_read(document: dict[str, Any], save: Save) -> None:
    """The path is below the root, with or without its slash."""
    op = {"kind": "write", "path": "/sys/devices/system/memory/auto_online_blocks", "value": "bogus"}
    document["steps"][1] = {"op": op, "result": "EINVAL: Invalid argument"}

    step = read_recording(save(document)).steps[1]

    assert (step.op.path, step.op.value) == ("sys/devices/system/memory/auto_online_blocks", "bogus")
    assert step.errno == "EINVAL"


def _set(path: str, value: object) -> Callable[[dict[str, Any]], None]:
    """Return a function that puts ``value`` at a dotted path of a document."""

    def change(document: dict[str, Any]) -> None:
        *parents, last = path.split(".")
        place: Any = document
        for name in parents:
            place = place[int(name)] if name.isdigit() and isinstance(place, list) else place[name]
        place[int(last) if isinstance(place, list) else last] = value

    return change


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("meta", 1, "meta: got 1, expected an object"),
        ("meta", None, "got none, expected the key 'meta'"),
        ("meta.arch", None, "meta: got none, expected the key 'arch'"),
        ("meta.page_size", 4095, "meta.page_size: got 4095, expected a power of two, in bytes"),
        ("meta.page_size", "4096", 'meta.page_size: got "4096", expected a non-negative integer'),
        ("meta.page_size", True, "meta.page_size: got true, expected a non-negative integer"),
        ("meta.section_size_bytes", 1 << 30, "meta: got 4096, 1073741824, 134217728, expected page <= section <= "),
        ("meta.memory_hotplug_parameters", [], "meta.memory_hotplug_parameters: got [], expected an object"),
        ("meta.boot_memory_bytes", -1, "meta.boot_memory_bytes: got -1, expected a non-negative integer"),
        ("meta.host_seconds", "x", 'meta.host_seconds: got "x", expected a number'),
        ("steps", {}, "steps: got {}, expected an array"),
        ("steps", [], "steps: got none, expected at least one step"),
        ("steps.1", 7, "steps[1]: got 7, expected an object"),
        ("steps.1.op", None, "steps[1]: got none, expected the key 'op'"),
        ("steps.1.op.kind", "onlien", "steps[1].op.kind: got 'onlien', expected one of boot, add, online, offline, "),
        ("steps.1.op.size", 0, "steps[1].op.size: got 0, expected a size above zero, in bytes"),
        ("steps.1.op.size", 1.5, "steps[1].op.size: got 1.5, expected a non-negative integer"),
        ("steps.1.op.address", None, "steps[1].op: got none, expected the key 'address'"),
        ("steps.1.op.blocks", [33], "steps[1].op.blocks: got [33], expected blocks 32-32 of the device"),
        ("steps.2.op.blocks", [32, 32], "steps[2].op.blocks: got [32, 32], expected each block once"),
        ("steps.2.op.blocks", ["32"], 'steps[2].op.blocks[0]: got "32", expected a non-negative integer'),
        ("steps.2.op.type", "online_fast", "steps[2].op.type: got 'online_fast', expected one of online, "),
        ("steps.2.result", "perhaps", "steps[2].result: got 'perhaps', expected 'ok', an errno such as 'EBUSY: ...'"),
        ("steps.2.result", "EBUSY: x", "steps[2]: got 'EBUSY: x', expected a result that agrees with its blocks' "),
        ("steps.2.results", {"33": "ok"}, "steps[2].results: got '33', expected results of the blocks of the "),
        ("steps.2.results", {"32": "no"}, "steps[2].results.32: got 'no', expected 'ok' or an errno such as "),
        ("steps.1.blocks_left", [3], "steps[1].blocks_left: got [3], expected blocks of the removed device"),
        ("steps.1.files", {"proc/zoneinfo": 1}, "steps[1].files.proc/zoneinfo: got 1, expected a string"),
        ("steps.1.kpageflags", [], "steps[1].kpageflags: got [], expected an object"),
        ("steps.1.kpageflags.ranges", [[5, 9]], "steps[1].kpageflags.ranges[0]: got [5, 9], expected [start_pfn, "),
        (
            "steps.1.kpageflags.ranges",
            [[5, 9, "0x0"], [8, 10, "0x0"]],
            "steps[1].kpageflags.ranges[1]: got [8, 10], expected an ascending range of pfns from 9 on",
        ),
        ("steps.1.kpageflags.covered", [[9, 5]], "steps[1].kpageflags.covered[0]: got [9, 5], expected an ascending "),
        ("steps.1.kpageflags.covered", [[9]], "steps[1].kpageflags.covered[0]: got [9], expected [start_pfn, end_pfn]"),
        (
            "steps.4.files.sys/devices/system/memory/block_size_bytes",
            "1\n",
            "steps[4].files[sys/devices/system/memory/block_size_bytes]: got '1', expected 8000000, the meta's ",
        ),
    ],
)
def test_broken_recording_is_refused_where_it_is_broken(
    document: dict[str, Any], save: Save, path: str, value: object, message: str
) -> None:
    """The error names the file, the step and the key."""
    _set(path, value)(document)
    file = save(document)

    assert _message(file).startswith(f"{file}: {message}")


def test_unknown_kind_names_the_one_that_was_meant(document: dict[str, Any], save: Save) -> None:
    """A near miss is named."""
    document["steps"][1]["op"]["kind"] = "onlien"

    assert _message(save(document)).endswith("remove, write, resize, hog; did you mean 'online'?")


def test_device_over_part_of_a_block_may_name_no_block(document: dict[str, Any], save: Save) -> None:
    """An unaligned DIMM adds nothing; a removal may name only the device."""
    document["steps"][1]["op"] |= {"size": 64 << 20, "blocks": []}
    document["steps"][2] = {"op": {"kind": "remove", "dimm": "d0"}}

    steps = read_recording(save(document)).steps

    assert (steps[1].op.size, steps[1].op.blocks) == (64 << 20, ())
    assert steps[2].op == RecordedOp(kind="remove", device="d0")


def test_missing_recording_is_refused(tmp_path: Path) -> None:
    """The name as it was given."""
    path = tmp_path / "none.json"

    assert _message(path) == f"{path}: got No such file or directory, expected a readable file"
