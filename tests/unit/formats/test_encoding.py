"""Which encoding a text is in."""

from __future__ import annotations

import pytest

from memhotplug.formats.encoding import decoded

TEXT = "Node 0 DMA free:896kB\nstraße\n" * 3000


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_the_text_is_the_same_in_every_encoding(encoding: str) -> None:
    """With a byte order mark or without."""
    assert decoded(TEXT.encode(encoding)) == TEXT


@pytest.mark.parametrize("data", [b"", b"a", b"abc\0def", b"\0\0\0\0", b"ab\0\0cd\0\0", b"log\0\0\0\0\0\0\0\0"])
def test_bytes_that_are_0_are_no_encoding(data: bytes) -> None:
    """As a crash leaves them in a log, and as a tar archive begins."""
    assert decoded(data) == data.decode()


def test_what_is_no_text_is_readable_all_the_same() -> None:
    """Damaged bytes are shown as such."""
    assert decoded(b"a\xffb") == "a\ufffdb"
