"""Opening snapshots: directories, archives, recordings, and what must not be opened."""

from __future__ import annotations

import json
import lzma
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from memhotplug.errors import InputError
from memhotplug.formats.snapshot import Limits, open_snapshot
from memhotplug.naming import read_machine

MEMORY = "sys/devices/system/memory"
Unpack = Callable[[Mapping[str, str]], Path]
Pack = Callable[..., Path]
Save = Callable[[object], str]


def message_of(path: object, step: int | None = None, **limits: int) -> str:
    with pytest.raises(InputError) as caught:
        open_snapshot(str(path), step, limits=Limits(**limits))
    return str(caught.value)


def test_directory_gives_every_file_and_the_node_of_each_link(texts: dict[str, str], unpack: Unpack) -> None:
    """A directory with files at their real paths reads as the recording it came from."""
    wanted = {name: text for name, text in texts.items() if "has_generic_initiator" not in name}

    opened = open_snapshot(unpack(texts))

    assert {name: text.strip() for name, text in opened.files.items()} == {n: t.strip() for n, t in wanted.items()}
    assert (opened.kind, opened.step, opened.meta.arch) == ("directory", None, None)


def test_directory_below_one_directory_is_found(texts: dict[str, str], unpack: Unpack) -> None:
    """An unpacked sos report has one directory above proc and sys."""
    root = unpack(texts)

    assert open_snapshot(root.parent).files == open_snapshot(root).files


def test_directory_takes_block_nodes_from_the_node_side_too(unpack: Unpack, tmp_path: Path) -> None:
    """Links nodeM/memoryN say the same as memoryN/nodeM."""
    root = unpack({"proc/zoneinfo": "x"})
    (root / "sys/devices/system/node/node1").mkdir(parents=True)
    (root / "sys/devices/system/node/node1/memory5").symlink_to("../../memory/memory5")

    assert open_snapshot(root).files[f"{MEMORY}/memory5/node"] == "1"


def test_directory_leaves_out_what_may_not_be_read(unpack: Unpack, monkeypatch: pytest.MonkeyPatch) -> None:
    """pagetypeinfo is root's, and some sysfs attributes refuse; other failures are not hidden."""
    root = unpack({"proc/zoneinfo": "x", "proc/pagetypeinfo": "y", f"{MEMORY}/memory0/valid_zones": "z"})
    failures = {
        "pagetypeinfo": PermissionError(13, "Permission denied"),
        "valid_zones": OSError(22, "Invalid argument"),
    }

    def fake(path: str, limit: int) -> bytes:
        if os.path.basename(path) in failures:
            raise failures[os.path.basename(path)]
        return b"x"

    monkeypatch.setattr("memhotplug.formats.snapshot.directory._read", fake)

    assert sorted(open_snapshot(root).files) == ["proc/zoneinfo"]
    failures["zoneinfo"] = OSError(5, "Input/output error")
    assert message_of(root) == f"{root}: proc/zoneinfo: got Input/output error, expected a readable file"


def test_directory_reads_this_very_machine() -> None:
    """The root directory is a snapshot too, as far as this system shows its memory."""
    if not os.path.exists("/proc/zoneinfo") and not os.path.exists("/proc/meminfo"):
        pytest.skip("no /proc here")

    assert "proc/meminfo" in open_snapshot("/").files


def test_directory_leaves_out_a_fifo_instead_of_waiting_for_it(unpack: Unpack) -> None:
    """Reading a named pipe would hang."""
    root = unpack({"proc/zoneinfo": "x"})
    os.mkfifo(root / "proc/iomem")

    assert sorted(open_snapshot(root).files) == ["proc/zoneinfo"]


def test_directory_with_a_link_out_of_it_is_refused(unpack: Unpack, tmp_path: Path) -> None:
    """A foreign directory cannot make us read other files."""
    secret = tmp_path / "secret"
    secret.write_text("s")
    root = unpack({"proc/zoneinfo": "x"})
    (root / "proc/iomem").symlink_to(secret)

    assert message_of(root) == f"{root}: proc/iomem: got a link out of it, expected a file inside the snapshot"


def test_directory_does_not_enter_a_linked_folder_outside(unpack: Unpack, tmp_path: Path) -> None:
    """A linked sys/ that leads elsewhere is as good as missing."""
    outside = tmp_path / "outside" / "devices/system/memory"
    outside.mkdir(parents=True)
    (outside / "block_size_bytes").write_text("8000000\n")
    root = unpack({"proc/zoneinfo": "x"})
    (root / "sys").symlink_to(tmp_path / "outside")

    assert sorted(open_snapshot(root).files) == ["proc/zoneinfo"]


