"""Ranges that a driver answers with, made when their turn comes."""

from __future__ import annotations

import pytest

from memhotplug.contracts.requests import AddRequest, LazyRanges, PhysRange

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


def test_the_options_of_a_request_are_read_only() -> None:
    """Copies of a machine share them; the caller's own mapping is not theirs."""
    given: dict[str, object] = {"rounds": 1}
    request = AddRequest(driver="acpi", name="d", size=BLOCK, options=given)
    given["rounds"] = 2

    assert request.options == {"rounds": 1}
    with pytest.raises(TypeError):
        request.options["rounds"] = 3  # type: ignore[index]  # which is what must fail
