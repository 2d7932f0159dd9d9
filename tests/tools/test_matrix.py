"""The matrix of Pythons and dependencies: what is declared, what is found, what is run."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def load_matrix(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return the tool as a module; it belongs to no package, since it runs without any environment."""
    spec = importlib.util.spec_from_file_location("matrix_tool", ROOT / "tools" / "matrix.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "matrix_tool", module)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def matrix(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The tool, loaded anew."""
    return load_matrix(monkeypatch)


def test_every_dependency_declares_a_minimum_and_no_more(matrix: ModuleType) -> None:
    """The lowest cell installs exactly those of the package, and those of the tests."""
    found = matrix.minimums(PROJECT, "test")
    runtime = [requirement.replace(">=", "==") for requirement in PROJECT["dependencies"]]
    assert found[: len(runtime)] == runtime
    assert "pytest==8.2" in found
    assert not any(name.startswith("types-") for name in found)


@pytest.mark.parametrize("requirement", ["click", "click~=8.1", "click>=8.1,<9"])
def test_a_dependency_without_a_minimum_is_refused(matrix: ModuleType, requirement: str) -> None:
    """It could not be tested."""
    project = {"dependencies": [requirement], "optional-dependencies": {"test": []}}
    with pytest.raises(ValueError, match="declares no minimum"):
        matrix.minimums(project, "test")


def test_cells_begin_with_the_lowest_python_that_is_declared(matrix: ModuleType) -> None:
    """And end with the newest; the minimums are for the lowest."""
    assert [cell.name for cell in matrix.cells()] == ["3.11-lowest", "3.11", "3.12", "3.13", "3.14"]
    assert PROJECT["requires-python"] == f">={matrix.PYTHONS[0]}"


def test_an_interpreter_is_found_by_its_version(matrix: ModuleType) -> None:
    """This one is; a version that nobody has is not."""
    assert matrix.interpreter("{}.{}".format(*sys.version_info)) == sys.executable
    assert matrix.interpreter("3.99") is None


@pytest.mark.parametrize(
    ("variable", "folder"),
    [("PYENV_ROOT", "versions/3.12.1"), ("UV_PYTHON_INSTALL_DIR", "cpython-3.12.7-linux-x86_64")],
)
def test_pythons_that_version_managers_have_are_found(
    variable: str, folder: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The newest of a version; one that does not start, or says that it is another, is passed over."""
    monkeypatch.setattr(sys, "executable", "")  # or that would be found first, if it is one
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "none"))
    monkeypatch.setenv("UV_PYTHON_INSTALL_DIR", str(tmp_path / "none"))
    monkeypatch.setenv(variable, str(tmp_path))
    other = folder.replace("3.12.1", "3.12.10").replace("3.12.7", "3.12.11")
    for name, version in ((folder, "3.12"), (other, "3.12"), (other.replace("3.12.1", "3.12.9"), "3.9")):
        file = tmp_path / name / "bin" / "python3"
        file.parent.mkdir(parents=True)
        file.write_text(f"#!/bin/sh\necho {version}\n", encoding="utf-8")
        file.chmod(0o755)
    fresh = load_matrix(monkeypatch)
    assert fresh.interpreter("3.12") == str(tmp_path / other / "bin" / "python3")
    assert fresh.interpreter("3.13") is None


@pytest.mark.parametrize("text", ["#!/no/such/loader\n", "#!/bin/sh\nexit 3\n", "no program\n"])
def test_a_python_that_does_not_start_is_passed_over(
    text: str, matrix: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The next place is asked instead of ending with a traceback."""
    file = tmp_path / "versions" / "3.12.1" / "bin" / "python3"
    file.parent.mkdir(parents=True)
    file.write_text(text, encoding="utf-8")
    file.chmod(0o755)
    monkeypatch.setattr(sys, "executable", "")
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    monkeypatch.setattr(matrix, "UV", str(tmp_path / "none"))
    assert matrix._version_of(str(file)) == ""
    assert matrix.interpreter("3.12") is None


@pytest.mark.parametrize(
    ("words", "cells"),
    [
        ([], ["3.11-lowest", "3.11", "3.12", "3.13", "3.14"]),
        (["--lowest"], ["3.11-lowest"]),
        (["--newest"], ["3.13"]),
        (["--lowest", "--newest"], ["3.11-lowest", "3.13"]),
    ],
)
def test_ends_of_the_matrix_may_be_asked_for(
    words: list[str], cells: list[str], matrix: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest is the newest that is found."""
    ran: list[str] = []

    def run(cell: Any, _arguments: object) -> str:
        ran.append(cell.name)
        return "passed"

    monkeypatch.setattr(matrix, "interpreter", lambda python: None if python == "3.14" else python)
    monkeypatch.setattr(matrix, "run", run)
    assert matrix.main(words) == 0
    assert ran == cells


def test_a_cell_that_fails_fails_the_matrix(
    matrix: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is not found is no failure, unless it was asked for by name."""
    results = {"3.11-lowest": "passed", "3.11": "passed", "3.12": "not found", "3.13": "passed", "3.14": "not found"}
    monkeypatch.setattr(matrix, "run", lambda cell, _arguments: results[cell.name])
    assert matrix.main([]) == 0
    assert capsys.readouterr().out.splitlines() == [f"{name:12} {result}" for name, result in results.items()]
    assert matrix.main(["3.12"]) == 1
    results["3.13"] = "failed"
    assert matrix.main([]) == 1
    assert matrix.main(["3.11"]) == 0
    capsys.readouterr()
    assert matrix.main(["--lowest"]) == 0
    assert capsys.readouterr().out.splitlines() == ["3.11-lowest  passed"]


def test_arguments_behind_two_dashes_are_for_pytest(matrix: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any, the whole suite is run by two."""
    asked: list[list[str]] = []

    def run(_cell: object, arguments: list[str]) -> str:
        asked.append(arguments)
        return "passed"

    monkeypatch.setattr(matrix, "run", run)
    assert matrix.main(["3.11", "--", "tests/unit", "-x"]) == 0
    assert matrix.main(["3.11"]) == 0
    assert asked == [["tests/unit", "-x"], ["-q", "-n", "2"]]


def test_an_unknown_cell_is_wrong_usage() -> None:
    """The known ones are named."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "matrix.py"), "3.10"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "no cell is called '3.10' (there are: 3.11-lowest, 3.11, 3.12, 3.13, 3.14)" in done.stderr
