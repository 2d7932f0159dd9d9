"""What a live machine needs of the system that it is shown on."""

from __future__ import annotations

import importlib
import os
import sys

__all__ = ["missing"]


def missing() -> str | None:
    """Return what is missing, in one line, None if nothing is."""
    if not sys.platform.startswith("linux"):
        return f"namespaces and FUSE are Linux's, and this is {sys.platform}"
    if not os.path.exists("/dev/fuse"):
        return "/dev/fuse is missing: load the module fuse, or pass the device to the container"
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "/dev/fuse cannot be opened: permission denied"
    try:
        fuse = importlib.import_module("mfusepy")
    except ImportError:
        return "mfusepy is missing: pip install 'memhotplug[live]'"
    except (OSError, AttributeError) as problem:
        return f"libfuse3 is missing ({problem}): install the package fuse3"
    if getattr(fuse, "fuse_version_major", 0) < 3:
        return "libfuse3 is missing, and libfuse2 is too old: install the package fuse3"
    return None
