"""Reading a text that a user names: a file, compressed or not, or a pipe."""

from __future__ import annotations

from memhotplug.formats.snapshot.source import LIMITS, Source
from memhotplug.formats.snapshot.streams import open_stream

__all__ = ["read_text"]


def read_text(source: Source) -> str:
    """Return the text of ``source.file``; a pipe (``/dev/stdin``, ``<(…)``) must be plain text.

    Raises:
        InputError: it cannot be read, is damaged, or too large.
    """
    limit = LIMITS.file_bytes
    try:
        with open(source.file, "rb") as stream:
            piped = None if stream.seekable() else stream.read(limit + 1)
    except OSError as problem:
        raise source.error("a readable file", got=problem.strerror or str(problem)) from problem
    except ValueError as problem:  # a NUL in the name
        raise source.error("a file name", got=str(problem)) from problem
    if piped is None:
        with open_stream(source, limit) as opened:
            piped = opened.read()
    if len(piped) > limit:
        raise source.error(f"at most {limit} bytes", got="more")
    return piped.decode("utf-8", "replace")
