"""Plugins from a file: one module without packaging, loaded by its path.

Its name is the file's stem (of a package's ``__init__.py`` the folder's name), or what ``PLUGIN_NAME`` in it says; its
kind follows from its hooks. The same content at the same path is loaded once.
"""

from __future__ import annotations

import functools
import importlib.machinery
import importlib.util
import os
import re
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any, Final

from memhotplug.errors import InputError, Interruption, PluginError, nearest, words_of
from memhotplug.hookspecs import PROJECT
from memhotplug.manager import GROUPS, Candidate, hooks_of, place_of, running, told

__all__ = ["is_from_file", "load"]

_MOST_BYTES: Final = 4 << 20
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}\Z")
_PREFIX: Final = "memhotplug_file_"
_MARK: Final = f"{PROJECT}_impl"


def is_from_file(module: str) -> bool:
    """Return whether a module of that name was loaded from a plugin file."""
    return module.startswith(_PREFIX)


def load(path: str) -> Candidate:
    """Load a plugin from a file.

    Raises:
        InputError: the file cannot be read.
        PluginError: it is no Python, raises, or is no plugin of one kind.
    """
    data = _read(path)
    return _load(os.path.abspath(path), path, data, _digest(data))


def _digest(data: bytes) -> str:
    import hashlib  # and with it OpenSSL, which takes longer to load than most commands need for all else

    return hashlib.sha256(data).hexdigest()


def _shown(path: str) -> str:
    return f"{_name_of(path)} ({path})"


def _name_of(path: str) -> str:
    """Return what a file is called: its stem; the ``__init__.py`` of a package is called as its folder."""
    from pathlib import Path  # which takes longer to load than commands without a plugin file need for plugins

    stem = Path(path).stem
    return stem if stem != "__init__" else Path(os.path.abspath(path)).parent.name


def _read(path: str) -> bytes:
    expected = "a plugin file that can be read"
    try:
        # A pipe that nobody writes to is the fault of whoever gave it, and ends with the time of a plugin.
        with running.importing(_shown(path)), open(path, "rb") as stream:
            data = stream.read(_MOST_BYTES + 1)
    except (OSError, ValueError) as problem:
        raise InputError(expected, got=words_of(problem), file=path) from problem
    if len(data) > _MOST_BYTES:
        raise InputError(f"a plugin file of at most {_MOST_BYTES >> 20}M", got="a larger one", file=path)
    return data


@functools.cache
def _load(whole_path: str, path: str, data: bytes, digest: str) -> Candidate:
    stem, shown = _name_of(path), _shown(path)
    own = _digest(f"{whole_path}\0{digest}".encode(errors="surrogateescape"))
    module = _imported(path, data, f"{_PREFIX}{re.sub(r'[^A-Za-z0-9_]', '_', stem)}_{own[:16]}")
    name = getattr(module, "PLUGIN_NAME", stem)
    if not isinstance(name, str) or not _NAME.match(name):
        source = "PLUGIN_NAME" if hasattr(module, "PLUGIN_NAME") else "the file's name; set PLUGIN_NAME in it:"
        raise PluginError(shown, f"{source} {name!r} is no name for a plugin, which is letters, digits and _ . -")
    candidate = Candidate(_kind(module, shown), name, "", digest[:16], module.__name__, path)
    candidate.load()  # says what is missing
    return candidate


class _Source(importlib.machinery.SourceFileLoader):
    """Compiles the very bytes that were read, and keeps no compiled copy beside the file.

    The times of files are too coarse to tell an edit of the same second.
    """

    def __init__(self, name: str, path: str, data: bytes) -> None:
        super().__init__(name, path)
        self._data = data

    def get_data(self, path: str) -> bytes:
        """Return what was read."""
        return self._data

    def path_stats(self, path: str) -> Mapping[str, Any]:
        """Say that there is no time to compare a compiled copy with."""
        raise OSError(f"{path} is compiled each time")


def _imported(path: str, data: bytes, name: str) -> ModuleType:
    known = sys.modules.get(name)
    if known is not None:
        return known
    spec = importlib.util.spec_from_loader(name, _Source(name, path, data))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        with running.importing(_shown(path)):
            spec.loader.exec_module(module)
    except (KeyboardInterrupt, Interruption):
        del sys.modules[name]
        raise
    except BaseException as problem:
        del sys.modules[name]
        syntax = problem if isinstance(problem, SyntaxError) and problem.lineno else None
        line = f", line {syntax.lineno}" if syntax is not None else place_of(problem, name)
        text = f"{type(problem).__name__}: {problem.msg}" if isinstance(problem, SyntaxError) else told(problem)
        raise PluginError(_shown(path), f"cannot be loaded: {text}{line}") from problem
    return module


def _kind(module: ModuleType, shown: str) -> str:
    """Return the kind of plugin whose hooks a module has.

    Raises:
        PluginError: it has none, those of several kinds, or one that does not exist.
    """
    have = [name for name, value in vars(module).items() if hasattr(value, _MARK)]
    homes = {hook: kind for kind in GROUPS for hook in hooks_of(kind)}
    unknown = [hook for hook in have if hook not in homes and hook not in hooks_of("any")]
    if unknown:
        raise PluginError(shown, f"there is no hook {unknown[0]!r}", nearest=nearest(unknown[0], homes))
    kinds = sorted({homes[hook] for hook in have if hook in homes})
    if not kinds:
        first = {kind: hooks_of(kind)[0] for kind in GROUPS}
        some = ", ".join(f"{hook} ({kind})" for kind, hook in first.items())
        raise PluginError(shown, f"has no hook that makes it a plugin, a function marked @hookimpl such as {some}")
    if len(kinds) > 1:
        raise PluginError(shown, f"has hooks of several kinds, {' and '.join(kinds)}; make a file of each")
    return kinds[0]
