"""The lines of a kernel log, whatever a terminal, a log daemon or a mail program made of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import compress
from typing import Final

from memhotplug.engine.boot.kernel_log.carriers import carried_lines

__all__ = ["REPORT_WORDS", "log_lines"]

REPORT_WORDS: Final = ("Mem-Info:", " free:")
"""Without one of them there is no report of memory."""


_BOOT_WORDS: Final = ("Linux version", "ommand line:")
_NEAR: Final = 2000  # lines before and behind a report that may belong to it: the call trace, zones, other tasks' lines
_LONGEST: Final = 1 << 14  # characters of a line: Models: kernel/printk/internal.h:PRINTKRB_RECORD_MAX (v6.12), 1024
_STAMP: Final = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?: ?Z| ?[+-]\d\d:?\d\d)?"
_PREFIX: Final = re.compile(
    r"\A\ufeff?[ \t]*(?:\d{1,7}\t)?(?:> ?)*"  # indented, numbered by cat -n, quoted in a mail
    r"(?:MESSAGE=)?"  # journalctl -o export
    r"(?:<\d{1,3}>|\d{1,3},\d+,\d+,[^;]{1,99};)?"  # /dev/kmsg, raw, and as it reads
    r"(?:1 \d{4}-\d\d-\d\dT\S+ \S+ kernel (?:\S+ ){3})?"  # RFC 5424
    r"(?:(?:[A-Z][a-z]{2} +\d+ \d\d:\d\d:\d\d|\d{4}-\d\d-\d\dT\S+) .{0,200}?kernel: ?)?"  # syslog, journalctl
    r"(?:[a-z]+ {0,5}:[a-z]+ {0,5}: )?"  # dmesg -x
    rf"(?:{_STAMP} (?:std(?:out|err) [FP] )?)?"  # dmesg --time-format iso, kubelet
    r"(?:\S{1,99} +\| )?"  # docker compose
    r"(?:[^\[\n]{0,199}(?=\[ *\d+\.\d{6}\]))?"  # whatever stands before the kernel's own time
    r"(?:\[(?!c000|<)[^\]]{0,64}\] ?)*"  # the time, and with PRINTK_CALLER the task
)
_COLOUR: Final = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\(B|\x0f")
_CALLER: Final = re.compile(r"\[ *\d+\.\d+\]\[ *([TC]\d+)\]")
_WORD: Final = r"[\w()]+:\d+[kK]?B?"
_ZONE: Final = re.compile(r"\b(?:DMA|DMA32|Normal|HighMem|Movable|Device) free:\d|\bNode \d+ active_anon:")
_ZONE_GOES_ON: Final = re.compile(rf"\s*(?:{_WORD})(?: +{_WORD})*(?: +\w+\? \w+)?\s*")
_CHUNKS: Final = re.compile(r"\b(?:DMA|DMA32|Normal|HighMem|Movable|Device): \d+\*\d+kB")
_CHUNKS_GO_ON: Final = re.compile(r"\s*(?:\d+\*\d+kB|\([A-Z]+\)|=|\d+kB\s*\Z)")
_FAILURE: Final = re.compile(r" (?:allocation|alloc) (?:failure|stalls)|invoked oom-killer:")
_FAILURE_GOES_ON: Final = re.compile(r"\s*(?:order[:=]|mode:|gfp_mask=|nodemask=|oom_score_adj=|cpuset=)")
_TASK: Final = re.compile(r"\b[Cc]omm: (?!.*\s#\d)")
_TASK_GOES_ON: Final = re.compile(r"\s*(?:(?:Not )?[Tt]ainted:?\s+)?(?:[A-Z]+\s+|-+\s+){0,12}\d+\.\d+\S*\s+#\d")
_TOTAL: Final = re.compile(r"= *\d+kB\b")


def log_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield the number of each line, from 1, and what the kernel printed in it.

    What carries it, prefixes and terminal colours go; a line that a mail program cut (format=flowed,
    quoted-printable, hard wraps) is put together again, under the number of its first part. Where several tasks report
    at once and the log tells them apart (PRINTK_CALLER), the lines of each follow one another, and whoever ends last
    comes last. Of a long log these are the lines around its reports, and the boot's of release and command line.
    """
    held: tuple[int, str] | None = None
    for number, raw in _untangled(_near_reports(list(carried_lines(text)))):
        line = _PREFIX.sub("", _COLOUR.sub("", raw), count=1)
        if held is not None and _goes_on(held[1], line):
            held = held[0], f"{held[1].rstrip()} {line.strip()}"
            continue
        if held is not None:
            yield held
        held = number, line
    if held is not None:
        yield held


def _near_reports(lines: list[tuple[int, str]]) -> list[tuple[int, str]]:
    """Return the numbered lines that may tell of a report: a year of other messages costs little."""
    lines = [numbered for numbered in lines if len(numbered[1]) <= _LONGEST]
    if len(lines) <= _NEAR:
        return lines
    kept = bytearray(len(lines))
    end = 0  # of the last stretch that is kept
    for place, (_, raw) in enumerate(lines):
        if any(word in raw for word in REPORT_WORDS):
            start, end = max(end, place - _NEAR), min(place + _NEAR, len(lines))
            kept[start:end] = b"\1" * (end - start)
        elif any(word in raw for word in _BOOT_WORDS):
            kept[place] = 1
    return list(compress(lines, kept))


def _untangled(lines: list[tuple[int, str]]) -> list[tuple[int, str]]:
    """Return numbered lines task by task where several tasks have reported; all others come first."""
    callers = [found[1] if (found := _CALLER.search(raw)) else "" for _, raw in lines]
    reporting = {caller for caller, (_, raw) in zip(callers, lines, strict=True) if caller and "Mem-Info:" in raw}
    if len(reporting) < 2:
        return lines
    last = {caller: place for place, caller in enumerate(callers)}
    order = [last[caller] if caller in reporting else -1 for caller in callers]
    return [lines[place] for place in sorted(range(len(lines)), key=lambda place: order[place])]


def _goes_on(line: str, following: str) -> bool:
    """Return whether a line is the rest of the one before it."""
    if _CHUNKS.search(line):
        return not _TOTAL.search(line) and _CHUNKS_GO_ON.match(following) is not None
    if _FAILURE.search(line):
        return _FAILURE_GOES_ON.match(following) is not None
    if _TASK.search(line):
        return _TASK_GOES_ON.match(following) is not None
    return _ZONE.search(line) is not None and _ZONE_GOES_ON.fullmatch(following) is not None
