"""A machine as plain files."""

from __future__ import annotations

from pathlib import Path

import pytest

from memhotplug import InputError, Machine
from memhotplug.formats.snapshot import open_snapshot
from memhotplug.live.export import export

_RECORDINGS = Path(__file__).resolve().parents[2] / "data" / "recordings"


def test_every_file_is_there_with_its_text(tmp_path: Path) -> None:
    """Links lead where they do in sysfs; what cannot be read is empty."""
    machine = Machine.boot(arch="x86_64", kernel="linux-6.12", memory="1G")
    count = export(machine.kernel, str(tmp_path / "tree"))

    memory = tmp_path / "tree" / "sys" / "devices" / "system" / "memory"
    assert count == sum(1 for path in (tmp_path / "tree").rglob("*") if path.is_symlink() or path.is_file())
    assert (memory / "memory3" / "state").read_text() == "online\n"
    assert (memory / "memory3" / "node0" / "memory3" / "phys_index").read_text() == "00000003\n"
    assert (memory / "hard_offline_page").read_text() == ""
    assert (tmp_path / "tree" / "proc" / "zoneinfo").read_text() == machine.read("/proc/zoneinfo")


def test_a_recorded_machine_comes_back_as_it_was(tmp_path: Path) -> None:
    """Recorded, exported and read again, it says the same of all that was recorded, byte for byte."""
    recording = _RECORDINGS / "x86_64-6.12-mom-1-a.json.xz"
    spec = {"path": str(recording), "step": 0}
    machine = Machine.boot(arch="x86_64", kernel="linux-6.12", snapshot=spec)
    export(machine.kernel, str(tmp_path))
    again = open_snapshot(tmp_path)
    recorded = open_snapshot(recording, 0)

    for name, text in recorded.files.items():
        if name.startswith("sys/devices/system/memory/") or name in ("proc/iomem", "proc/buddyinfo"):
            assert again.files.get(name, "").rstrip("\n") == text.rstrip("\n"), name
    twin = Machine.boot(arch="x86_64", kernel="linux-6.12", snapshot={"path": str(tmp_path)})
    assert twin.read("/proc/meminfo") == machine.read("/proc/meminfo")


def test_a_folder_that_is_not_empty_is_refused(tmp_path: Path) -> None:
    """Nothing is written over."""
    (tmp_path / "precious").write_text("x")
    machine = Machine.boot(arch="x86_64", kernel="linux-6.12", memory="1G")
    with pytest.raises(InputError) as refused:
        export(machine.kernel, str(tmp_path))
    assert str(refused.value) == f"{tmp_path}: got one that is not empty, expected an empty folder"


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    """A file in the way."""
    (tmp_path / "file").write_text("x")
    machine = Machine.boot(arch="x86_64", kernel="linux-6.12", memory="1G")
    with pytest.raises(InputError, match="expected a folder that can be written"):
        export(machine.kernel, str(tmp_path / "file" / "tree"))
