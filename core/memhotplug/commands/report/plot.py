"""Lines with their axes, legend and table: a section of the page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import Final

from memhotplug.commands.report.chart import LOOKS, lines_svg
from memhotplug.formats.scenario.refusal import cut
from memhotplug.units import div_round_up, format_size

__all__ = ["TEXT", "plot", "table_of", "text"]

TEXT: Final = 300
"""Letters of a reason, a title or a name."""
_ROOM: Final = (40, 120)
"""Letters of names that fit below a chart, on a narrow screen and on a wide one."""
_NAME: Final = 24
"""Letters of one of them, at most."""

Line = Sequence[float | None]


def text(words: str, most: int = TEXT) -> str:
    """Return what somebody wrote, cut and escaped."""
    return escape(cut(words, most))


def _legend(names: Sequence[str], looks: Sequence[int]) -> str:
    """Return the colours of some lines and what they are."""
    shown = zip(looks or range(len(names)), names, strict=True)
    items = "".join(f'<li><i class="l{look % LOOKS}"></i>{text(name)}</li>' for look, name in shown)
    return f'<ul class="legend">{items}</ul>'


def plot(
    title: str, names: Sequence[str], lines: Sequence[Line], places: Sequence[str], *,
    looks: Sequence[int] = (), over_time: bool = True, as_bytes: bool = True,
) -> Iterator[str]:  # fmt: skip
    """Yield a chart with what stands beside and below it.

    Args:
        names: of the lines. places: of the values, from left to right.
        looks, over_time: as for :func:`lines_svg`. as_bytes: whether values are bytes.
    """
    most = max((value for line in lines for value in line if value is not None), default=0)
    drawing = lines_svg(lines, f"{title}: {', '.join(names)}", looks=looks, over_time=over_time)
    yield (
        f'<div class="plot"><div class="y" aria-hidden="true"><span>{_value(most, as_bytes)}</span><span>0</span>'
        f'</div>{drawing}<div class="x" aria-hidden="true">{_ticks(places)}</div></div>'
    )
    yield _legend(names, looks)


def _value(value: float | None, as_bytes: bool) -> str:
    """Return a value as people read it."""
    if value is None:
        return "-"
    return format_size(int(value)) if as_bytes else f"{value:g}"


def table_of(title: str, corner: str, names: Sequence[str], lines: Sequence[Line], places: Sequence[str]) -> str:
    """Return the values of a chart of bytes as a table that is folded away."""
    head = "".join(f'<th scope="col">{text(name)}</th>' for name in names)
    rows = []
    for index, place in enumerate(places):
        values = "".join(f"<td>{_value(line[index], True)}</td>" for line in lines)
        rows.append(f'<tr><th scope="row">{text(place)}</th>{values}</tr>')
    return (
        f'<details><summary>as a table</summary><div class="scroll" tabindex="0" role="region" '
        f'aria-label="{escape(title)}"><table><thead><tr><th scope="col">{corner}</th>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div></details>"
    )


def _ticks(places: Sequence[str]) -> str:
    """Return names below a chart, as many as fit; those that need a wide screen are marked."""
    if not places:
        return ""
    names = [cut(place, _NAME) for place in places]
    narrow, wide = ({*range(0, len(names), _stride(names, room))} for room in _ROOM)
    last = max(len(names) - 1, 1)
    return "".join(
        f'<span{"" if index in narrow else " class=wide"} style="left:{100 * index / last:.4g}%">'
        f"{escape(names[index])}</span>"
        for index in sorted(narrow | wide)
    )


def _stride(names: Sequence[str], room: int) -> int:
    longest = max(len(name) for name in names) + 3
    return max(div_round_up(len(names) * longest, room), 1)