def test_directory_without_machine_files_is_refused(tmp_path: Path) -> None:
    """Some other directory is not a snapshot."""
    (tmp_path / "proc").mkdir()

    assert message_of(tmp_path) == f"{tmp_path}: got none of them, expected files of a machine such as proc/zoneinfo"


def test_directory_of_two_machines_is_refused(tmp_path: Path) -> None:
    """Two sos reports side by side: which one is meant?"""
    (tmp_path / "a" / "proc").mkdir(parents=True)
    (tmp_path / "b" / "proc").mkdir(parents=True)

    assert message_of(tmp_path) == f"{tmp_path}: got several, expected a directory with proc/ and sys/ of one machine"


def test_directory_with_neither_proc_nor_sys_is_refused(tmp_path: Path) -> None:
    """An empty directory holds no machine."""
    assert message_of(tmp_path) == f"{tmp_path}: got none, expected a directory with proc/ and sys/ of one machine"


@pytest.mark.parametrize(
    ("limits", "text"),
    [
        ({"file_bytes": 10}, "at most 10 bytes"),
        ({"total_bytes": 10}, "at most 10 bytes of machine files"),
        ({"members": 3}, "at most 3 "),
    ],
)
def test_limits_hold_for_directories_and_archives(
    texts: dict[str, str], unpack: Unpack, pack: Pack, limits: dict[str, int], text: str
) -> None:
    """Neither container may make us read without bound."""
    assert text in message_of(unpack(texts), **limits)
    assert text in message_of(pack(texts), **limits)


@pytest.mark.parametrize("step", [0, 3])
def test_only_a_recording_has_steps(texts: dict[str, str], unpack: Unpack, pack: Pack, step: int) -> None:
    """A step of a directory or archive is a mistake worth saying."""
    root, archive = unpack(texts), pack(texts)

    expected = "expected no step with {}; only a recording has steps"
    assert message_of(root, step) == f"{root}: got step {step}, " + expected.format("a directory")
    assert message_of(archive, step) == f"{archive}: got step {step}, " + expected.format("a tar archive")


def test_recording_gives_the_step_that_was_asked_for(recordings: list[Path]) -> None:
    """The default is the boot step; meta is the same for all."""
    path = next(path for path in recordings if path.name.startswith("x86_64-6.12-mom-1-a"))

    boot, last = open_snapshot(path), open_snapshot(path, 9)

    assert (boot.step, last.step) == (0, 9)
    assert f"{MEMORY}/memory32/state" not in boot.files
    assert last.files[f"{MEMORY}/memory39/state"] == "online\n"
    assert last.meta == boot.meta
    assert last.meta.kernel_release == "6.12.107+deb13-amd64"
    assert (last.meta.page_size, last.meta.section_size, last.meta.block_size) == (4096, 1 << 27, 1 << 27)
    assert (last.meta.boot_memory, last.meta.auto_online_blocks) == (1 << 30, "offline")
    assert last.meta.parameters["memmap_on_memory"] == "Y"


def test_recorded_arch_becomes_the_plugins_word(recordings: list[Path]) -> None:
    """Debian's ppc64el is the kernel's powerpc."""
    opened = {path.name.split("-")[0]: open_snapshot(path) for path in recordings}

    assert {name: snapshot.meta.arch for name, snapshot in opened.items()} == {name: name for name in opened}
    found = {name: read_machine(snapshot).arch for name, snapshot in opened.items()}
    assert found == {"x86_64": "x86_64", "ppc64el": "powerpc", "arm64": "arm64", "s390x": "s390"}


@pytest.mark.parametrize("step", [5, -1])
def test_recording_without_that_step_says_which_there_are(document: dict[str, Any], save: Save, step: int) -> None:
    """Steps count from 0."""
    path = save(document)

    assert message_of(path, step) == f"{path}: got {step}, expected a step from 0 to 4"


def test_recording_step_without_files_is_refused(document: dict[str, Any], save: Save) -> None:
    """A step may carry only its operation; it is then no snapshot."""
    del document["steps"][1]["files"]
    path = save(document)

    assert message_of(path, 1) == f"{path}: steps[1]: got one without, expected a step with files"
    assert open_snapshot(path, 2).step == 2


def test_recording_that_contradicts_its_block_size_is_refused(document: dict[str, Any], save: Save) -> None:
    """The error names file, step and the file inside."""
    document["steps"][3]["files"][f"{MEMORY}/block_size_bytes"] = "10000000\n"
    path = save(document)

    assert message_of(path, 3) == (
        f"{path}: steps[3].files[{MEMORY}/block_size_bytes]: got '10000000', "
        "expected 8000000, the meta's memory_block_size_bytes"
    )


