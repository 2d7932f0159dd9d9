"""Finds links and the places that they can lead to: in Markdown as the tree shows it, and in the pages of the site."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

_FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_OURS = re.compile(
    r"`((?:core|plugins|drivers|tests|tools|bench|examples|scenarios|docs|engine|formats|commands)/[\w./-]+)`"
)


def markdown_links(text: str) -> list[str]:
    """Return the targets of all links outside code."""
    return _LINK.findall(_FENCED.sub("", text))


def named_files(text: str) -> list[str]:
    """Return the files and folders of this tree that a text names between backquotes, outside of examples."""
    return _OURS.findall(_FENCED.sub("", text))


def markdown_anchors(text: str) -> set[str]:
    """Return the anchors that headings have where Markdown is shown as GitHub does: one of two alike gets a number."""
    found: dict[str, int] = {}
    for heading in re.findall(r"^#+ (.+)$", _FENCED.sub("", text), re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", plain.lower()).strip().replace(" ", "-")
        count = found[slug] = found.get(slug, -1) + 1
        if count:
            found[f"{slug}-{count}"] = 0
    return set(found)


def broken_link(document: Path, target: str) -> str | None:
    """Return what is wrong with a link of a document in the tree, None if it leads somewhere."""
    if urlsplit(target).scheme:
        return None
    path, _, anchor = target.partition("#")
    file = Path(posixpath.normpath(document.parent / path)) if path else document
    if not file.is_file():
        return f"{target}: there is no such file"
    if anchor and anchor not in markdown_anchors(file.read_text(encoding="utf-8")):
        return f"{target}: {file.name} has no such heading"
    return None


class SitePage(HTMLParser):
    """One page of the site.

    Attributes:
        links: where it leads or what it loads, as written.
        anchors: the places in it.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = {""}
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note links and anchors of one element."""
        del tag
        values = {name: value for name, value in attrs if value}
        self.links += [values[name] for name in ("href", "src") if name in values]
        self.anchors |= {values[name] for name in ("id", "name") if name in values}


def broken_site_links(site: Path) -> Iterator[str]:
    """Yield each link of the site that leads nowhere within it, or out of it to fetch something."""
    pages = {path: SitePage(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}
    for page, read in pages.items():
        for link in dict.fromkeys(read.links):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc or page.name == "404.html":
                continue
            target = Path(posixpath.normpath(page.parent / unquote(parts.path))) if parts.path else page
            target = target / "index.html" if target.is_dir() else target
            known = pages[target].anchors if target in pages else {""}
            if not target.is_file() or unquote(parts.fragment) not in known:
                yield f"{page.relative_to(site)}: {link}"
