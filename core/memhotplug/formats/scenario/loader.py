"""Reads a scenario: YAML text to checked records, or one error that says where.

Everything is checked before anything runs: the first problem in the order of the document ends the
reading, so that the same file always gives the same message.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, NoReturn, TypeAlias, TypeVar

from memhotplug.errors import InputError, PluginError
from memhotplug.formats.scenario.catalog import Catalog, CatalogCache
from memhotplug.formats.scenario.check import (
    OPERATIONS,
    check_drivers,
    check_explore,
    check_machine,
    check_step,
)
from memhotplug.formats.scenario.document import Scenario, Step
from memhotplug.formats.scenario.expectation import ExpectStep
from memhotplug.formats.scenario.explore import ExploreSpec
from memhotplug.formats.scenario.models import (
    Action,
    AddStep,
    AllocateStep,
    DriverPolicy,
    EjectStep,
    MachineSpec,
    OfflineStep,
    OnlineStep,
    ReleaseStep,
    RemoveStep,
    ResizeStep,
)
from memhotplug.formats.scenario.problems import Problem, Where, error_at, first_error, unknown_key
from memhotplug.formats.scenario.refusal import RefusedError, suggest
from memhotplug.formats.scenario.values import one_of, read_int, read_text
from memhotplug.formats.scenario.yamltree import MappingNode, Node, SequenceNode, parse_tree, read_tree

__all__ = ["SCHEMA_VERSION", "Known", "load_scenario", "loads_scenario", "scenario_from_tree"]

SCHEMA_VERSION: Final = 1
_TOP_KEYS: Final = ("schema", "plugins", "machine", "drivers", "steps", "explore")
_EXPECTED_PLUGINS: Final = "the path of a plugin file, relative to the scenario, or a list of them"
_EXPECTED_MACHINE: Final = "a mapping such as {arch: x86_64, kernel: v2-2019, memory: 4G}"
_EXPECTED_STEPS: Final = "a list of steps, such as [add: {driver: acpi, size: 1G}]"
_EXPECTED_VERSION: Final = f"{SCHEMA_VERSION}, the only version of the scenario format"
_EXPECTED_OP: Final = f"one operation in a step, {one_of(tuple(OPERATIONS))}"


def load_scenario(path: str | Path, catalog: Catalog) -> Scenario:
    """Return the scenario in the file at ``path``.

    Raises:
        InputError: the file cannot be read, or is no valid scenario; with file, line and column.
    """
    return _Reader(str(path), read_tree(path), CatalogCache(catalog)).scenario()


def loads_scenario(text: str, *, catalog: Catalog, file: str | None = None) -> Scenario:
    """Return the scenario that ``text`` is; ``file`` is what errors call it.

    Raises:
        InputError: it is no valid scenario; with line and column.
    """
    return _Reader(file, parse_tree(text, file), CatalogCache(catalog)).scenario()


def scenario_from_tree(
    tree: MappingNode, *, catalog: Catalog, file: str | None = None, known: Known | None = None
) -> Scenario:
    """Return the scenario that a YAML tree is.

    Args:
        file: what errors call it.
        known: what was read of variants of the same tree, with the same catalog.

    Raises:
        InputError: it is no valid scenario; with line and column.
    """
    asked = catalog if isinstance(catalog, CatalogCache) else CatalogCache(catalog)
    return _Reader(file, tree, asked, known).scenario()


_T = TypeVar("_T")
Check: TypeAlias = Callable[[list[Problem]], _T]


class Known:
    """Records that were read of a tree, for variants of it.

    A node that variants share is read but once. So is one that was copied to be changed, where its values are nodes
    that were read together before.

    Args:
        tree: the tree whose nodes the variants share; it has to live as long as this.
    """

    def __init__(self, tree: MappingNode) -> None:
        self._tree = tree
        self._records: dict[tuple[int, tuple[str, ...]], Any] = {}
        self._changed: dict[object, tuple[Any, list[Node]]] = {}
        steps = tree.get("steps")
        nodes = [tree.get("machine"), tree.get("drivers")]
        for step in steps if isinstance(steps, SequenceNode) else ():
            nodes += step.values() if isinstance(step, MappingNode) else ()
        self._shared = {id(node) for node in nodes if node is not None}

    def record(self, word: str, node: Node, files: tuple[str, ...], check: Check[_T], problems: list[Problem]) -> _T:
        """Return the record of a node, which is read but once if variants share it and nothing is wrong with it.

        Args:
            word: what it is a record of, an operation or a section.
            files: the plugins from files with which it is read.
            check: reads it, and adds what is wrong to the list that it is given.
        """
        if id(node) not in self._shared:
            return self._of_changed(word, node, files, check, problems)
        key = id(node), files
        if key in self._records:
            return self._records[key]  # type: ignore[no-any-return]  # by the node that it was read of
        found = check(problems)
        if not problems:
            self._records[key] = found
        return found

    def _of_changed(
        self, word: str, node: Node, files: tuple[str, ...], check: Check[_T], problems: list[Problem]
    ) -> _T:
        leaves: list[Node] = []  # kept, so that no other node gets the identity of one
        key = word, files, _made_of(node, leaves)
        known = self._changed.get(key)
        if known is not None:
            return known[0]  # type: ignore[no-any-return]  # by the nodes that it was read of
        found = check(problems)
        if not problems:
            if len(self._changed) >= _REMEMBERED:
                self._changed.clear()
            self._changed[key] = found, leaves
        return found


_REMEMBERED: Final = 1024


def _made_of(node: Node, leaves: list[Node]) -> object:
    """Return what tells nodes apart that are not made of the same scalars, which are added to a list."""
    if isinstance(node, MappingNode):
        return tuple([(key, _made_of(value, leaves)) for key, value in node.items()])
    if isinstance(node, SequenceNode):
        return "list", tuple([_made_of(value, leaves) for value in node])
    leaves.append(node)
    return id(node)


@dataclass(slots=True)
class _Names:
    """The names that the steps so far have given; those of devices that were recorded nobody knows before the boot."""

    recorded: bool = False
    added: dict[str, None] = field(default_factory=dict)
    allocated: dict[str, None] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)

    def learn(self, args: Action) -> Action:
        """Remember the name that a step gives, and return the step with a name where it gives none."""
        if isinstance(args, AddStep):
            name = args.name or self._fresh(args.driver)
            self.added[name] = None
            return args if args.name else args.replaced(name=name)
        if isinstance(args, AllocateStep):
            self.allocated[args.name] = None
        return args

    def _fresh(self, driver: str) -> str:
        number = self.numbers.get(driver, 0)
        while f"{driver}{number}" in self.added:
            number += 1
        self.numbers[driver] = number + 1
        return f"{driver}{number}"

    def unknown(self, args: Action) -> Iterator[Problem]:
        if isinstance(args, (OnlineStep, OfflineStep, RemoveStep, EjectStep, ResizeStep, ExpectStep)):
            name = args.range.name if args.range is not None else None
            if name is not None and name not in self.added and not self.recorded:
                yield _unknown_name("range", name, "add", self.added)
        elif isinstance(args, ReleaseStep) and args.name not in self.allocated:
            yield _unknown_name("name", args.name, "allocate", self.allocated)


def _unknown_name(key: str, name: str, op: str, names: dict[str, None]) -> Problem:
    some = list(names)[:8]
    known = f": {', '.join(some)}{', …' if len(names) > len(some) else ''}" if names else "; there is none"
    return Problem((key,), f"the name of an earlier {op} step{known}", nearest=suggest(name, list(names)[-1000:]))


class _Reader:
    """One reading of one document."""

    def __init__(self, file: str | None, tree: MappingNode, catalog: Catalog, known: Known | None = None) -> None:
        self._file = file
        self._known = known or Known(tree)
        self._files: tuple[str, ...] = ()
        self._tree = tree
        self._catalog = catalog
        self._machine: MachineSpec | None = None
        self._drivers: dict[str, DriverPolicy] = {}
        self._steps: tuple[Step, ...] = ()
        self._explore = ExploreSpec()

    def scenario(self) -> Scenario:
        """Check everything; plugins from files count from the start, wherever they are named."""
        self._check_version()
        files = self._files = self._read_plugins()
        try:
            block = self._catalog.using(files)
        except InputError as problem:
            raise self._about_plugins(problem) from problem
        with block:
            return self._sections(files)

    def _about_plugins(self, problem: InputError) -> InputError:
        place = error_at(self._tree, Problem(("plugins",), ""), file=self._file)
        if isinstance(problem, PluginError):
            problem.file, problem.line, problem.column, problem.path = place.file, place.line, place.column, place.path
            return problem
        got = ": ".join(text for text in (problem.file, problem.got) if text is not None)
        return InputError(
            problem.expected, got=got, file=place.file, line=place.line, column=place.column, path=place.path
        )

    def _read_plugins(self) -> tuple[str, ...]:
        node = self._tree.get("plugins")
        if node is None:
            return ()
        paths = node if isinstance(node, SequenceNode) else [node]
        base = os.path.dirname(self._file or "")
        try:
            return tuple(os.path.join(base, read_text(path, empty=False, expected=_EXPECTED_PLUGINS)) for path in paths)
        except RefusedError:
            self._raise(Problem(("plugins",), _EXPECTED_PLUGINS))

    def _sections(self, files: tuple[str, ...]) -> Scenario:
        """Check the sections in the order in which they stand."""
        for key, node in self._tree.items():
            if key not in _TOP_KEYS:
                self._raise(unknown_key((key,), _TOP_KEYS))
            if key == "machine":
                self._machine = self._read_machine(node)
            elif key == "drivers":
                self._drivers = self._read_drivers(node)
            elif key == "steps":
                self._steps = self._read_steps(node)
            elif key == "explore":
                self._explore = self._read_explore(node)
        if self._machine is None:
            self._raise(Problem(("machine",), _EXPECTED_MACHINE, "missing"))
        return Scenario(
            file=self._file,
            plugins=files,
            machine=self._machine,
            drivers=self._drivers,
            steps=self._steps,
            explore=self._explore,
            tree=self._tree,
        )

    def _raise(self, problem: Problem) -> NoReturn:
        raise error_at(self._tree, problem, file=self._file)

    def _first(self, problems: list[Problem], prefix: Where) -> None:
        if problems:
            first_error(self._tree, [problem.below(prefix) for problem in problems], file=self._file)

    def _check_version(self) -> None:
        """Any other version may have any other keys, hence first of all."""
        node = self._tree.get("schema")
        if node is None:
            keys = [key for key in self._tree if suggest(key, ("schema",))]
            if keys:
                self._raise(unknown_key((keys[0],), _TOP_KEYS))
            self._raise(Problem(("schema",), _EXPECTED_VERSION, "missing"))
        try:
            version = read_int(node)
        except RefusedError:
            version = None
        if version != SCHEMA_VERSION:
            self._raise(Problem(("schema",), _EXPECTED_VERSION))

    def _read_machine(self, node: Node) -> MachineSpec | None:
        problems: list[Problem] = []
        if not isinstance(node, MappingNode):
            self._raise(Problem(("machine",), _EXPECTED_MACHINE))
        check: Check[MachineSpec | None] = partial(check_machine, node, self._catalog)
        machine = self._known.record("machine", node, self._files, check, problems)
        self._first(problems, ("machine",))
        return machine

    def _read_drivers(self, node: Node) -> dict[str, DriverPolicy]:
        problems: list[Problem] = []
        check: Check[dict[str, DriverPolicy] | None] = partial(check_drivers, node, self._catalog)
        drivers = self._known.record("drivers", node, self._files, check, problems)
        self._first(problems, ("drivers",))
        return drivers or {}

    def _read_explore(self, node: Node) -> ExploreSpec:
        problems: list[Problem] = []
        explore = check_explore(node, self._catalog, problems)
        self._first(problems, ("explore",))
        return explore or ExploreSpec()

    def _read_steps(self, node: Node) -> tuple[Step, ...]:
        if not isinstance(node, SequenceNode):
            self._raise(Problem(("steps",), _EXPECTED_STEPS))
        machine = self._tree.get("machine")
        names = _Names(recorded=isinstance(machine, MappingNode) and "snapshot" in machine)
        return tuple(self._read_step(i, item, names) for i, item in enumerate(node))

    def _read_step(self, index: int, node: Node, names: _Names) -> Step:
        where = ("steps", index)
        if not isinstance(node, MappingNode) or not node:
            self._raise(Problem(where, _EXPECTED_OP))
        op, *others = node
        if op not in OPERATIONS:
            self._raise(Problem((*where, op), _EXPECTED_OP, "key", suggest(op, OPERATIONS)))
        if others:
            hint = f"; are the keys of {op} indented?" if _is_null(node[op]) else ""
            self._raise(Problem((*where, others[0]), f"one operation in a step{hint}", "key"))
        problems: list[Problem] = []
        args = self._check_step(op, node[op], where, problems)
        if args is not None:
            problems.extend(names.unknown(args))
        self._first(problems, (*where, op))
        assert args is not None  # without problems there is a record
        args = names.learn(args)
        line, column = node.key_places[op]
        return Step(index=index, op=op, args=args, line=line, column=column)

    def _check_step(self, op: str, node: Node, where: Where, problems: list[Problem]) -> Action | None:
        try:
            check: Check[Action | None] = partial(check_step, op, node, self._catalog)
            return self._known.record(op, node, self._files, check, problems)
        except PluginError as error:  # the driver cannot even say which keys it has
            place = error_at(self._tree, Problem((*where, op, "driver"), ""), file=self._file)
            error.file, error.line, error.column, error.path = place.file, place.line, place.column, place.path
            raise


def _is_null(node: Node) -> bool:
    return not isinstance(node, (MappingNode, SequenceNode)) and node.is_null
