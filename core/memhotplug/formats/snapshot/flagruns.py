"""Runs of equal page flags: by far the most of a recording, and from step to step nearly the same.

Python makes four objects of each run that JSON has. Here the text of all runs is taken out of a document before it
is parsed, and each run that is written in the same way twice is looked at once.
"""

from __future__ import annotations

import itertools
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TypeAlias, overload

import numpy as np
from numpy.typing import NDArray

from memhotplug.formats.jsonread import parse_json
from memhotplug.formats.snapshot.layout import MAX_PFN

__all__ = ["FlagRuns", "FlagTexts", "flag_word"]

_OPENING = re.compile(r'(?<!\\)"kpageflags"\s*:\s*\{\s*"ranges"\s*:\s*\[(?=\s*\[)')
_KEY = '"kpageflags"'
_CLOSING = re.compile(r"\]\s*\]")
_PLACE = "NaN"  # what stands for the runs: no number, and the one word whose meaning a reader of JSON leaves open
_WORD = re.compile(r"0x[0-9a-fA-F]{1,16}")

Run: TypeAlias = tuple[int, int, int]
"""First pfn, first pfn behind, flags."""


def flag_word(word: object) -> int | None:
    """Return the flags of a word such as ``0x400``, None of anything else."""
    return int(word, 16) if isinstance(word, str) and _WORD.fullmatch(word) else None


class FlagRuns(Sequence[Run]):
    """Runs of equal page flags, as columns.

    Attributes:
        starts, ends: pfns; int64, shape (n,), half-open.
        values: what /proc/kpageflags shows of each page of a run; uint64, shape (n,).
    """

    __slots__ = ("ends", "starts", "values")

    def __init__(self, starts: NDArray[np.int64], ends: NDArray[np.int64], values: NDArray[np.uint64]) -> None:
        self.starts, self.ends, self.values = starts, ends, values

    @classmethod
    def of(cls, runs: Sequence[Run]) -> FlagRuns:
        """Return some runs."""
        starts, ends, values = zip(*runs, strict=True) if runs else ((), (), ())
        return cls(np.array(starts, np.int64), np.array(ends, np.int64), np.array(values, np.uint64))

    @property
    def are_ascending(self) -> bool:
        """Whether no run is empty, all are where pages can be, and each begins behind the one before."""
        if not len(self):
            return True
        return (
            int(self.starts[0]) >= 0
            and int(self.ends[-1]) < MAX_PFN
            and bool((self.starts < self.ends).all())
            and bool((self.ends[:-1] <= self.starts[1:]).all())
        )

    def __len__(self) -> int:
        return len(self.starts)

    @overload
    def __getitem__(self, index: int) -> Run: ...
    @overload
    def __getitem__(self, index: slice) -> FlagRuns: ...
    def __getitem__(self, index: int | slice) -> Run | FlagRuns:
        starts, ends, values = self.starts[index], self.ends[index], self.values[index]
        return FlagRuns(starts, ends, values) if isinstance(index, slice) else (int(starts), int(ends), int(values))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, FlagRuns):
            return NotImplemented
        return all(
            np.array_equal(getattr(self, column), getattr(other, column)) for column in ("starts", "ends", "values")
        )

    __hash__ = None  # type: ignore[assignment]


class FlagTexts:
    """The page flags of one document, which are taken out of its text.

    Law: what :meth:`parse` returns is what the whole text means, with the runs under ``kpageflags`` as FlagRuns.
    """

    def __init__(self, text: str) -> None:
        self._spans = list(_spans(text))
        self._text = text

    def parse(self) -> object:
        """Return the document.

        Raises:
            JSONDecodeError, ValueError: as :func:`parse_json`.
        """
        found = _Pieces().runs([self._text[low:high].split("]") for low, high in self._spans])
        if found is not None:
            found.reverse()
            # The first names a place in what is left of the text, the second that it has constants of its own.
            with suppress(json.JSONDecodeError, IndexError):
                return parse_json(_without(self._text, self._spans), constant=lambda word: found.pop())
        return parse_json(self._text)


def _spans(text: str) -> Iterator[tuple[int, int]]:
    """Yield where the runs stand, without the brackets of their array and of the last run."""
    at = text.find(_KEY)
    while at >= 0:
        opening = _OPENING.match(text, at)
        if opening is not None:
            closing = _CLOSING.search(text, opening.end())
            if closing is None:
                return
            yield opening.end(), closing.start()
            at = closing.end()
        at = text.find(_KEY, at + 1)


def _without(text: str, spans: list[tuple[int, int]]) -> str:
    """Return a text with something short for each array that has some runs."""
    parts, behind = [], 0
    for low, high in spans:
        parts.append(text[behind : low - 1])
        behind = text.index("]", high + 1) + 1
    return _PLACE.join([*parts, text[behind:]])


class _Pieces:
    """The texts of runs, from the comma before them to their last value, each of which is looked at once."""

    def __init__(self) -> None:
        self._rows = defaultdict[str, int](itertools.count().__next__)  # one that is new gets the next number

    def runs(self, arrays: list[list[str]]) -> list[FlagRuns] | None:
        """Return what some arrays hold, None if any is not plainly one of runs."""
        chosen = []
        for pieces in arrays:
            pieces[0] = f",{pieces[0]}"
            chosen.append(np.fromiter(map(self._rows.__getitem__, pieces), np.intp, len(pieces)))
        table = self._table()
        if table is None:
            return None
        return [FlagRuns(table.starts[rows], table.ends[rows], table.values[rows]) for rows in chosen]

    def _table(self) -> FlagRuns | None:
        """Return all runs by their numbers, None if any text is none.

        No piece has a closing bracket, and no good word has one. So the array of them is read as this many good runs
        only where each piece is one.
        """
        if not self._rows:
            return FlagRuns.of(())
        text = f"[{']'.join(self._rows).lstrip()[1:]}]]"
        if text.count("[") != len(self._rows) + 1 or "{" in text:
            return None
        try:
            rows = json.loads(text)
            starts, ends, words = zip(*rows, strict=True)
            flags = {word: flag_word(word) for word in set(words)}
            table = FlagRuns(
                np.array(starts, np.int64),
                np.array(ends, np.int64),
                np.array([flags[word] for word in words], np.uint64),
            )
        except (ValueError, TypeError, OverflowError):
            return None  # not three values each, a word that is none, a pfn that no array holds
        good = len(rows) == len(self._rows) and {*map(type, starts), *map(type, ends)} == {int}
        return table if good else None
