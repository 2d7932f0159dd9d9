"""Recording a machine: what is read, what is named, and that nothing is overwritten."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from memhotplug.errors import InputError
from memhotplug.formats.snapshot import open_snapshot
from memhotplug.formats.snapshot.capture import Collected, collect, is_archive_name, write_snapshot
from memhotplug.naming import read_machine

Unpack = Callable[[Mapping[str, str]], Path]

MEMORY = "sys/devices/system/memory"
NODE = "sys/devices/system/node"


@pytest.fixture
def root(unpack: Unpack, texts: dict[str, str]) -> Path:
    """Return the root of a recorded machine, with links between blocks and nodes as sysfs has them."""
    return unpack(texts)


def _error(collected: Collected, output: Path | str, **keywords: object) -> str:
    with pytest.raises(InputError) as caught:
        write_snapshot(collected, str(output), **keywords)  # type: ignore[arg-type]  # keywords of any kind
    return str(caught.value)


def _tree(path: Path) -> dict[str, str]:
    return {str(found.relative_to(path)): found.read_text() for found in sorted(path.rglob("*")) if found.is_file()}


def test_a_recorded_machine_reads_like_the_original(root: Path, tmp_path: Path) -> None:
    """The whole machine, block by block."""
    output = tmp_path / "out"
    write_snapshot(collect(root), str(output))
    original, copy = read_machine(open_snapshot(root)), read_machine(open_snapshot(output))

    assert copy.blocks == original.blocks
    assert copy.zones == original.zones
    assert copy.notes == original.notes
    assert (copy.kernel_release, copy.cmdline, copy.block_size, copy.parameters) == (
        original.kernel_release,
        original.cmdline,
        original.block_size,
        original.parameters,
    )


def test_links_are_read_as_files_with_the_nodes_number(root: Path) -> None:
    """One for each block, however many links there are."""
    files = collect(root).files

    assert files[f"{MEMORY}/memory0/node"] == "0\n"
    assert not any("/node0/memory" in name for name in files)


@pytest.mark.parametrize("name", ["out", "out.tar", "out.tar.gz"])
def test_blocks_are_linked_to_their_nodes_as_the_kernel_does_it(root: Path, tmp_path: Path, name: str) -> None:
    """lsmem and others that are pointed at the snapshot find the nodes."""
    write_snapshot(collect(root), str(tmp_path / name))
    if name != "out":
        with tarfile.open(tmp_path / name) as tar:
            tar.extractall(tmp_path / "out", filter="data")

    block = tmp_path / "out" / MEMORY / "memory0"
    assert os.readlink(block / "node0") == "../../node/node0"
    assert (block / "node0").resolve() == (tmp_path / "out" / NODE / "node0").resolve()
    assert not (block / "node").exists()


def test_the_same_machine_gives_the_same_bytes(root: Path, tmp_path: Path) -> None:
    """In an archive too: no time, no owner, an order that does not depend on the disk."""
    for name in ("a.tar.gz", "b.tar.gz", "c.tar", "d.tar.xz", "e.tar.xz"):
        write_snapshot(collect(root), str(tmp_path / name))

    assert (tmp_path / "a.tar.gz").read_bytes() == (tmp_path / "b.tar.gz").read_bytes()
    assert list(collect(root).files) == sorted(collect(root).files)
    assert read_machine(open_snapshot(tmp_path / "a.tar.gz")).zones == read_machine(open_snapshot(root)).zones
    assert read_machine(open_snapshot(tmp_path / "c.tar")).blocks == read_machine(open_snapshot(root)).blocks
    assert (tmp_path / "d.tar.xz").read_bytes() == (tmp_path / "e.tar.xz").read_bytes()
    assert read_machine(open_snapshot(tmp_path / "d.tar.xz")).blocks == read_machine(open_snapshot(root)).blocks


def test_a_snapshot_of_a_snapshot_is_the_same(root: Path, tmp_path: Path) -> None:
    """Node files are taken as they are."""
    write_snapshot(collect(root), str(tmp_path / "one"))
    write_snapshot(collect(tmp_path / "one"), str(tmp_path / "two"))

    assert _tree(tmp_path / "one") == _tree(tmp_path / "two")


def test_what_is_missing_is_named(root: Path) -> None:
    """Files that some machines do not have, in order."""
    (root / "proc" / "pagetypeinfo").unlink()
    (root / "proc" / "cmdline").unlink()
    skipped = [(found.path, found.reason) for found in collect(root).skipped]

    assert ("proc/cmdline", "missing") in skipped
    assert ("proc/pagetypeinfo", "missing") in skipped
    assert skipped == sorted(skipped)


def test_what_cannot_be_read_is_named_and_skipped(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Attributes are read one by one: EIO in one of them costs that one only."""
    import builtins

    plain = builtins.open

    def failing(path: object, *args: object, **keywords: object) -> object:
        if str(path).endswith(("memory0/valid_zones", "proc/pagetypeinfo")):
            code = 5 if str(path).endswith("valid_zones") else 13
            raise OSError(code, os.strerror(code), str(path))
        return plain(path, *args, **keywords)  # type: ignore[call-overload]  # passed on as it came

    monkeypatch.setattr(builtins, "open", failing)
    collected = collect(root)

    assert {found.path: found.reason for found in collected.skipped if found.reason != "missing"} == {
        "proc/pagetypeinfo": "Permission denied",
        f"{MEMORY}/memory0/valid_zones": "Input/output error",
    }
    assert f"{MEMORY}/memory0/state" in collected.files


