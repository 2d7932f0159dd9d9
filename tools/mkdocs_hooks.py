"""What MkDocs calls while it builds the site: files of the tree that pages link to become part of it.

Pages say ``[x.yaml](../scenarios/x.yaml)``, which works where the tree is read as it is. In the site the same link
leads to a copy below ``tree/``, with ``.txt`` behind its name, so that a browser shows it rather than saves it.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

_LINK = re.compile(r"(?<=\]\()(?P<target>(?:\.\./)+[^)#\s]+)(?=\))")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what pages link to outside the folder of the documentation."""
    docs = Path(config.docs_dir)
    for page in files.documentation_pages():
        for path in _linked(page, docs):
            uri = _uri(path, docs)
            if uri not in files.src_uris:
                files.append(File.generated(config, uri, content=path.read_bytes()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let links to the tree lead to the copies."""
    docs, folder = Path(config.docs_dir), posixpath.dirname(page.file.src_uri)

    def copied(match: re.Match[str]) -> str:
        path = _resolved(page.file, match["target"], docs)
        return match["target"] if path is None else posixpath.relpath(_uri(path, docs), folder or ".")

    return _LINK.sub(copied, markdown)


def _linked(page: File, docs: Path) -> Iterator[Path]:
    for match in _LINK.finditer(page.content_string):
        path = _resolved(page, match["target"], docs)
        if path is not None:
            yield path


def _resolved(page: File, target: str, docs: Path) -> Path | None:
    """Return the file of the tree that a page links to, None if it is one of the documentation, or no file."""
    path = Path(posixpath.normpath(docs / posixpath.dirname(page.src_uri) / target))
    return path if path.is_file() and not path.is_relative_to(docs) else None


def _uri(path: Path, docs: Path) -> str:
    return f"tree/{path.relative_to(docs.parent).as_posix()}.txt"
