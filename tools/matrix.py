"""Runs the suite under every Python that is found, and with the lowest dependencies that pyproject.toml declares.

    python3 tools/matrix.py                       # all of it
    python3 tools/matrix.py --list                # what there is to run, and what is not found
    python3 tools/matrix.py --lowest --newest     # what .ci/run adds: the declared minimums, the newest Python found
    python3 tools/matrix.py 3.11-lowest 3.13 -- tests/unit -q

A cell is a Python and what is installed for it: the newest of everything, or exactly the versions behind ``>=``,
which are for the lowest Python only: old wheels do not exist for new Pythons. Each cell has its own environment
below ``.matrix``, made once and made anew when pyproject.toml changes. Needs nothing but Python itself.
"""

from __future__ import annotations

import argparse
import glob
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / ".matrix"
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
LOWEST = "lowest"
UV = os.environ.get("UV_PYTHON_INSTALL_DIR", "~/.local/share/uv/python")


@dataclass(frozen=True, slots=True)
class Cell:
    """One environment to run the suite in.

    Attributes:
        python: version, such as ``3.11``.
        lowest: whether the declared minimums are installed rather than the newest versions.
    """

    python: str
    lowest: bool = False

    @property
    def name(self) -> str:
        """What it is called on the command line."""
        return f"{self.python}-{LOWEST}" if self.lowest else self.python


def cells() -> list[Cell]:
    """Return all cells: the minimums under the lowest Python, then the newest under each."""
    return [Cell(PYTHONS[0], lowest=True), *(Cell(python) for python in PYTHONS)]


def minimums(project: dict[str, object], extra: str) -> list[str]:
    """Return ``name==version`` for every dependency of the project and of one extra that declares a minimum.

    Raises:
        ValueError: a dependency at run time declares none.
    """
    runtime, extras = project["dependencies"], project["optional-dependencies"]
    assert isinstance(runtime, list)
    assert isinstance(extras, dict)
    found = []
    for requirement in [*runtime, *extras[extra]]:
        match = re.fullmatch(r"([A-Za-z0-9._-]+)>=([0-9][0-9.]*)", requirement)
        if match is not None:
            found.append(f"{match[1]}=={match[2]}")
        elif requirement in runtime:
            raise ValueError(f"{requirement!r} declares no minimum")
    return found


def interpreter(python: str) -> str | None:
    """Return a Python of a version: this one, one on the path, one that pyenv or uv has; None if there is none."""
    places = [os.environ.get("PYENV_ROOT", "~/.pyenv") + "/versions/{}.*", UV + "/cpython-{}.*"]
    found = [sys.executable, shutil.which(f"python{python}") or ""]
    for place in places:
        pattern = os.path.expanduser(place.format(python) + "/bin/python3")
        found += sorted(glob.glob(pattern), key=_numbers, reverse=True)
    return next((path for path in filter(None, found) if _version_of(path) == python), None)


def _version_of(path: str) -> str:
    """Return which Python a file says it is, such as ``3.11``; nothing if it does not start."""
    command = [path, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    try:
        asked = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:  # a link to what was removed, a loader that is not here
        return ""
    return asked.stdout.strip() if asked.returncode == 0 else ""


def _numbers(path: str) -> list[int]:
    return [int(number) for number in re.findall(r"[0-9]+", path)]


def prepare(cell: Cell, python: str) -> Path:
    """Return the interpreter of a cell's environment, which is made if it is missing or out of date.

    Raises:
        subprocess.CalledProcessError: something cannot be installed.
    """
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    home, mark = FOLDER / cell.name, hashlib.sha256(text.encode()).hexdigest()
    inside = home / "bin" / "python"
    stamp = home / "made-for"
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == mark:
        return inside
    shutil.rmtree(home, ignore_errors=True)
    subprocess.run([python, "-m", "venv", str(home)], check=True)
    install = [str(inside), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    if cell.lowest:
        constraints = home / "constraints.txt"
        constraints.write_text("\n".join(minimums(tomllib.loads(text)["project"], "test")) + "\n", encoding="utf-8")
        install += ["-c", str(constraints)]
    subprocess.run([*install, "-e", ".[test]"], cwd=ROOT, check=True)
    stamp.write_text(mark, encoding="utf-8")
    return inside


def run(cell: Cell, arguments: Sequence[str]) -> str:
    """Run the suite in a cell; return what came of it in one word."""
    python = interpreter(cell.python)
    if python is None:
        return "not found"
    print(f"== {cell.name}", flush=True)
    try:
        inside = prepare(cell, python)
    except subprocess.CalledProcessError:
        return "not installed"
    done = subprocess.run([str(inside), "-m", "pytest", *arguments], cwd=ROOT, check=False)
    return "passed" if done.returncode == 0 else "failed"


def _chosen(known: dict[str, Cell], *, lowest: bool, newest: bool) -> list[str]:
    """Return the cells that two options ask for; all without either."""
    if not lowest and not newest:
        return list(known)
    chosen = [name for name, cell in known.items() if cell.lowest and lowest]
    found = [name for name, cell in known.items() if not cell.lowest and interpreter(cell.python) is not None]
    return chosen + (found[-1:] if newest else [])


def main(words: Sequence[str]) -> int:
    """Run the chosen cells; return 0 if every one that was found passed, and none that was named is missing."""
    known = {cell.name: cell for cell in cells()}
    parser = argparse.ArgumentParser(prog="tools/matrix.py", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("cells", nargs="*", metavar="CELL", help=f"of {', '.join(known)}; default all that is found")
    parser.add_argument("--lowest", action="store_true", help="only the cell of the declared minimums, if it is found")
    parser.add_argument("--newest", action="store_true", help="only the newest Python that is found")
    parser.add_argument("--list", action="store_true", help="only say what there is")
    own, rest = list(words), []
    if "--" in own:
        at = own.index("--")
        own, rest = own[:at], own[at + 1 :]
    asked = parser.parse_args(own)
    unknown = [name for name in asked.cells if name not in known]
    if unknown:
        parser.error(f"no cell is called {unknown[0]!r} (there are: {', '.join(known)})")
    if asked.list:
        for cell in known.values():
            print(f"{cell.name:12} {interpreter(cell.python) or 'not found'}")
        return 0
    chosen = asked.cells or _chosen(known, lowest=asked.lowest, newest=asked.newest)
    results = {name: run(known[name], rest or ["-q", "-n", "2"]) for name in chosen}
    for name, result in results.items():
        print(f"{name:12} {result}")
    accepted = {"passed"} if asked.cells else {"passed", "not found"}
    return 0 if set(results.values()) <= accepted else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
