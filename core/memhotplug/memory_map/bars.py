"""Bars: where on them each address lies, and what they look like. No text, so that they can be stretched."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import Final

from memhotplug.memory_map.runs import MapRun
from memhotplug.units import format_size

__all__ = ["HEIGHT", "WIDTH", "Bar", "Scale", "bars_of", "bars_svg", "label", "scales"]

WIDTH: Final = 1000
"""Units of a drawing from left to right; it is stretched to what room there is."""
HEIGHT: Final = 60
_BAR: Final = 40
"""Of these units from above the bar, below it the memmap."""
_LEAST: Final = 14.0
"""Units that any piece of memory gets, however small beside the others."""
_GAP: Final = 6.0
_PIECES: Final = 48


@dataclass(frozen=True, slots=True)
class Scale:
    """From addresses of one node to units: pieces of memory to scale, each at least visible, holes left out.

    Attributes:
        starts, ends: half-open addresses of the pieces, ascending.
        left, width: where each lies, in units.
    """

    starts: tuple[int, ...]
    ends: tuple[int, ...]
    left: tuple[float, ...]
    width: tuple[float, ...]

    def place(self, address: int) -> float:
        """Return the units of an address; inside a hole the end of what is before it."""
        piece = max(bisect_right(self.starts, address) - 1, 0)
        share = (min(address, self.ends[piece]) - self.starts[piece]) / (self.ends[piece] - self.starts[piece])
        return self.left[piece] + max(share, 0.0) * self.width[piece]


@dataclass(frozen=True, slots=True)
class Bar:
    """A run as it is drawn: units from the left, units wide, and the share of it that holds memmap."""

    run: MapRun
    x: float
    width: float
    share: float


def scales(moments: Iterable[Sequence[MapRun]]) -> dict[int, Scale]:
    """Return the scale of each node, the same for all moments."""
    found: dict[int, set[tuple[int, int]]] = {}
    for runs in moments:
        for node, start, end in _pieces(runs):
            found.setdefault(node, set()).add((start, end))
    return {node: _scale(_merged(found[node])) for node in sorted(found)}


def _pieces(runs: Iterable[MapRun]) -> list[tuple[int, int, int]]:
    """Return neighbouring runs of one origin as one piece."""
    pieces: list[tuple[int, int, int]] = []
    origin: tuple[int, str | None] | None = None
    for run in runs:
        if pieces and origin == (run.node, run.device) and pieces[-1][2] == run.start:
            pieces[-1] = (run.node, pieces[-1][1], run.end)
        else:
            pieces.append((run.node, run.start, run.end))
        origin = (run.node, run.device)
    return pieces


def _merged(pieces: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return disjoint pieces, cut wherever one begins; all that is there as one piece where that is too many."""
    edges = sorted({edge for piece in pieces for edge in piece})
    cover = sorted(pieces)
    whole: list[tuple[int, int]] = []
    for start, end in cover:
        if whole and start <= whole[-1][1]:
            whole[-1] = (whole[-1][0], max(end, whole[-1][1]))
        else:
            whole.append((start, end))
    if len(edges) > _PIECES:
        return whole if len(whole) <= _PIECES else [(whole[0][0], whole[-1][1])]
    fine = []
    for start, end in whole:
        inside = [edge for edge in edges if start <= edge <= end]
        fine += list(pairwise(inside))
    return fine


def _scale(pieces: Sequence[tuple[int, int]]) -> Scale:
    gaps = [0.0] + [_GAP if here[0] > before[1] else 0.0 for before, here in pairwise(pieces)]
    room = WIDTH - sum(gaps) - _LEAST * len(pieces)
    total = sum(end - start for start, end in pieces)
    width = [_LEAST + room * (end - start) / total for start, end in pieces]
    left, x = [], 0.0
    for gap, units in zip(gaps, width, strict=True):
        left.append(x + gap)
        x += gap + units
    return Scale(tuple(start for start, _ in pieces), tuple(end for _, end in pieces), tuple(left), tuple(width))


def bars_of(runs: Iterable[MapRun], scale: Scale, node: int) -> list[Bar]:
    """Return the bars of one node at one moment, from left to right."""
    bars = []
    for run in runs:
        if run.node != node:
            continue
        x = scale.place(run.start)
        width = max(scale.place(run.end - 1) - x, 0.5)
        bars.append(Bar(run, round(x, 2), round(width, 2), round(run.memmap / (run.end - run.start), 4)))
    return bars


def label(run: MapRun) -> str:
    """Return what a run is, in words."""
    size = run.end - run.start
    words = {"kernel": "kernel zone", "movable": "Movable", "several": "several zones", "unlike": "unlike blocks"}
    parts = [
        f"0x{run.start:x}-0x{run.end - 1:x}",
        format_size(size),
        run.zone or words.get(run.kind, run.kind),
        f"block {run.blocks[0]}" if run.blocks[0] == run.blocks[1] else f"blocks {run.blocks[0]}-{run.blocks[1]}",
        run.device or "boot memory",
    ]
    if run.memmap:
        parts.append(f"memmap {format_size(run.memmap)} in it")
    return ", ".join(parts)


def bars_svg(bars: Sequence[Bar], name: str) -> str:
    """Return the bars as SVG: a rectangle for each run, below it how much of it holds memmap."""
    shapes = []
    for index, bar in enumerate(bars):
        text = escape(label(bar.run), quote=True)
        shapes.append(
            f'<rect class="{bar.run.kind}" x="{bar.x:g}" y="0" width="{bar.width:g}" height="{_BAR}" tabindex="'
            f'{0 if index == 0 else -1}" role="img" aria-label="{text}"/>'
        )
        if bar.share:
            shapes.append(_share(bar))
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" role="group" aria-label="'
        f'{escape(name, quote=True)}">{"".join(shapes)}</svg>'
    )


def _share(bar: Bar) -> str:
    height = round(max(bar.share * (HEIGHT - _BAR - 4), 2.0), 1)
    return (
        f'<rect class="memmap" x="{bar.x:g}" y="{_BAR + 3}" width="{bar.width:g}" height="{height:g}" '
        'aria-hidden="true"/>'
    )
