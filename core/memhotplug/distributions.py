"""What is installed: the entry points of all distributions, read off their folders.

``importlib.metadata`` does the same and is asked wherever a path or a finder is not of the usual kind; importing
it costs more than all that is read here, a tenth of the start of a command.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib.machinery import PathFinder
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from importlib.metadata import Distribution

__all__ = ["Entry", "entries", "entries_by_the_book", "load"]

_FOLDERS = (".dist-info", ".egg-info")
_FILE = "entry_points.txt"


class Entry(NamedTuple):
    """One entry point.

    Attributes:
        distribution, version: the package that brings it.
        value: the module, and after a colon the attribute.
    """

    distribution: str
    version: str
    group: str
    name: str
    value: str


def entries(prefix: str) -> tuple[list[Entry], list[str]]:
    """Return the entry points whose group begins with a prefix, and what cannot be read, each with the reason."""
    if not _is_usual():
        return entries_by_the_book(prefix)
    found: list[Entry] = []
    unreadable: list[str] = []
    for folder in _folders():
        try:
            text = _text(os.path.join(folder, _FILE))
            if prefix in text:
                found += _entries(text, prefix, _headers(folder))
        except Exception as problem:  # whatever is broken in a foreign distribution
            unreadable.append(f"{folder}: {' '.join(str(problem).split())}")
    return found, unreadable


def entries_by_the_book(prefix: str) -> tuple[list[Entry], list[str]]:
    """Return the same as :func:`entries` by ``importlib.metadata``, which knows archives and foreign finders, too."""
    from importlib.metadata import distributions

    found: list[Entry] = []
    unreadable: list[str] = []
    for distribution in distributions():
        try:
            text = distribution.read_text(_FILE) or ""
            if prefix in text:
                found += _entries(text, prefix, _headers_by_the_book(distribution))
        except Exception as problem:  # whatever a broken distribution makes the standard library raise
            where = getattr(distribution, "_path", None)  # its name may be as unreadable
            unreadable.append(f"{where or 'a distribution'}: {' '.join(str(problem).split())}")
    return found, unreadable


def _headers_by_the_book(distribution: Distribution) -> Mapping[str, str]:
    metadata = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO")
    return _headers_in(metadata.splitlines() if metadata else ())


def _is_usual() -> bool:
    """Whether all distributions are folders within folders."""
    finders = [finder for finder in sys.meta_path if hasattr(finder, "find_distributions")]
    archives = any(os.path.isfile(path) or path.endswith(".egg") for path in sys.path)
    return finders == [PathFinder] and not archives


def _folders() -> Iterator[str]:
    for path in sys.path:
        try:
            names = os.listdir(path or ".")
        except OSError:
            continue
        for name in sorted(names):
            if name.lower().endswith(_FOLDERS):
                yield os.path.join(path, name)


def _text(path: str) -> str:
    """Return what a file contains, nothing if it is not there; a folder without one is by far the most common."""
    try:
        stream = open(path, encoding="utf-8")  # noqa: SIM115  # closed below
    except OSError:
        return ""
    with stream:
        return stream.read()


def _headers(folder: str) -> Mapping[str, str]:
    """Return the headers of a distribution's metadata, in lower case."""
    text = _text(os.path.join(folder, "METADATA")) or _text(os.path.join(folder, "PKG-INFO"))
    return _headers_in(text.splitlines())


def _headers_in(lines: Iterable[str]) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for line in lines:
        if not line.strip():
            break
        key, _, value = line.partition(":")
        found.setdefault(key.lower(), value.strip())
    return found


def _entries(text: str, prefix: str, headers: Mapping[str, str]) -> Iterator[Entry]:
    group = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("[") and line.endswith("]"):
            group = line.strip("[]")
        elif line and not line.startswith("#"):
            name, equals, value = line.partition("=")
            if not (name.strip() and equals and value.strip()):
                raise ValueError(f"{_FILE}: {line!r} is no NAME = MODULE")
            if group.startswith(prefix):
                yield Entry(
                    headers.get("name") or "unknown", headers.get("version") or "?", group, name.strip(), value.strip()
                )


def load(value: str) -> object:
    """Import what an entry point names.

    Raises:
        whatever the module raises, or AttributeError.
    """
    from importlib import import_module

    module, _, attributes = value.partition("[")[0].strip().partition(":")
    found: object = import_module(module.strip())
    for name in filter(None, attributes.strip().split(".")):
        found = getattr(found, name)
    return found
