"""Reading a possibly compressed file without letting it grow without bound."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from typing import IO, Protocol

from memhotplug.errors import InputError, words_of
from memhotplug.formats.snapshot.source import Source

__all__ = ["BoundedStream", "open_stream"]

_PIECE = 1 << 20


class _Readable(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...

    def close(self) -> None: ...


class _Xz:
    """What is compressed with xz, as ``lzma.LZMAFile`` reads it, without the buffers that are filled on the way there.

    What follows the last stream, and is none, is left out.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._decompressor = lzma.LZMADecompressor()
        self._ended = False

    def read(self, size: int = -1, /) -> bytes:
        """Return some of what is left, at most ``size`` bytes; nothing at the end.

        Raises:
            LZMAError: it is damaged.
            EOFError: it ends within a stream.
        """
        data = b""
        while not data and not self._ended:
            if self._decompressor.eof:
                data = self._next(size)
                continue
            more = self._file.read(_PIECE) if self._decompressor.needs_input else b""
            if self._decompressor.needs_input and not more:
                raise EOFError("Compressed file ended before the end-of-stream marker was reached")
            data = self._decompressor.decompress(more, size)
        return data

    def _next(self, size: int) -> bytes:
        """Begin with the next stream, if there is one."""
        more = self._decompressor.unused_data or self._file.read(_PIECE)
        self._decompressor = lzma.LZMADecompressor()
        try:
            data = self._decompressor.decompress(more, size) if more else b""
        except lzma.LZMAError:
            data, self._ended = b"", True
        self._ended = self._ended or not more
        return data

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class BoundedStream:
    """A forward-only byte stream that fails once more than ``limit`` bytes came out of it."""

    def __init__(self, raw: IO[bytes], limit: int, source: Source) -> None:
        self._file = raw
        self._raw: _Readable = raw
        self._limit = limit
        self._done = 0
        self._source = source

    def decompress(self) -> None:
        """Decompress from here on what the file's first bytes say it is; called before anything is read.

        Raises:
            InputError: unreadable, or compressed in a way that is not known here.
        """
        head = self.read(6)
        self._file.seek(0)
        self._done = 0
        self._raw = _decompressed(self._file, head, self._source)

    def read(self, size: int = -1) -> bytes:
        """Return at most ``size`` bytes, all there is if it is negative.

        Raises:
            InputError: the data is damaged, ends early, or is more than the limit.
        """
        room = self._limit - self._done + 1
        try:
            data = self._pieces(room if size < 0 else min(size, room))
        except (EOFError, zlib.error, lzma.LZMAError, OSError) as exc:
            raise self._source.error("a complete, readable file", got=f"damaged or truncated data ({exc})") from exc
        self._done += len(data)
        if self._done > self._limit:
            raise self._source.error(f"at most {self._limit} bytes once decompressed", got="more")
        return data

    def _pieces(self, size: int) -> bytes:
        """Return at most ``size`` bytes; most make a buffer of what is asked for at once, however little there is."""
        pieces: list[bytes] = []
        most = size if isinstance(self._raw, _Xz) else _PIECE
        while size > 0 and (piece := self._raw.read(min(size, most))):
            pieces.append(piece)
            size -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def close(self) -> None:
        """Close the file below, and what decompresses it."""
        self._raw.close()
        self._file.close()

    def __enter__(self) -> BoundedStream:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def open_stream(source: Source, limit: int) -> BoundedStream:
    """Open ``source.file``, decompressing what its first bytes say it is (gzip, xz, bzip2, or nothing).

    Raises:
        InputError: it cannot be opened, or is compressed in another way.
    """
    try:
        stream = BoundedStream(open(source.file, "rb"), limit, source)  # noqa: SIM115 the stream closes it
    except OSError as exc:
        raise source.error("a readable file", got=words_of(exc)) from exc
    except ValueError as exc:  # a NUL in the name
        raise source.error("a file name", got=str(exc)) from exc
    try:
        stream.decompress()
    except InputError:
        stream.close()
        raise
    return stream


def _decompressed(raw: IO[bytes], head: bytes, source: Source) -> _Readable:
    if head.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(fileobj=raw)
    if head.startswith((b"\xfd7zXZ\x00", b"\x5d\x00\x00")):  # the latter before there was xz
        return _Xz(raw)
    if head.startswith(b"BZh"):
        return bz2.BZ2File(raw)
    if head.startswith(b"\x28\xb5\x2f\xfd"):
        raise source.error("a file that is plain or compressed with gzip, xz or bzip2", got="zstd")
    return raw
