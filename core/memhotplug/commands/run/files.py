"""What a run leaves in a folder: ``result.json``, and ``events.jsonl`` with one event a line."""

from __future__ import annotations

from pathlib import Path

from memhotplug.commands.run.runner import RunResult
from memhotplug.output.files import write_text
from memhotplug.output.jsontext import render, render_line

__all__ = ["write_run"]


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