def test_attributes_that_are_only_written_to_are_left_alone(root: Path) -> None:
    """Nobody reads a switch."""
    probe = root / MEMORY / "probe"
    probe.write_text("")
    probe.chmod(0o200)
    collected = collect(root)

    assert f"{MEMORY}/probe" not in collected.files
    assert f"{MEMORY}/probe" not in [found.path for found in collected.skipped]


def test_the_driver_cores_folders_are_no_part_of_it(root: Path) -> None:
    """power/ and uevent exist for every block, links to CPUs and subsystems below each node."""
    block, node = root / MEMORY / "memory0", root / NODE / "node0"
    (block / "power").mkdir()
    (block / "power" / "control").write_text("auto\n")
    (block / "uevent").write_text("DEVTYPE=memory\n")
    (block / "subsystem").symlink_to("../../../../bus/memory")
    (node / "cpu0").symlink_to("../../cpu/cpu0")
    (node / "distance").write_text("10\n")
    collected = collect(root)

    assert not any(part in name for name in collected.files for part in ("power", "uevent", "subsystem", "cpu0"))
    assert collected.files[f"{NODE}/node0/distance"] == "10\n"


def test_a_machine_without_sysfs_is_recorded_as_far_as_it_goes(tmp_path: Path, texts: dict[str, str]) -> None:
    """A container: proc/zoneinfo and little else."""
    proc = tmp_path / "root" / "proc"
    proc.mkdir(parents=True)
    (proc / "zoneinfo").write_text(texts["proc/zoneinfo"])
    collected = collect(tmp_path / "root")

    assert list(collected.files) == ["proc/zoneinfo"]
    assert f"{MEMORY}/memoryN" in [found.path for found in collected.skipped]
    assert MEMORY in [found.path for found in collected.skipped]


def test_a_root_without_a_machine_is_refused(tmp_path: Path) -> None:
    """Nothing is written then."""
    with pytest.raises(InputError) as caught:
        collect(tmp_path)

    assert str(caught.value) == (
        f"{tmp_path}: got none, expected a root with proc/zoneinfo, proc/buddyinfo or memory blocks"
    )


# ---- the output ----


