"""The scenarios that come with the program, and the plugins and recordings that they use.

An installation has them inside the package, a checkout at its top; either way they lie to one another as they do
here, so that ``plugins: ../examples/policies/x.py`` works.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

import memhotplug
from memhotplug.errors import InputError, nearest, words_of

__all__ = ["Example", "examples", "find", "write"]

_FOLDERS: Final = ("scenarios", "examples/policies", "examples/profiles")


@dataclass(frozen=True, slots=True)
class Example:
    """One scenario.

    Attributes:
        name: what it is asked for by, the file's name without its ending.
        path: where it is.
        question: the first sentence of the comment at its top.
    """

    name: str
    path: Path
    question: str


def _root() -> Path:
    """Return the folder that has the scenarios.

    Raises:
        InputError: this is neither a whole installation nor a checkout.
    """
    package = Path(memhotplug.__file__).parent
    for folder in (package / "examples", package.parents[1]):
        if (folder / "scenarios").is_dir():
            return folder
    raise InputError("an installation with its examples", got="none", file=str(package))


def examples() -> list[Example]:
    """Return all of them, by name."""
    paths = sorted((_root() / "scenarios").glob("*.yaml"), key=lambda path: path.stem)
    return [Example(path.stem, path, _question(path.read_text(encoding="utf-8"))) for path in paths]


def _question(text: str) -> str:
    lines = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.lstrip("# ").rstrip())
    words = " ".join(lines).removeprefix("Question: ")
    for end in ("? ", ". "):
        words = words.partition(end)[0] + end.strip() if end in words else words
    return words


def find(name: str) -> Example:
    """Return one of them, asked for with or without its ending.

    Raises:
        InputError: there is none of that name.
    """
    known = {example.name: example for example in examples()}
    found = known.get(name.removesuffix(".yaml"))
    if found is None:
        raise InputError(
            "the name of an example ('mhp examples' lists them)", got=name or "nothing", nearest=nearest(name, known)
        )
    return found


def write(folder: Path, chosen: Sequence[Example] | None = None) -> list[str]:
    """Copy examples with what they use into a folder, all of them without a choice.

    Returns:
        The files that were written, relative to the folder, ascending; a file that is there is never replaced.

    Raises:
        InputError: one is there already, or cannot be written; then nothing was written.
    """
    root = _root()
    names = sorted(_all(root) if chosen is None else {name for example in chosen for name in _used(root, example)})
    for name in names:
        if (folder / name).exists():
            raise InputError("a folder without that file", got="it is there already", file=str(folder / name))
    done: list[Path] = []
    try:
        for name in names:
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with open(target, "xb") as stream:
                done.append(target)
                stream.write((root / name).read_bytes())
    except (OSError, ValueError) as problem:  # ValueError: a NUL in the name
        for target in done:
            target.unlink()
        raise InputError("a folder that can be written", got=words_of(problem), file=str(folder)) from problem
    return names


def _all(root: Path) -> list[str]:
    found = (path for folder in _FOLDERS for path in (root / folder).rglob("*") if path.is_file())
    return [path.relative_to(root).as_posix() for path in found if "__pycache__" not in path.parts]


def _used(root: Path, example: Example) -> list[str]:
    """Return a scenario's file and those that it names."""
    import yaml

    document = yaml.safe_load(example.path.read_text(encoding="utf-8"))
    plugins = document.get("plugins") or []
    named = [plugins] if isinstance(plugins, str) else [str(plugin) for plugin in plugins]
    snapshot = document["machine"].get("snapshot")
    path = snapshot.get("path") if isinstance(snapshot, dict) else snapshot
    named += [str(path)] if path else []
    inside = [os.path.normpath(PurePosixPath("scenarios") / name) for name in named]
    return [f"scenarios/{example.path.name}", *(Path(name).as_posix() for name in inside if (root / name).is_file())]
