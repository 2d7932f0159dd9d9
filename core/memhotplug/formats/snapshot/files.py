"""Opening a snapshot, whatever it is kept in: a directory, a tar archive, or one step of a recording."""

from __future__ import annotations

import os
import re
from typing import Final, Literal

from memhotplug.formats.encoding import decoded
from memhotplug.formats.snapshot.directory import read_directory
from memhotplug.formats.snapshot.layout import MEMORY
from memhotplug.formats.snapshot.lsmem import is_lsmem, lsmem_files
from memhotplug.formats.snapshot.source import LIMITS, Limits, Note, SnapshotFiles, SnapshotMeta, Source
from memhotplug.formats.snapshot.streams import open_stream

__all__ = ["is_prose", "open_snapshot"]

_HEAD: Final = 1 << 12  # bytes that tell what a text is
_LOGGED: Final = re.compile(
    r'"(?:MESSAGE|__REALTIME_TIMESTAMP|dmesg|log|msg)"\s*:(?!.*"(?:meta|steps)"\s*:)', re.DOTALL
)
_LISTED: Final = re.compile(r'[\[{\s]*"(?:chardev|memdev|bus|decoder|region|root decoders|path)"\s*:')


def open_snapshot(path: str | os.PathLike[str], step: int | None = None, *, limits: Limits = LIMITS) -> SnapshotFiles:
    """Read the machine files that ``path`` holds.

    Args:
        path: a directory, a tar archive (plain, gzip, xz, bzip2) or a recording (JSON, plain or compressed).
        step: which step of a recording, from 0; the default is the first.
        limits: how large it may be.

    Raises:
        InputError: nothing there, truncated, foreign, hostile or contradictory; names the file and the step.
    """
    source = Source(file=os.fspath(path))
    if os.path.isdir(source.file):
        _no_step(source, step, "a directory")
        files = read_directory(source, limits)
        return _plain(source, "directory", files)
    if not os.path.exists(source.file):
        raise source.error("a snapshot directory, a tar archive or a recording", got="no such file")
    if not os.path.isfile(source.file):
        raise source.error("a snapshot directory, a tar archive or a recording", got="a special file")
    printed = _printed_by_lsmem(source, limits)
    if printed is not None:
        _no_step(source, step, "what lsmem printed")
        return _plain(source, "lsmem", {"lsmem": printed})
    if _looks_like_json(source):
        from memhotplug.formats.snapshot.recording import read_step

        _no_devices(source)
        return read_step(source, 0 if step is None else step, limits)
    from memhotplug.formats.snapshot.archive import read_archive

    _no_step(source, step, "a tar archive")
    return _plain(source, "archive", read_archive(source, limits))


def is_prose(path: str | os.PathLike[str]) -> bool:
    """Return whether there is a text file, compressed or not, that is no recording: a kernel log, say, as JSON too.

    Raises:
        InputError: it cannot be read, or is damaged.
    """
    source = Source(file=os.fspath(path))
    if not os.path.isfile(source.file) or not os.path.getsize(source.file):
        return False
    with open_stream(source, 1 << 20) as stream:
        head = decoded(stream.read(_HEAD))
    return "\0" not in head and (not _looks_like_json(source) or _LOGGED.search(head) is not None)


def _printed_by_lsmem(source: Source, limits: Limits) -> str | None:
    """Return the text of a file that lsmem printed, None if it is something else."""
    with open_stream(source, limits.file_bytes) as stream:
        head = stream.read(1 << 14)
        text = decoded(head)
        if "\0" in text or not is_lsmem(text):
            return None
        return decoded(head + stream.read())


def _looks_like_json(source: Source) -> bool:
    with open_stream(source, 1 << 20) as stream:
        head = stream.read(512)
    if not head:
        raise source.error("a snapshot directory, a tar archive or a recording", got="an empty file")
    # A tar header begins with a name and is padded with NULs; JSON holds none.
    return head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"[", b'"') and b"\0" not in head


def _no_devices(source: Source) -> None:
    with open_stream(source, 1 << 20) as stream:
        head = decoded(stream.read(_HEAD))
    if _LISTED.match(head):
        expected = "a machine (mhp plan --steps adds the devices of such a list, mhp align --iomem says what they lose)"
        raise source.error(expected, got="what daxctl list or cxl list print")


def _no_step(source: Source, step: int | None, what: str) -> None:
    if step is not None:
        raise source.error(f"no step with {what}; only a recording has steps", got=f"step {step}")


def _plain(source: Source, kind: Literal["directory", "archive", "lsmem"], files: dict[str, str]) -> SnapshotFiles:
    if not files:
        raise source.error("files of a machine such as proc/zoneinfo", got="none of them")
    files, notes = _with_lsmem(source, files)
    return SnapshotFiles(
        source=source,
        kind=kind,
        step=None,
        meta=SnapshotMeta(),
        files=dict(sorted(files.items())),
        notes=notes,
    )


def _with_lsmem(source: Source, files: dict[str, str]) -> tuple[dict[str, str], tuple[Note, ...]]:
    """Return files with those that lsmem read, where its output was kept and they were not."""
    printed = next((name for name in sorted(files) if "lsmem" in name), None)
    if printed is None:
        return files, ()
    kept = {name: text for name, text in files.items() if "lsmem" not in name}
    if any(name.startswith(f"{MEMORY}/memory") for name in kept) or not is_lsmem(files[printed]):
        return kept, ()
    found = lsmem_files(files[printed], source if printed == "lsmem" else source.at(printed))
    return found | kept, (Note(kind="inferred", text="memory blocks as lsmem printed them"),)
