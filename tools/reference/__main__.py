"""``python -m tools.reference [-o DIR]`` writes the pages, ``--check`` says which are not up to date."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from tools.reference import api, commands, hooks, schemas

DEFAULT: Final = Path(__file__).resolve().parents[2] / "docs" / "reference"
PAGES: Final[Mapping[str, Callable[[], str]]] = {
    "commands.md": commands.page,
    "scenario.md": schemas.scenario_page,
    "json.md": schemas.outputs_page,
    "hooks.md": hooks.page,
    "plugin.md": api.plugin_page,
    "python.md": api.python_page,
}


def main(arguments: list[str] | None = None) -> int:
    """Write the pages, or with --check name those that differ from what would be written, and return 1."""
    parser = argparse.ArgumentParser(prog="python -m tools.reference", description="Write the reference pages.")
    parser.add_argument("-o", "--output", type=Path, default=DEFAULT)
    parser.add_argument("--check", action="store_true", help="only compare; 1 if a page is not up to date")
    given = parser.parse_args(arguments)
    stale = []
    for name, make in PAGES.items():
        path, text = given.output / name, make()
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(path)
        if not given.check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    if given.check:
        for path in stale:
            print(f"{path} is not up to date: run python -m tools.reference", file=sys.stderr)
    return int(given.check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
