"""The threads of the library that numpy multiplies matrices with: a command has none to multiply.

It starts one for each further core when it is loaded. They wait by spinning, which is a quarter of the CPU time that a
short command takes, and somebody else's who has the machine busy.
"""

from __future__ import annotations

import os

__all__ = ["no_threads", "threads_back"]

_THREADS = "OPENBLAS_NUM_THREADS"
_SAYING = (_THREADS, "GOTO_NUM_THREADS", "OMP_NUM_THREADS")  # the library goes by the first of them
_OURS: list[str] = []  # what was put into the environment


def no_threads() -> None:
    """Let numpy start no threads, unless the environment says how many; to be called before it is imported."""
    if not any(name in os.environ for name in _SAYING):
        os.environ[_THREADS] = "1"
        _OURS.append(_THREADS)


def threads_back() -> None:
    """Leave the environment as it was, for a program that takes the place of this one."""
    while _OURS:
        os.environ.pop(_OURS.pop(), None)
