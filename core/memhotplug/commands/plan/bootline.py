"""What the command line of a fresh guest takes of its memory before anybody can ask for it."""

from __future__ import annotations

from typing import Final

from memhotplug.engine.boot.sizes import parse_cmdline

__all__ = ["not_counted"]

_NOT_COUNTED: Final = ("hugepages", "swiotlb", "hugetlb_cma")


def not_counted(cmdline: str) -> list[str]:
    """Return the parameters that take boot memory too, but are not counted."""
    return [f"{name}={value}" for name, value in parse_cmdline(cmdline).items() if name in _NOT_COUNTED and value]
