"""The packages that ``mhp plugins --new`` writes: one plugin of each kind, with its tests and a scenario."""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from shutil import rmtree
from string import Template
from tempfile import mkdtemp
from typing import Final

from memhotplug.errors import InputError
from memhotplug.manager import GROUPS, names

__all__ = ["KINDS", "write_package"]

KINDS: Final[Mapping[str, str]] = {"arch": "arch", "driver": "drivers", "policy": "policies", "profile": "profiles"}
"""Words for the kinds of plugin that can be begun, with the kinds that the manager knows."""

_WORDS: Final = {"arch": "an architecture", "driver": "a driver", "policy": "a policy", "profile": "a kernel profile"}
_NAME: Final = re.compile(r"[a-z][a-z0-9_]*\Z")


def write_package(kind: str, folder: Path) -> list[str]:
    """Write a package with a plugin of one kind that works; its name is the folder's.

    Args:
        kind: a key of KINDS.
        folder: it does not exist yet, or is empty.

    Returns:
        The files that were written, relative to the folder, ascending.

    Raises:
        InputError: the name cannot be a plugin's or is taken, or something is in the way; nothing was written.
    """
    name = _name_of(kind, folder)
    module = f"memhotplug_{name}"
    fields = {
        "name": name,
        "module": module,
        "distribution": module.replace("_", "-"),
        "kind": _WORDS[kind],
        "group": GROUPS[KINDS[kind]],
    }
    contents = {
        "pyproject.toml": _text("pyproject.toml", fields),
        "README.md": _text("README.md", fields),
        "scenario.yaml": _text(f"{kind}.yaml", fields),
        f"{module}/__init__.py": _text(f"{kind}.py", fields),
        f"{module}/py.typed": "",
        "tests/test_contract.py": _text(f"{kind}.test", fields),
    }
    _write(folder, contents)
    return sorted(contents)


def _text(file: str, fields: Mapping[str, str]) -> str:
    source = files(__name__).joinpath(f"{file}.in").read_text(encoding="utf-8")
    return Template(source).substitute(fields)


def _name_of(kind: str, folder: Path) -> str:
    name = folder.absolute().name.lower().replace("-", "_")
    if not _NAME.match(name) or keyword.iskeyword(name):
        raise InputError("a folder whose name can be a plugin's: small letters, digits, _", got=folder.name or folder)
    if name in names(KINDS[kind]):
        raise InputError(f"a name that no installed plugin has; {name!r} is {_WORDS[kind]} already", got=folder)
    return name


def _write(folder: Path, contents: Mapping[str, str]) -> None:
    """Write all files or none: beside the folder first, which then takes its place in one step."""
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise InputError("a folder that does not exist yet, or is empty", got=folder)
    scratch: Path | None = None
    try:
        scratch = Path(mkdtemp(prefix=f".{folder.name}.", dir=folder.absolute().parent))
        for name, text in contents.items():
            path = scratch / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        scratch.chmod(0o755)
        scratch.replace(folder)
    except OSError as problem:
        if scratch is not None:
            rmtree(scratch, ignore_errors=True)
        raise InputError("a folder that can be written", got=f"{folder}: {problem.strerror}") from problem
