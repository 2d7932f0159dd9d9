"""Where a driver exists, which driver is the usual one, and what an attempt to use one elsewhere comes to."""

from __future__ import annotations

import re
from collections.abc import Container, Sequence

from memhotplug.contracts import DriverTraits
from memhotplug.engine.kernel import Kernel
from memhotplug.errors import MemoryHotplugError, PluginError
from memhotplug.manager import arch_traits, choose, driver_traits, names

__all__ = [
    "absence",
    "attribute_driver",
    "drivers_of",
    "left_out",
    "managing_driver",
    "region_drivers",
    "resident_drivers",
    "usual_driver",
    "window_driver",
    "window_names",
]


def absence(kernel: Kernel, driver: str) -> MemoryHotplugError | None:
    """Return the refusal of a machine that does not have a driver, None if it has it.

    Raises:
        PluginError: there is no such plugin, or it is broken.
    """
    plugins = kernel.plugins
    if driver in kernel.left_out:
        reason = f"there is no {driver} on this machine: its kernel was built without it"
        return MemoryHotplugError(plugins.driver_traits(driver).absence_errno, reason)
    why = _why_absent(plugins.driver_traits(driver), driver, kernel.arch, kernel.version, plugins.arch_traits.drivers)
    return None if why is None else MemoryHotplugError(plugins.driver_traits(driver).absence_errno, why)


def _why_absent(
    traits: DriverTraits, driver: str, arch: str, version: tuple[int, int] | None, listed: Sequence[str]
) -> str | None:
    """Return why a driver does not exist on an architecture; without a version, whether it never does."""
    if traits.arches is None or (arch not in traits.arches and driver in listed):
        return None
    if arch not in traits.arches:
        return f"there is no {driver} on {arch}: {traits.absence}"
    since = traits.arches[arch]
    if version is None or version >= since:
        return None
    came, now = (".".join(map(str, release)) for release in (since, version))
    return f"there is no {driver} on {arch}: it came with Linux {came}, this kernel is {now}"


def drivers_of(arch: str) -> list[str]:
    """Return the drivers that an architecture has under some kernel: the usual one first, the others by name.

    Drivers that cannot be loaded are left out: nobody has asked for them.

    Raises:
        PluginError: the architecture is missing or broken.
    """
    listed = arch_traits(arch).drivers
    installed = names("drivers")
    first = [name for name in listed if name in installed]
    return [*first, *(name for name in installed if name not in first and _exists(name, arch))]


def _exists(driver: str, arch: str) -> bool:
    traits = _traits_or_none(driver)
    return traits is not None and _why_absent(traits, driver, arch, None, ()) is None


def _traits_or_none(driver: str) -> DriverTraits | None:
    try:
        return driver_traits(driver)
    except PluginError:
        return None


def usual_driver(arch: str) -> str:
    """Return who adds memory to an architecture's machines where nobody says.

    Raises:
        PluginError: the architecture is missing or broken, no installed driver exists on it, or several packages
            have the usual one.
    """
    listed = arch_traits(arch).drivers
    known = names("drivers")
    if listed and any(name.rpartition(":")[2] == listed[0] for name in known):
        return choose("drivers", listed[0]).name
    found = drivers_of(arch)
    if found:
        return found[0]
    raise PluginError(arch, "has no driver: none that is installed exists on this architecture")


def resident_drivers(kernel: Kernel) -> list[str]:
    """Return the installed drivers that take part in every machine of the architecture."""
    resident = kernel.plugins.arch_traits.resident
    installed = names("drivers") if resident else ()
    return [name for name in resident if name in installed]


def window_driver(arch: str) -> str:
    """Return who makes memory of the ranges that firmware shows, the usual driver if nobody does."""
    found = drivers_of(arch)
    return next((name for name in found if driver_traits(name).windows), usual_driver(arch))


def managing_driver(arch: str, name: str) -> str | None:
    """Return the driver whose memory bears a name in /proc/iomem, None if it is nobody's."""
    return next((driver for driver in drivers_of(arch) if driver_traits(driver).managed_name == name), None)


def region_drivers(arch: str) -> list[tuple[str, re.Pattern[str]]]:
    """Return the drivers that claim ranges for themselves, with how these are called in /proc/iomem."""
    found = ((driver, driver_traits(driver).regions) for driver in drivers_of(arch))
    return [(driver, re.compile("|".join(regions))) for driver, regions in found if regions]


def window_names(arch: str) -> tuple[str, ...]:
    """Return the regular expressions for the beginning of names of ranges of which a driver could make memory."""
    return tuple(name for driver in drivers_of(arch) for name in driver_traits(driver).windows)


def attribute_driver(attribute: str) -> str | None:
    """Return the driver behind a file below /sys/devices/system, None if none has it; the first by name of several."""
    for name in names("drivers"):
        traits = _traits_or_none(name)
        if traits is not None and traits.attribute == attribute:
            return name
    return None


def left_out(arch: str, attributes: Container[str]) -> frozenset[str]:
    """Return the drivers that a recorded machine's kernel was built without.

    Args:
        attributes: the files below /sys/devices/system that the machine shows.
    """
    found = ((name, _traits_or_none(name)) for name in names("drivers"))
    return frozenset(
        name for name, traits in found if traits and arch in traits.opt_in and traits.attribute not in attributes
    )
