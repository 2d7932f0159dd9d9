"""The mainline kernels that the project has profiles of, oldest first, as its entry points say."""

from __future__ import annotations

from importlib.metadata import distribution

__all__ = ["MAINLINE", "MAINLINE_LIST", "since", "version_of"]


def version_of(kernel: str) -> tuple[int, int]:
    """Return major and minor number of a mainline profile."""
    major, minor = kernel.removeprefix("linux-").split(".")
    return int(major), int(minor)


MAINLINE = tuple(
    sorted(
        (
            entry.name
            for entry in distribution("memhotplug").entry_points
            if entry.group == "memhotplug.profiles" and entry.name.startswith("linux-")
        ),
        key=version_of,
    )
)
MAINLINE_LIST = ", ".join(MAINLINE)


def since(kernel: str) -> tuple[str, ...]:
    """Return a kernel and all later ones."""
    return MAINLINE[MAINLINE.index(kernel) :]
