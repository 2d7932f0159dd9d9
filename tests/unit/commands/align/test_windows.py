"""The ranges that somebody wants to add, from /proc/iomem."""

from __future__ import annotations

import pytest

from memhotplug.commands.align.windows import Window, advised_block_size, windows_of
from memhotplug.errors import InputError
from memhotplug.formats.snapshot.iomem import parse_iomem
from memhotplug.formats.snapshot.source import Source

IOMEM = """\
00100000-bfffffff : System RAM
1050000000-205fffffff : CXL Window 0
  1050000000-144fffffff : region0
    1050200000-144fffffff : dax0.0
      1058000000-144fffffff : dax0.0
        1058000000-144fffffff : System RAM (kmem)
2060000000-305fffffff : CXL Window 1
3060000000-30ffffffff : Persistent Memory
  3060000000-30ffffffff : namespace0.0
4000000000-40ffffffff : Soft Reserved
  4000000000-40ffffffff : dax12.1
"""


@pytest.mark.parametrize(
    ("start", "size", "overlaps"),
    [(0, 10, False), (0, 11, True), (30, 5, False), (29, 5, True), (15, 1, True), (0, 100, True), (10, 20, True)],
)
def test_windows_that_only_touch_do_not_overlap(start: int, size: int, overlaps: bool) -> None:
    """Whichever of the two is asked."""
    one, other = Window(start=10, size=20), Window(start=start, size=size)
    assert (one.overlaps(other), other.overlaps(one)) == (overlaps, overlaps)


def _windows(text: str) -> list[Window]:
    return windows_of(
        parse_iomem(text, Source(file="iomem")),
        "dax",
        lambda expected, got: InputError(expected, got=got, file="iomem"),
    )


def test_iomem_gives_devices_and_windows_without_one() -> None:
    """A dax device counts once, at its outermost range, instead of the window that it lies in."""
    assert [(window.name, window.start, window.size) for window in _windows(IOMEM)] == [
        ("dax0.0", 0x1050200000, 0x144FFFFFFF + 1 - 0x1050200000),
        ("CXL Window 1", 0x2060000000, 0x1000000000),
        ("Persistent Memory", 0x3060000000, 0xA0000000),
        ("dax12.1", 0x4000000000, 0x100000000),
    ]


def test_iomem_without_such_a_range_is_refused() -> None:
    """System RAM needs no advice."""
    with pytest.raises(InputError) as caught:
        _windows("00100000-bfffffff : System RAM\n")

    assert (
        str(caught.value) == "iomem: got none, expected a range in it of which dax makes memory, such as a CXL window"
    )


@pytest.mark.parametrize(
    ("windows", "advised"),
    [
        ([], None),
        ([(4 << 30, 1 << 30)], 1 << 30),
        ([(4 << 30, 1 << 30), (8 << 30, 256 << 20)], 256 << 20),
        ([(4 << 30, 1 << 30), (8 << 30, 128 << 20)], 1 << 30),
    ],
)
def test_firmware_advises_the_least_alignment_that_is_large_enough(
    windows: list[tuple[int, int]], advised: int | None
) -> None:
    """A window of less than 256 MiB advises nothing."""
    assert advised_block_size(windows) == advised
