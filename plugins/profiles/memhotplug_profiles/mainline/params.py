"""The module parameters of memory_hotplug and what a kernel remembers of memory groups.

Models: mm/memory_hotplug.c (memmap_on_memory, online_policy, auto_movable_ratio,
auto_movable_numa_aware); drivers/base/memory.c:memory_group_register_static() (v6.12).
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from memhotplug.plugin import InputError, Kernel, kstrtobool, kstrtou

__all__ = ["Group", "MainlineState", "Mode", "Policy", "read_parameters", "state_of"]


class Mode(StrEnum):
    """memory_hotplug.memmap_on_memory, as it reads back."""

    OFF = "N"
    ON = "Y"
    FORCE = "force"


class Policy(StrEnum):
    """memory_hotplug.online_policy."""

    CONTIG = "contig-zones"
    AUTO = "auto-movable"


class Group(NamedTuple):
    """A memory group; counts in pages.

    Attributes:
        nid: node id.
        max_pages: static: all pages of the device; 0 for a dynamic group.
        unit_pages: dynamic: the unit in which the device changes; 0 for a static group.
        present_kernel, present_movable: its online pages in kernel zones and in Movable, memmap included.
    """

    nid: int
    max_pages: int = 0
    unit_pages: int = 0
    present_kernel: int = 0
    present_movable: int = 0


class MainlineState:
    """What a mainline kernel remembers.

    Attributes:
        mode: whether hot-added memory may host its own memmap.
        policy: how a plain online chooses its zone.
        ratio: auto_movable_ratio in percent.
        numa_aware: auto_movable_numa_aware.
        groups: memory groups by id; replaced, never changed in place.
    """

    __slots__ = ("groups", "mode", "numa_aware", "policy", "ratio")

    def __init__(self) -> None:
        self.mode = Mode.OFF
        self.policy = Policy.CONTIG
        self.ratio = 301
        self.numa_aware = True
        self.groups: tuple[Group, ...] = ()

    def copy(self) -> MainlineState:
        """Return an independent copy."""
        twin = MainlineState.__new__(MainlineState)
        twin.mode, twin.policy, twin.ratio = self.mode, self.policy, self.ratio
        twin.numa_aware, twin.groups = self.numa_aware, self.groups
        return twin

    def deciding(self, groups: Sequence[int]) -> object:
        """Return what decides what happens next; a group whose device is gone does not."""
        return self.mode, self.policy, self.ratio, self.numa_aware, tuple(self.groups[group] for group in groups)

    def adjust_group(self, group: int, *, kernel: int = 0, movable: int = 0) -> None:
        """Count pages of a group that went online or offline. Models: adjust_present_page_count()."""
        if group < 0:
            return
        old = self.groups[group]
        new = old._replace(present_kernel=old.present_kernel + kernel, present_movable=old.present_movable + movable)
        self.groups = (*self.groups[:group], new, *self.groups[group + 1 :])


def state_of(kernel: Kernel) -> MainlineState:
    """Return the profile's state of a machine."""
    state = kernel.state.profile
    assert isinstance(state, MainlineState)
    return state


def read_parameters(kernel: Kernel) -> MainlineState:
    """Return the state that the command line asks for; parameters that this kernel does not have are ignored.

    Raises:
        InputError: a value that the kernel would refuse.
    """
    state, params = MainlineState(), kernel.params
    given = {name.removeprefix("memory_hotplug."): value for name, value in params.items()}
    if "memory_hotplug.memmap_on_memory" in params:
        state.mode = parse_mode(given["memmap_on_memory"], force=kernel.has("self_hosting_falls_back"))
    if not kernel.has("memory_groups"):
        return state
    if "memory_hotplug.online_policy" in params:
        state.policy = parse_policy(given["online_policy"])
    if "memory_hotplug.auto_movable_ratio" in params:
        state.ratio = parse_ratio(given["auto_movable_ratio"])
    if "memory_hotplug.auto_movable_numa_aware" in params:
        value = kstrtobool(given["auto_movable_numa_aware"] or "Y")  # a boolean without a value is true
        state.numa_aware = _known(value, "Y or N", "auto_movable_numa_aware", given["auto_movable_numa_aware"])
    return state


def parse_mode(text: str, *, force: bool) -> Mode:
    """Return the mode that a word means. Models: mm/memory_hotplug.c:set_memmap_mode() (v6.6)."""
    if force and text in ("force", "FORCE"):
        return Mode.FORCE
    # Up to v6.5 it is a boolean, which is true without a value; set_memmap_mode() wants one.
    value = kstrtobool(text if force else text or "Y")
    return Mode.ON if _known(value, "Y, N or force" if force else "Y or N", "memmap_on_memory", text) else Mode.OFF


def parse_policy(text: str) -> Policy:
    """Return the online policy of that name."""
    found = next((policy for policy in Policy if policy.value == text), None)
    if found is None:
        raise _refused(" or ".join(Policy), "online_policy", text)
    return found


def parse_ratio(text: str) -> int:
    """Return the ratio in percent."""
    try:
        return kstrtou(text, 32)
    except (ValueError, OverflowError):
        raise _refused("a percentage", "auto_movable_ratio", text) from None


def _known(value: bool | None, expected: str, name: str, text: str) -> bool:
    if value is None:
        raise _refused(expected, name, text)
    return value


def _refused(expected: str, name: str, text: str) -> InputError:
    return InputError(f"{expected} for memory_hotplug.{name}", got=text or "nothing", path="machine.cmdline")
