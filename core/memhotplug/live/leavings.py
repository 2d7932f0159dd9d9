"""What a live machine leaves: ``steps.yaml``, which ``mhp run`` repeats, and ``result.json``, which comes of that."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from memhotplug.commands.run.runner import run_scenario
from memhotplug.formats.scenario import loads_scenario
from memhotplug.live.machine import LiveMachine
from memhotplug.output.files import write_text
from memhotplug.output.jsontext import render
from memhotplug.output.watchdog import WatchedCatalog

__all__ = ["leave"]


def leave(folder: Path, document: Mapping[str, Any], live: LiveMachine) -> None:
    """Write both files.

    Args:
        document: the scenario that the machine came from.

    Raises:
        InputError: one cannot be written.
    """
    whole = {**document, "steps": [*(document.get("steps") or ()), *live.steps]}
    text = yaml.safe_dump(whole, sort_keys=False, allow_unicode=True, width=120)
    path = folder / "steps.yaml"
    result = run_scenario(loads_scenario(text, catalog=WatchedCatalog(), file=str(path)))
    contents = {"steps.yaml": text, "result.json": render(result.to_dict())}
    for name, content in contents.items():
        write_text(folder / name, content)
