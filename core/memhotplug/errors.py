"""The error tree: everything that memhotplug raises on purpose.

``MemoryHotplugError``
    The modelled kernel refused or failed an operation; carries the errno. The state is as it was
    before, apart from what that kernel itself leaves behind (``leaks``).
``InputError``
    What the user gave cannot be used (a scenario, a snapshot, a size); says where and what was
    expected. Exit status 2.
``PluginError``
    A plugin is missing, cannot be loaded, raised, or answered nonsense; names plugin and
    distribution. Exit status 2.
"""

from __future__ import annotations

import errno as _errno
import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from memhotplug.documents.small import ErrorFields

__all__ = [
    "EHWPOISON",
    "InputError",
    "Interruption",
    "MemoryHotplugError",
    "PluginError",
    "UntilInterruptedError",
    "errno_name",
    "errno_number",
    "nearest",
    "words_of",
]


EHWPOISON: Final = 133
"""The errno of a page that is given up as broken; Python has a name for it from 3.14 on only."""

_KERNEL_NAMES = {
    _errno.EOPNOTSUPP: "EOPNOTSUPP",
    _errno.EDEADLK: "EDEADLK",
    _errno.EAGAIN: "EAGAIN",
    EHWPOISON: "EHWPOISON",
}
"""Where one number has several names, or none in Python: the one that the kernel prints."""


def errno_name(number: int) -> str:
    """Return the errno's symbol: ``EBUSY``, not 16."""
    return _KERNEL_NAMES.get(number) or _errno.errorcode.get(number, f"errno {number}")


def errno_number(name: str) -> int:
    """Return the number of an errno symbol.

    Raises:
        ValueError: there is no such errno.
    """
    number = getattr(_errno, name, None) if name.startswith("E") else None
    if name == _KERNEL_NAMES[EHWPOISON]:
        number = EHWPOISON
    if not isinstance(number, int):
        raise ValueError(f"an errno name such as EBUSY, not {name!r}")
    return number


def nearest(word: object, names: Iterable[str]) -> str | None:
    """Return the name that ``word`` was probably meant to be, or None."""
    import difflib  # only where something is wrong

    by_lower = {name.lower(): name for name in names}
    matches = difflib.get_close_matches(str(word).lower().replace("-", "_"), by_lower, n=1, cutoff=0.5)
    matches = matches or difflib.get_close_matches(str(word).lower(), by_lower, n=1, cutoff=0.5)
    matches = matches or [name for name in by_lower if word and name.startswith(str(word).lower())]
    return by_lower[matches[0]] if matches else None


class MemoryHotplugError(OSError):
    """The modelled kernel refused or failed one operation.

    Attributes:
        name: the errno's symbol, ``"EBUSY"``.
        reason: what refused, in one line; the kernel's own text where it prints one.
        leaks: what the real kernel leaves behind after this failure.
        blocks_done: ids of the blocks that earlier requests of the same step already changed.
        driver_result: what the driver made of it, None if it had nothing to say.
    """

    def __init__(self, errno: int, reason: str, *, leaks: Sequence[str] = (), blocks_done: Sequence[int] = ()) -> None:
        super().__init__(errno, os.strerror(errno))
        self.reason = reason
        self.leaks = tuple(leaks)
        self.blocks_done = tuple(blocks_done)
        self.driver_result: str | None = None

    @property
    def name(self) -> str:
        """The errno's symbol."""
        return errno_name(self.errno or 0)

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}"

    def __repr__(self) -> str:
        return f"<MemoryHotplugError {self}>"


def words_of(problem: OSError | ValueError) -> str:
    """Return what the system says of a file that could not be used; a ValueError, as of a NUL in a name, is its own."""
    return (problem.strerror if isinstance(problem, OSError) else None) or str(problem)


class UntilInterruptedError(MemoryHotplugError):
    """The modelled kernel would go on trying until a signal comes: EINTR.

    Models: mm/memory_hotplug.c:offline_pages() (v6.12), which tries again for as long as a page does not move.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(_errno.EINTR, f"{reason}; would retry until interrupted")


class InputError(ValueError):
    """What the user gave cannot be used.

    Attributes:
        got: what was found there, as text.
        expected: what would be accepted.
        file, line, column: where (1-based); None where it does not apply.
        path: the place in the document, ``steps[2].add.size``.
        nearest: the valid name that was probably meant.
    """

    def __init__(
        self,
        expected: str,
        *,
        got: object = None,
        file: str | None = None,
        line: int | None = None,
        column: int | None = None,
        path: str | None = None,
        nearest: str | None = None,
    ) -> None:
        self.got = None if got is None else str(got)
        self.expected = expected
        self.file = file
        self.line = line
        self.column = column
        self.path = path
        self.nearest = nearest
        super().__init__(str(self))

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.file, self.line, self.column) if part is not None)
        where = ": ".join(part for part in (place, self.path) if part)
        text = f"expected {self.expected}"
        if self.got is not None:
            text = f"got {self.got}, {text}"
        if self.nearest is not None:
            text += f"; did you mean {self.nearest!r}?"
        return f"{where}: {text}" if where else text

    def at(
        self, *, file: str | None = None, line: int | None = None, column: int | None = None, path: str | None = None
    ) -> InputError:
        """Return the same complaint about another place; what is not given is not known of that."""
        return InputError(
            self.expected, got=self.got, file=file, line=line, column=column, path=path, nearest=self.nearest
        )

    def to_dict(self) -> ErrorFields:
        """Return the ``error`` object of the JSON output."""
        return {
            "file": self.file,
            "line": self.line,
            "column": self.column,
            "path": self.path,
            "got": self.got,
            "expected": self.expected,
            "nearest": self.nearest,
        }


class Interruption(BaseException):  # no error: somebody ends what is going on
    """Whoever raises this ends a plugin from outside, so that the plugin is not to blame for it."""


class PluginError(InputError):
    """A plugin is missing, cannot be loaded, raised, or answered nonsense.

    Attributes:
        plugin: its name, with the distribution and version it came from where known.
    """

    def __init__(self, plugin: str, problem: str, *, nearest: str | None = None) -> None:
        self.plugin = plugin
        self.problem = problem
        super().__init__(problem, got=plugin, nearest=nearest)

    def at(
        self, *, file: str | None = None, line: int | None = None, column: int | None = None, path: str | None = None
    ) -> PluginError:
        """Return the same complaint about another place, which leaves it the plugin's fault."""
        twin = PluginError(self.plugin, self.problem, nearest=self.nearest)
        twin.file, twin.line, twin.column, twin.path = file, line, column, path
        twin.__cause__ = self.__cause__
        return twin

    def __str__(self) -> str:
        hint = f"; did you mean {self.nearest!r}?" if self.nearest else ""
        return f"plugin {self.plugin}: {self.problem}{hint}"
