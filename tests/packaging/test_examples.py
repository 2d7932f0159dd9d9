"""The distributions of examples/, installed from their wheels beside the project's own."""

from __future__ import annotations

import json
import shutil
import tomllib
from pathlib import Path

import pytest
from tests.packaging.conftest import EXAMPLES, Installed

NAMES = ("riscv64", "cxl")
SCENARIOS = sorted(path.relative_to(EXAMPLES).as_posix() for path in EXAMPLES.glob("*/*.yaml"))


def test_every_example_is_tested() -> None:
    """No folder is left out, and each has a scenario."""
    assert sorted(path.parent.name for path in EXAMPLES.glob("*/pyproject.toml")) == sorted(NAMES)
    assert {name.split("/")[0] for name in SCENARIOS} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_its_own_tests_pass(installed: Installed, name: str) -> None:
    """The contract and what else its author wrote, away from the tree."""
    folder = installed.folder / f"{name}-tests"
    shutil.copytree(EXAMPLES / name / "tests", folder)
    done = installed.python("-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_its_scenario_comes_true(installed: Installed, scenario: str) -> None:
    """Every step and expectation holds, and no invariant breaks after any of them."""
    done = installed.mhp("run", EXAMPLES / scenario, "--check", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["violations"] == []


@pytest.mark.parametrize("name", NAMES)
def test_it_imports_only_the_public_api(name: str) -> None:
    """``memhotplug.plugin`` is all that a plugin needs."""
    for path in EXAMPLES.glob(f"{name}/memhotplug_*/*.py"):
        lines = path.read_text(encoding="utf-8").splitlines()
        ours = [line for line in lines if line.startswith(("from memhotplug", "import memhotplug"))]
        assert all(line.startswith(("from memhotplug.plugin import", f"from memhotplug_{name}.")) for line in ours), (
            path
        )


@pytest.mark.parametrize("name", NAMES)
def test_metadata_is_whole(name: str) -> None:
    """Everything that the package promises is there, and its tests need no more than the kit."""
    project = tomllib.loads((EXAMPLES / name / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert (EXAMPLES / name / project["readme"]).is_file()
    assert project["dependencies"] == ["memhotplug"]
    assert project["optional-dependencies"] == {"test": ["memhotplug[plugin-test]"]}
    for group in project["entry-points"].values():
        for module in group.values():
            assert Path(EXAMPLES, name, module, "__init__.py").is_file()
            assert Path(EXAMPLES, name, module, "py.typed").is_file()
