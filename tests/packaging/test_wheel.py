"""What the wheel holds, and what an installation of it brings."""

from __future__ import annotations

import configparser
import tomllib
import zipfile
from pathlib import Path

from tests.packaging.conftest import ROOT, Installed

import memhotplug

TOP_LEVEL = {
    "memhotplug",
    "memhotplug_arm64",
    "memhotplug_drivers",
    "memhotplug_powerpc",
    "memhotplug_profiles",
    "memhotplug_s390",
    "memhotplug_x86_64",
}


EXAMPLES = "memhotplug/examples/"
"""Scenarios and plugins that `mhp examples` gives out."""


def project_wheel(wheels: Path) -> Path:
    """Return the project's own wheel."""
    return next(wheels.glob("memhotplug-*.whl"))


def names_in(wheels: Path) -> list[str]:
    """Return the files of the project's wheel."""
    with zipfile.ZipFile(project_wheel(wheels)) as archive:
        return archive.namelist()


def project() -> dict[str, object]:
    """Return the table ``project`` of pyproject.toml."""
    table: dict[str, object] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return table


def test_top_level_names_are_the_packages(wheels: Path) -> None:
    """Nothing else is installed but the man page and completion: no tests, no stray module."""
    top = {name.split("/")[0] for name in names_in(wheels)}
    assert {name for name in top if not name.endswith((".dist-info", ".data"))} == TOP_LEVEL
    data = [name.partition(".data/data/share/")[2] for name in names_in(wheels) if ".data/" in name]
    assert sorted(data) == [
        "bash-completion/completions/mhp",
        "fish/vendor_completions.d/mhp.fish",
        "man/man1/mhp.1",
        "zsh/site-functions/_mhp",
    ]


def test_wheel_is_pure_python_and_has_only_sources(wheels: Path) -> None:
    """The wheel fits every system, and nothing but sources, and what a report is made of, is in it."""
    assert project_wheel(wheels).name.endswith("-py3-none-any.whl")
    apart = (EXAMPLES, f"memhotplug-{memhotplug.__version__}.")  # what has no code: metadata and the man page
    files = [name for name in names_in(wheels) if not name.startswith(apart)]
    assert {Path(name).suffix or Path(name).name for name in files} <= {
        ".py",
        ".typed",
        ".in",
        ".html",
        ".css",
        ".js",
        ".txt",
    }


def test_every_package_says_that_it_is_typed(wheels: Path) -> None:
    """Type checkers look for py.typed at the top of each package."""
    assert {name.split("/")[0] for name in names_in(wheels) if name.endswith("/py.typed")} == TOP_LEVEL


def test_every_source_file_is_in_the_wheel(wheels: Path) -> None:
    """What the working tree has in its packages is what is installed."""
    inside = set(names_in(wheels))
    for folder in (ROOT / "core", ROOT / "drivers", *sorted((ROOT / "plugins").iterdir())):
        for path in folder.rglob("*.py"):
            assert path.relative_to(folder).as_posix() in inside


def test_entry_points_are_those_of_the_project(wheels: Path) -> None:
    """The command, and the built-in plugins in the same groups as anybody's."""
    with zipfile.ZipFile(project_wheel(wheels)) as archive:
        name = next(name for name in archive.namelist() if name.endswith("entry_points.txt"))
        text = archive.read(name).decode()
    parser = configparser.ConfigParser(delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # names keep their case
    parser.read_string(text)
    declared = project()["entry-points"]
    assert isinstance(declared, dict)
    assert {group: dict(parser[group]) for group in parser.sections()} == {
        "console_scripts": {"mhp": "memhotplug.cli:main"},
        **declared,
    }


def test_metadata_names_licence_and_readme(wheels: Path) -> None:
    """The index page needs the licence, the Python versions and the README."""
    with zipfile.ZipFile(project_wheel(wheels)) as archive:
        names = archive.namelist()
        metadata = archive.read(next(name for name in names if name.endswith("/METADATA"))).decode()
    assert "License-Expression: Apache-2.0" in metadata
    assert f"Requires-Python: {project()['requires-python']}" in metadata
    assert "Description-Content-Type: text/markdown" in metadata
    assert any(name.endswith("/licenses/LICENSE") for name in names)


def test_installed_command_runs_the_example(installed: Installed) -> None:
    """The smallest scenario works with nothing but what the wheel brought."""
    done = installed.mhp("run", ROOT / "scenarios" / "cover-letter-device.yaml")
    assert done.returncode == 0, done.stderr
    assert "expect head 1048576, refcount 8, private 4096  ok" in done.stdout


def test_version_is_the_same_everywhere(installed: Installed) -> None:
    """The source, the installed package, its metadata and the command agree."""
    version = memhotplug.__version__
    assert installed.mhp("--version").stdout == f"mhp {version}\n"
    code = (
        "import importlib.metadata, memhotplug; print(memhotplug.__version__, importlib.metadata.version('memhotplug'))"
    )
    assert installed.python("-c", code).stdout == f"{version} {version}\n"


def test_import_alone_costs_nothing(installed: Installed) -> None:
    """``import memhotplug`` loads neither NumPy nor a plugin."""
    code = "import sys, memhotplug; print([name for name in ('numpy', 'pydantic', 'yaml') if name in sys.modules])"
    assert installed.python("-c", code).stdout == "[]\n"
