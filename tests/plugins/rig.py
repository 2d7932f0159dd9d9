"""Plugins that live in a test: good ones with one thing changed, run through the contract of their kind."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import itertools
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from memhotplug.manager import Candidate, using
from memhotplug.testing import Contract, boot

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
_MODULE = "memhotplug_test_plugins"
_numbers = itertools.count()
_kept: set[tuple[int, str]] = set()  # what good plugins were seen to keep


@dataclass(frozen=True)
class Bad:
    """One bug on purpose.

    Attributes:
        what: the bug, in a few words.
        changes: the hooks that are changed; None takes a hook away.
        caught_by: the test of the contract that has to fail.
        text: part of what it then says; the plugin's name has to be in it too where it begins with "hook".
    """

    what: str
    caught_by: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    text: str = ""


def example(folder: str, module: str) -> ModuleType:
    """Import a package of examples/ without installing it.

    Its folder does not stay on the path: there is a folder "tests" in it, which would take the place of this one.
    """
    path = str(EXAMPLES / folder)
    sys.path.append(path)
    try:
        return importlib.import_module(module)
    finally:
        sys.path.remove(path)


def changed(good: object, changes: Mapping[str, Any]) -> ModuleType:
    """Return a plugin with the hooks of a good one, some of them changed."""
    names = getattr(good, "__all__", None) or [name for name in dir(good) if not name.startswith("_")]
    hooks = {name: getattr(good, name) for name in names} | dict(changes)
    plugin = ModuleType("changed")
    plugin.__dict__.update({name: hook for name, hook in hooks.items() if hook is not None})
    return plugin


@contextlib.contextmanager
def plugged(kind: str, plugin: object, name: str | None = None) -> Iterator[str]:
    """Let a plugin count as installed inside the block; yields its name, which no other has."""
    name = name or f"bad{next(_numbers)}"
    home = sys.modules.setdefault(_MODULE, ModuleType(_MODULE))
    setattr(home, name, plugin)
    with using([Candidate(kind, name, "bad-plugins", "9.9", f"{_MODULE}:{name}")]):
        yield name


def failures(contract: type[Contract], test: str) -> list[BaseException]:
    """Run one test of a contract, once for each of its cases, and return what went wrong."""
    instance = contract()
    function = getattr(instance, test)
    wanted = list(inspect.signature(function).parameters)
    marks = [mark for mark in getattr(function, "pytestmark", ()) if mark.name == "parametrize"]
    values: dict[str, Sequence[object]] = {mark.args[0]: mark.args[1] for mark in marks}
    for parameter in ("keywords", *wanted):
        cases = instance.cases(parameter)
        if cases is not None:
            values[parameter] = cases
    found: list[BaseException] = []
    for case in itertools.product(*values.values()):
        arguments = dict(zip(values, case, strict=True))
        problem = _problem(function, arguments, wanted)
        if problem is not None:
            found.append(problem)
    return found


def _problem(function: Callable[..., None], arguments: dict[str, Any], wanted: list[str]) -> BaseException | None:
    try:
        if "machine" in wanted:
            arguments["machine"] = boot(arguments["keywords"])
        function(**{name: arguments[name] for name in wanted})
    except (Exception, pytest.fail.Exception) as problem:
        return problem
    return None


def check(kind: str, good: object, bad: Bad, contract: Callable[[str], type[Contract]]) -> None:
    """Check that the contract holds for the good plugin and notices the bad one."""
    if (id(good), bad.caught_by) not in _kept:
        with plugged(kind, changed(good, {})) as name:
            found = failures(contract(name), bad.caught_by)
            assert not found, f"the good plugin fails {bad.caught_by}: {found[0]!r}"
        _kept.add((id(good), bad.caught_by))
    with plugged(kind, changed(good, bad.changes)) as name:
        found = failures(contract(name), bad.caught_by)
        assert found, f"{bad.caught_by} does not notice: {bad.what}"
        said = str(found[0])
        assert bad.text in said
        if bad.text.startswith(("hook", "arch_", "vmemmap_")):
            assert f"plugin {name} (bad-plugins 9.9, " in said
