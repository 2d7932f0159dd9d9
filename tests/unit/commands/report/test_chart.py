"""Lines over time."""

from __future__ import annotations

from xml.etree import ElementTree

from memhotplug.commands.report.chart import lines_svg


def shapes(svg: str) -> list[ElementTree.Element]:
    """Return what is drawn; it must be well-formed."""
    return list(ElementTree.fromstring(svg))


def test_lines_begin_at_zero_and_reach_the_top() -> None:
    """A value holds until the next."""
    found = shapes(lines_svg([[0, 50, 100], [None, 25, None]], "n"))
    assert found[0].get("points") == "0,236 500,236 500,120 1000,120 1000,4"
    assert [shape.tag for shape in found] == ["polyline", "line"]


def test_lines_over_something_else_than_time() -> None:
    """Straight from value to value, and no mark."""
    found = shapes(lines_svg([[0, 100]], "n", over_time=False))
    assert [shape.get("points") for shape in found] == ["0,236 1000,4"]


def test_lines_of_nothing() -> None:
    """Are no error."""
    assert [shape.tag for shape in shapes(lines_svg([], "n"))] == ["line"]
