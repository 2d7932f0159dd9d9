"""``mhp plugins --new``: what it writes is installed, keeps its contract, and runs its scenario."""

from __future__ import annotations

import json
import sys
import tomllib
from pathlib import Path

import pytest
from tests.packaging.conftest import EXAMPLES, Installed, pip

KINDS = {"arch": "arch", "driver": "drivers", "policy": "policies", "profile": "profiles"}


@pytest.fixture(scope="module")
def begun(installed: Installed) -> Path:
    """Begin one plugin of each kind, and install all of them."""
    folder = installed.folder / "new"
    folder.mkdir()
    for kind in KINDS:
        done = installed.mhp("plugins", "--new", kind, folder / f"my-{kind}")
        assert done.returncode == 0, done.stderr
    packages = sorted(folder.iterdir())
    pip(
        "wheel", "-q", "--no-index", "--no-deps", "--no-build-isolation", "-w", folder / "wheels", *packages, cwd=folder
    )
    wheels = sorted((folder / "wheels").glob("*.whl"))
    pip("--python", installed.bin.parent, "install", "-q", "--no-index", "--no-deps", *wheels, cwd=folder)
    return folder


def test_they_are_found_and_work(installed: Installed, begun: Path) -> None:
    """Each is listed under its kind, from a distribution of its own."""
    entries = json.loads(installed.mhp("plugins", "--json").stdout)["plugins"]
    mine = {entry["name"]: entry for entry in entries if entry["name"].startswith("my_")}
    assert {name: (entry["kind"], entry["distribution"], entry["state"]) for name, entry in mine.items()} == {
        f"my_{kind}": (group, f"memhotplug-my-{kind}", "ok") for kind, group in KINDS.items()
    }


def test_their_tests_pass(installed: Installed, begun: Path) -> None:
    """The contract of each kind, run as its author would."""
    folders = [begun / f"my-{kind}" / "tests" for kind in KINDS]
    done = installed.python(
        "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", "--import-mode=importlib", *folders
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


@pytest.mark.parametrize("kind", KINDS)
def test_scenario_comes_true(installed: Installed, begun: Path, kind: str) -> None:
    """Every step holds, and no invariant breaks."""
    done = installed.mhp("run", begun / f"my-{kind}" / "scenario.yaml", "--check")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_breaks_beyond_its_scenario(installed: Installed, begun: Path, kind: str) -> None:
    """What a newcomer tries next finds no fault that is the kernel's own."""
    done = installed.mhp("check", begun / f"my-{kind}" / "scenario.yaml", "--depth", "2", "--operations", "60")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("kind", KINDS)
def test_packages_are_made_like_the_examples(begun: Path, kind: str) -> None:
    """The same build system, the same extra, the same parts."""
    new = tomllib.loads((begun / f"my-{kind}" / "pyproject.toml").read_text(encoding="utf-8"))
    example = tomllib.loads((EXAMPLES / "riscv64" / "pyproject.toml").read_text(encoding="utf-8"))
    assert new["build-system"] == example["build-system"]
    for key in ("dependencies", "optional-dependencies", "requires-python", "readme"):
        assert new["project"][key] == example["project"][key]
    assert new["project"]["entry-points"] == {f"memhotplug.{KINDS[kind]}": {f"my_{kind}": f"memhotplug_my_{kind}"}}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_is_tidy(begun: Path, kind: str, tmp_path: Path) -> None:
    """The linter of this project has nothing to say about it."""
    import subprocess

    done = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--no-cache", "--line-length=120", begun / f"my-{kind}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
