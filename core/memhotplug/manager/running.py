"""Whose code runs right now in this process: a plugin's, in which hook, or nobody's."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from memhotplug.manager.discovery import Candidate

__all__ = ["running"]


class _Running:
    """Whose code runs right now in this process, for whoever limits its time.

    Attributes:
        candidate, hook: the plugin and its hook; the hook is None while the plugin is imported.
    """

    __slots__ = ("candidate", "hook")

    def __init__(self) -> None:
        self.candidate: Candidate | str | None = None
        self.hook: str | None = None

    @contextmanager
    def importing(self, candidate: Candidate | str) -> Iterator[None]:
        """Say that a plugin is being imported, or asked before any machine exists; what it prints is no answer."""
        outer = self.candidate, self.hook
        self.candidate, self.hook = candidate, None
        try:
            with redirect_stdout(sys.stderr):
                yield
        finally:
            self.candidate, self.hook = outer

    def who(self) -> str | None:
        """Return the plugin that runs, and in which hook; None if none does."""
        if self.candidate is None:
            return None
        return str(self.candidate) if self.hook is None else f"{self.candidate}, hook {self.hook}"


running: Final = _Running()
