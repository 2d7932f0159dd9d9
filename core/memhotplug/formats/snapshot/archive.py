"""Reading a snapshot out of a tar archive, in one forward pass, without writing anything to disk.

Nothing in an archive is trusted: links are never followed (only their names are read), wanted
members are read up to a limit, and everything else is skipped.
"""

from __future__ import annotations

import tarfile
from tarfile import EOFHeaderError, TarFile, TarInfo  # type: ignore[attr-defined]  # the first is not in the stubs
from typing import IO, Self, cast

from memhotplug.errors import InputError
from memhotplug.formats.snapshot.layout import block_node, is_wanted
from memhotplug.formats.snapshot.source import Limits, Source
from memhotplug.formats.snapshot.streams import BoundedStream, open_stream

__all__ = ["read_archive"]

_EXTENDED = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)


def read_archive(source: Source, limits: Limits) -> dict[str, str]:
    """Return path -> text of the machine files in the tar archive ``source.file``.

    The files lie at their real paths or below one leading directory, as sos reports have it.

    Raises:
        InputError: damaged, truncated, hostile or too large, or files of more than one machine.
    """
    with open_stream(source, limits.stream_bytes) as stream:
        return _Archive(source, limits).read(stream)


class _Archive:
    """One pass over an archive. Invariant: every name in ``files`` lies below ``prefix``."""

    def __init__(self, source: Source, limits: Limits) -> None:
        self.source = source
        self.limits = limits
        self.files: dict[str, str] = {}
        self.links: dict[str, str] = {}
        self.prefix: str | None = None
        self.nr_bytes = 0
        self.ended = False
        self.member = ""  # whose header was read last

    def read(self, stream: BoundedStream) -> dict[str, str]:
        try:
            with tarfile.open(
                fileobj=cast(IO[bytes], stream), mode="r|", tarinfo=self._member_class(), bufsize=1 << 16
            ) as tar:
                self._read_members(tar)
        except tarfile.TarError as exc:
            raise self.source.error("a tar archive or a recording (JSON)", got=f"neither ({exc})") from exc
        except InputError:
            raise
        except (ValueError, LookupError, ArithmeticError, TypeError) as exc:  # tarfile checks no number of such headers
            got = f"member {self.member!r}, whose header is malformed ({exc})"
            raise self.source.error("a tar archive that can be read", got=got) from exc
        if not self.ended:
            raise self.source.error("a complete tar archive", got="one that is damaged or ends early")
        return self.links | self.files

    def _member_class(self) -> type[TarInfo]:
        archive = self

        class Member(TarInfo):
            """A header that is judged before tarfile acts on it (it reads long names into memory)."""

            @classmethod
            def fromtarfile(cls, tarfile: TarFile) -> Self:
                try:
                    return super().fromtarfile(tarfile)
                except EOFHeaderError:
                    archive.ended = True
                    raise

            # Every header comes by here, in each Python; frombuf() is not asked any more from 3.14 on.
            def _proc_member(self, tarfile: TarFile) -> TarInfo:
                archive.member = self.name
                if self.size < 0 or (self.type in _EXTENDED and self.size > archive.limits.header_bytes):
                    raise archive.source.error("members of a sensible size", got=f"a header of {self.size} bytes")
                member: TarInfo = super()._proc_member(tarfile)  # type: ignore[misc]  # not in the stubs
                return member

        return Member

    def _read_members(self, tar: TarFile) -> None:
        count = 0
        while (member := tar.next()) is not None:
            count += 1
            if count > self.limits.members:
                raise self.source.error(f"at most {self.limits.members} members", got="more")
            self._take(tar, member)
            tar.members = []  # type: ignore[attr-defined]  # tarfile keeps every header: an archive has no bound

    def _take(self, tar: TarFile, member: TarInfo) -> None:
        prefix, name = self._split(member.name)
        link = block_node(name)
        if link is not None:
            self._same_machine(prefix)
            self.links[link[0]] = link[1]
            return
        if not is_wanted(name) or not member.isreg():
            return
        self._same_machine(prefix)
        if member.size > self.limits.file_bytes:
            raise self.source.at(name).error(f"a file of at most {self.limits.file_bytes} bytes", got=member.size)
        self.nr_bytes += member.size
        if self.nr_bytes > self.limits.total_bytes:
            raise self.source.error(f"at most {self.limits.total_bytes} bytes of machine files", got="more")
        content = tar.extractfile(member)
        if content is not None:
            self.files[name] = content.read().decode("utf-8", "replace")

    def _split(self, full: str) -> tuple[str, str]:
        parts = [part for part in full.split("/") if part not in ("", ".")]
        if full.startswith("/") or ".." in parts:
            raise self.source.error("members with a relative path inside the archive", got=repr(full))
        if len(parts) > 1 and parts[0] not in ("proc", "sys", "sos_commands"):
            return parts[0], "/".join(parts[1:])
        return "", "/".join(parts)

    def _same_machine(self, prefix: str) -> None:
        if self.prefix is None:
            self.prefix = prefix
        if self.prefix != prefix:
            raise self.source.error(
                "the files of one machine", got=f"those of {self.prefix or '.'} and {prefix or '.'}"
            )
