"""Recordings of real kernels, whole or tampered with."""

from __future__ import annotations

import json
import lzma
from collections.abc import Callable
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from memhotplug.commands.conform.worlds import FileResult, replay_file

RECORDINGS = Path(__file__).parents[3] / "data" / "recordings"

Document: TypeAlias = dict[str, Any]
Load: TypeAlias = Callable[[str], Document]
Save: TypeAlias = Callable[[Document], Path]
ReplayDocument: TypeAlias = Callable[[Document], FileResult]


@cache
def _parsed(name: str) -> Document:
    document: Document = json.loads(lzma.decompress((RECORDINGS / f"{name}.json.xz").read_bytes()))
    return document


@pytest.fixture(scope="session")
def load() -> Load:
    """Return a function that gives a recording by name, for the caller to change."""
    return lambda name: deepcopy(_parsed(name))


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Return a function that writes a recording and returns where it is."""

    def write(document: Document) -> Path:
        path = tmp_path / "recording.json"
        path.write_text(json.dumps(document))
        return path

    return write


@pytest.fixture
def replay(save: Save) -> ReplayDocument:
    """Return a function that replays a changed recording."""
    return lambda document: replay_file(save(document))
