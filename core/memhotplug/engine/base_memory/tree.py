"""All files of the modelled /sys and /proc as one tree, built from the table of its files.

Directories are not declared: they are what the paths of the files have in common. A directory such as
``memory{}`` exists once for each number that its file's ``ids`` names; looking one up costs the same
whether there are ten blocks or a million.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import numpy as np

from memhotplug.contracts import Ids, SysfsFile
from memhotplug.engine.kernel import Kernel
from memhotplug.model.extents import Array

__all__ = ["Entry", "Folder", "Tree"]

_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,17}", re.ASCII)


@dataclass(slots=True)
class Folder:
    """A directory.

    Attributes:
        named: what is in it, by name.
        numbered: what is in it once for each number: text before the number, text behind it, and what it is.
        always: whether some file below is there on every machine, so that nothing need be asked.
    """

    named: dict[str, Node] = field(default_factory=dict)
    numbered: list[tuple[str, str, Node]] = field(default_factory=list)
    always: bool = False

    def child(self, part: str, make: type[Folder] | SysfsFile) -> Node:
        """Return what is in the directory under one part of a path, put there if it is not."""
        new: Node = make if isinstance(make, SysfsFile) else make()
        before, brace, behind = part.partition("{}")
        if not brace:
            return self.named.setdefault(part, new)
        known = next((node for low, high, node in self.numbered if (low, high) == (before, behind)), None)
        if known is None:
            self.numbered.append((before, behind, new))
        return new if known is None else known


Node: TypeAlias = Folder | SysfsFile


@dataclass(frozen=True, slots=True)
class Entry:
    """What was found at a path: a directory or a file, and the numbers in the path."""

    node: Node
    ids: Ids = ()


class Tree:
    """The files of one machine's /sys and /proc.

    Args:
        files: the table.
    """

    def __init__(self, files: Iterable[SysfsFile]) -> None:
        self._root = Folder()
        self._ids: dict[int, tuple[Callable[[Kernel, Ids], Sequence[int] | Array], ...]] = {}
        for file in files:
            self._put(file)

    def _put(self, file: SysfsFile) -> None:
        *parents, name = file.path.split("/")
        folder = self._root
        for part in parents:
            below = folder.child(part, Folder)
            assert isinstance(below, Folder), f"{file.path} lies below a file"
            folder = below
            folder.always = folder.always or file.exists is None
            self._note_ids(folder, file)
        folder.child(name, file)

    def _note_ids(self, folder: Folder, file: SysfsFile) -> None:
        self._ids.setdefault(id(folder), file.ids)

    def find(self, kernel: Kernel, path: str) -> Entry | None:
        """Return what is at a path (without a leading slash; empty for the root), None if there is nothing."""
        entry: Entry | None = Entry(self._root)
        for part in path.split("/") if path else ():
            entry = None if entry is None else self.step(kernel, entry, part)
        return entry

    def step(self, kernel: Kernel, entry: Entry, part: str) -> Entry | None:
        """Return what a directory has under a name, None if there is nothing."""
        folder = entry.node
        if not isinstance(folder, Folder):
            return None
        named = folder.named.get(part)
        if named is not None:
            return Entry(named, entry.ids) if _exists(kernel, named) else None
        for before, behind, node in folder.numbered:
            number = _number(part, before, behind)
            if number is not None and _exists(kernel, node) and _has(self._numbers(kernel, node, entry.ids), number):
                return Entry(node, (*entry.ids, number))
        return None

    def names(self, kernel: Kernel, entry: Entry) -> Iterator[str]:
        """Yield the names in a directory, in a fixed order."""
        folder = entry.node
        assert isinstance(folder, Folder)
        for name, node in folder.named.items():
            if _exists(kernel, node) and (isinstance(node, Folder) or node.listed):
                yield name
        for before, behind, node in folder.numbered:
            if _exists(kernel, node):
                for number in self._numbers(kernel, node, entry.ids):
                    yield f"{before}{int(number)}{behind}"

    def walk(self, kernel: Kernel, path: str = "") -> Iterator[tuple[str, Entry]]:
        """Yield every path below a directory with what is there, directories before what is in them."""
        entry = self.find(kernel, path)
        if entry is None or not isinstance(entry.node, Folder):
            return
        for name in self.names(kernel, entry):
            below = self.step(kernel, entry, name)
            if below is None:
                continue
            full = f"{path}/{name}" if path else name
            yield full, below
            if isinstance(below.node, Folder):
                yield from self.walk(kernel, full)

    def _numbers(self, kernel: Kernel, node: Node, ids: Ids) -> Sequence[int] | Array:
        providers = node.ids if isinstance(node, SysfsFile) else self._ids[id(node)]
        return providers[len(ids)](kernel, ids)


def _exists(kernel: Kernel, node: Node) -> bool:
    """Whether a machine has a file; a directory is there if anything in it is."""
    if isinstance(node, SysfsFile):
        return node.exists is None or node.exists(kernel)
    if node.always:
        return True
    below = [*node.named.values(), *(child for _, _, child in node.numbered)]
    return any(_exists(kernel, child) for child in below)


def _number(part: str, before: str, behind: str) -> int | None:
    if not part.startswith(before) or not part.endswith(behind) or len(part) <= len(before) + len(behind):
        return None
    digits = part[len(before) : len(part) - len(behind)]
    return int(digits) if _NUMBER.fullmatch(digits) else None


def _has(numbers: Sequence[int] | Array, number: int) -> bool:
    if isinstance(numbers, np.ndarray):
        at = int(np.searchsorted(numbers, number))
        return at < len(numbers) and int(numbers[at]) == number
    return number in numbers