@pytest.mark.parametrize("part", [0.2, 0.9])
def test_truncated_recording_is_refused(recordings: list[Path], tmp_path: Path, part: float) -> None:
    """Cut off compressed, or cut off as text."""
    data = recordings[0].read_bytes()
    packed, plain = tmp_path / "cut.json.xz", tmp_path / "cut.json"
    text = lzma.decompress(data)
    packed.write_bytes(data[: int(len(data) * part)])
    plain.write_bytes(text[: int(len(text) * part)])

    assert message_of(packed).startswith(f"{packed}: got damaged or truncated data (")
    assert message_of(plain).startswith(f"{plain}: got ")
    assert message_of(plain).endswith("expected a complete JSON document")


@pytest.mark.parametrize("value", [[], [1], {}, {"meta": {}}, {"schema": 1, "steps": []}, "text"])
def test_foreign_json_is_refused(save: Save, value: object) -> None:
    """Some other JSON document, a scenario's result for instance, is not a recording."""
    path = save(value)

    assert message_of(path) == (
        f"{path}: got another JSON document, expected a recording: an object with 'meta' and 'steps'"
    )


def test_nested_json_bomb_is_refused(tmp_path: Path) -> None:
    """A document nested too deeply is an error, not a crash."""
    path = tmp_path / "deep.json"
    path.write_text('{"meta":' + "[" * 200_000)

    assert message_of(path) == f"{path}: got more, expected at most 64 levels in a JSON document"


def test_json_bomb_is_stopped(tmp_path: Path) -> None:
    """A recording is decompressed up to a limit."""
    path = tmp_path / "bomb.json.xz"
    path.write_bytes(lzma.compress(b"{" + b" " * (4 << 20)))

    assert message_of(path, json_bytes=1 << 20) == f"{path}: got more, expected at most 1048576 bytes once decompressed"


@pytest.mark.parametrize("value", ["[]", "{}", '{"a":0}', "0", '""'])
def test_json_that_becomes_much_more_is_stopped(tmp_path: Path, value: str) -> None:
    """A few bytes of JSON become hundreds in memory: values are counted before anything is parsed."""
    path = tmp_path / "values.json.xz"
    path.write_bytes(lzma.compress(('{"meta":[' + f"{value}," * 20_000 + value + '],"steps":[]}').encode()))

    assert message_of(path, json_values=20_000) == f"{path}: got more, expected at most 20000 values in a JSON document"
    assert message_of(path, json_values=60_004).endswith("steps: got none, expected at least one step")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "got an empty file, expected a snapshot directory, a tar archive or a recording"),
        *(
            (
                content,
                "got what daxctl list or cxl list print, expected a machine (mhp plan --steps adds the devices of such "
                "a list, mhp align --iomem says what they lose)",
            )
            for content in (b'[\n  {\n    "chardev":"dax0.0",\n', b'{"decoder": "root0"}', b'[{"memdev": "mem0"}]')
        ),
        (b"\x28\xb5\x2f\xfd rest", "got zstd, expected a file that is plain or compressed with gzip, xz or bzip2"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: bytes, text: str) -> None:
    """One line says what would be accepted."""
    path = tmp_path / "file"
    path.write_bytes(content)

    assert message_of(path) == f"{path}: {text}"


@pytest.mark.parametrize("content", [b"hello\n", b"\0" * 4096, b"\x7fELF" + bytes(2000), b"schema: 1\n" * 200])
def test_foreign_files_are_refused(tmp_path: Path, content: bytes) -> None:
    """Neither a tar archive nor JSON."""
    path = tmp_path / "file"
    path.write_bytes(content)

    assert message_of(path).startswith(f"{path}: got ")


def test_missing_and_special_files_are_refused(tmp_path: Path) -> None:
    """A name that leads nowhere, or to a pipe that would never answer."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    wanted = "expected a snapshot directory, a tar archive or a recording"
    assert message_of(tmp_path / "none") == f"{tmp_path / 'none'}: got no such file, {wanted}"
    assert message_of(pipe) == f"{pipe}: got a special file, {wanted}"


def test_reading_is_deterministic(texts: dict[str, str], pack: Pack) -> None:
    """The order of an archive's members does not show."""
    forward = open_snapshot(pack(texts, "a.tar"))
    backward = open_snapshot(pack(dict(reversed(texts.items())), "b.tar"))

    assert json.dumps(dict(forward.files)) == json.dumps(dict(backward.files))
