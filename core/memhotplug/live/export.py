"""``mhp export``: the modelled /sys and /proc as plain files, links included.

What only can be written becomes an empty file, as it is when such a tree is copied.
"""

from __future__ import annotations

import os
from pathlib import Path

from memhotplug.contracts import SysfsFile
from memhotplug.engine.base_memory import Folder, show, tree_of
from memhotplug.engine.kernel import Kernel
from memhotplug.errors import InputError

__all__ = ["export"]


def export(kernel: Kernel, folder: str) -> int:
    """Write every file below a folder, which is made if it does not exist, and return how many there are.

    Raises:
        InputError: the folder is not empty, or cannot be written.
    """
    root = Path(folder)
    try:
        root.mkdir(parents=True, exist_ok=True)
        if any(root.iterdir()):
            raise InputError("an empty folder", got="one that is not empty", file=folder)
        return sum(_write(kernel, root, path, node, ids) for path, node, ids in _entries(kernel))
    except OSError as problem:
        raise InputError("a folder that can be written", got=problem.strerror, file=folder) from problem


def _entries(kernel: Kernel) -> list[tuple[str, Folder | SysfsFile, tuple[int, ...]]]:
    return [(path, entry.node, entry.ids) for path, entry in tree_of(kernel).walk(kernel)]


def _write(kernel: Kernel, root: Path, path: str, node: Folder | SysfsFile, ids: tuple[int, ...]) -> int:
    place = root / path
    if isinstance(node, Folder):
        place.mkdir()
        return 0
    if node.link is not None:
        os.symlink(node.link(kernel, ids), place)
        return 1
    entry = tree_of(kernel).find(kernel, path)
    assert entry is not None
    place.write_text(show(kernel, entry, "/" + path) if node.show is not None else "", encoding="utf-8")
    return 1
