"""The file: everything in one page, the same bytes for the same input, no network."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from importlib.resources import files
from itertools import cycle
from string import Template
from typing import Final

from memhotplug.commands.report.data import Film, Frame
from memhotplug.commands.report.grid import Grid, VariantMap
from memhotplug.commands.report.plot import TEXT, plot, table_of, text
from memhotplug.commands.report.sides import grid_parts, map_parts
from memhotplug.formats.scenario.refusal import cut
from memhotplug.memory_map.bars import Bar, Scale, bars_of, bars_svg, label, scales
from memhotplug.memory_map.holdings import Holding
from memhotplug.model.zones import ZoneKind

__all__ = ["page"]

_KINDS: Final = ("kernel", "movable", "offline", "several", "unlike")
_WORDS: Final = {
    "kernel": "kernel zone",
    "movable": "Movable",
    "offline": "offline",
    "several": "several zones",
    "unlike": "unlike blocks",
    "memmap": "below: share that holds memmap",
}
_MOVABLE_LOOKS: Final = (1, 5)
_KERNEL_LOOKS: Final = (0, 6, 7, 3)
_MEMMAP_LOOKS: Final = (4, 7)
"""Looks of lines by style.css: the first one has the colour of the map, further ones tell zones apart."""


def page(title: str, film: Film | None, grids: Sequence[Grid] = (), maps: Sequence[VariantMap] = ()) -> str:
    """Return the whole file as text."""
    parts = [] if film is None else list(_film(film))
    parts += [*map_parts(maps), *(part for grid in grids for part in grid_parts(grid))]
    here = files("memhotplug.commands.report")
    return Template((here / "page.html").read_text(encoding="utf-8")).substitute(
        title=text(title),
        head="" if film is None else _head(film),
        body="\n".join(parts),
        style=(here / "style.css").read_text(encoding="utf-8"),
        script=(here / "script.js").read_text(encoding="utf-8"),
    )


def _head(film: Film) -> str:
    facts = "".join(f"<div><dt>{text(name)}</dt><dd>{text(value)}</dd></div>" for name, value in film.facts)
    failure = "" if film.failure is None else f'<p class="failure">Stopped: {text(film.failure)}</p>'
    return f'<dl class="facts">{facts}</dl>\n{failure}'


def _film(film: Film) -> Iterable[str]:
    found = scales(frame.runs for frame in film.frames)
    yield "<section>\n<h2>Memory map</h2>"
    yield from _controls(film)
    for node, scale in found.items():
        yield _node(film.frames[film.first], node, scale)
    legend = "".join(f'<li><i class="{kind}"></i>{word}</li>' for kind, word in _WORDS.items())
    yield f'<ul class="legend">{legend}</ul>'
    yield (
        '<p class="detail" id="detail" role="status" aria-live="polite">Point at a bar, or reach it with Tab and '
        "the up and down arrows, to see what it is and who holds its pages.</p>"
    )
    yield (
        '<div class="pages scroll" id="pages" tabindex="0" role="region" aria-label="who holds its pages">'
        "</div>\n</section>"
    )
    yield from _zones(film)
    yield from _memmap(film)
    yield from _steps(film)
    yield f'<script type="application/json" id="film">{_data(film, found)}</script>'


def _controls(film: Film) -> Iterable[str]:
    frame = film.frames[film.first]
    last = len(film.frames) - 1
    yield '<div class="controls"><button type="button" id="back" aria-label="one step back">&#9664;</button>'
    yield (
        f'<input type="range" id="step" min="0" max="{last}" value="{film.first}" aria-label="step" '
        f'aria-valuetext="{text(frame.title)}">'
    )
    yield '<button type="button" id="forth" aria-label="one step on">&#9654;</button></div>'
    yield '<p class="quiet hint">Arrow keys left and right go from step to step.</p>'
    yield f'<p class="now-is" id="now-is">{text(frame.title)}</p>'
    reason = f"The kernel refused: {text(frame.refused)}" if frame.refused else ""
    yield f'<p class="reason" id="reason">{reason}</p>'
    if len(film.frames) <= film.steps:
        yield (
            f'<p class="quiet">Shown: {len(film.frames) - 1} of {film.steps} steps; those that only expect '
            "something change nothing.</p>"
        )


def _node(frame: Frame, node: int, scale: Scale) -> str:
    drawn = bars_svg(bars_of(frame.runs, scale, node), f"memory of node {node}")
    ends = f'<div class="ends"><span>{scale.starts[0]:#x}</span><span>{scale.ends[-1] - 1:#x}</span></div>'
    return f'<h3>node {node}</h3>\n<div data-node="{node}">{drawn}</div>\n{ends}'


def _data(film: Film, found: dict[int, Scale]) -> str:
    """Return what the script reads; bars that stay as they are from moment to moment are there once."""
    frames = []
    known: dict[Bar, int] = {}
    held = _Holdings()
    for frame in film.frames:
        holders = dict(zip(frame.runs, frame.held, strict=True))
        bars = {node: bars_of(frame.runs, scale, node) for node, scale in found.items()}
        refused = None if frame.refused is None else cut(frame.refused, TEXT)
        frames.append(
            {
                "title": cut(frame.title, TEXT),
                "refused": refused,
                "bars": {str(node): [known.setdefault(bar, len(known)) for bar in own] for node, own in bars.items()},
                "held": {str(node): [held.number(holders[bar.run]) for bar in own] for node, own in bars.items()},
            }
        )
    drawn = [[_KINDS.index(bar.run.kind), bar.x, bar.width, bar.share, label(bar.run)] for bar in known]
    everything = {"kinds": _KINDS, "drawn": drawn, **held.tables(), "page": film.page_size, "frames": frames}
    written = json.dumps(everything, separators=(",", ":"))
    return written.replace("<", "\\u003c").replace("&", "\\u0026")


class _Holdings:
    """Who holds the pages of runs, each text and each list once."""

    def __init__(self) -> None:
        self._lists: dict[tuple[Holding, ...], int] = {}
        self._owners: dict[str, int] = {}
        self._flags: dict[str, int] = {}

    def number(self, parts: tuple[Holding, ...]) -> int:
        """Return the number of a list."""
        return self._lists.setdefault(parts, len(self._lists))

    def tables(self) -> dict[str, object]:
        """Return the lists, their rows as owner, pages, runs, first, last and flags, and the texts."""
        rows = [
            [
                [
                    self._owners.setdefault(cut(part.owner, 80), len(self._owners)),
                    part.pages,
                    part.runs,
                    part.first,
                    part.last,
                    self._flags.setdefault("|".join(part.flags), len(self._flags)),
                ]
                for part in parts
            ]
            for parts in self._lists
        ]
        return {"held": rows, "owners": list(self._owners), "flags": list(self._flags)}


# ---- over time ----


def _zones(film: Film) -> Iterable[str]:
    keys = list(dict.fromkeys((zone.node, zone.zone) for frame in film.frames for zone in frame.zones))
    lines: list[list[float | None]] = []
    for key in keys:
        by_frame = [{(zone.node, zone.zone): zone.managed for zone in frame.zones} for frame in film.frames]
        lines.append([values.get(key, 0) for values in by_frame])
    names = [f"node {node} {zone}" for node, zone in keys]
    what = "managed bytes of each zone, step by step"
    yield from _over_time("Zones over time", what, names, lines, film.frames, _zone_looks(zone for _, zone in keys))


def _zone_looks(zones: Iterable[str]) -> list[int]:
    """Return the looks of lines of zones: Movable and kernel zones have the colours of the map, then others."""
    movable, kernel = cycle(_MOVABLE_LOOKS), cycle(_KERNEL_LOOKS)
    return [next(movable if zone == ZoneKind.MOVABLE.label else kernel) for zone in zones]


def _memmap(film: Film) -> Iterable[str]:
    lines: list[list[float | None]] = [
        [frame.self_hosted for frame in film.frames],
        [frame.allocated for frame in film.frames],
    ]
    names = ["in the memory that it describes", "elsewhere"]
    title = "Where the memmap of hot-added memory lies"
    yield from _over_time(title, "bytes of memmap, step by step", names, lines, film.frames, _MEMMAP_LOOKS)


def _over_time(
    title: str, what: str, names: Sequence[str], lines: Sequence[Sequence[float | None]], frames: Sequence[Frame],
    looks: Sequence[int],
) -> Iterable[str]:  # fmt: skip
    places = [_place(frame) for frame in frames]
    yield f'<section>\n<h2>{title}</h2>\n<p class="quiet">{what}</p>'
    yield from plot(f"{title}; the table below has the values", names, lines, places, looks=looks)
    yield table_of(title, "step", names, lines, places)
    yield "</section>"


def _place(frame: Frame) -> str:
    return "boot" if frame.step is None else str(frame.step)


def _steps(film: Film) -> Iterable[str]:
    refused = sum(frame.refused is not None for frame in film.frames)
    yield f"<section>\n<h2>Steps</h2>\n<p>{len(film.frames) - 1} shown, {refused} refused by the kernel.</p>"
    rows = []
    for index, frame in enumerate(film.frames):
        reason = "-" if frame.refused is None else text(frame.refused)
        rows.append(
            f'<tr data-frame="{index}"><th scope="row"><button type="button">{_place(frame)}</button></th>'
            f'<td class="text">{text(frame.title)}</td><td class="text">{reason}</td></tr>'
        )
    yield (
        '<div class="scroll" tabindex="0" role="region" aria-label="Steps"><table><thead><tr>'
        '<th scope="col">step</th><th scope="col" class="text">what happened</th>'
        '<th scope="col" class="text">refused with</th></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>\n</section>"
    )
