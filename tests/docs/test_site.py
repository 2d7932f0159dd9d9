"""The site: every place has its page, and it builds without a warning where MkDocs is installed."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

import memhotplug

ROOT = Path(__file__).resolve().parents[2]
SITE = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))


def pages(entries: object) -> Iterator[str]:
    """Yield the pages of a navigation, whatever their depth."""
    if isinstance(entries, str):
        yield entries
    elif isinstance(entries, dict):
        for below in entries.values():
            yield from pages(below)
    elif isinstance(entries, list):
        for below in entries:
            yield from pages(below)


def test_every_place_has_its_page() -> None:
    """And no page two places."""
    named = list(pages(SITE["nav"]))
    assert len(named) == len(set(named)) > 10
    assert set(named) <= {path.name for path in (ROOT / "docs").glob("*.md")}


@pytest.mark.skipif(importlib.util.find_spec("mkdocs") is None, reason="MkDocs is not installed")
def test_the_site_builds_strictly(tmp_path: Path) -> None:
    """A warning is an error."""
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "-q", "-f", ROOT / "mkdocs.yml", "-d", tmp_path]
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "looking.html").is_file()


def test_the_citation_is_of_this_version() -> None:
    """It goes with the release."""
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == memhotplug.__version__
    assert citation["license"] == "Apache-2.0"
