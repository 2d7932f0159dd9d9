"""Which cases a sweep has: the product of all values or a sample of it, each with a digest of what decides it."""

from __future__ import annotations

import hashlib
import json
import os
import random
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Final

from memhotplug import __version__
from memhotplug.commands.compare.question import Axis
from memhotplug.commands.sweep.trace import TraceStep
from memhotplug.commands.sweep.values import parse_axis
from memhotplug.errors import InputError
from memhotplug.formats.scenario.override import Override, changed
from memhotplug.formats.scenario.yamltree import MappingNode, Node, SequenceNode, parse_tree

__all__ = ["MAX_CASES", "Question"]

MAX_CASES: Final = 1_000_000
"""Cases of one sweep; a larger product has to be sampled."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is swept; plain data, so that it travels to other processes and machines.

    Attributes:
        file: the scenario's path, for messages and for what is relative to it.
        text: what it contains.
        vary: the axes as they were typed.
        sample: how many cases to draw, None for the whole product.
        seed: of the sample.
        trace: steps that are played after the scenario's own.
        steps: whether a row is kept for each step and zone, too.
        plugins: plugin files by path, with their contents: those that were given and those that the scenario names.
        version: the program that asks.
    """

    file: str
    text: str
    vary: tuple[str, ...]
    sample: int | None = None
    seed: int = 0
    trace: tuple[TraceStep, ...] = ()
    steps: bool = False
    plugins: tuple[tuple[str, bytes], ...] = ()
    version: str = __version__

    def __getstate__(self) -> dict[str, object]:
        """Return what travels: what was asked, without what is made of it, which may be a million values."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @cached_property
    def tree(self) -> MappingNode:
        """The scenario as it stands."""
        return parse_tree(self.text, self.file)

    @cached_property
    def axes(self) -> tuple[Axis, ...]:
        """What is varied.

        Raises:
            InputError: a value is none, a key is given twice, or one puts another in its place.
        """
        found = tuple(parse_axis(text) for text in self.vary)
        for place, axis in enumerate(found):
            for earlier in found[:place]:
                where, before = axis.values[0].where, earlier.values[0].where
                if where == before:
                    raise InputError("each key once", got=axis.key, path="--vary")
                if before[: len(where)] == where:
                    expected = f"{axis.key} before {earlier.key}, which is a part of it"
                    raise InputError(expected, got=f"it behind {earlier.key}", path=f"--vary {axis.key}")
        return found

    @cached_property
    def product(self) -> int:
        """How many combinations there are."""
        count = 1
        for axis in self.axes:
            count *= len(axis.values)
        return count

    @cached_property
    def numbers(self) -> Sequence[int]:
        """The numbers of the cases within the product, ascending.

        Raises:
            InputError: there are too many, or fewer than the sample asks for.
        """
        if self.sample is None:
            if self.product > MAX_CASES:
                raise InputError(f"at most {MAX_CASES} cases; draw some of them with --sample", got=self.product)
            return range(self.product)
        if self.sample > MAX_CASES:
            raise InputError(f"a sample of at most {MAX_CASES} cases", got=self.sample)
        if self.sample >= self.product:
            return range(self.product)
        return sorted(random.Random(f"sweep:{self.seed}").sample(range(self.product), self.sample))

    def chosen(self, number: int) -> list[Override]:
        """Return the values of one case; the last axis changes fastest."""
        found: list[Override] = []
        for axis in reversed(self.axes):
            number, index = divmod(number, len(axis.values))
            found.append(axis.values[index])
        return found[::-1]

    def texts(self, number: int) -> list[str]:
        """Return the values of one case as they were typed."""
        return [override.text for override in self.chosen(number)]

    @cached_property
    def identity(self) -> dict[str, object]:
        """What decides every case, but for its values: another one is another question."""
        return {
            "scenario": _plain(self.tree),
            "steps": self.steps,
            "trace": [list(step.values()) for step in self.trace],
            "plugins": [[os.path.basename(path), hashlib.sha256(data).hexdigest()] for path, data in self.plugins],
            "snapshot": _snapshot_digest(self.tree, self.file),
            **self._varied_snapshots(),
        }

    def _varied_snapshots(self) -> dict[str, object]:
        """Return digests of the recorded machines that a key brings, by what was typed; nothing where none does."""
        found: dict[str, object] = {}
        for axis in self.axes:
            if axis.values[0].where[:2] not in (("machine",), ("machine", "snapshot")):
                continue
            for override in axis.values:
                with suppress(InputError):  # that there is no such place is said by whoever plays it
                    digest = _snapshot_digest(changed(self.tree, [override]), self.file)
                    if digest is not None:
                        found[override.text] = digest
        return {"snapshots": found} if found else {}

    @cached_property
    def shape(self) -> dict[str, object]:
        """Which cases there are."""
        return {"vary": list(self.vary), "sample": self.sample, "seed": self.seed if self.sample is not None else None}

    @cached_property
    def _base(self) -> hashlib._Hash:
        """The digest of what all cases have in common."""
        keys = json.dumps([axis.key for axis in self.axes])
        base = json.dumps([self.identity, self.version], sort_keys=True)
        return hashlib.sha256(f"{base}\0[{keys}, ".encode())

    def digest(self, number: int) -> str:
        """Return what tells a case from any other that would come out differently: 32 hexadecimal digits."""
        found = self._base.copy()
        found.update(f"{json.dumps(self.texts(number))}]".encode())
        return found.hexdigest()[:32]

    def case_tree(self, number: int) -> MappingNode:
        """Return the scenario of one case; its plugin files are among those that travel."""
        found = changed(self.tree, self.chosen(number))
        if self.plugins and not any(axis.key.startswith("plugins") for axis in self.axes):
            found.pop("plugins", None)
        return found


def _plain(node: Node) -> object:
    if isinstance(node, MappingNode):
        return {key: _plain(value) for key, value in node.items()}
    if isinstance(node, SequenceNode):
        return [_plain(value) for value in node]
    return node.text


def _snapshot_digest(tree: MappingNode, file: str) -> str | None:
    """Return a digest of the recorded machine that a scenario boots from, None for none."""
    machine = tree.get("machine")
    node = machine.get("snapshot") if isinstance(machine, MappingNode) else None
    path = node.get("path") if isinstance(node, MappingNode) else node
    text = getattr(path, "text", None)
    if text is None:
        return None
    whole = Path(os.path.dirname(file) or ".") / text
    found = hashlib.sha256()
    files = sorted(child for child in whole.rglob("*") if child.is_file()) if whole.is_dir() else [whole]
    for one in files:
        try:
            found.update(f"{one.relative_to(whole) if one != whole else ''}\0".encode() + one.read_bytes() + b"\0")
        except OSError:
            continue  # whoever reads the snapshot says what is wrong with it
    return found.hexdigest()
