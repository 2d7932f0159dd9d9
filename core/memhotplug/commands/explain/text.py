"""The truth table for people: one table of machines, one of drivers, and what the words mean."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from memhotplug.output.tables import HEAD, Paint, plain, table
from memhotplug.units import format_size

__all__ = ["explain_lines"]

_SETTINGS: Final = ("N", "Y", "force")
_SERIES_WORDS: Final = frozenset({"device", "memblock", "default"})
_FOOTER: Final = (
    "N, Y and force are values of memory_hotplug.memmap_on_memory. RESERVED pages at the start of every block hold its "
    "memmap; WASTED ones among them are padding up to a whole pageblock, which only force accepts. 'one' means that "
    "only a range of exactly one memory block qualifies. What cannot self-host is added all the same: its memmap "
    "then comes from the page allocator, before the new memory can be used."
)
_SERIES: Final = (
    "device and memblock are the flags of the 2019 series: the memmap of the whole range at its start, or that of each "
    "memory block at the block's start."
)
_WIDTH: Final = 112
"""Columns of prose, at most."""
_PIPED: Final = 132
"""Columns of a table in a pipe; only reasons are folded."""


class _Sources:
    """Where the kernel says so, numbered in the order in which they are used."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def mark(self, source: str | None) -> str:
        """Return the mark of a source."""
        if source is None:
            return ""
        if source not in self.texts:
            self.texts.append(source)
        return f" [{self.texts.index(source) + 1}]"

    def reasons(self, failing: Sequence[Mapping[str, Any]], key: str, ways: int) -> str:
        """Return why some of so many ways do not work, once if all fail for the same reason."""
        texts = [f"{entry['rule']}{self.mark(entry['source'])}" for entry in failing]
        if not texts:
            return "-"
        if len(set(texts)) == 1 and len(texts) == ways:
            return texts[0]
        return "; ".join(f"{entry[key]}: {text}" for entry, text in zip(failing, texts, strict=True))


def explain_lines(document: Mapping[str, Any], paint: Paint = plain, *, width: int | None = None) -> Iterator[str]:
    """Yield the answer of :func:`memhotplug.commands.explain.answer.explain` as text, folded into ``width`` columns."""
    sources = _Sources()
    many = len(document["kernels"]) > 1
    if document["platforms"]:
        yield paint(f"What a memory block supports under {document['kernels'][0]} (*: the usual block size):", HEAD)
        yield from _platforms(document["platforms"], sources, paint, width)
        yield ""
    if document["drivers"]:
        title = "by kernel" if many else f"under {document['kernels'][0]}"
        yield paint(f"Which driver's memory hosts its own memmap, {title}:", HEAD)
        yield from _drivers(document["drivers"], sources, paint, width)
    else:
        yield "No such driver exists on such a machine."
    yield ""
    yield from (f"left out: {problem}" for problem in document["left_out"])
    if sources.texts:
        yield from (f"[{number}] {text}" for number, text in enumerate(sources.texts, start=1))
        yield ""
    yield from _footer(document, min(width or _WIDTH, _WIDTH))


def _footer(document: Mapping[str, Any], width: int) -> Iterator[str]:
    words = {setting["setting"] for row in document["drivers"] for setting in row["settings"]}
    words |= {mode["mode"] for row in document["platforms"] for mode in row["modes"]}
    if words - _SERIES_WORDS:
        yield from textwrap.wrap(_FOOTER, width)
    if words & _SERIES_WORDS:
        yield from textwrap.wrap(_SERIES, width)


def _platforms(rows: Sequence[Mapping[str, Any]], sources: _Sources, paint: Paint, width: int | None) -> list[str]:
    modes = [mode["mode"] for mode in rows[0]["modes"] if mode["mode"] != "N"]
    yes_no = (mode.upper() for mode in modes)
    header = ("ARCH", "PAGE", "MMU", "BLOCK", "MEMMAP", *yes_no, "RESERVED", "WASTED", "WHY-NOT")
    lines = [_platform(row, modes, sources) for row in rows]
    return table(header, lines, ("ARCH", "MMU", "WHY-NOT"), paint, width=width, prose=_PIPED)


def _platform(row: Mapping[str, Any], modes: Sequence[str], sources: _Sources) -> list[str]:
    found = {mode["mode"]: mode for mode in row["modes"]}
    working = [found[mode] for mode in modes if found[mode]["supported"]]
    failing = [found[mode] for mode in modes if not found[mode]["supported"]]
    best = working[-1] if working else {"reserved_pages": None, "wasted_pages": None}
    return [
        row["arch"],
        format_size(row["page_size"]),
        row["mmu"] or "-",
        format_size(row["memory_block_size"]) + ("*" if row["is_default"] else " "),
        format_size(row["memmap_bytes"]),
        *("yes" if found[mode]["supported"] else "no" for mode in modes),
        _number(best["reserved_pages"]),
        _number(best["wasted_pages"]),
        sources.reasons(failing, "mode", len(modes)),
    ]


def _number(value: int | None) -> str:
    return "-" if value is None else str(value)


def _drivers(rows: Sequence[Mapping[str, Any]], sources: _Sources, paint: Paint, width: int | None) -> list[str]:
    found = {setting["setting"] for row in rows for setting in row["settings"]}
    words = [*sorted(found - set(_SETTINGS)), *(word for word in _SETTINGS if word in found)]
    header = ("DRIVER", "KERNEL", "ARCH", "PAGE", "BLOCK", "FLAGS", *(word.upper() for word in words), "WHY-NOT")
    left = ("DRIVER", "KERNEL", "ARCH", "FLAGS", "WHY-NOT")
    return table(header, _runs([_driver(row, words, sources) for row in rows]), left, paint, width=width, prose=_PIPED)


def _runs(lines: Sequence[list[str]]) -> list[list[str]]:
    """Make one line of those that differ in the kernel only and follow one another, machine by machine."""
    runs: list[list[str]] = []
    latest: dict[tuple[str, ...], list[str]] = {}
    for line in lines:
        machine = (line[0], *line[2:5])
        run = latest.get(machine)
        if run is not None and run[2:] == line[2:]:
            run[1] = f"{run[1].partition(' ')[0]} to {line[1].removeprefix('linux-')}"
            continue
        latest[machine] = list(line)
        runs.append(latest[machine])
    return runs


def _driver(row: Mapping[str, Any], words: Sequence[str], sources: _Sources) -> list[str]:
    settings = {setting["setting"]: setting for setting in row["settings"]}
    options = "".join(f" {name}={int(value)}" for name, value in row["options"].items())
    asked = [setting for word, setting in settings.items() if word != "N"]
    failing = [setting for setting in asked if setting["rule"] is not None]
    policy = f" under {row['policy']}" if row["policy"] else ""
    return [
        row["driver"] + policy + options,
        row["kernel"],
        row["arch"] + (f" {row['mmu']}" if row["mmu"] else ""),
        format_size(row["page_size"]),
        format_size(row["memory_block_size"]),
        ",".join(flag.removeprefix("MHP_").lower() for flag in row["flags"]) or "none",
        *(_answer(settings.get(word)) for word in words),
        sources.reasons(failing, "setting", len(asked)),
    ]


def _answer(setting: Mapping[str, Any] | None) -> str:
    if setting is None:
        return "-"
    if setting["one_block"]:
        return "yes" if setting["several_blocks"] else "one"
    return "yes" if setting["several_blocks"] else "no"
