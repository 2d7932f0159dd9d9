"""The operations of a scenario on checked steps, by name: what each does to a kernel.

Models nothing by itself: the engine does, here a step's keys become its arguments.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from memhotplug.contracts import AddRequest
from memhotplug.engine import workload
from memhotplug.engine.base_memory import write_attribute
from memhotplug.engine.kernel import Kernel
from memhotplug.engine.memory_hotplug.add import device_blocks, eject, eject_blocks, hot_add, resize
from memhotplug.engine.memory_hotplug.online import offline_blocks, online_blocks
from memhotplug.engine.memory_hotplug.remove import check_removable, remove_memory
from memhotplug.engine.mhp_flags import parse_flags, set_policy
from memhotplug.errors import MemoryHotplugError
from memhotplug.keyspec import OWN_POLICY
from memhotplug.machine.memory import Memory
from memhotplug.model.blocks import OnlineType
from memhotplug.ranges import block_ids, byte_ranges, device_of

if TYPE_CHECKING:
    from memhotplug.formats.scenario.models import AddStep, AllocateStep, OnlineStep

__all__ = ["OPERATIONS", "decide", "memory_of"]

_ONLINE_TYPES = {
    "auto": OnlineType.ONLINE,
    "kernel": OnlineType.ONLINE_KERNEL,
    "movable": OnlineType.ONLINE_MOVABLE,
}


def decide(kernel: Kernel, driver: str, *, flags: tuple[str, ...] | None = None, policy: str | None = None) -> None:
    """Let MHP flags or a policy plugin decide for a driver from now on; ``default`` is its own policy.

    Raises:
        InputError: this kernel has no such flag.
        PluginError: there is no such policy, or it is broken.
    """
    chosen = {} if flags in (None, (OWN_POLICY,)) else {driver: parse_flags(kernel, flags or ())}
    kernel.flag_override = {**kernel.flag_override, **chosen}
    if not chosen:
        kernel.flag_override.pop(driver, None)
    kernel.policies.pop(driver, None)
    if policy not in (None, OWN_POLICY):
        set_policy(kernel, driver, str(policy))


def _add(kernel: Kernel, step: AddStep) -> Memory:
    name = step.name or _fresh_name(kernel, step.driver)
    kernel.given_names |= {name}
    if kernel.state.device_index(name) is not None:
        raise MemoryHotplugError(errno.EEXIST, f"there is a device {name!r} already")
    request = AddRequest(
        driver=step.driver, name=name, size=step.size, address=step.address, nid=step.node, options=step.options
    )
    overridden, policies = dict(kernel.flag_override), dict(kernel.policies)
    if step.mhp_flags is not None:
        decide(kernel, step.driver, flags=step.mhp_flags)
    try:
        verdict = hot_add(kernel, request)
    finally:
        kernel.flag_override, kernel.policies = overridden, policies
    if kernel.state.device_index(name) is None:
        return Memory(name, 0, 0, (), verdict)  # the driver met the request without adding anything
    return memory_of(kernel, name, verdict)


def memory_of(kernel: Kernel, name: str, driver_result: str | None = None) -> Memory:
    """Return what a device has.

    Raises:
        MemoryHotplugError: ENODEV, there is no such device.
    """
    ranges = kernel.state.devices[device_of(kernel, name)].ranges
    start = ranges[0][0]
    size = ranges[-1][0] + ranges[-1][1] - start
    return Memory(name, start, size, tuple(device_blocks(kernel, name)), driver_result)


def _fresh_name(kernel: Kernel, driver: str) -> str:
    """Return the first name that no device was ever called, in a scenario or here, whatever became of it."""
    taken = {device.name for device in kernel.state.devices} | kernel.given_names
    number = 0
    while f"{driver}{number}" in taken:
        number += 1
    return f"{driver}{number}"


def _online(kernel: Kernel, step: OnlineStep) -> list[int]:
    return online_blocks(kernel, block_ids(kernel, step.range), _ONLINE_TYPES[step.zone])


def _offline(kernel: Kernel, step: Any) -> list[int]:
    return offline_blocks(kernel, block_ids(kernel, step.range))


def _remove(kernel: Kernel, step: Any) -> None:
    ranges = byte_ranges(kernel, step.range)
    for start, size in ranges:
        check_removable(kernel, start, size)
    for start, size in ranges:
        remove_memory(kernel, start, size)


def _eject(kernel: Kernel, step: Any) -> str | None:
    if step.range.kind != "name":
        return eject_blocks(kernel, block_ids(kernel, step.range))
    return eject(kernel, step.range.name)


def _resize(kernel: Kernel, step: Any) -> str | None:
    if step.range.kind != "name":
        raise MemoryHotplugError(errno.ENODEV, f"resize takes a device's name, not {step.range}")
    return resize(kernel, step.range.name, step.size)


def _write(kernel: Kernel, step: Any) -> None:
    write_attribute(kernel, step.path, step.value, capable=step.capable)


def _allocate(kernel: Kernel, step: AllocateStep) -> int:
    return workload.allocate(
        kernel,
        step.name,
        step.size,
        movable=step.zone == "movable",
        nid=step.node,
        order=step.order,
        pinned=step.pinned,
        scatter=step.scatter,
    )


def _release(kernel: Kernel, step: Any) -> None:
    workload.release(kernel, step.name)


OPERATIONS: Final[Mapping[str, Callable[[Kernel, Any], Any]]] = {
    "add": _add,
    "online": _online,
    "offline": _offline,
    "remove": _remove,
    "eject": _eject,
    "resize": _resize,
    "write": _write,
    "allocate": _allocate,
    "release": _release,
}
"""What each operation does with a kernel and with its checked step, and what it returns."""
