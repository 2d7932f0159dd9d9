"""Runs of equal page flags: by far the most of a recording, and from step to step nearly the same.

Python makes four objects of each run that JSON has. Here the text of all runs is taken out of a document before it
is parsed, and runs that a step has as the step before it are not looked at again.
"""

from __future__ import annotations

import itertools
import json
import operator
import re
from array import array
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TypeAlias, overload

import numpy as np
from numpy.typing import NDArray

from memhotplug.formats.jsonread import TooDeepError, parse_json
from memhotplug.formats.snapshot.layout import MAX_PFN

__all__ = ["FlagRuns", "FlagTexts", "flag_word"]

_OPENING = re.compile(r'(?<!\\)"kpageflags"\s*:\s*\{\s*"ranges"\s*:\s*\[(?=\s*\[)')
_FILES = re.compile(r'(?<!\\)"files"\s*:\s*\{')
_BEHIND = re.compile(r'\}[\s,{}\[\]]*"[A-Za-z_]')
_KEY, _NAME = '"kpageflags"', '"files"'
_CLOSING = re.compile(r"\]\s*\]")
_FEW = 32  # runs up to which plain integers are faster than arrays
_PLACE = "NaN"  # what stands for the runs: no number, and the one word whose meaning a reader of JSON leaves open
_END = re.compile(r"\s*\]")
_PIECE = 512  # characters that a piece has at least where nothing else ends it, some 16 runs
_STRETCH = 4 * _PIECE  # characters that are looked at together where the runs are new
_TOGETHER = 32  # pieces that are read at once: as many objects as fit into a processor's cache
_INSIDE = b"0123456789abcdefABCDEFx \t\r\n"  # what a good run has beside its brackets, commas and quotes
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
        if len(self) <= _FEW:
            lows, highs = self.starts.tolist(), self.ends.tolist()
            return not lows or (
                lows[0] >= 0
                and highs[-1] < MAX_PFN
                and all(map(operator.lt, lows, highs))
                and all(map(operator.le, highs, lows[1:]))
            )
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
        self._text = text
        self._pieces = _Pieces(text)
        self._flat: list[tuple[int, int]] = []  # texts without brackets
        self._spans = list(self._taken())

    def parse(self) -> object:
        """Return the document.

        Raises:
            JSONDecodeError, ValueError: as :func:`parse_json`.
        """
        found = self._pieces.runs()
        if found is not None:
            found.reverse()
            # The first names a place in what is left of the text, the second says that it has constants of its own. An
            # outline tells nothing of a text that is damaged.
            with suppress(json.JSONDecodeError, IndexError, TooDeepError):
                rest, outline = self._without(self._spans), self._without(sorted(self._spans + self._flat))
                return parse_json(rest, constant=lambda word: found.pop(), outline=outline)
        return parse_json(self._text)

    def _taken(self) -> Iterator[tuple[int, int]]:
        """Yield where the arrays of runs stand, with their brackets."""
        behind = 0
        for at in self._keys():
            opening = _OPENING.match(self._text, at) if at >= behind else None
            if opening is not None:
                first = opening.end() - 1
                end = self._pieces.take(first)
                if end is None:
                    return
                yield first, end
                self._flat += self._files(behind, at)
                behind = end
        self._flat += self._files(behind, len(self._text))

    def _keys(self) -> list[int]:
        """Return where the key stands, ascending.

        It is looked for from the end on, in a third of the time: a long text is searched forwards for what repeats.
        """
        found: list[int] = []
        at = len(self._text)
        while (at := self._text.rfind(_KEY, 0, at + len(_KEY) - 1)) >= 0:
            found.append(at)
        return found[::-1]

    def _files(self, low: int, high: int) -> Iterator[tuple[int, int]]:
        """Yield where the members of objects of files stand that have no bracket, in some part of the text.

        In a good document no letter stands right behind a string. So a quote that has one behind it, and no backslash
        before it, begins a string; and what stands before it, without another quote, is in none.
        """
        text, end = self._text, low
        while (low := text.find(_NAME, low, high)) >= 0:
            opening = _FILES.match(text, low)
            low = opening.end() if opening is not None else low + 1
            if end < low and (end := text.find("}", low, high)) < 0:
                return
            if opening is None or text.find("{", low, end) >= 0 or text.find("[", low, end) >= 0:
                continue
            if _BEHIND.match(text, end) is not None:
                yield low, end
                low = end

    def _without(self, spans: list[tuple[int, int]]) -> str:
        """Return the text with something short for each of some parts, ascending."""
        behind = (0, *(end for _, end in spans))
        before = (*(first for first, _ in spans), len(self._text))
        return _PLACE.join(self._text[low:high] for low, high in zip(behind, before, strict=True))


