"""Variants and sweeps side by side: memory maps, a heat map, lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from memhotplug.commands.report.grid import Cell, Grid, VariantMap
from memhotplug.commands.report.plot import plot, text
from memhotplug.memory_map.bars import bars_of, bars_svg, scales

__all__ = ["grid_parts", "map_parts"]


def map_parts(maps: Sequence[VariantMap]) -> Iterator[str]:
    """Yield the memory of variants below one another, to the same scale."""
    if not maps:
        return
    yield "<section>\n<h2>Memory of the variants</h2>"
    yield '<p class="quiet">all to one scale, at the moment at which they are compared</p>'
    found = scales(entry.runs for entry in maps)
    for entry in maps:
        yield f'<h3>{text(entry.label)} <span class="quiet">{text(entry.outcome)}</span></h3>'
        for node, scale in found.items():
            bars = bars_of(entry.runs, scale, node)
            if bars:
                name = f"node {node} with {entry.label}"
                yield f'<div class="small" data-map>{bars_svg(bars, name)}</div>'
    yield '<p class="detail" data-detail role="status" aria-live="polite">Point at a bar to see what it is.</p>'
    yield "</section>"


def grid_parts(grid: Grid) -> Iterator[str]:
    """Yield a heat map, and lines over its rows."""
    yield f"<section>\n<h2>{text(grid.title)}</h2>"
    if grid.note:
        yield f'<p class="quiet">{text(grid.note)}</p>'
    head = "".join(f'<th scope="col">{text(name)}</th>' for name in grid.columns)
    rows = [
        f'<tr><th scope="row">{text(name)}</th>{"".join(_cell(cell) for cell in cells)}</tr>'
        for name, cells in zip(grid.rows, grid.cells, strict=True)
    ]
    yield (
        '<p class="quiet">the warmer, the larger</p>\n<div class="scroll" tabindex="0" role="region" '
        f'aria-label="{text(grid.title)}"><table class="heat"><thead><tr><th scope="col">{text(grid.corner)}'
        f"</th>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )
    if grid.lines:
        columns = [grid.columns.index(name) for name in grid.lines]
        lines = [[row[index].value for row in grid.cells] for index in columns]
        title = f"{grid.title}, a line for each column of the table, over its rows"
        yield from plot(title, grid.lines, lines, grid.rows, over_time=False, as_bytes=grid.as_bytes)
    yield "</section>"


def _cell(cell: Cell) -> str:
    if cell.heat is None:
        return f'<td class="text">{text(cell.text)}</td>'
    return f'<td class="warm" style="--w:{cell.heat:g}">{text(cell.text)}</td>'
