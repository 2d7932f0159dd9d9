"""The site: every page has its place, it builds without a warning, and each of its links leads somewhere."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from tests.docs.examples import DOCUMENTS, ROOT
from tests.docs.links import broken_link, broken_site_links, markdown_anchors, markdown_links, named_files

import memhotplug

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


def build(settings: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Build a site; a warning is an error."""
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", str(settings), "-d", str(folder)]
    return subprocess.run(words, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the site, built once."""
    folder = tmp_path_factory.mktemp("site")
    done = build(ROOT / "mkdocs.yml", folder)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return folder


def test_every_page_has_its_place() -> None:
    """In the navigation, and none has two."""
    named = list(pages(SITE["nav"]))
    assert sorted(named) == sorted(path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md"))


def test_the_site_has_every_page_and_what_they_link_to(site: Path) -> None:
    """Files of the tree are copies that a browser shows."""
    for name in pages(SITE["nav"]):
        assert (site / name).with_suffix(".html").is_file()
    copy = site / "tree" / "scenarios" / "cover-letter-device.yaml.txt"
    assert copy.read_bytes() == (ROOT / "scenarios" / "cover-letter-device.yaml").read_bytes()


def test_no_link_of_the_site_is_broken(site: Path) -> None:
    """Pages, anchors, files of the tree, styles and scripts."""
    assert list(broken_site_links(site)) == []


@pytest.mark.parametrize("text", ["[x](nowhere.md)", "[x](b.md#nowhere)", "[x](#nowhere)", "[x](../nowhere.yaml)"])
def test_a_broken_link_fails_the_build(text: str, tmp_path: Path) -> None:
    """Whatever it is that is not there."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text(f"# A\n\n{text}\n", encoding="utf-8")
    (tmp_path / "docs" / "b.md").write_text("# B\n", encoding="utf-8")
    settings = {**SITE, "nav": ["index.md", "b.md"], "hooks": [str(ROOT / "tools" / "mkdocs_hooks.py")]}
    (tmp_path / "mkdocs.yml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    done = build(tmp_path / "mkdocs.yml", tmp_path / "site")
    assert done.returncode == 1
    assert "nowhere" in done.stderr


def test_broken_links_of_a_site_are_found(tmp_path: Path) -> None:
    """A page, an anchor, a picture; links to other sites are left alone."""
    (tmp_path / "a.html").write_text('<a href="b.html#here">', encoding="utf-8")
    (tmp_path / "b.html").write_text(
        '<h1 id="here"><a href="#gone"><a href="c.html"><img src="p.png"><a href="https://x/y">', encoding="utf-8"
    )
    assert list(broken_site_links(tmp_path)) == ["b.html: #gone", "b.html: c.html", "b.html: p.png"]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_in_the_tree_lead_somewhere(document: Path) -> None:
    """Where Markdown is read as it is: files, and headings in them."""
    links = markdown_links(document.read_text(encoding="utf-8"))
    assert [problem for link in links if (problem := broken_link(document, link))] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_that_a_page_names_are_there(document: Path) -> None:
    """Code moves; what pages say of where it is does not notice. A folder below the core may be named without it."""
    named = named_files(document.read_text(encoding="utf-8"))
    places = (ROOT, ROOT / "core" / "memhotplug", document.parent)
    assert [name for name in named if not any(list(place.glob(name)) for place in places)] == []


def test_headings_are_anchors_as_github_makes_them() -> None:
    """Code and links lose their marks, words their full stops; of two alike the second has a number."""
    text = "# A `b_c`: d. E\n## [x y](z.md)\n```text\n# none\n```\n## Same\n## Same\n"
    assert markdown_anchors(text) == {"a-b_c-d-e", "x-y", "same", "same-1"}


def test_nothing_is_misspelt() -> None:
    """Documentation and code; pyproject.toml has the words that are meant so."""
    words = [sys.executable, "-m", "codespell_lib", "--toml", "pyproject.toml", "."]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_a_misspelt_word_is_found(tmp_path: Path) -> None:
    """By the same settings."""
    word = "ad" + "ress"  # whole it would be found here
    (tmp_path / "page.md").write_text(f"The {word} is wrong.\n", encoding="utf-8")
    words = [sys.executable, "-m", "codespell_lib", "--toml", str(ROOT / "pyproject.toml"), "page.md"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (65, f"page.md:1: {word} ==> address\n")


def test_the_citation_is_of_this_version() -> None:
    """It goes with the release."""
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == memhotplug.__version__
    assert citation["license"] == "Apache-2.0"