class _Pieces:
    """The runs of a text in pieces, each of some neighbours; what two arrays have alike is one piece.

    An array is cut as the ones before it, as long as it goes on like them. Where it does not, each run is compared with
    those that a piece begins with, until one does: what was put in, left out or changed there is a piece of its own.
    Every piece begins with the comma before its first run, or with the bracket of the array.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._pieces: list[str] = []
        self._after: list[int] = []  # which piece stood behind each one when it was last met
        self._begins: dict[str, int] = {}  # the last of those that begin with a run
        self._arrays: list[list[int]] = []

    def take(self, at: int) -> int | None:
        """Take the array of runs that begins there; return where it ends, None if it plainly is none."""
        text = self._text
        first = low = at  # from low on, nothing is a piece yet
        chosen: list[int] = []
        while at == first or text.startswith(",", at):
            number = self._begins.get(text[at : text.find("]", at)])
            if number is not None and text.startswith(self._pieces[number], at):
                self._cut(low, at, chosen)
                low = at = self._along(number, at, chosen)
                continue
            skipped = self._skipped(at)
            if skipped is None:
                return None
            at = skipped
        end = _END.match(text, at)
        if end is None:
            return None
        self._cut(low, at, chosen)
        self._arrays.append(chosen)
        return end.end()

    def runs(self) -> list[FlagRuns] | None:
        """Return what the arrays hold, the same object for those of the same pieces; None if any is not one of runs."""
        table = self._table()
        if table is None:
            return None
        numbers = np.arange(len(table))
        ends = [*itertools.accumulate(piece.count("]") for piece in self._pieces)]
        rows = [numbers[first:end] for first, end in itertools.pairwise([0, *ends])]
        found: dict[tuple[int, ...], FlagRuns] = {}
        arrays = [*map(tuple, self._arrays)]
        for chosen in dict.fromkeys(arrays):
            here = np.concatenate([rows[number] for number in chosen])
            found[chosen] = FlagRuns(table.starts.take(here), table.ends.take(here), table.values.take(here))
        return [*map(found.__getitem__, arrays)]

    def _along(self, number: int, at: int, chosen: list[int]) -> int:
        """Take a piece that stands there, and those that stood behind it, as far as they do; return where they end."""
        text, pieces, after = self._text, self._pieces, self._after
        low = at
        while True:
            self._cut(low, at, chosen)
            self._put(number, chosen)
            at += len(pieces[number])
            while (number := after[number]) >= 0 and text.startswith(pieces[number], at):
                chosen.append(number)
                at += len(pieces[number])
            # Is that one written otherwise, and then the next?
            number = after[number] if number >= 0 and text.startswith(",", at) else -1
            low, at = at, text.find(pieces[number], at, at + 3 * _PIECE) if number >= 0 else -1
            if at < 0 or text[at - 1] != "]" or _CLOSING.search(text, low, at) is not None:
                return low  # it does not stand there, stands within a run or in another array

    def _skipped(self, at: int) -> int | None:
        """Return where some runs end that no piece stands for, the first of them there; None if none ends."""
        text, begins = self._text, self._begins
        closing = _CLOSING.search(text, at, at + _STRETCH if self._arrays else len(text))
        if closing is not None and not self._arrays:
            return closing.start() + 1  # nothing is known yet that could be met
        runs = text[at : at + _STRETCH if closing is None else closing.start()].split("]")
        if closing is None:
            runs.pop()  # may go on
        if not runs:
            return text.find("]", at) + 1 or None
        if begins.keys().isdisjoint(runs):
            return at + sum(map(len, runs)) + len(runs)
        for run, following in itertools.pairwise([*runs, ""]):
            at += len(run) + 1
            number = begins.get(following)
            if number is not None and text.startswith(self._pieces[number], at):
                break
        return at

    def _cut(self, low: int, high: int, chosen: list[int]) -> None:
        """Make pieces of what stands there, if anything does."""
        text = self._text
        while low < high:
            end = text.find("]", low + _PIECE, high) + 1 or high
            number = len(self._pieces)
            self._begins[text[low : text.index("]", low)]] = number
            self._pieces.append(text[low:end])
            self._after.append(-1)
            self._put(number, chosen)
            low = end

    def _put(self, number: int, chosen: list[int]) -> None:
        """Put a piece behind those of an array."""
        if chosen:
            self._after[chosen[-1]] = number
        chosen.append(number)

    def _table(self) -> FlagRuns | None:
        """Return the runs of all pieces, None if any text is none."""
        firsts = {chosen[0] for chosen in self._arrays}
        texts = [f",{piece[1:]}" if number in firsts else piece for number, piece in enumerate(self._pieces)]
        columns = array("q"), array("q"), array("Q")
        for at in range(0, len(texts), _TOGETHER):
            if not _read("".join(texts[at : at + _TOGETHER]), *columns):
                return None
        return FlagRuns(*map(np.array, columns))


def _read(text: str, starts: array[int], ends: array[int], values: array[int]) -> bool:
    """Add the runs of a text that has a comma before each; return whether they are all that it has.

    Nothing but good runs is JSON with these brackets, commas and quotes around such characters, unless a number has an
    exponent or a word is none.
    """
    if text.encode(errors="replace").translate(None, _INSIDE) != b',[,,""]' * text.count("["):
        return False
    try:
        runs = [*itertools.chain.from_iterable(json.loads(f"[{text[1:]}]"))]
        starts.fromlist(runs[::3])
        ends.fromlist(runs[1::3])
    except (ValueError, TypeError, OverflowError):
        return False  # no numbers, one with an exponent, one that no array holds
    words = set(runs[2::3])
    flags = {word: found for word in words if (found := flag_word(word)) is not None}
    if len(flags) < len(words):
        return False
    values.fromlist([*map(flags.__getitem__, runs[2::3])])
    return True
