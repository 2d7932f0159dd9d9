"""The mainline kernels that the project has profiles of, oldest first."""

from __future__ import annotations

__all__ = ["MAINLINE", "MAINLINE_LIST", "since"]

MAINLINE = (
    "linux-5.13",
    "linux-5.15",
    "linux-5.18",
    "linux-5.19",
    "linux-6.1",
    "linux-6.2",
    "linux-6.6",
    "linux-6.8",
    "linux-6.9",
    "linux-6.10",
    "linux-6.11",
    "linux-6.12",
    "linux-6.14",
    "linux-6.15",
    "linux-6.19",
    "linux-7.2",
)
MAINLINE_LIST = ", ".join(MAINLINE)


def since(kernel: str) -> tuple[str, ...]:
    """Return a kernel and all later ones."""
    return MAINLINE[MAINLINE.index(kernel) :]
