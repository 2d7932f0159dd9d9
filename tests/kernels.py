"""The mainline kernels that the project has profiles of, oldest first."""

from __future__ import annotations

from tests.registered import built_in

__all__ = ["MAINLINE", "MAINLINE_LIST", "since", "version_of"]


def version_of(kernel: str) -> tuple[int, int]:
    """Return major and minor number of a mainline profile."""
    major, minor = kernel.removeprefix("linux-").split(".")
    return int(major), int(minor)


MAINLINE = tuple(sorted((name for name in built_in("profiles") if name.startswith("linux-")), key=version_of))
MAINLINE_LIST = ", ".join(MAINLINE)


def since(kernel: str) -> tuple[str, ...]:
    """Return a kernel and all later ones."""
    return MAINLINE[MAINLINE.index(kernel) :]
