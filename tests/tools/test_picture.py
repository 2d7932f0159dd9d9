"""The picture of the map in the README."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from tools import picture

SVG = "{http://www.w3.org/2000/svg}"


def test_the_picture_is_what_the_command_prints() -> None:
    """Drawn again it is the same."""
    assert picture.main(["--check"]) == 0


def test_a_picture_that_is_not_up_to_date_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And what to do about it."""
    assert picture.main(["--check", "-o", str(tmp_path / "map.svg")]) == 1
    assert capsys.readouterr().err.endswith("map.svg is not up to date: run python tools/picture.py\n")
    assert picture.main(["-o", str(tmp_path / "map.svg")]) == 0
    assert picture.main(["--check", "-o", str(tmp_path / "map.svg")]) == 0


def test_every_word_is_in_its_column() -> None:
    """Whatever the font: a word's place and length are those of a terminal; colours are attributes."""
    found = ElementTree.fromstring(picture.svg(["a  \x1b[32mok\x1b[0m <b>", "", "    +"]))
    spans = [(span.text, float(span.get("x", "0")), span.get("fill")) for span in found.iter(f"{SVG}tspan")]
    assert spans == [
        ("a", 14.0, None),
        ("ok", pytest.approx(14 + 3 * 8.4), "#56d364"),
        ("<b>", pytest.approx(14 + 6 * 8.4), None),
        ("+", pytest.approx(14 + 4 * 8.4), None),
    ]


def test_it_brings_everything_and_fits_80_columns() -> None:
    """No address leads anywhere, no line is wider than the ground."""
    text = picture.DEFAULT.read_text(encoding="utf-8")
    assert text.count("http") == 1
    found = ElementTree.fromstring(text)
    ends = [float(span.get("x", "0")) + float(span.get("textLength", "0")) for span in found.iter(f"{SVG}tspan")]
    assert max(ends) <= float(found.get("width", "0")) - 14
