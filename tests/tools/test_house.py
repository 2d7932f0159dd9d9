"""The house: one source of the version, fragments of the changelog, classifiers that the matrix keeps."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

import memhotplug

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
FRAGMENTS = sorted((ROOT / "changelog.d").glob("*"))
KINDS = ("added", "changed", "fixed")


def test_the_version_has_one_source() -> None:
    """The package's own; the build reads it there."""
    assert PROJECT["project"]["dynamic"] == ["version"]
    assert PROJECT["tool"]["hatch"]["version"]["path"] == "core/memhotplug/__init__.py"
    assert version("memhotplug") == memhotplug.__version__


@pytest.mark.parametrize("path", FRAGMENTS, ids=lambda path: path.name)
def test_fragment_of_the_changelog_is_one(path: Path) -> None:
    """SLUG.KIND.md, a few sentences for users, each of which ends as one."""
    assert re.fullmatch(rf"[a-z0-9][a-z0-9-]*\.({'|'.join(KINDS)})\.md", path.name)
    text = path.read_text(encoding="utf-8")
    assert 0 < len(text.strip()) <= 1200
    assert text.endswith(".\n")


def test_towncrier_knows_the_kinds() -> None:
    """The tool that joins the fragments at a release has the same folder and kinds."""
    settings = PROJECT["tool"]["towncrier"]
    assert (settings["directory"], settings["filename"]) == ("changelog.d", "CHANGELOG.md")
    assert tuple(kind["directory"] for kind in settings["type"]) == KINDS
    assert settings["start_string"].strip() in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_division_is_rounded_up_in_one_place() -> None:
    """``-(-a // b)`` is a riddle; div_round_up() and round_up() say it."""
    folders = ("core", "drivers", "plugins", "examples")
    riddles = [
        str(path.relative_to(ROOT))
        for folder in folders
        for path in sorted((ROOT / folder).rglob("*.py"))
        if re.search(r"-\(-|// ([\w.]+) \* \1\b", path.read_text(encoding="utf-8"))
    ]
    assert riddles == ["core/memhotplug/units.py"]
