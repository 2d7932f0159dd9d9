"""Releases of mainline Linux: ``linux_6_12`` is Linux 6.12, a plugin; which there are, the entry points say.

What a release does and others do not is the table of features (``memhotplug.features``), which profiles,
architectures and drivers ask alike. A kernel between two releases behaves as the older one, so there is one for
each with which a feature comes or goes, and for the long-term releases, which people name.
"""

from __future__ import annotations

import re

from memhotplug.plugin import KernelProfile, hookimpl
from memhotplug_profiles.mainline.profile import MainlineProfile

__all__ = ["Release"]


class Release:
    """A plugin: one release of mainline Linux."""

    def __init__(self, major: int, minor: int) -> None:
        says = {"version": (major, minor), "__module__": __name__}
        self.profile: type[MainlineProfile] = type(f"Linux{major}_{minor}", (MainlineProfile,), says)

    @hookimpl
    def kernel_profile(self) -> KernelProfile:
        """Return the profile."""
        return self.profile()


def __getattr__(name: str) -> Release:
    """Return the release of a name, such as ``linux_6_12``.

    Raises:
        AttributeError: it is no release's.
    """
    found = re.fullmatch(r"linux_([1-9][0-9]*)_(0|[1-9][0-9]*)", name)
    if found is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return Release(int(found[1]), int(found[2]))
