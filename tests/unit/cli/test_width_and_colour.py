"""Colour and width are for terminals."""

from __future__ import annotations

import io

import pytest

from memhotplug.cli.terminal import has_colour, paint_for, width_of


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("variables", "stream", "colour"),
    [
        ({"TERM": "xterm"}, _Terminal(), True),
        ({"TERM": "xterm", "NO_COLOR": "1"}, _Terminal(), False),
        ({"TERM": "xterm", "NO_COLOR": ""}, _Terminal(), True),
        ({"TERM": "dumb"}, _Terminal(), False),
        ({"TERM": "xterm"}, io.StringIO(), False),
        ({"FORCE_COLOR": "1"}, io.StringIO(), True),
        ({"FORCE_COLOR": "1", "TERM": "dumb"}, io.StringIO(), True),
        ({"FORCE_COLOR": "0"}, io.StringIO(), False),
        ({"FORCE_COLOR": ""}, io.StringIO(), False),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, _Terminal(), False),
    ],
)
def test_colour_is_for_terminals_that_want_it(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], stream: io.StringIO, colour: bool
) -> None:
    """NO_COLOR and FORCE_COLOR count unless they are empty, and the first wins."""
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    assert has_colour(stream) is colour
    assert (paint_for(stream)("ok", "green") == "\x1b[32mok\x1b[0m") is colour
    assert (paint_for(stream)("ok", "green") == "ok") is not colour


@pytest.mark.parametrize(
    ("terminal", "forced", "width"), [(True, "", 77), (False, "", None), (False, "1", 77), (True, "1", 77)]
)
def test_only_a_terminal_has_a_width(
    terminal: bool, forced: str, width: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is piped keeps its lines; COLUMNS says how wide a terminal is, FORCE_COLOR makes one of anything."""
    monkeypatch.setenv("COLUMNS", "77")
    monkeypatch.setenv("FORCE_COLOR", forced)
    stream = _Terminal() if terminal else io.StringIO()

    assert width_of(stream) == width
