"""Plugins that do not work and that nobody asked for by name: left out of the answer, and said so."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from memhotplug.catalog import blaming
from memhotplug.errors import InputError, PluginError
from memhotplug.output.watchdog import guard, limit

__all__ = ["LeftOut"]

_T = TypeVar("_T")


class LeftOut:
    """What had to be left out of one answer.

    Args:
        asked: the plugins that were asked for by name, as messages name them; whatever is wrong with one of
            those is an error.

    Attributes:
        texts: what was left out and why, one sentence each, in the order in which it was met.
        first: the first of those problems, None if there is none.
    """

    def __init__(self, asked: Iterable[str] = ()) -> None:
        self._asked = tuple(asked)
        self.texts: list[str] = []
        self.first: InputError | None = None

    def attempt(self, question: Callable[[], _T]) -> _T | None:
        """Return the answer to a question, None if a plugin that nobody asked for spoils it.

        Raises:
            PluginError: a plugin that was asked for by name is broken.
            InputError: somebody refuses the question.
        """
        try:
            with guard(limit()), blaming():
                return question()
        except PluginError as problem:
            self._note_plugin(problem)
        return None

    def _note_plugin(self, problem: PluginError) -> None:
        if problem.plugin.startswith(self._asked):
            raise problem
        self._note(str(problem), problem)

    def refuse(self, subject: str, refusal: InputError) -> None:
        """Note that something, such as an architecture under some kernel, refuses to be."""
        self._note(f"{subject}: {refusal}", refusal)

    def _note(self, text: str, problem: InputError) -> None:
        self.first = self.first or problem
        if text not in self.texts:
            self.texts.append(text)