def test_an_existing_snapshot_is_only_replaced_by_force(root: Path, tmp_path: Path) -> None:
    """And then as a whole: a block that is gone does not stay behind."""
    output = tmp_path / "out"
    collected = collect(root)
    write_snapshot(collected, str(output))
    (output / MEMORY / "memory999").mkdir()
    (output / MEMORY / "memory999" / "state").write_text("online\n")

    assert _error(collected, output) == (
        f"{output}: got one that is there already, expected a name that does not exist, or --force"
    )
    write_snapshot(collected, str(output), force=True)
    assert _tree(output) == {name: text for name, text in collected.files.items() if not name.endswith("/node")}
    assert collect(output).files == collected.files


def test_an_archive_is_only_replaced_by_force(root: Path, tmp_path: Path) -> None:
    """The same for files."""
    output = tmp_path / "out.tgz"
    output.write_text("precious")
    collected = collect(root)

    assert _error(collected, output).endswith("expected a name that does not exist, or --force")
    assert output.read_text() == "precious"
    write_snapshot(collected, str(output), force=True)
    assert read_machine(open_snapshot(output)).blocks


@pytest.mark.parametrize("what", ["proc-and-more", "link", "file", "folder-archive"])
def test_nothing_but_a_snapshot_is_ever_replaced(root: Path, tmp_path: Path, what: str) -> None:
    """Not even by force: a folder with other things, one with links, a plain file."""
    output = tmp_path / ("out.tar" if what == "folder-archive" else "out")
    if what == "file":
        output.write_text("precious")
    else:
        (output / "proc").mkdir(parents=True)
        if what == "proc-and-more":
            (output / "home").mkdir()
        if what == "link":
            (output / "proc" / "zoneinfo").symlink_to(root / "proc" / "zoneinfo")
    collected = collect(root)

    assert _error(collected, output, force=True) == (
        f"{output}: got something else, expected a new name, an empty directory, or an earlier snapshot"
    )
    assert output.exists()


def test_an_empty_directory_may_be_filled(root: Path, tmp_path: Path) -> None:
    """It holds nothing that could be lost."""
    output = tmp_path / "out"
    output.mkdir()
    write_snapshot(collect(root), str(output))

    assert (output / "proc" / "zoneinfo").exists()


def test_the_machine_itself_is_never_the_output(root: Path) -> None:
    """Whatever it is called."""
    output = f"{root}/sys/.."

    assert _error(collect(root), output, root=str(root), force=True) == (
        f"{output}: got its root, expected an output that is not the machine itself"
    )


def test_a_write_that_fails_leaves_nothing_behind(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither half a snapshot nor a temporary folder; the old one stays."""
    output = tmp_path / "new" / "out"
    collected = collect(root)
    write_snapshot(collected, str(output))
    before = _tree(output)

    monkeypatch.setattr("memhotplug.formats.snapshot.capture.os.makedirs", _makedirs_until_proc)
    assert _error(collected, output, force=True) == (
        f"{output}: got No space left on device, expected an output that can be written"
    )
    assert _tree(output) == before
    assert [found.name for found in output.parent.iterdir()] == ["out"]


def _makedirs_until_proc(path: str, exist_ok: bool = False) -> None:
    if path.endswith("/proc"):
        raise OSError(28, "No space left on device")
    assert exist_ok


def test_names_tell_archives() -> None:
    """Everything else is a directory."""
    assert [is_archive_name(name) for name in ("a.tar", "a.tar.gz", "a.tgz", "a.tar.xz", "a.gz", "tar")] == [
        True, True, True, True, False, False,
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["s.zip", "s.ZIP", "s.gz", "s.tar.zst", "s.tar.bz2", "s.7z"])
def test_an_archive_of_another_kind_is_no_folder(root: Path, tmp_path: Path, name: str) -> None:
    """Nobody wants a folder of that name, and nothing is written."""
    output = tmp_path / name
    assert _error(collect(root), output) == (
        f"{output}: got another archive, expected a folder, or an archive *.tar, *.tar.gz, *.tgz, *.tar.xz"
    )
    assert not output.exists()
