"""Draws the terminal's map of memory for the README: ``python tools/picture.py [-o FILE]``, ``--check FILE``.

What the command prints, in colour, as SVG: no fonts, no network, the same bytes for the same output.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
DEFAULT: Final = ROOT / "docs" / "images" / "map.svg"
SCENARIO: Final = "scenarios/auto-movable-301.yaml"
FIRST: Final = "add dimm4"
"""The line that the picture begins with; it ends before the tables."""
_COLUMNS: Final = 80
_WIDE, _HIGH, _EDGE = 8.4, 20, 14
_COLOURS: Final = {
    "1": 'font-weight="bold"', "2": 'fill="#8b949e"', "31": 'fill="#ff7b72"', "32": 'fill="#56d364"',
    "33": 'fill="#e3b341"', "35": 'fill="#d2a8ff"', "36": 'fill="#79c0ff"',
}  # fmt: skip
"""SGR parameters, as they look on a dark ground."""
_PART: Final = re.compile(r"\x1b\[([0-9;]*)m([^\x1b]*)\x1b\[0m|([^\x1b]+)")


def main(arguments: list[str] | None = None) -> int:
    """Draw the picture, or with --check say whether a file is what would be drawn."""
    parser = argparse.ArgumentParser(description="Draw the map of memory for the README.")
    parser.add_argument("-o", "--output", type=Path, default=DEFAULT)
    parser.add_argument("--check", action="store_true", help="only compare; 1 if the file is not up to date")
    given = parser.parse_args(arguments)
    picture = svg(lines())
    if given.check:
        current = given.output.read_text(encoding="utf-8") if given.output.exists() else ""
        if current != picture:
            print(f"{given.output} is not up to date: run python tools/picture.py", file=sys.stderr)
        return int(current != picture)
    given.output.parent.mkdir(parents=True, exist_ok=True)
    given.output.write_text(picture, encoding="utf-8")
    return 0


def lines() -> list[str]:
    """Return the prompt, the legend and the last maps, with the colours that a terminal shows."""
    words = ["mhp", "run", SCENARIO, "--map"]
    environment = {**os.environ, "FORCE_COLOR": "1", "COLUMNS": str(_COLUMNS), "NO_COLOR": ""}
    command = [sys.executable, "-m", "memhotplug", *words[1:]]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    printed = done.stdout.split("\n")
    begin = next(index for index, line in enumerate(printed) if line.startswith(FIRST))
    maps = [line for line in printed[begin : printed.index("", begin)] if not line.startswith("expect ")]
    legend = printed[: next(index for index, line in enumerate(printed) if "node 0" in line)]
    return [f"$ {' '.join(words)}", *legend, "…", *maps]


def svg(shown: Sequence[str]) -> str:
    """Return lines of a terminal as SVG; the text can be selected, and is read by screen readers."""
    width, height = _COLUMNS * _WIDE + 2 * _EDGE, len(shown) * _HIGH + 2 * _EDGE
    rows = [
        f'<text x="{_EDGE}" y="{_EDGE + (number + 0.75) * _HIGH:g}">{"".join(_parts(line))}</text>'
        for number, line in enumerate(shown)
        if line
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
        f'height="{height:g}" role="img" aria-label="mhp run --map: physical memory as bars after each step">\n'
        f'<rect width="{width:g}" height="{height:g}" rx="8" fill="#0d1117"/>\n'
        '<g font-family="ui-monospace,SFMono-Regular,Menlo,Consolas,\'DejaVu Sans Mono\',monospace" font-size="14" '
        f'fill="#e6edf3">\n{chr(10).join(rows)}\n</g>\n</svg>\n'
    )


def _parts(line: str) -> Iterator[str]:
    """Yield the parts of a line, each in its place, so that no font can move them."""
    column = 0
    for style, painted, bare in _PART.findall(line):
        text = painted or bare
        attributes = " ".join(_COLOURS[code] for code in style.split(";") if code in _COLOURS)
        for word in re.finditer(r"\S+(?: \S+)*", text):
            place = f'x="{_EDGE + (column + word.start()) * _WIDE:g}" textLength="{len(word[0]) * _WIDE:g}"'
            yield f"<tspan {place}{f' {attributes}' if attributes else ''}>{escape(word[0])}</tspan>"
        column += len(text)


if __name__ == "__main__":
    sys.exit(main())
