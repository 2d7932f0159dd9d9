"""The file: everything in one page, the same bytes for the same input, no network."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files
from string import Template
from typing import Final

from memhotplug.commands.report.data import Film, Frame
from memhotplug.commands.report.grid import Cell, Grid
from memhotplug.commands.report.svg import Bar, Scale, bars_of, bars_svg, label, lines_svg, scales
from memhotplug.formats.scenario.refusal import cut
from memhotplug.units import format_size

__all__ = ["page"]

_KINDS: Final = ("kernel", "movable", "offline", "several", "unlike")
_WORDS: Final = {
    "kernel": "kernel zone", "movable": "Movable", "offline": "offline", "several": "several zones",
    "unlike": "unlike blocks", "memmap": "below: share that holds memmap",
}  # fmt: skip
_LONGEST: Final = 300
"""Letters of a reason or a title."""


def page(title: str, film: Film | None, grids: Sequence[Grid] = ()) -> str:
    """Return the whole file as text."""
    parts = [] if film is None else list(_film(film))
    parts += [part for grid in grids for part in _grid(grid)]
    here = files("memhotplug.commands.report")
    return Template((here / "page.html").read_text(encoding="utf-8")).substitute(
        title=escape(title),
        head="" if film is None else _head(film),
        body="\n".join(parts),
        style=(here / "style.css").read_text(encoding="utf-8"),
        script=(here / "script.js").read_text(encoding="utf-8"),
    )


def _head(film: Film) -> str:
    facts = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in film.facts)
    failure = "" if film.failure is None else f'<p class="failure">Stopped: {_text(film.failure)}</p>'
    return f'<dl class="facts">{facts}</dl>\n{failure}'


def _text(text: str) -> str:
    return escape(cut(text, _LONGEST))


def _film(film: Film) -> Iterable[str]:
    found = scales(film.frames)
    yield "<section>\n<h2>Memory map</h2>"
    yield from _controls(film)
    for node, scale in found.items():
        yield _node(film.frames[film.first], node, scale)
    legend = "".join(f'<li><i class="{kind}"></i>{word}</li>' for kind, word in _WORDS.items())
    yield f'<ul class="legend">{legend}</ul>'
    yield ('<p class="detail" id="detail" role="status" aria-live="polite">Point at a bar, or reach it with Tab and '
           "the up and down arrows, to see what it is.</p>\n</section>")  # fmt: skip
    yield from _zones(film)
    yield from _memmap(film)
    yield from _steps(film)
    yield f'<script type="application/json" id="film">{_data(film, found)}</script>'


def _controls(film: Film) -> Iterable[str]:
    frame = film.frames[film.first]
    last = len(film.frames) - 1
    yield '<div class="controls"><button type="button" id="back" aria-label="one step back">&#9664;</button>'
    yield (f'<input type="range" id="step" min="0" max="{last}" value="{film.first}" aria-label="step" '
           f'aria-valuetext="{_text(frame.title)}">')  # fmt: skip
    yield '<button type="button" id="forth" aria-label="one step on">&#9654;</button></div>'
    yield '<p class="quiet hint">Arrow keys left and right go from step to step.</p>'
    yield f'<p class="now-is" id="now-is">{_text(frame.title)}</p>'
    reason = f"The kernel refused: {_text(frame.refused)}" if frame.refused else ""
    yield f'<p class="reason" id="reason">{reason}</p>'
    if len(film.frames) <= film.steps:
        yield (f'<p class="quiet">Shown: {len(film.frames) - 1} of {film.steps} steps; those that only expect '
               "something change nothing.</p>")  # fmt: skip


def _node(frame: Frame, node: int, scale: Scale) -> str:
    drawn = bars_svg(bars_of(frame, scale, node), f"memory of node {node}")
    ends = f'<div class="ends"><span>{scale.starts[0]:#x}</span><span>{scale.ends[-1] - 1:#x}</span></div>'
    return f'<h3>node {node}</h3>\n<div data-node="{node}">{drawn}</div>\n{ends}'


def _data(film: Film, found: dict[int, Scale]) -> str:
    """Return what the script reads; bars that stay as they are from moment to moment are there once."""
    frames = []
    known: dict[Bar, int] = {}
    for frame in film.frames:
        bars = {
            str(node): [known.setdefault(bar, len(known)) for bar in bars_of(frame, scale, node)]
            for node, scale in found.items()
        }
        refused = None if frame.refused is None else cut(frame.refused, _LONGEST)
        frames.append({"title": cut(frame.title, _LONGEST), "refused": refused, "bars": bars})
    drawn = [[_KINDS.index(bar.run.kind), bar.x, bar.width, bar.share, label(bar.run)] for bar in known]
    text = json.dumps({"kinds": _KINDS, "drawn": drawn, "frames": frames}, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("&", "\\u0026")


# ---- over time ----


def _zones(film: Film) -> Iterable[str]:
    keys = list(dict.fromkeys((zone.node, zone.zone) for frame in film.frames for zone in frame.zones))
    lines: list[list[float | None]] = []
    for key in keys:
        by_frame = [{(zone.node, zone.zone): zone.managed for zone in frame.zones} for frame in film.frames]
        lines.append([values.get(key, 0) for values in by_frame])
    names = [f"node {node} {zone}" for node, zone in keys]
    yield from _lines("Zones over time", "managed bytes of each zone, step by step", names, lines, film.frames)


def _memmap(film: Film) -> Iterable[str]:
    lines: list[list[float | None]] = [
        [frame.self_hosted for frame in film.frames],
        [frame.allocated for frame in film.frames],
    ]
    names = ["in the memory that it describes", "elsewhere"]
    title = "Where the memmap of hot-added memory lies"
    yield from _lines(title, "bytes of memmap, step by step", names, lines, film.frames)


def _lines(
    title: str, what: str, names: Sequence[str], lines: Sequence[Sequence[float | None]], frames: Sequence[Frame]
) -> Iterable[str]:
    most = max((value for line in lines for value in line if value is not None), default=0)
    yield f'<section>\n<h2>{title}</h2>\n<p class="quiet">{what}; at the top {format_size(int(most))}</p>'
    yield lines_svg(lines, f"{title}: {', '.join(names)}; the table below has the values")
    legend = "".join(f'<li><i class="l{index % 8}"></i>{escape(name)}</li>' for index, name in enumerate(names))
    yield f'<ul class="legend">{legend}</ul>'
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in names)
    rows = []
    for index, frame in enumerate(frames):
        values = "".join(f"<td>{'-' if line[index] is None else format_size(int(line[index] or 0))}</td>"
                         for line in lines)  # fmt: skip
        rows.append(f'<tr><th scope="row">{_place(frame)}</th>{values}</tr>')
    yield (f'<details><summary>as a table</summary><div class="scroll" tabindex="0" role="region" '
           f'aria-label="{title}"><table><thead><tr><th scope="col">step</th>{head}</tr></thead>'
           f"<tbody>{''.join(rows)}</tbody></table></div></details>\n</section>")  # fmt: skip


def _place(frame: Frame) -> str:
    return "boot" if frame.step is None else str(frame.step)


def _steps(film: Film) -> Iterable[str]:
    refused = sum(frame.refused is not None for frame in film.frames)
    yield f"<section>\n<h2>Steps</h2>\n<p>{len(film.frames) - 1} shown, {refused} refused by the kernel.</p>"
    rows = []
    for index, frame in enumerate(film.frames):
        reason = "-" if frame.refused is None else _text(frame.refused)
        rows.append(f'<tr data-frame="{index}"><th scope="row"><button type="button">{_place(frame)}</button></th>'
                    f'<td class="text">{_text(frame.title)}</td><td class="text">{reason}</td></tr>')  # fmt: skip
    yield ('<div class="scroll" tabindex="0" role="region" aria-label="Steps"><table><thead><tr>'
           '<th scope="col">step</th><th scope="col" class="text">what happened</th>'
           '<th scope="col" class="text">refused with</th></tr></thead>'
           f"<tbody>{''.join(rows)}</tbody></table></div>\n</section>")  # fmt: skip


# ---- variants and sweeps ----


def _grid(grid: Grid) -> Iterable[str]:
    head = "".join(f'<th scope="col">{_text(name)}</th>' for name in grid.columns)
    rows = [
        f'<tr><th scope="row">{_text(name)}</th>{"".join(_cell(cell) for cell in cells)}</tr>'
        for name, cells in zip(grid.rows, grid.cells, strict=True)
    ]
    yield f"<section>\n<h2>{escape(grid.title)}</h2>"
    if grid.note:
        yield f'<p class="quiet">{escape(grid.note)}</p>'
    yield ('<p class="quiet">the warmer, the larger</p>\n<div class="scroll" tabindex="0" role="region" '
           f'aria-label="{escape(grid.title)}"><table class="heat"><thead><tr><th scope="col">{_text(grid.corner)}'
           f"</th>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>")  # fmt: skip
    if grid.has_lines:
        lines = [[row[index].value for row in grid.cells] for index in range(min(len(grid.columns), 8))]
        yield lines_svg(lines, f"{grid.title}: a line for each column of the table, over its rows", over_time=False)
        legend = "".join(
            f'<li><i class="l{index}"></i>{_text(name)}</li>' for index, name in enumerate(grid.columns[:8])
        )
        yield f'<ul class="legend">{legend}</ul>'
    yield "</section>"


def _cell(cell: Cell) -> str:
    if cell.heat is None:
        return f'<td class="text">{_text(cell.text)}</td>'
    return f'<td class="warm" style="--w:{cell.heat:g}">{escape(cell.text)}</td>'
