"""``mhp export``: the modelled /sys and /proc as plain files, links included.

What only can be written becomes an empty file, as it is when such a tree is copied; device nodes are left out.
"""

from __future__ import annotations

import os
from pathlib import Path

from memhotplug.engine.base_memory import Entry, Folder, show, tree_of
from memhotplug.engine.kernel import Kernel
from memhotplug.errors import InputError, words_of
from memhotplug.output.files import make_folder

__all__ = ["export"]


def export(kernel: Kernel, folder: str) -> int:
    """Write every file below a folder, which is made if it does not exist, and return how many there are.

    Raises:
        InputError: the folder is not empty, or cannot be written.
    """
    root = make_folder(folder)
    try:
        if any(root.iterdir()):
            raise InputError("an empty folder", got="one that is not empty", file=folder)
        return sum(_write(kernel, root, path, entry) for path, entry in tree_of(kernel).walk(kernel))
    except OSError as problem:
        raise InputError("a folder that can be written", got=words_of(problem), file=folder) from problem


def _write(kernel: Kernel, root: Path, path: str, entry: Entry) -> int:
    place, node = f"{root}/{path}", entry.node
    if isinstance(node, Folder):
        os.mkdir(place)
        return 0
    if node.device is not None:
        return 0
    if node.link is not None:
        os.symlink(node.link(kernel, entry.ids), place)
        return 1
    text = show(kernel, entry, "/" + path) if node.show is not None else ""
    with open(place, "w", encoding="utf-8") as file:
        file.write(text)
    return 1
