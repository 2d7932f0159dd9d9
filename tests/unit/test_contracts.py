"""Ranges that a driver answers with, made when their turn comes."""

from __future__ import annotations

from typing import Any

import pytest

from memhotplug.plugin import LazyRanges, PhysRange, SizingRequest, SysfsFile

BLOCK = 128 << 20


def _block(start: int) -> PhysRange:
    return PhysRange(start=start, size=BLOCK)


def test_a_lazy_sequence_is_a_sequence() -> None:
    """Length, items from either end, slices, iteration."""
    ranges = LazyRanges(range(0, 4 * BLOCK, BLOCK), _block)

    assert len(ranges) == 4
    assert (ranges[0].start, ranges[-1].start) == (0, 3 * BLOCK)
    assert ranges[1:3] == [_block(BLOCK), _block(2 * BLOCK)]
    assert [found.start for found in ranges] == [0, BLOCK, 2 * BLOCK, 3 * BLOCK]
    with pytest.raises(IndexError):
        ranges[4]


def test_nothing_is_made_before_its_turn() -> None:
    """A request of exabytes is answered at once."""
    made: list[int] = []

    def make(start: int) -> PhysRange:
        made.append(start)
        return _block(start)

    ranges = LazyRanges(range(0, 1 << 60, BLOCK), make)

    assert len(ranges) == 1 << 33
    assert made == []
    assert (ranges[7].start, made) == (7 * BLOCK, [7 * BLOCK])


def _nothing(*_arguments: object) -> str:
    return ""


def _numbers(*_arguments: object) -> tuple[int, int]:
    return 1, 2


@pytest.mark.parametrize(
    ("keywords", "mode"),
    [
        ({"show": _nothing}, 0o444),
        ({"show": _nothing, "store": _nothing}, 0o644),
        ({"store": _nothing}, 0o200),
        ({"show": _nothing, "private": True}, 0o400),
        ({"link": _nothing}, 0o777),
        ({"device": _numbers}, 0o600),
    ],
)
def test_a_file_has_the_permissions_of_what_it_can_do(keywords: dict[str, Any], mode: int) -> None:
    """As DEVICE_ATTR() with _RO, _RW, _WO and _ADMIN_RO has them."""
    assert SysfsFile(path="sys/x", **keywords).mode == mode


def test_a_sizing_request_asks_the_profile_or_goes_by_its_version() -> None:
    """Whatever the version, if somebody answers."""
    request = SizingRequest(version=(5, 2), memory=((0, 1 << 30),))
    assert not request.has("sections_by_granule")
    assert SizingRequest(version=(6, 12), memory=((0, 1 << 30),)).has("sections_by_granule")
    assert SizingRequest(version=(5, 2), memory=((0, 1 << 30),), asks=lambda _name: True).has("sections_by_granule")
    with pytest.raises(ValueError, match="no_such_feature"):
        request.has("no_such_feature")
