"""Sizes as a plan words them, and how many steps it lists."""

from __future__ import annotations

from typing import Final

from memhotplug.units import format_size, typed_size

__all__ = ["MOST_STEPS", "exact_size", "typed_size"]

MOST_STEPS: Final = 16


def exact_size(size: int) -> str:
    """Return a size in MiB with one decimal where the usual rounding would hide something.

    >>> exact_size(12 << 30), exact_size(1937 << 20), exact_size(8192)
    ('12G', '1937M', '8K')
    """
    if size < 1 << 20 or size >= 100 << 30 or not size % (1 << 30):
        return format_size(size)
    mib = size / (1 << 20)
    return f"{mib:.0f}M" if mib == int(mib) else f"{mib:.1f}M"
