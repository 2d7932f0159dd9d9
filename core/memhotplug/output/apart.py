"""The answer of a command apart from what anybody else in the process writes to descriptor 1.

A plugin that prints is sent to stderr while its hooks run; one that writes past Python, or a library that does, is
not noticed by Python at all. So stdout gets another descriptor, and 1 is stderr.
"""

from __future__ import annotations

import os
import sys
from typing import TextIO

__all__ = ["answer_apart", "answer_back"]


def answer_apart() -> None:
    """Give ``sys.stdout`` a descriptor of its own and let descriptor 1 be stderr.

    Where stdout is no file, or there is no stderr, all stays as it is.
    """
    stream = sys.stdout
    if sys.stderr is None or _descriptor(stream) != 1:
        return
    try:
        os.fstat(2)
        own = os.dup(1)
    except OSError:  # one of them is closed
        return
    os.dup2(2, 1)
    apart = open(own, "w", encoding=stream.encoding, errors=stream.errors)  # noqa: SIM115  # as long as the process
    apart.reconfigure(write_through=getattr(stream, "write_through", False))
    sys.stdout = sys.__stdout__ = apart  # type: ignore[misc]  # the latter is asked for a terminal's width


def answer_back() -> None:
    """Let descriptor 1 be stdout again, for a program that takes the place of this one."""
    own = _descriptor(sys.stdout)
    if own is not None and own != 1:
        os.dup2(own, 1)


def _descriptor(stream: TextIO | None) -> int | None:
    """Return the descriptor that a stream writes to, None if it has none."""
    try:
        return None if stream is None else stream.fileno()
    except (OSError, ValueError):
        return None
