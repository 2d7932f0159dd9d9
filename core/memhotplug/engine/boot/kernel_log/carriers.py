"""What carries the lines of a log: mails with encoded bodies, JSON of the journal and of container engines, logfmt."""

from __future__ import annotations

import base64
import binascii
import io
import json
import re
from collections.abc import Iterator
from typing import Final

from memhotplug.errors import InputError
from memhotplug.formats.encoding import decoded
from memhotplug.formats.snapshot.source import LIMITS, Source
from memhotplug.formats.snapshot.streams import BoundedStream

__all__ = ["carried_lines", "is_packed"]

_BODY: Final = re.compile(
    r"^Content-Transfer-Encoding:[ \t]*base64[ \t\r]*\n(?:[^\r\n][^\n]*\n)*[ \t]*\r?\n\s*"
    r"((?:[A-Za-z0-9+/=]+[ \t\r]*(?:\n|\Z))+)",
    re.MULTILINE | re.IGNORECASE,
)
_QUOTED: Final = re.compile(
    r"= ?=3D|=3D ?\d+kB|=3D\n|^Content-Transfer-Encoding: *quoted-printable", re.MULTILINE | re.I
)
_BYTE: Final = re.compile(r"=([0-9A-F]{2})")
_OBJECT: Final = re.compile(r'\A\x1e?[ \t]*(?:data: ?)?(?:\{|"(?:MESSAGE|msg|log|message)")')
_SAID: Final = re.compile(r'"(?:MESSAGE|msg|log|message)"\s*:\s*(?:("(?:[^"\\]|\\.)*")|\[([\d,\s]*)\])')
_BYTES: Final = re.compile(r'"(?:MESSAGE|msg|log|message)"\s*:\s*\[')
_LOGFMT: Final = re.compile(r'\A(?:time|ts|level)=.*\b\w+="((?:[^"\\]|\\.)*)"\s*\Z')
_ESCAPED: Final = re.compile(r"\\x([0-9a-f]{2})")


def is_packed(text: str) -> bool:
    """Return whether a text may hold a log in which even its words cannot be seen: as base64, or as numbers."""
    return _BYTES.search(text) is not None or _BODY.search(text) is not None


def carried_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield the number of each line, from 1, and the line, without what it was packed in for its way.

    A base64 body has the number of its first line throughout, and several lines in one record that of the record.
    """
    for number, line in _mail_lines(text):
        said = _said(line)
        if said is None:
            yield number, line
        else:
            yield from ((number, part) for part in said.splitlines() or [""])


def _mail_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield numbered lines with encoded bodies of mails in plain text."""
    done, number = 0, 1
    for body in _BODY.finditer(text):
        before = text[done : body.start(1)]
        yield from _plain_lines(before, number)
        number += before.count("\n")
        for line in _unpacked(body[1]).splitlines():
            yield number, line
        number += body[1].count("\n")
        done = body.end(1)
    yield from _plain_lines(text[done:], number)


def _plain_lines(text: str, first: int) -> Iterator[tuple[int, str]]:
    if _QUOTED.search(text):
        text = _BYTE.sub(_byte, _joined_softly(text))
    yield from enumerate(text.splitlines(), start=first)


def _unpacked(body: str) -> str:
    """Return the text of a base64 body, compressed or not; nothing where it holds something else."""
    try:
        data = base64.b64decode("".join(body.split()), validate=True)
        with BoundedStream(io.BytesIO(data), LIMITS.file_bytes, Source(file="")) as stream:
            stream.decompress()
            return decoded(stream.read())
    except (binascii.Error, InputError):
        return ""


def _joined_softly(text: str) -> str:
    """Return a text without soft line breaks, with as many lines as before, so that numbers stay those of the file."""
    lines: list[str] = []
    owed = 0
    open_line = ""
    for line in text.splitlines():
        if line.rstrip().endswith("=") and not line.rstrip().endswith("=3D"):
            open_line, owed = open_line + line.rstrip()[:-1], owed + 1
            continue
        lines += [open_line + line, *[""] * owed]
        open_line, owed = "", 0
    return "\n".join([*lines, open_line])


def _byte(match: re.Match[str]) -> str:
    value = int(match[1], 16)
    return chr(value) if 0x20 <= value < 0x7F else " "


def _said(line: str) -> str | None:
    """Return what a record in JSON or logfmt says, None if the line is no record.

    Models: journalctl -o json (a message that is no UTF-8 is an array of bytes), dmesg --json, Docker's json-file.
    """
    if _OBJECT.match(line):
        found = _SAID.search(line)
        if found is None:
            return None
        return _bytes(found[2]) if found[1] is None else _string(found[1])
    found = _LOGFMT.match(line) if "=" in line[:6] else None
    return None if found is None else _string('"' + _ESCAPED.sub(r"\\u00\1", found[1]) + '"')


def _string(literal: str) -> str | None:
    try:
        return str(json.loads(literal, strict=False))
    except ValueError:
        return None


def _bytes(numbers: str) -> str | None:
    try:
        return bytes(map(int, numbers.split(","))).decode("utf-8", "replace")
    except ValueError:
        return None
