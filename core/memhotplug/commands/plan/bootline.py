"""What the command line of a fresh guest takes of its memory before anybody can ask for it."""

from __future__ import annotations

from typing import Final

from memhotplug.engine.boot.sizes import parse_cmdline
from memhotplug.errors import InputError
from memhotplug.units import parse_size

__all__ = ["crash_kernel", "not_counted"]

_NOT_COUNTED: Final = ("hugepages", "swiotlb", "cma", "hugetlb_cma")


def crash_kernel(cmdline: str, boot: int) -> int:
    """Return the bytes that ``crashkernel=`` sets aside on a machine with ``boot`` bytes; 0 without it.

    Models: kernel/crash_reserve.c:parse_crashkernel() (kernel/crash_core.c up to v6.8). Simplified: ``,low`` and
    ``,high`` are sizes like any other, and there is always room.
    Raises:
        InputError: the value is none of the kernel's forms.
    """
    value = parse_cmdline(cmdline).get("crashkernel", "")
    if not value:
        return 0
    try:
        return _by_range(value, boot) if ":" in value else _bytes(value.partition(",")[0])
    except ValueError as problem:
        expected = f"crashkernel=SIZE[@OFFSET] or crashkernel=START-END:SIZE,… ({problem})"
        raise InputError(expected, got=f"crashkernel={value}", path="--cmdline") from None


def _by_range(value: str, boot: int) -> int:
    for entry in value.split(","):
        bounds, _, size = entry.partition(":")
        low, _, high = bounds.partition("-")
        if parse_size(low) <= boot and (not high or boot < parse_size(high)):
            return _bytes(size)
    return 0


def _bytes(text: str) -> int:
    return parse_size(text.partition("@")[0])


def not_counted(cmdline: str) -> list[str]:
    """Return the parameters that take boot memory too, but are not counted."""
    return [f"{name}={value}" for name, value in parse_cmdline(cmdline).items() if name in _NOT_COUNTED and value]
