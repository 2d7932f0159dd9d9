"""Trying it: one hot-add on a copy of a small machine, and what became of its memmap."""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
from copy import copy
from functools import cache
from operator import attrgetter
from types import MappingProxyType
from typing import Any, Final, NamedTuple, cast

from memhotplug.commands.explain.reasons import arch_source, driver_source, profile_source
from memhotplug.contracts import AddRequest, PhysRange
from memhotplug.engine.kernel import Kernel
from memhotplug.engine.memory_hotplug.add import device_blocks, hot_add
from memhotplug.engine.memory_hotplug.presence import absence
from memhotplug.engine.mhp_flags import flags_for
from memhotplug.errors import InputError, MemoryHotplugError, PluginError
from memhotplug.manager import Plugins
from memhotplug.model.vmemmap import Source

__all__ = [
    "Trial",
    "Verdict",
    "add_by_driver",
    "add_with_flags",
    "flags_passed",
    "forget_trials",
    "hosting_flags",
    "not_passed",
    "wanted_flags",
    "why_not",
]

_NAME = "explain"
_ALL_OF: Final = 64
"""Ranges of one add that are all looked at."""
_FIRST: Final = 8
"""Ranges of a larger one that are, whatever comes behind them."""
_kind: Final = attrgetter("size", "nid", "backed", "withheld")
"""Returns what ranges that are alike have in common."""


class Trial(NamedTuple):
    """What one hot-add came to.

    Attributes:
        reserved: pages that the first block sets aside at its start for memmap; 0 if it hosts none.
        flags: the MHP flags that were passed, all ranges together.
        error: why the add failed, None if it did not.
        absent: whether it failed since there is no such driver on the machine.
    """

    reserved: int
    flags: int
    error: str | None = None
    absent: bool = False

    @property
    def hosts(self) -> bool:
        """Whether the memory hosts memmap."""
        return self.reserved > 0


class Verdict(NamedTuple):
    """Why memory does not host its memmap.

    Attributes:
        rule: the first rule that forbids it.
        source: where the kernel has that rule.
    """

    rule: str
    source: str | None


def hosting_flags(kernel: Kernel) -> dict[str, int]:
    """Return the MHP flags that ask for self-hosting, by short name."""
    return {short: bit for short in kernel.profile.short_flags if (bit := kernel.flag(short))}


def add_with_flags(kernel: Kernel, flags: int, size: int, address: int | None = None) -> Trial:
    """Add ``size`` bytes with some flags, as any driver could; by default above all memory."""
    twin = kernel.copy()
    twin.flag_override = {_NAME: flags}
    start = twin.state.first_free_address(size) if address is None else address
    request = AddRequest(driver=_NAME, name=_NAME, size=size, address=start)
    try:
        twin.add_range(request, PhysRange(start=start, size=size, nid=min(twin.state.nodes)))
    except MemoryHotplugError as refused:
        return Trial(reserved=0, flags=flags, error=str(refused))
    return Trial(reserved=_reserved(twin), flags=flags)


def add_by_driver(kernel: Kernel, driver: str, size: int, options: Mapping[str, object]) -> Trial:
    """Have a driver add ``size`` bytes; the same question is asked once."""
    return _added(kernel, driver, size, tuple(options.items()))


@cache
def _added(kernel: Kernel, driver: str, size: int, options: tuple[tuple[str, object], ...]) -> Trial:
    twin = kernel.copy()
    twin.journal.events.clear()
    request = AddRequest(driver=driver, name=_NAME, size=size, options=dict(options))
    error, absent = None, False
    try:
        hot_add(twin, request)
    except MemoryHotplugError as refused:
        error, absent = str(refused), refused.errno in (errno.ENODEV, errno.ENOENT)
    flags = _passed(kernel, driver, size, None, options) or 0
    return Trial(reserved=_reserved(twin), flags=flags, error=error, absent=absent)


def flags_passed(
    kernel: Kernel, driver: str, size: int, nid: int | None = None, options: Mapping[str, object] = MappingProxyType({})
) -> int | None:
    """Return what a driver, or the policy in its stead, passes for all ranges of an add of ``size`` bytes.

    None if it refuses the add, or adds nothing for it; the same question is asked once.
    """
    return _passed(kernel, driver, size, nid, tuple(options.items()))


@cache
def _passed(
    kernel: Kernel, driver: str, size: int, nid: int | None, options: tuple[tuple[str, object], ...]
) -> int | None:
    request = AddRequest(driver=driver, name=_NAME, size=size, nid=nid, options=dict(options))
    return None if _is_missing(kernel, driver) else _flags_of(kernel, request)


@cache
def _asked(kernel: Kernel, driver: str) -> Kernel:
    """Return the copy of a machine on which a driver is asked: that changes nothing, or its own answers only."""
    twin = kernel.copy()
    twin.plugins.driver(driver)
    return twin


@cache
def _is_missing(kernel: Kernel, driver: str) -> bool:
    return absence(kernel, driver) is not None


def forget_trials() -> None:
    """Let go of what was tried for an answer."""
    for known in (_added, _passed, _asked, _is_missing):
        known.cache_clear()


def _flags_of(kernel: Kernel, request: AddRequest) -> int | None:
    """Return what a driver that the machine has passes for a request, as :func:`flags_passed`."""
    twin = _asked(kernel, request.driver)
    key = twin.plugins.driver(request.driver)
    flags = 0
    try:
        ranges = twin.plugins.call(key, "driver_ranges", kernel=twin, request=request)
        if not len(ranges):
            return None
        for phys_range in _unlike(ranges):
            flags |= flags_for(twin, request, phys_range)
    except PluginError:
        raise
    except (InputError, MemoryHotplugError):
        return None
    return flags


