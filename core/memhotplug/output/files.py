"""Folders and files that commands leave: written wholly or not at all, refused with a place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from memhotplug.errors import InputError, words_of

__all__ = ["file_at", "make_folder", "replacing", "write_text"]

_FOLDER = "a folder that can be written"
_FILE = "a file that can be written"


def make_folder(path: str) -> Path:
    """Return the folder at ``path``, made if it does not exist.

    Raises:
        InputError: it cannot be made.
    """
    if not path:
        raise InputError(_FOLDER, got="an empty path")
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as problem:  # ValueError: a NUL in the name
        raise _refused(path, problem, _FOLDER) from problem
    return folder


def file_at(path: str) -> Path:
    """Return the path of a file that is to be written.

    Raises:
        InputError: nothing at that path can be a file: it is empty, or that of a folder such as ``.`` or ``/``.
    """
    target = Path(path)
    if not target.name or target.name == "..":
        raise InputError(_FILE, got="a folder" if path else "an empty path", file=path or None)
    return target


def write_text(path: str | Path, text: str) -> None:
    """Write a file: wholly, or not at all, so that a full disk leaves what was there before.

    What is no plain file, such as a pipe, or a link such as ``/dev/stdout``, is written to and not replaced.

    Raises:
        InputError: it cannot be written.
    """
    try:
        with replacing(path) as place:
            place.write_text(text, encoding="utf-8")
    except InputError:
        raise
    except ValueError as problem:  # a NUL in the name, or no text
        raise _refused(str(path), problem, _FILE) from problem


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give a place to write a file to, which comes to its own path when all is written, as :func:`write_text` has it.

    Raises:
        InputError: it cannot be written.
    """
    target = file_at(str(path))
    beside = target.with_name(f".{target.name}.part")
    try:
        if target.is_symlink() or (target.exists() and not target.is_file()):
            yield target
            return
        yield beside
        beside.replace(target)
    except OSError as problem:
        raise _refused(str(path), problem, _FILE) from problem
    finally:
        with suppress(OSError, ValueError):
            beside.unlink(missing_ok=True)


def _refused(path: str, problem: OSError | ValueError, expected: str) -> InputError:
    return InputError(expected, got=words_of(problem), file=path)
