"""Where an exception came from: the innermost frame of the plugin, whatever it called."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from memhotplug.manager import frames_of, is_below, module_of, place_of, shown, told

SOURCE = """import json


def outer():
    inner()


def inner():
    json.loads("{")
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return a module whose outer() raises inside of the standard library."""
    path = tmp_path / "blamed.py"
    path.write_text(SOURCE)
    spec = importlib.util.spec_from_file_location("blamed", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "blamed", module)
    spec.loader.exec_module(module)
    return module


def raised(plugin: ModuleType) -> ValueError:
    """Return what outer() raises."""
    with pytest.raises(ValueError, match="Expecting") as caught:
        plugin.outer()
    return caught.value


def test_the_place_is_the_innermost_line_of_the_plugin(plugin: ModuleType) -> None:
    """Not the line of the standard library that raised, nor the one that called."""
    assert place_of(raised(plugin), "blamed") == f", at {plugin.__file__}:9"
    assert place_of(raised(plugin), "another") == ""


def test_frames_are_innermost_first(plugin: ModuleType) -> None:
    """From the standard library out to this test."""
    modules = [module_of(trace) for trace in frames_of(raised(plugin))]
    assert modules[0].startswith("json")
    assert modules[-3:] == ["blamed", "blamed", __name__]


@pytest.mark.parametrize(
    ("module", "home", "expected"),
    [
        ("acme", "acme", True),
        ("acme.mapping", "acme", True),
        ("acme_arch", "acme", False),
        ("acme", "acme.mapping", False),
    ],
)
def test_a_module_is_below_its_package(module: str, home: str, expected: bool) -> None:
    """A name that only begins alike is another package."""
    assert is_below(module, home) is expected


class _MuteError(Exception):
    """Cannot say what it is."""

    def __repr__(self) -> str:
        raise KeyError("no words")

    __str__ = __repr__


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (7, "7"),
        ("on_memory", "'on_memory'"),
        ([object()], "[<object object>]"),
        (_MuteError(), "<_MuteError>"),
        ("x" * 400, "'" + "x" * 299 + "…"),
    ],
)
def test_an_answer_is_shown_in_the_same_words_each_time(answer: object, expected: str) -> None:
    """No addresses, no end of words, and nothing that raises in turn."""
    assert shown(answer) == expected


@pytest.mark.parametrize(
    ("problem", "expected"),
    [
        (ValueError("no such thing"), "ValueError: no such thing"),
        (KeyError("key"), "KeyError: 'key'"),
        (StopIteration(), "StopIteration"),
        (_MuteError(), "_MuteError"),
        (ValueError("y" * 400), "ValueError: " + "y" * 300 + "…"),
        (ValueError("one\r\nline\n"), "ValueError: one line"),
    ],
)
def test_an_exception_is_told_by_its_type_and_its_own_words(problem: BaseException, expected: str) -> None:
    """As far as it has any."""
    assert told(problem) == expected
