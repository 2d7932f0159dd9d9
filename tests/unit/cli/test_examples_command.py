"""``mhp examples``: list, print, copy."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.unit.cli.conftest import Mhp

ROOT = Path(__file__).resolve().parents[3]
NAMES = sorted(path.stem for path in (ROOT / "scenarios").glob("*.yaml"))


def test_the_list_has_each_with_its_question(mhp: Mhp) -> None:
    """One line each, none without words."""
    done = mhp("examples")
    lines = [line.split(maxsplit=1) for line in done.out.splitlines()[1:]]
    assert (done.status, done.err) == (0, "")
    assert [line[0] for line in lines] == NAMES
    assert all(len(line) == 2 for line in lines)
    assert [
        "cover-letter-device",
        "where does the memmap of a hot-added GiB go when the driver passes MHP_MEMMAP_DEVICE?",
    ] in lines


@pytest.mark.parametrize("name", ["cover-letter-device", "cover-letter-device.yaml"])
def test_one_is_printed_as_it_is(mhp: Mhp, name: str) -> None:
    """For a pipe into run."""
    assert mhp("examples", name).out == (ROOT / "scenarios" / "cover-letter-device.yaml").read_text(encoding="utf-8")


def test_one_is_copied_with_its_plugin_and_runs(mhp: Mhp, tmp_path: Path) -> None:
    """The relative path in it still leads there."""
    done = mhp("examples", "policy-by-size", "-o", tmp_path / "x", "--json")
    files = ["examples/policies/by_size.py", "scenarios/policy-by-size.yaml"]
    assert json.loads(done.out) == {"schema": 1, "ok": True, "folder": str(tmp_path / "x"), "files": files}
    assert mhp("run", tmp_path / "x" / "scenarios" / "policy-by-size.yaml").status == 0


def test_a_recorded_machine_comes_along(mhp: Mhp, tmp_path: Path) -> None:
    """And is found by the copy."""
    done = mhp("examples", "small-guest-12g", "-o", tmp_path / "x", "--json")
    files = ["scenarios/machines/x86_64-6.12-256m.json.xz", "scenarios/small-guest-12g.yaml"]
    assert json.loads(done.out)["files"] == files
    assert mhp("run", tmp_path / "x" / "scenarios" / "small-guest-12g.yaml").status == 0


def test_all_are_copied(mhp: Mhp, tmp_path: Path) -> None:
    """With everything that any of them uses, and nothing that an interpreter left."""
    assert mhp("examples", "-o", tmp_path / "x").status == 0
    written = {path.relative_to(tmp_path / "x").as_posix() for path in (tmp_path / "x").rglob("*") if path.is_file()}
    assert {f"scenarios/{name}.yaml" for name in NAMES} <= written
    assert {"examples/policies/short_zones.py", "examples/profiles/large_only.py"} <= written
    assert not [name for name in written if "pycache" in name]


def test_nothing_is_replaced(mhp: Mhp, tmp_path: Path) -> None:
    """What is there stays, and nothing comes beside it."""
    (tmp_path / "scenarios").mkdir()
    (tmp_path / "scenarios" / "policy-by-size.yaml").write_text("mine", encoding="utf-8")
    done = mhp("examples", "policy-by-size", "-o", tmp_path)
    path = tmp_path / "scenarios" / "policy-by-size.yaml"
    said = f"mhp: {path}: got it is there already, expected a folder without that file\n"
    assert (done.status, done.out, done.err) == (2, "", said)
    assert path.read_text(encoding="utf-8") == "mine"
    assert not (tmp_path / "examples").exists()


def test_a_folder_that_cannot_be_made(mhp: Mhp, tmp_path: Path) -> None:
    """A file is in its way."""
    (tmp_path / "f").touch()
    done = mhp("examples", "cover-letter-device", "-o", tmp_path / "f")
    assert (done.status, done.out) == (2, "")
    assert done.err == f"mhp: {tmp_path / 'f'}: got File exists, expected a folder that can be written\n"


def test_a_name_that_is_none(mhp: Mhp) -> None:
    """The nearest is named."""
    assert mhp("examples", "cover-leter-device").err == (
        "mhp: got cover-leter-device, expected the name of an example ('mhp examples' lists them); "
        "did you mean 'cover-letter-device'?\n"
    )
