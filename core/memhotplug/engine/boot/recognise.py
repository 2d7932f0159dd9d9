"""Which architecture and which kernel a recorded machine has: what it says, and what it shows.

A release number is what the vendor began with. What was put into that kernel later shows in the parameters of its
module, which are there or are not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

from memhotplug import features
from memhotplug.errors import InputError
from memhotplug.naming import architectures, assumed_kernel, choose_profile, mainline_since, oldest_profile

if TYPE_CHECKING:
    from memhotplug.formats.snapshot import RecordedMachine

__all__ = ["Recognised", "recognise_arch", "recognise_kernel"]

_SHOWN_BY: Final[Mapping[str, str]] = {
    "memmap_on_memory": "self_hosting",
    "online_policy": "memory_groups",
    "auto_movable_ratio": "memory_groups",
    "auto_movable_numa_aware": "memory_groups",
}
"""Parameters of the module memory_hotplug, with the feature that they came with."""

_FORCED: Final = "self_hosting_falls_back"  # came with the word force
_VENDOR: Final = re.compile(r"\.(?:el|amzn|oe|an|tl|uelc|ky|ocs)\d|\buek\b|uek\.|-(?:default|azure|rt)\Z")


class Recognised(NamedTuple):
    """The profile that stands for a recorded kernel.

    Attributes:
        profile: its name. text: why, as a sentence.
        older: whether the kernel is older than all profiles and shows nothing of theirs: it hosts no memmap in the
            memory that it describes.
    """

    profile: str
    text: str
    older: bool = False


def recognise_arch(machine: RecordedMachine) -> str | None:
    """Return the architecture that a machine tells, or whose DMA zone alone always ends where the recorded one does."""
    if machine.arch is not None:
        return machine.arch
    dma = next((zone for zone in machine.zones if zone.name == "DMA" and zone.start_pfn is not None), None)
    if dma is None or dma.start_pfn is None:
        return None
    end = (dma.start_pfn + dma.spanned) * machine.page_size
    return architectures().by_zone_end(dma.name, end)


def recognise_kernel(machine: RecordedMachine) -> Recognised:
    """Return the profile for a machine: that of its release, or a newer one if its parameters came with that.

    Raises:
        InputError: no profile is installed that could stand for it.
    """
    release = machine.kernel_release
    if release is None:
        chosen = _with(machine, assumed_kernel())
        shown = "" if chosen == assumed_kernel() else f"; {_shown_text(machine)}"
        return Recognised(profile=chosen, text=f"kernel {chosen}: none was recorded{shown}")
    try:
        oldest = oldest_profile(release)
        plain = oldest or choose_profile(release)
    except InputError as problem:
        problem.file = problem.file or machine.file
        raise
    chosen = _with(machine, plain)
    told = f"kernel {chosen}: the recorded kernel is {release}"
    if _features(machine) and (chosen != plain or oldest):
        return Recognised(profile=chosen, text=f"{told}, and {_shown_text(machine)}: its vendor has put that in")
    if oldest:
        text = f"{told}, which is older than that and never hosts a memmap in the memory it describes"
        return Recognised(profile=chosen, text=text, older=True)
    vendor = "; what its vendor has put in of newer ones does not show: --kernel names another"
    return Recognised(profile=chosen, text=told + (vendor if _VENDOR.search(release) else ""))


def _features(machine: RecordedMachine) -> dict[str, str]:
    """Return the features that a machine's parameters show, each with what shows it."""
    found: dict[str, str] = {}
    for name, feature in _SHOWN_BY.items():
        if name in machine.parameters:
            found.setdefault(feature, name)
    if machine.parameters.get("memmap_on_memory", "").strip() == "force":
        found[_FORCED] = "memmap_on_memory=force"
    return found


def _with(machine: RecordedMachine, profile: str) -> str:
    """Return a profile, or the first newer one that has all that a machine shows."""
    wanted = _features(machine)
    for name, version in mainline_since(profile):
        if all(features.has(feature, version) for feature in wanted):
            return name
    return profile


def _shown_text(machine: RecordedMachine) -> str:
    found = _features(machine)
    newest = max(found, key=lambda feature: features.FEATURES[feature].since)
    return f"it shows {found[newest]}, which came with {'linux-{}.{}'.format(*features.FEATURES[newest].since)}"
