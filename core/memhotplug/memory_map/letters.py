"""Physical memory as bars: a letter for each memory block, or for several alike where there are too many.

Readable without colour: what a block is stands in one line, how much of it holds memmap in the line below.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

from memhotplug.engine.kernel import Kernel
from memhotplug.model.blocks import NO_ZONE, BlockState
from memhotplug.model.zones import ZoneKind
from memhotplug.output.tables import HEAD, Paint, plain
from memhotplug.units import format_size

__all__ = ["LEGEND", "map_lines"]

LEGEND: Final = (
    "K kernel zone  M Movable  - offline  ? several zones  x unlike blocks",
    "below: memmap in the block: . some  : from 5%  + from 25%  # from 75%",
)
_KERNEL, _MOVABLE, _OFFLINE, _SEVERAL, _MIXED = "KM-?x"
_STYLES: Final = {_KERNEL: "cyan", _MOVABLE: "green", _OFFLINE: "dim", _SEVERAL: "yellow", _MIXED: "magenta"}
_SHARES: Final = ((0.75, "#"), (0.25, "+"), (0.05, ":"))
_LINES: Final = 6
"""Lines of bars for one run of blocks, at most."""
_NARROW: Final = 48
"""Columns below which a line begins with the block's number instead of the address."""


@dataclass(frozen=True, slots=True)
class _Run:
    """Neighbouring blocks of one node: rows of the block table, half-open."""

    nid: int
    first: int
    end: int


def map_lines(kernel: Kernel, *, width: int = 80, paint: Paint = plain) -> Iterator[str]:
    """Yield the map of a machine's memory, fitted into ``width`` columns, without its legend."""
    state = kernel.state
    if not len(state.blocks):
        yield "no memory blocks"
        return
    letters = _letters(kernel)
    shares = state.vmemmap_pages_by_block() / kernel.geometry.pages_per_block
    label = 19 if width >= _NARROW else 8
    room = max(width - label, 8)
    runs = list(_runs(kernel))
    scale = _scale(runs, room)
    last: int | None = None
    for run in runs:
        if run.nid != last:
            last = run.nid
            yield paint(_heading(kernel, run.nid, scale), HEAD)
        yield from _bars(kernel, run, letters, shares, scale, label, room, paint)


def _letters(kernel: Kernel) -> npt.NDArray[np.str_]:
    blocks = kernel.state.blocks
    letters = np.full(len(blocks), _KERNEL)
    letters[blocks.zone == ZoneKind.MOVABLE] = _MOVABLE
    letters[blocks.zone == NO_ZONE] = _SEVERAL
    letters[blocks.state != BlockState.ONLINE] = _OFFLINE
    return letters


def _runs(kernel: Kernel) -> Iterator[_Run]:
    blocks = kernel.state.blocks
    apart = (np.diff(blocks.id) != 1) | (np.diff(blocks.nid) != 0)
    cuts = [0, *(np.flatnonzero(apart) + 1).tolist(), len(blocks)]
    found = [_Run(int(blocks.nid[first]), first, end) for first, end in pairwise(cuts)]
    yield from sorted(found, key=lambda run: run.nid)


def _scale(runs: list[_Run], room: int) -> int:
    """Return how many blocks a letter stands for: a power of two that lets the longest run fit."""
    longest = max(run.end - run.first for run in runs)
    scale = 1
    while longest > scale * room * _LINES:
        scale *= 2
    return scale


def _heading(kernel: Kernel, nid: int, scale: int) -> str:
    blocks = kernel.state.blocks
    size = kernel.geometry.memory_block_size
    whole = int((blocks.nid == nid).sum()) * size
    return f"node {nid}: {format_size(whole)}, a letter is {format_size(scale * size)}"


def _bars(
    kernel: Kernel, run: _Run, letters: npt.NDArray[np.str_], shares: npt.NDArray[np.float64], scale: int,
    label: int, room: int, paint: Paint,
) -> Iterator[str]:  # fmt: skip
    for first in range(run.first, run.end, room * scale):
        end = min(first + room * scale, run.end)
        cells = [slice(low, min(low + scale, end)) for low in range(first, end, scale)]
        yield f"{_place(kernel, first, label)} {_painted([_one(letters[cell]) for cell in cells], paint)}"
        below = "".join(_share(float(shares[cell].mean())) for cell in cells).rstrip()
        if below:
            yield " " * label + below


def _place(kernel: Kernel, row: int, label: int) -> str:
    block = int(kernel.state.blocks.id[row])
    if label < 18:
        return str(block).rjust(label - 1)
    return f"0x{block * kernel.geometry.memory_block_size:016x}"


def _one(letters: npt.NDArray[np.str_]) -> str:
    kinds = set(letters.tolist())
    return str(kinds.pop()) if len(kinds) == 1 else _MIXED


def _painted(cells: list[str], paint: Paint) -> str:
    """Return the letters, alike neighbours painted together."""
    text, start = "", 0
    for index in range(1, len(cells) + 1):
        if index == len(cells) or cells[index] != cells[start]:
            text += paint("".join(cells[start:index]), _STYLES[cells[start]])
            start = index
    return text


def _share(share: float) -> str:
    if share <= 0:
        return " "
    return next((sign for least, sign in _SHARES if share >= least), ".")
