"""What an opened snapshot is: texts by their real path, facts about the recording, and where to point an error at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, NamedTuple

from memhotplug.errors import InputError

__all__ = ["LIMITS", "Limits", "Note", "SnapshotFiles", "SnapshotMeta", "Source"]

_NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """How much a snapshot may hold before it counts as hostile.

    Attributes:
        file_bytes: one wanted file, as text.
        total_bytes: all wanted files together.
        stream_bytes: an archive, decompressed, wanted or not.
        json_bytes: a recording, decompressed.
        json_values: values in it: a few bytes of JSON may become hundreds.
        header_bytes: one extended header of an archive (long names).
        members: entries of an archive or a directory.
    """

    file_bytes: int = 64 << 20
    total_bytes: int = 512 << 20
    stream_bytes: int = 4 << 30
    json_bytes: int = 128 << 20
    json_values: int = 3_000_000
    header_bytes: int = 1 << 20
    members: int = 2_000_000


LIMITS = Limits()


@dataclass(frozen=True, kw_only=True, slots=True)
class Note:
    """Something about a recorded machine that a reader of results must know.

    Attributes:
        kind: ``inferred`` where something was missing, ``inconsistent`` where two things disagree.
        text: one line.
    """

    kind: Literal["inferred", "inconsistent"]
    text: str


class Source(NamedTuple):
    """A place that an error can name.

    Attributes:
        file: the snapshot as the user named it.
        place: what inside it, ``proc/zoneinfo`` or ``steps[2].op``; empty for the file itself.
    """

    file: str
    place: str = ""

    def at(self, place: str) -> Source:
        """Return this source with another place."""
        return Source(file=self.file, place=place)

    def key(self, name: str | int) -> Source:
        """Return the place of a member of this JSON object or array."""
        if isinstance(name, int):
            return self.at(f"{self.place}[{name}]")
        return self.at(f"{self.place}.{name}" if self.place else name)

    def error(self, expected: str, *, got: object = None, line: int | None = None) -> InputError:
        """Return the error to raise: what was expected here; ``line`` counts from 1."""
        place = self.place if line is None else f"{self.place} line {line}".strip()
        return InputError(expected, got=got, file=self.file, path=place or None)


@dataclass(frozen=True, kw_only=True, slots=True)
class SnapshotMeta:
    """What a recording says about itself; None where nothing is said.

    Attributes:
        arch: the architecture as it is written there (``ppc64el``).
        page_size, section_size, block_size, boot_memory: bytes.
        parameters: memory_hotplug module parameters as sysfs shows them.
        early: memory that was there at boot, as its log lists it, in bytes, half-open; empty where it is not known.
    """

    arch: str | None = None
    kernel_release: str | None = None
    cmdline: str | None = None
    page_size: int | None = None
    section_size: int | None = None
    block_size: int | None = None
    boot_memory: int | None = None
    auto_online_blocks: str | None = None
    parameters: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    early: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class SnapshotFiles:
    """One moment of a machine: its files by real path, without a leading slash.

    ``memoryN/node`` is synthetic: the number in the name of the block's node link.

    Attributes:
        source: the snapshot, for errors.
        kind: what it was read from.
        step: the step of a recording, None otherwise.
        notes: what had to be inferred while opening it.
    """

    source: Source
    kind: Literal["directory", "archive", "recording", "lsmem"]
    step: int | None
    meta: SnapshotMeta
    files: Mapping[str, str]
    notes: tuple[Note, ...] = ()

    def get(self, name: str) -> str | None:
        """Return the text of one file, None when it was not recorded."""
        return self.files.get(name)

    def at(self, name: str) -> Source:
        """Return the source of one file, for errors."""
        return self.source.at(name if self.step is None else f"steps[{self.step}].files[{name}]")
