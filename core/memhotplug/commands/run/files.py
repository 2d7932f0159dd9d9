"""What a run leaves in a folder: ``result.json``, and ``events.jsonl`` with one event a line."""

from __future__ import annotations

from pathlib import Path

from memhotplug.commands.run.runner import RunResult
from memhotplug.errors import InputError
from memhotplug.output.jsontext import render, render_line

__all__ = ["make_folder", "write_run"]


def make_folder(path: str) -> Path:
    """Return the folder at ``path``, made if it does not exist.

    Raises:
        InputError: it cannot be made.
    """
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
        try:
            (folder / name).write_text(text, encoding="utf-8")
        except OSError as problem:
            raise _refused(str(folder / name), problem) from problem


def _refused(path: str, problem: OSError | ValueError) -> InputError:
    got = (problem.strerror if isinstance(problem, OSError) else None) or str(problem)
    return InputError("a folder that can be written", got=got, file=path)
