"""Releases of mainline Linux, each as what it changed.

A kernel between two of them behaves as the older one. A release is here because a rule of the
profile changes with it, or because an architecture or a driver goes by its version.
"""

from __future__ import annotations

from dataclasses import replace

from memhotplug.plugin import KernelProfile, hookimpl
from memhotplug_profiles.mainline.profile import MainlineProfile
from memhotplug_profiles.mainline.rules import Rules

__all__ = [
    "Release",
    "linux_5_13",
    "linux_5_15",
    "linux_5_18",
    "linux_5_19",
    "linux_6_1",
    "linux_6_2",
    "linux_6_6",
    "linux_6_8",
    "linux_6_9",
    "linux_6_10",
    "linux_6_11",
    "linux_6_12",
    "linux_6_14",
    "linux_6_15",
    "linux_6_19",
    "linux_7_2",
]


class Release:
    """A plugin: one release of mainline Linux."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        name = "Linux{}_{}".format(*rules.version)
        self.profile: type[MainlineProfile] = type(name, (MainlineProfile,), {"rules": rules, "__module__": __name__})

    @hookimpl
    def kernel_profile(self) -> KernelProfile:
        """Return the profile."""
        return self.profile()


def _after(older: Release, major: int, minor: int, **changes: bool) -> Release:
    return Release(replace(older.rules, version=(major, minor), **changes))


linux_5_13 = Release(Rules(version=(5, 13)))
linux_5_15 = _after(linux_5_13, 5, 15, auto_movable=True)
linux_5_18 = _after(linux_5_15, 5, 18)  # drivers: virtio-mem on arm64
linux_5_19 = _after(linux_5_18, 5, 19)  # drivers: subblocks of virtio-mem go by pageblocks
linux_6_1 = _after(linux_5_19, 6, 1)  # changes nothing: the long-term release
linux_6_2 = _after(linux_6_1, 6, 2, counts_poison=True)  # arm64: no base pages from an altmap
linux_6_6 = _after(linux_6_2, 6, 6, force=True, movable_shares_marks=False)  # powerpc: radix may self-host
linux_6_8 = _after(linux_6_6, 6, 8, split=True, prepare_online=True)  # s390; drivers: the attribute of dax
linux_6_9 = _after(linux_6_8, 6, 9)  # drivers: acpi tries devices again that failed
linux_6_10 = _after(linux_6_9, 6, 10)  # drivers: chunks of hv_balloon are memory blocks
linux_6_11 = _after(linux_6_10, 6, 11, offline_pages=True)
linux_6_12 = _after(linux_6_11, 6, 12)  # changes nothing: the long-term release
linux_6_14 = _after(linux_6_12, 6, 14)  # s390: sections of 128 MiB, virtio-mem
linux_6_15 = _after(linux_6_14, 6, 15)  # x86_64: the block size that CXL windows advise
linux_6_19 = _after(linux_6_15, 6, 19, prepare_online=False)  # drivers: sclp configures memory before it is added
linux_7_2 = _after(linux_6_19, 7, 2, nopage_flag=False)
