"""What a run leaves in a folder: ``result.json``, and ``events.jsonl`` with one event a line."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from memhotplug.commands.run.runner import RunResult
from memhotplug.errors import InputError
from memhotplug.output.jsontext import render, render_line

__all__ = ["make_folder", "write_run", "write_text"]


def make_folder(path: str) -> Path:
    """Return the folder at ``path``, made if it does not exist.

    Raises:
        InputError: it cannot be made.
    """
    if not path:
        raise InputError("a folder that can be written", got="an empty path")
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as problem:  # ValueError: a NUL in the name
        raise _refused(path, problem) from problem
    return folder


def write_run(folder: Path, result: RunResult) -> None:
    """Write both files.

    Raises:
        InputError: one cannot be written.
    """
    contents = {
        "result.json": render(result.to_dict()),
        "events.jsonl": "".join(render_line(event) for event in result.events),
    }
    for name, text in contents.items():
        write_text(folder / name, text)


def write_text(path: str | Path, text: str) -> None:
    """Write a file: wholly, or not at all, so that a full disk leaves what was there before.

    Raises:
        InputError: it cannot be written.
    """
    target = Path(path)
    beside = target.with_name(f".{target.name}.part")
    try:
        beside.write_text(text, encoding="utf-8")
        beside.replace(target)
    except (OSError, ValueError) as problem:
        with suppress(OSError, ValueError):
            beside.unlink()
        raise _refused(str(path), problem, "a file that can be written") from problem


def _refused(path: str, problem: OSError | ValueError, expected: str = "a folder that can be written") -> InputError:
    got = (problem.strerror if isinstance(problem, OSError) else None) or str(problem)
    return InputError(expected, got=got, file=path)
