"""The recordings that lie in a folder."""

from __future__ import annotations

import os

from memhotplug.errors import words_of
from memhotplug.formats.snapshot.source import Source

__all__ = ["recordings_in"]

_ENDINGS = (".json", ".json.xz", ".json.gz", ".json.bz2")


def recordings_in(path: str) -> list[str]:
    """Return the files of a folder whose names end as those of recordings do, by name; of a file that file alone.

    Folders in it are not looked into.

    Raises:
        InputError: a folder that cannot be read, or has none.
    """
    if not os.path.isdir(path):
        return [path]
    source = Source(file=path)
    try:
        names = os.listdir(path)
    except OSError as problem:
        raise source.error("a readable folder", got=words_of(problem)) from problem
    found = [os.path.join(path, name) for name in sorted(names) if name.endswith(_ENDINGS)]
    files = [file for file in found if os.path.isfile(file)]
    if not files:
        raise source.error(f"recordings (*{', *'.join(_ENDINGS)})", got="a folder without any")
    return files