def _unlike(ranges: Sequence[PhysRange]) -> list[PhysRange]:
    """Return the first of the ranges that differ in their address only: large devices come in thousands of blocks.

    Simplified: of more than 64, those between two that are alike are taken to be alike behind the first 8.
    """
    found: dict[object, PhysRange] = {}
    first = _ALL_OF if len(ranges) <= _ALL_OF else _FIRST
    for one in (*ranges[:first], *_borders(ranges, first, len(ranges) - 1)):
        found.setdefault(_kind(one), one)
    return list(found.values())


def _borders(ranges: Sequence[PhysRange], low: int, high: int) -> list[PhysRange]:
    """Return the ranges at both ends of a part, and at each border between unlike ones, ascending."""
    if low > high:
        return []
    first, last = ranges[low], ranges[high]
    middle = (low + high) // 2
    if _kind(first) == _kind(last) or high - low < 2:
        return [first, last]
    return [*_borders(ranges, low, middle), *_borders(ranges, middle, high)]


def _reserved(kernel: Kernel) -> int:
    """Return the pages of the device's first block that are set aside for memmap."""
    ids = device_blocks(kernel, _NAME)
    if not ids:
        return 0
    rows = kernel.state.blocks.rows(ids[0], ids[0])
    starts, ends = kernel.state.block_bounds(rows)
    hosted = kernel.state.vmemmap.backing_from(Source.ALTMAP).covered(int(starts[0]), int(ends[0]))
    return max(int(kernel.state.blocks.altmap_pages[rows.start]), hosted) if hosted else 0


def why_not(kernel: Kernel, trial: Trial, size: int, driver: str | None = None) -> Verdict:
    """Return the first rule that kept ``size`` bytes from hosting their memmap.

    Args:
        driver: who added it, None if the flags were given.
    """
    wanted = wanted_flags(kernel)
    refusal = kernel.profile.memmap_on_memory_refusal(kernel, size)
    if trial.error is not None and (driver is not None or refusal is None):
        return Verdict(rule=trial.error, source=_source_of(kernel, driver))
    passed = bool(trial.flags & wanted)
    if driver is not None and not passed and not (refusal and _asks_first(kernel, driver)):
        return not_passed(kernel, driver)
    if passed and not kernel.profile.filter_flags(kernel.copy(), trial.flags) & wanted:
        return Verdict(rule="the kernel drops the flag", source=profile_source(kernel))
    if refusal is not None and kernel.profile.module_parameters(kernel):
        if _is_the_architectures(kernel, size):
            return Verdict(rule=refusal, source=arch_source(kernel, "supports_memmap_on_memory"))
        return Verdict(rule=refusal, source=profile_source(kernel))
    return Verdict(
        rule="the architecture takes no page of the range for its memmap", source=arch_source(kernel, "arch_add_memory")
    )


def not_passed(kernel: Kernel, driver: str, exceptions: str | None = None) -> Verdict:
    """Return the verdict that the flag is not passed, by whom and for what; by default for nothing at all."""
    policy = kernel.policies.get(driver)
    who = "the driver" if policy is None else f"the policy {policy.partition(':')[2]}"
    source = driver_source(kernel, driver, "mhp_flags") if policy is None else None
    if exceptions is None:
        return Verdict(rule=f"{who} does not pass the flag", source=source)
    return Verdict(rule=f"{who} passes the flag, but {exceptions}", source=source)


def wanted_flags(kernel: Kernel) -> int:
    """Return all flags that ask for self-hosting."""
    bits = 0
    for bit in hosting_flags(kernel).values():
        bits |= bit
    return bits


def _source_of(kernel: Kernel, driver: str | None) -> str | None:
    if driver is None:
        return profile_source(kernel)
    return driver_source(kernel, driver, "mhp_flags" if absence(kernel, driver) is None else "driver_traits")


def _asks_first(kernel: Kernel, driver: str) -> bool:
    """Return whether a driver would pass the flag if only the kernel allowed it."""
    twin = kernel.copy()
    twin.profile = copy(kernel.profile)
    vars(twin.profile)["memmap_on_memory_refusal"] = lambda *_arguments: None
    request = AddRequest(driver=driver, name=_NAME, size=kernel.geometry.memory_block_size)
    return bool((_flags_of(twin, request) or 0) & wanted_flags(kernel))


class _WillingArchitecture:
    """Plugins whose architecture supports every size."""

    def __init__(self, plugins: Plugins) -> None:
        self._plugins = plugins

    def __getattr__(self, name: str) -> Any:
        return getattr(self._plugins, name)

    def ask(self, key: str, hook: str, answer: type, **arguments: object) -> Any:
        """Answer for the architecture, and let the others answer for themselves."""
        if hook == "supports_memmap_on_memory":
            return True
        return self._plugins.ask(key, hook, answer, **arguments)


def _is_the_architectures(kernel: Kernel, size: int) -> bool:
    """Return whether the architecture is all that refuses."""
    twin = kernel.copy()
    twin.plugins = cast(Plugins, _WillingArchitecture(kernel.plugins))
    return kernel.profile.memmap_on_memory_refusal(twin, size) is None
