"""One state of a live machine, with what its readers have looked up and read."""

from __future__ import annotations

import errno
import re
from collections.abc import Mapping
from typing import Final

import numpy as np

from memhotplug.engine.base_memory import Entry, show, tree_of
from memhotplug.engine.kernel import Kernel
from memhotplug.errors import MemoryHotplugError

__all__ = ["View"]

_BLOCK: Final = re.compile(r"/memory(\d+)(?:/|$)")
_MOST: Final = 1 << 20  # files that are remembered, a few hundred MB of them


class View:
    """A machine that does not change, and what is known of its files.

    Several threads use it at once; each of its operations on the dictionaries is one step of the interpreter.

    Args:
        kernel: the machine.
        entries: what was found at paths of a machine with the same files.
    """

    __slots__ = ("_entries", "_texts", "kernel", "tree")

    def __init__(self, kernel: Kernel, entries: dict[str, Entry] | None = None) -> None:
        self.kernel = kernel
        self.tree = tree_of(kernel)
        self._entries = {} if entries is None else entries
        self._texts: dict[str, str] = {}

    def find(self, path: str) -> Entry | None:
        """Return what is at a path (without a leading slash), None if there is nothing, which is not remembered."""
        known = self._entries.get(path)
        if known is not None:
            return known
        found = self.tree.find(self.kernel, path)
        if found is not None and len(self._entries) < _MOST:
            self._entries[path] = found
        return found

    def read(self, path: str) -> str:
        """Return what a file reads.

        Raises:
            MemoryHotplugError: ENODEV the file is gone, EACCES it is write-only.
        """
        text = self._texts.get(path)
        if text is not None:
            return text
        entry = self.find(path)
        if entry is None:
            raise MemoryHotplugError(errno.ENODEV, f"/{path} is gone")
        text = show(self.kernel, entry, "/" + path)
        if len(self._texts) < _MOST:
            self._texts[path] = text
        return text

    def succeeded_by(self, kernel: Kernel) -> tuple[View, list[str] | None]:
        """Return the view of a later state, and the paths that may not be what they were; None if no file came or went.

        In this case all that was looked up stays known, else that of blocks which are still there.
        """
        new = View(kernel, self._entries)
        if new.tree is not self.tree:  # a driver has come, with files anywhere
            return View(kernel), list(self._entries)
        if _has_same_files(self.kernel, kernel):
            return new, None
        gone = _gone(self.kernel, kernel)
        kept: dict[str, Entry] = {}
        doubtful = []
        for path, entry in list(self._entries.items()):
            block = _BLOCK.search(path)
            if block is not None and int(block[1]) not in gone:
                kept[path] = entry
            else:
                doubtful.append(path)
        return View(kernel, kept), doubtful


def _gone(old: Kernel, new: Kernel) -> set[int]:
    """Return the blocks that are gone, and those that are on another node."""
    was, now = old.state.blocks, new.state.blocks
    _, before, after = np.intersect1d(was.id, now.id, assume_unique=True, return_indices=True)
    same = before[was.nid[before] == now.nid[after]]
    return set(np.delete(was.id, same).tolist())


def _has_same_files(old: Kernel, new: Kernel) -> bool:
    return (
        old.state.blocks.id is new.state.blocks.id
        and _online(old) == _online(new)
        and _same_values(old.state.driver_state, new.state.driver_state)
    )


def _online(kernel: Kernel) -> list[int]:
    return [nid for nid, node in kernel.state.nodes.items() if node.online]


def _same_values(old: Mapping[str, object], new: Mapping[str, object]) -> bool:
    return old.keys() == new.keys() and all(value is new[name] for name, value in old.items())
