"""What a device still has after a part of it was removed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from memhotplug.engine.memory_hotplug.remove import _without

RANGES = st.lists(st.tuples(st.integers(0, 4), st.integers(1, 5)), max_size=8)


def _disjoint(steps: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Return ascending ranges from gaps and sizes."""
    ranges, at = [], 0
    for gap, size in steps:
        ranges.append((at + gap, size))
        at += gap + size
    return tuple(ranges)


@given(RANGES, st.integers(0, 40), st.integers(1, 20))
def test_what_is_left_is_what_no_byte_of_the_range_touched(steps: list[tuple[int, int]], start: int, size: int) -> None:
    """Byte by byte the same, ascending, and untouched ranges are kept as they came."""
    ranges = _disjoint(steps)

    left = _without(ranges, start, start + size)

    def bytes_of(some: tuple[tuple[int, int], ...]) -> list[int]:
        return [byte for low, length in some for byte in range(low, low + length)]

    assert bytes_of(left) == [byte for byte in bytes_of(ranges) if not start <= byte < start + size]
    untouched = [(low, length) for low, length in ranges if low + length <= start or low >= start + size]
    assert set(untouched) <= set(left)
    assert all(length > 0 for _, length in left)
