"""Packages to start from: names, refusals, and that nothing is left of what could not be written."""

from __future__ import annotations

import ast
import os
from pathlib import Path

import pytest

from memhotplug import InputError
from memhotplug.cli import main
from memhotplug.templates import KINDS, write_package

FILES = ["README.md", "memhotplug_my_box/__init__.py", "memhotplug_my_box/py.typed", "pyproject.toml"]
FILES += ["scenario.yaml", "tests/test_contract.py"]


def tree(folder: Path) -> list[str]:
    """Return all files below a folder."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("kind", KINDS)
def test_package_is_written_whole(tmp_path: Path, kind: str) -> None:
    """All files are there, the code is Python, and no field is left open."""
    written = write_package(kind, tmp_path / "my-box")
    assert written == tree(tmp_path / "my-box") == FILES
    for name in written:
        text = (tmp_path / "my-box" / name).read_text(encoding="utf-8")
        assert "$name" not in text
        assert "$module" not in text
        if name.endswith(".py"):
            assert ast.get_docstring(ast.parse(text))
    assert [path.name for path in tmp_path.iterdir()] == ["my-box"]


def test_empty_folder_is_used(tmp_path: Path) -> None:
    """A folder that is there already is as good if nothing is in it."""
    (tmp_path / "my_box").mkdir()
    assert write_package("driver", tmp_path / "my_box") == FILES


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("9lives", "got 9lives, expected a folder whose name can be a plugin's: small letters, digits, _"),
        ("a b", "got a b, expected a folder whose name can be a plugin's: small letters, digits, _"),
        ("class", "got class, expected a folder whose name can be a plugin's: small letters, digits, _"),
        ("größe", "got größe, expected a folder whose name can be a plugin's: small letters, digits, _"),
    ],
)
def test_name_that_no_plugin_can_have_is_refused(tmp_path: Path, name: str, message: str) -> None:
    """Scenarios and Python both have to be able to say it."""
    with pytest.raises(InputError) as caught:
        write_package("driver", tmp_path / name)
    assert str(caught.value) == message
    assert list(tmp_path.iterdir()) == []


def test_name_that_is_taken_is_refused(tmp_path: Path) -> None:
    """Two plugins of one kind and name could not be told apart."""
    with pytest.raises(InputError) as caught:
        write_package("driver", tmp_path / "acpi")
    expected = "a name that no installed plugin has; 'acpi' is a driver already"
    assert str(caught.value) == f"got {tmp_path / 'acpi'}, expected {expected}"
    assert write_package("policy", tmp_path / "acpi")


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    """A folder with anything in it, and a file, are left alone."""
    (tmp_path / "box").mkdir()
    (tmp_path / "box" / "notes").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for name in ("box", "file"):
        with pytest.raises(InputError) as caught:
            write_package("driver", tmp_path / name)
        assert str(caught.value) == f"got {tmp_path / name}, expected a folder that does not exist yet, or is empty"
    assert tree(tmp_path) == ["box/notes", "file"]


def test_folder_without_parent_is_refused(tmp_path: Path) -> None:
    """Nothing is made on the way to it."""
    with pytest.raises(InputError) as caught:
        write_package("driver", tmp_path / "no" / "box")
    message = f"got {tmp_path / 'no' / 'box'}: No such file or directory, expected a folder that can be written"
    assert str(caught.value) == message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_folder_that_is_locked_is_refused(tmp_path: Path) -> None:
    """The reason is the system's."""
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="Permission denied"):
        write_package("driver", tmp_path / "box")
    tmp_path.chmod(0o700)


def test_command_names_the_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What was written goes to stdout, what to do next to stderr."""
    folder = tmp_path / "my_box"
    assert main(["plugins", "--new", "policy", str(folder)]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines() == [str(folder / name) for name in FILES]
    assert err == f"mhp: next: cd {folder}; pip install -e '.[test]'; pytest; mhp run scenario.yaml\n"


def test_unknown_kind_gets_the_nearest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line, exit status 2."""
    assert main(["plugins", "--new", "drivers", str(tmp_path / "box")]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    message = "--new: got drivers, expected one of arch, driver, policy, profile; did you mean 'driver'?"
    assert err == f"mhp: {message}\n"
