"""The answer of ``mhp align``: as JSON, and as people read it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from memhotplug.commands.align.answer import BlockMemmap, BySize, Fit, best
from memhotplug.output.tables import HEAD, Paint, plain, table
from memhotplug.units import format_range, format_size, parse_size

if TYPE_CHECKING:
    from memhotplug.documents.align import AlignDocument, BlockSizeDocument, FitDocument, SelfHostingDocument

__all__ = ["align_lines", "to_document"]

_WIDTH: Final = 80
_MANY: Final = 24
"""More windows than that, and a table shows only the totals for block sizes that were not asked about."""


def to_document(
    entries: Sequence[BySize], *, arch: str, kernel: str, driver: str, assumed: Sequence[str]
) -> AlignDocument:
    """Return the JSON object; sizes in bytes.

    Args:
        entries: what ``survey`` returned; the verdict is about the first.
        kernel: the profile that was asked for.
        assumed: what is taken for granted, one sentence each.
    """
    verdict, choice = entries[0], best(entries)
    return {
        "schema": 1,
        "ok": not verdict.stranded_bytes,
        "arch": arch,
        "kernel": kernel,
        "driver": driver,
        "block_size": verdict.block_size,
        "usable_bytes": verdict.usable_bytes,
        "stranded_bytes": verdict.stranded_bytes,
        "best_block_size": choice.block_size if choice is not None else None,
        "ranges": [_fit(entry) for entry in verdict.fits],
        "block_sizes": [_by_size(entry) for entry in _ascending(entries)],
        "assumptions": list(assumed),
    }


def _ascending(entries: Sequence[BySize]) -> list[BySize]:
    return sorted(entries, key=lambda entry: entry.block_size)


def _by_size(entry: BySize) -> BlockSizeDocument:
    return {
        "block_size": entry.block_size,
        "kernel": entry.kernel,
        "usable_bytes": entry.usable_bytes,
        "stranded_bytes": entry.stranded_bytes,
        "ranges": [_fit(fit) for fit in entry.fits],
        "memmap_on_memory": _memmap(entry.memmap),
    }


def _fit(fit: Fit) -> FitDocument:
    return {
        "name": fit.window.name,
        "start": fit.window.start,
        "size": fit.window.size,
        "errno": fit.errno,
        "message": fit.message,
        "usable": [
            {"start": part.start, "size": part.size, "first_block": first, "last_block": last}
            for part, (first, last) in zip(fit.usable, fit.blocks, strict=True)
        ],
        "usable_bytes": fit.usable_bytes,
        "stranded_bytes": fit.stranded_bytes,
        "head_bytes": fit.head,
        "tail_bytes": fit.tail,
        "next_start": fit.next_start,
        "gap_bytes": fit.gap,
        "rounded_size": fit.rounded,
    }


def _memmap(memmap: BlockMemmap | None) -> SelfHostingDocument | None:
    if memmap is None:
        return None
    reserved = memmap.reserved
    return {
        "block_pages": memmap.block_pages,
        "needed_pages": memmap.needed,
        "reserved_pages": reserved,
        "wasted_pages": None if reserved is None else reserved - memmap.needed,
        "refusal": memmap.refusal,
    }


def align_lines(
    entries: Sequence[BySize], driver: str, kernel: str, assumed: Sequence[str] = (), paint: Paint = plain, *,
    width: int | None = None,
) -> Iterator[str]:  # fmt: skip
    """Yield the answer for people.

    Args:
        entries: what ``survey`` returned; the verdict is about the first.
        kernel: the profile that was asked for.
        assumed: what is taken for granted, one sentence each.
    """
    verdict = entries[0]
    older = "" if verdict.kernel == kernel else f" (as under {verdict.kernel}, not under {kernel})"
    yield f"{driver}, memory blocks of {_exact(verdict.block_size)}{older}:"
    for fit in verdict.fits:
        yield from _window_lines(fit, paint)
    if len(verdict.fits) > 1:
        yield f"in all {_exact(verdict.usable_bytes)} usable, {_exact(verdict.stranded_bytes)} stranded"
    yield ""
    yield from _table(entries, paint, width)
    if len(entries) > 1:
        yield ""
        yield _best_line(best(entries))
    yield from _memmap_lines(entries)
    if assumed:
        yield ""
        yield paint("Assumed", HEAD)
        for sentence in assumed:
            yield from textwrap.wrap(sentence, _WIDTH, initial_indent="- ", subsequent_indent="  ")


def _best_line(choice: BySize | None) -> str:
    if choice is None:
        return "Best block size: none of them can take anything"
    return f"Best block size: {_exact(choice.block_size)}, {_exact(choice.stranded_bytes)} stranded"


def _exact(size: int) -> str:
    """Return a size that loses nothing: 2046M rather than 2G."""
    for letter in "EPTGMK":
        unit = parse_size(f"1{letter}")
        if size and size % unit == 0:
            return f"{size // unit}{letter}"
    return format_size(size) if size < 1024 else f"{size:#x}"


def _blocks(fit: Fit) -> str:
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in fit.blocks)


def _counted(fit: Fit) -> str:
    one = len(fit.blocks) == 1 and fit.blocks[0][0] == fit.blocks[0][1]
    return f"{'block' if one else 'blocks'} {_blocks(fit)}"


def _title(fit: Fit) -> str:
    name = f" {fit.window.name}" if fit.window.name else ""
    return f"{format_range(fit.window.start, fit.window.size)}{name} ({_exact(fit.window.size)})"


def _window_lines(fit: Fit, paint: Paint) -> Iterator[str]:
    if fit.errno is not None:
        yield f"  {_title(fit)}: {paint(fit.errno, 'bold red')}: {fit.message}"
        yield f"    next legal start {fit.next_start:#x}, a gap of {_exact(fit.gap)}"
        if fit.rounded != fit.window.size:
            more = _exact(fit.rounded - fit.window.size)
            yield f"    next legal size {_exact(fit.rounded)}, {more} more"
        return
    if not fit.stranded_bytes:
        yield f"  {_title(fit)}: {paint('aligned', 'green')}, {_counted(fit)}"
        return
    lost = paint(f"{_exact(fit.stranded_bytes)} stranded", "yellow")
    yield f"  {_title(fit)}: {_counted(fit)} ({_exact(fit.usable_bytes)}), {lost}"
    yield f"    {_exact(fit.head)} in front of {fit.usable[0].start:#x}, {_exact(fit.tail)} behind"


_COLUMNS: Final = ("BLOCK_SIZE", "RANGE", "NAME", "BLOCKS", "USABLE", "STRANDED", "NEXT_START", "GAP", "RESULT")
_NAME: Final = _COLUMNS.index("NAME")


def _table(entries: Sequence[BySize], paint: Paint, width: int | None) -> list[str]:
    rows = []
    for entry in _ascending(entries):
        size = _exact(entry.block_size)
        fits = entry.fits if len(entry.fits) <= _MANY else ()
        rows += [[size, *_row(fit)] for fit in fits]
        if len(entry.fits) > 1:
            totals = [_exact(entry.usable_bytes), _exact(entry.stranded_bytes)]
            rows.append([size, "total", "-", "-", *totals, "-", "-", "-"])
    columns = list(_COLUMNS)
    if not any(fit.window.name for entry in entries for fit in entry.fits):
        columns.remove("NAME")
        rows = [[cell for number, cell in enumerate(row) if number != _NAME] for row in rows]
    return table(
        columns, rows, ("RANGE", "NAME", "RESULT"), paint, width=width, short={"BLOCK_SIZE": "BLOCKS", "BLOCKS": "IDS"}
    )


def _row(fit: Fit) -> list[str]:
    return [
        format_range(fit.window.start, fit.window.size),
        fit.window.name or "-",
        _blocks(fit) or "-",
        _exact(fit.usable_bytes),
        _exact(fit.stranded_bytes),
        f"{fit.next_start:#x}",
        _exact(fit.gap),
        fit.errno or "ok",
    ]


def _memmap_lines(entries: Sequence[BySize]) -> Iterator[str]:
    """Yield what self-hosted memmap would waste, where it wastes anything or is refused."""
    lines = []
    for entry in _ascending(entries):
        memmap = entry.memmap
        if memmap is None or (memmap.refusal is None and memmap.reserved in (None, memmap.needed)):
            continue
        text = f"  {_exact(entry.block_size)}: "
        if memmap.reserved is not None and memmap.reserved > memmap.needed:
            share = 100 * memmap.reserved / memmap.block_pages
            text += (
                f"force wastes {memmap.reserved - memmap.needed} pages in each memory block "
                f"({memmap.reserved} of {memmap.block_pages} pages kept, {share:.2f} %); "
            )
        lines.append(text + (f"Y does not host it: {memmap.refusal}" if memmap.refusal else "Y hosts it"))
    if lines:
        yield ""
        yield "With memory_hotplug.memmap_on_memory:"
        yield from lines
