"""Sorted, disjoint, half-open ranges of integers as plain lists: for the few extents of a recorded machine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

__all__ = ["Extents", "intersect", "merge", "size"]

Extents = tuple[tuple[int, int], ...]


def merge(ranges: Iterable[tuple[int, int]]) -> Extents:
    """Return the union, sorted, neighbours joined, empty ranges dropped.

    >>> merge([(4, 6), (0, 2), (2, 3), (9, 9)])
    ((0, 3), (4, 6))
    """
    joined: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if start >= end:
            continue
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    return tuple(joined)


def intersect(left: Sequence[tuple[int, int]], right: Sequence[tuple[int, int]]) -> Extents:
    """Return what lies in both; each side sorted and disjoint.

    >>> intersect([(0, 4), (6, 9)], [(2, 7)])
    ((2, 4), (6, 7))
    """
    both: list[tuple[int, int]] = []
    i = j = 0
    while i < len(left) and j < len(right):
        start, end = max(left[i][0], right[j][0]), min(left[i][1], right[j][1])
        if start < end:
            both.append((start, end))
        if left[i][1] <= right[j][1]:
            i += 1
        else:
            j += 1
    return tuple(both)


def size(ranges: Iterable[tuple[int, int]]) -> int:
    """Return how many integers the ranges hold."""
    return sum(end - start for start, end in ranges)
