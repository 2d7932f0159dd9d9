"""Lines: a value for each moment, or for each row of a grid. No text, so that they can be stretched."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final

from memhotplug.memory_map.bars import WIDTH

__all__ = ["LOOKS", "lines_svg"]

LOOKS: Final = 8
"""Colours of lines, each with a dash of its own."""

_CHART: Final = 240


def lines_svg(
    lines: Sequence[Sequence[float | None]], name: str, *, looks: Sequence[int] = (), over_time: bool = True
) -> str:
    """Return lines as SVG, from 0 to the largest value; None parts a line.

    Args:
        looks: the number of each line's look; none for one after the other.
        over_time: a value holds until the next one, and a mark shows which moment is looked at.
    """
    height = _CHART
    top = max((value for line in lines for value in line if value is not None), default=0) or 1
    count = max((len(line) for line in lines), default=1)
    shapes = []
    for look, line in zip(looks or range(len(lines)), lines, strict=True):
        parts: list[list[str]] = [[]]
        for index, value in enumerate(line):
            if value is None:
                parts.append([])
                continue
            x = WIDTH * index / max(count - 1, 1)
            y = height - 4 - (height - 8) * value / top
            previous = parts[-1][-1].partition(",")[2] if parts[-1] else None
            if over_time and previous is not None and previous != f"{y:.5g}":
                parts[-1].append(f"{x:.5g},{previous}")
            parts[-1].append(f"{x:.5g},{y:.5g}")
        shapes += [
            f'<polyline class="line l{look % LOOKS}" points="{" ".join(part)}"/>' for part in parts if len(part) > 1
        ]
    mark = f'<line class="now" x1="0" x2="0" y1="0" y2="{height}"/>' if over_time else ""
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {height}" preserveAspectRatio="none" role="img" aria-label="'
        f'{escape(name, quote=True)}">{"".join(shapes)}{mark}</svg>'
    )
