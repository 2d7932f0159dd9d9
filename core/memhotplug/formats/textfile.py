"""Reading a text that a user names: a file, compressed or not, or a pipe."""

from __future__ import annotations

import sys

from memhotplug.errors import words_of
from memhotplug.formats.encoding import decoded
from memhotplug.formats.snapshot.source import LIMITS, Source
from memhotplug.formats.snapshot.streams import open_stream

__all__ = ["STDIN", "read_text"]

STDIN = "-"


def read_text(source: Source) -> str:
    """Return the text of ``source.file``; a pipe (``-`` for stdin, ``/dev/stdin``, ``<(…)``) must be plain text.

    Its encoding: see :func:`memhotplug.formats.encoding.decoded`.

    Raises:
        InputError: it cannot be read, is damaged, or too large.
    """
    limit = LIMITS.file_bytes
    try:
        with open(0 if source.file == STDIN else source.file, "rb", closefd=source.file != STDIN) as stream:
            piped = None if stream.seekable() else stream.read(limit + 1)
    except OSError as problem:
        raise source.error("a readable file", got=words_of(problem)) from problem
    except ValueError as problem:  # a NUL in the name
        raise source.error("a file name", got=str(problem)) from problem
    if piped is None and source.file == STDIN:  # a file that the shell opened
        piped = sys.stdin.buffer.read(limit + 1)
    if piped is None:
        with open_stream(source, limit) as opened:
            piped = opened.read()
    if len(piped) > limit:
        raise source.error(f"at most {limit} bytes", got="more")
    return decoded(piped)
