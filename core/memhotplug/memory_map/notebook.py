"""The map of a machine for notebooks: HTML that brings its own colours and touches nothing around it."""

from __future__ import annotations

from html import escape
from typing import Final

from memhotplug.engine.kernel import Kernel
from memhotplug.memory_map.bars import HEIGHT, WIDTH, Bar, bars_of, label, scales
from memhotplug.memory_map.runs import map_runs

__all__ = ["map_html"]

_COLOURS: Final = {
    "kernel": "#3d7cc4",
    "movable": "#3a9a63",
    "offline": "#9aa3ad",
    "several": "#c98f18",
    "unlike": "#9364c2",
}
"""Legible on white and on black."""
_MEMMAP: Final = "#d8503a"
_WORDS: Final = {"kernel": "kernel zone", "movable": "Movable", "offline": "offline", "several": "several zones",
                 "unlike": "unlike blocks"}  # fmt: skip
_BAR: Final = 40


def map_html(kernel: Kernel, title: str) -> str:
    """Return a machine's memory as bars, a bar a node; what each part is shows where the pointer rests on it."""
    runs = map_runs(kernel)
    found = scales([runs])
    parts = [f'<div style="font:13px/1.4 system-ui,sans-serif;max-width:60em"><div>{escape(title)}</div>']
    seen: dict[str, None] = {}
    for node, scale in found.items():
        bars = bars_of(runs, scale, node)
        seen |= dict.fromkeys(bar.run.kind for bar in bars)
        shapes = "".join(_shapes(bar) for bar in bars)
        parts.append(
            f'<div style="margin-top:.4em">node {node}</div>'
            f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" role="group" aria-label="memory of node '
            f'{node}" style="display:block;width:100%;height:3.5em">{shapes}</svg>'
        )
    parts.append(f"<div>{_legend(list(seen))}</div></div>")
    return "".join(parts)


def _shapes(bar: Bar) -> str:
    words = escape(label(bar.run))
    place = f'x="{bar.x:g}" width="{bar.width:g}"'
    drawn = (
        f'<rect {place} y="0" height="{_BAR}" fill="{_COLOURS[bar.run.kind]}" role="img" aria-label="{words}">'
        f"<title>{words}</title></rect>"
    )
    if bar.share:
        height = max(bar.share * (HEIGHT - _BAR - 4), 2.0)
        drawn += f'<rect {place} y="{_BAR + 3}" height="{height:.1f}" fill="{_MEMMAP}" aria-hidden="true"/>'
    return drawn


def _legend(kinds: list[str]) -> str:
    entries = [(_COLOURS[kind], _WORDS[kind]) for kind in _WORDS if kind in kinds]
    entries.append((_MEMMAP, "below: share that holds memmap"))
    return " ".join(
        f'<span style="display:inline-block;width:1em;height:.7em;background:{colour}"></span> {word}&ensp;'
        for colour, word in entries
    )
