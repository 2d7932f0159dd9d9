"""All files of the modelled /sys and /proc as one tree, built from the table of its files.

Directories are not declared: they are what the paths of the files have in common. A directory such as
``memory{}`` exists once for each number that its file's ``ids`` names, ``dax{}.{}`` once for each pair; looking one
up costs the same whether there are ten blocks or a million.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import Final, NamedTuple, TypeAlias

import numpy as np

from memhotplug.contracts import Ids, SysfsFile
from memhotplug.engine.kernel import Kernel
from memhotplug.model.extents import Array

__all__ = ["Entry", "Folder", "Tree"]

_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,17}", re.ASCII)


Numbers: TypeAlias = Callable[[Kernel, Ids], Sequence[int] | Array]


@dataclass(slots=True)
class Folder:
    """A directory.

    Attributes:
        named: what is in it, by name.
        numbered: what is in it once for each number, or for each pair of numbers: the texts around the numbers,
            and what it is.
        always: whether some file below is there on every machine, so that nothing need be asked.
        ids: for each number on the way here who says which there are.
    """

    named: dict[str, Node] = field(default_factory=dict)
    numbered: list[tuple[tuple[str, ...], Node]] = field(default_factory=list)
    always: bool = False
    ids: tuple[Numbers, ...] = ()

    def put(self, part: str, node: Node) -> Node:
        """Put something under one part of a path into the directory, unless something is there; return what is."""
        if "{}" not in part:
            return self.named.setdefault(part, node)
        texts = tuple(part.split("{}"))
        known = next((known for other, known in self.numbered if other == texts), None)
        if known is None:
            self.numbered.append((texts, node))
        return known or node


Node: TypeAlias = Folder | SysfsFile


class Entry(NamedTuple):
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
        ways: dict[str, tuple[Folder, ...]] = {"": (self._root,)}  # the directories to a path, that one included
        for file in files:
            parent, _, name = file.path.rpartition("/")
            folders = self._way(parent, ways)
            for folder in folders:
                folder.always = folder.always or file.exists is None
                folder.ids = folder.ids or file.ids
            folders[-1].put(name, file)

    def _way(self, path: str, ways: dict[str, tuple[Folder, ...]]) -> tuple[Folder, ...]:
        """Return the directories to a path, which are made where they are not there."""
        known = ways.get(path)
        if known is None:
            parent, _, name = path.rpartition("/")
            above = self._way(parent, ways)
            folder = above[-1].put(name, Folder())
            assert isinstance(folder, Folder), f"something lies below {path}, which is a file"
            known = ways[path] = (*above, folder)
        return known

    def find(self, kernel: Kernel, path: str) -> Entry | None:
        """Return what is at a path (without a leading slash; empty for the root), None if there is nothing."""
        entry = Entry(self._root)
        for part in path.split("/") if path else ():
            below = self.step(kernel, entry, part)
            if below is None:
                return None
            entry = below
        return entry

    def step(self, kernel: Kernel, entry: Entry, part: str) -> Entry | None:
        """Return what a directory has under a name, None if there is nothing."""
        folder, ids = entry
        if not isinstance(folder, Folder):
            return None
        named = folder.named.get(part)
        if named is not None:
            if isinstance(named, Folder) and named.always:
                return Entry(named, ids)
            return Entry(named, ids) if _exists(kernel, named) and _present(kernel, named, ids) else None
        for texts, node in folder.numbered:
            numbers = _numbers_in(part, texts)
            if numbers is not None and _exists(kernel, node) and self._has(kernel, node, ids, numbers):
                return Entry(node, (*ids, *numbers))
        return None

    def names(self, kernel: Kernel, entry: Entry) -> Iterator[str]:
        """Yield the names in a directory, in a fixed order."""
        for name, _ in self.entries(kernel, entry):
            yield name

    def entries(self, kernel: Kernel, entry: Entry) -> Iterator[tuple[str, Node]]:
        """Yield the names in a directory with what each is, in a fixed order."""
        folder = entry.node
        assert isinstance(folder, Folder)
        for name, node in folder.named.items():
            if not isinstance(node, Folder) and not (node.listed and _present(kernel, node, entry.ids)):
                continue
            if _exists(kernel, node):
                yield name, node
        for texts, node in folder.numbered:
            if _exists(kernel, node):
                for name in self._spelled(kernel, node, entry.ids, texts):
                    yield name, node

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

    def _spelled(self, kernel: Kernel, node: Node, ids: Ids, texts: tuple[str, ...]) -> Iterator[str]:
        first, *rest = texts
        numbers = self._numbers(kernel, node, ids)
        for number in numbers.tolist() if isinstance(numbers, np.ndarray) else numbers:
            if len(rest) == 1:
                yield f"{first}{number}{rest[0]}"
            else:
                yield from (f"{first}{number}{more}" for more in self._spelled(kernel, node, (*ids, number), (*rest,)))

    def _has(self, kernel: Kernel, node: Node, ids: Ids, numbers: tuple[int, ...]) -> bool:
        for number in numbers:
            if not _has(self._numbers(kernel, node, ids), number):
                return False
            ids = (*ids, number)
        return True

    def _numbers(self, kernel: Kernel, node: Node, ids: Ids) -> Sequence[int] | Array:
        return node.ids[len(ids)](kernel, ids)


def _present(kernel: Kernel, node: Node, ids: Ids) -> bool:
    return isinstance(node, Folder) or node.present is None or node.present(kernel, ids)


def _exists(kernel: Kernel, node: Node) -> bool:
    """Whether a machine has a file; a directory is there if anything in it is."""
    if isinstance(node, SysfsFile):
        return node.exists is None or node.exists(kernel)
    if node.always:
        return True
    below = [*node.named.values(), *(child for _, child in node.numbered)]
    return any(_exists(kernel, child) for child in below)


@lru_cache(maxsize=1 << 12)
def _numbers_in(part: str, texts: tuple[str, ...]) -> tuple[int, ...] | None:
    """Return the numbers that a name has between texts, None if it is not made so; no leading zeros."""
    first, *rest = texts
    if not part.startswith(first):
        return None
    if len(rest) == 1:  # the usual case, and the one that has to be quick
        end = len(part) - len(rest[0])
        digits = part[len(first) : end]
        return (int(digits),) if part.endswith(rest[0]) and _NUMBER.fullmatch(digits) else None
    match = _pattern(texts).fullmatch(part)
    return None if match is None else tuple(map(int, match.groups()))


@cache
def _pattern(texts: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(f"({_NUMBER.pattern})".join(map(re.escape, texts)), re.ASCII)


def _has(numbers: Sequence[int] | Array, number: int) -> bool:
    if isinstance(numbers, np.ndarray):
        at = int(numbers.searchsorted(number))
        return at < len(numbers) and int(numbers[at]) == number
    return number in numbers
