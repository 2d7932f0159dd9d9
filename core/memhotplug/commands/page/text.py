"""Runs of struct pages for people, and as plain data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from memhotplug.commands.page.question import Moments
from memhotplug.commands.page.runs import Change, Run
from memhotplug.output.tables import HEAD, Paint, plain, table

if TYPE_CHECKING:
    from memhotplug.documents.small import (
        AskedMomentDocument,
        ChangeDocument,
        ChangesDocument,
        PageRunDocument,
        RunsDocument,
    )

__all__ = ["change_lines", "changes_document", "run_lines", "runs_document"]

_HEADER: Final = ("PFN", "PAGES", "FLAGS", "REFS", "PRIVATE", "HEAD", "ZONE", "NODE", "BACKING")
_STYLES: Final = {"-": "red", "+": "green"}
_LEFT: Final = ("", "PFN", "FLAGS", "PRIVATE", "HEAD", "ZONE", "BACKING")


def run_lines(found: Iterable[Run], paint: Paint = plain, *, width: int | None = None) -> Iterator[str]:
    """Yield a line for each run of alike pages, below a header."""
    yield from table(_HEADER, [_cells(run) for run in found], _LEFT, paint, width=width)


def change_lines(found: Iterable[Change], paint: Paint = plain, *, width: int | None = None) -> Iterator[str]:
    """Yield two lines, before and after, for each run that changed; then how much did not."""
    rows: list[list[str]] = []
    same = 0
    for change in found:
        if not change.is_one:
            same += change.after.pages
            continue
        rows += [["-", *_cells(change.before)], ["+", *_cells(change.after)]]
    if rows:
        style = HEAD
        for line in table(["", *_HEADER], rows, _LEFT, width=width):
            style = _STYLES.get(line[:1], style)
            yield paint(line, style)
    yield f"{same} page{'' if same == 1 else 's'} unchanged"


def _cells(run: Run) -> list[str]:
    return [
        f"{run.pfn:#x}",
        str(run.pages),
        "|".join(run.flags) or "-",
        str(run.refcount),
        _private(run),
        "-" if run.head is None else f"{run.head:#x}",
        run.zone or "-",
        "-" if run.node is None else str(run.node),
        _backing(run),
    ]


def _private(run: Run) -> str:
    if "BUDDY" in run.flags:
        return f"order {run.private}"
    return str(run.private) if run.private else "-"


def _backing(run: Run) -> str:
    if run.backing is None or run.backing_end is None:
        return "-"
    last = run.backing_end - 1
    return f"{run.backing:#x}" if last == run.backing else f"{run.backing:#x}-{last:#x}"


def runs_document(moments: Moments, found: Iterable[Run]) -> RunsDocument:
    """Return runs as the JSON output shows them."""
    return {**_head(moments), "runs": [_record(run) for run in found]}


def changes_document(moments: Moments, found: Iterable[Change]) -> ChangesDocument:
    """Return what changed as the JSON output shows it; ``unchanged_pages`` counts the rest."""
    changed: list[ChangeDocument] = []
    same = 0
    for change in found:
        if change.is_one:
            changed.append({"before": _record(change.before), "after": _record(change.after)})
        else:
            same += change.after.pages
    return {**_head(moments), "changes": changed, "unchanged_pages": same}


def _head(moments: Moments) -> AskedMomentDocument:
    geometry = moments.after.kernel.geometry
    return {
        "schema": 1,
        "ok": moments.failure is None,
        "step": moments.step,
        "op": moments.op,
        "page_size": geometry.page_size,
    }


def _record(run: Run) -> PageRunDocument:
    return {
        "pfn": run.pfn,
        "pages": run.pages,
        "flags": list(run.flags),
        "refcount": run.refcount,
        "private": run.private,
        "head": run.head,
        "mapping": run.mapping,
        "zone": run.zone,
        "node": run.node,
        "backing": run.backing,
        "backing_end": run.backing_end,
    }
