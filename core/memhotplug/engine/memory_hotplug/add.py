"""One hot-add, from the request to the driver's own verdict; and the driver's removal."""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from memhotplug.contracts import AddRequest, LazyRanges, PhysRange
from memhotplug.engine.kernel import Kernel
from memhotplug.engine.memory_hotplug.online import device_online, offline_blocks
from memhotplug.engine.memory_hotplug.presence import absence
from memhotplug.engine.memory_hotplug.remove import remove_leftovers, remove_memory
from memhotplug.errors import MemoryHotplugError
from memhotplug.manager import shown
from memhotplug.model.blocks import BlockState
from memhotplug.units import format_blocks

__all__ = ["device_blocks", "eject", "eject_blocks", "hot_add", "plugged_devices", "resize"]

_ONLINE: Final = BlockState.ONLINE


def hot_add(kernel: Kernel, request: AddRequest) -> str | None:
    """Have a driver add memory; return what the driver made of it.

    Raises:
        MemoryHotplugError: the machine does not have the driver (:func:`absence`), or the first error that
            add_memory() returned or the driver refused with; what was added before it stays. ``driver_result`` is
            attached as an attribute.
    """
    absent = absence(kernel, request.driver)
    if absent is not None:
        raise absent
    _check_slots(kernel)
    if request.size > 0:  # no driver gets to cut into pieces what can be nowhere
        kernel.check_reach(
            kernel.state.first_free_address(request.size) if request.address is None else request.address, request.size
        )
    before = kernel.state.blocks.copy()
    try:
        return _played(kernel, partial(_add, kernel, kernel.plugins.driver(request.driver), request))
    except MemoryHotplugError as problem:
        if not problem.blocks_done:  # what a driver of several ranges had added before one failed stays
            problem.blocks_done = tuple(sorted({*before.id.tolist()} ^ {*kernel.state.blocks.id.tolist()}))
        raise
    finally:
        _close(kernel, request)


def _check_slots(kernel: Kernel) -> None:
    """Refuse a device for which the machine has no slot left.

    Raises:
        MemoryHotplugError: ENOSPC.
    """
    if kernel.slots is None:
        return
    taken = plugged_devices(kernel)
    if taken >= kernel.slots:
        raise MemoryHotplugError(errno.ENOSPC, f"no slot is left: {taken} of {kernel.slots} are taken")


def plugged_devices(kernel: Kernel) -> int:
    """Return how many devices take a slot: those that have memory, or would have if it could be added."""
    return sum(bool(device.ranges or device.enabled or device.waiting) for device in kernel.state.devices)


def _add(kernel: Kernel, key: str, request: AddRequest) -> str | None:
    answer = kernel.plugins.ask(key, "driver_ranges", Sequence, kernel=kernel, request=request)
    ranges = LazyRanges(answer, partial(_checked, kernel, key))
    if kernel.plugins.has(key, "driver_add"):
        verdict = _verdict(kernel, key, "driver_add", request=request, ranges=ranges)
        if verdict is None and not kernel.step.add_errors:
            _check_done(kernel, key, request, ranges)
        return verdict
    for phys_range in ranges:
        kernel.add_range(request, phys_range)
    return None


def _played(kernel: Kernel, operation: Callable[[], str | None]) -> str | None:
    """Let a driver do something; the first error that add_memory() returned meanwhile is that of the step.

    Raises:
        MemoryHotplugError: that error, or what the driver refused with, with the driver's own verdict.
    """
    kernel.step.add_errors.clear()
    verdict: str | None = None
    try:
        verdict = operation()
        if kernel.step.add_errors:
            raise kernel.step.add_errors[0]
    except MemoryHotplugError as problem:
        first = kernel.step.add_errors[0] if kernel.step.add_errors else problem
        first.driver_result = verdict or problem.driver_result
        first.leaks = tuple(leak for refused in kernel.step.add_errors or [problem] for leak in refused.leaks)
        raise first from (None if first is problem else problem)
    return verdict


def resize(kernel: Kernel, name: str, size: int) -> str | None:
    """Have a device's driver give it another size in bytes; return what the driver made of it.

    Raises:
        MemoryHotplugError: ENODEV no such device, EOPNOTSUPP its driver cannot, or the first error that add_memory()
            returned or the driver refused with; what came or went is in ``blocks_done`` and stays.
    """
    index = kernel.state.youngest(name, lambda device: True)
    if index is None:
        raise MemoryHotplugError(errno.ENODEV, f"there is no device {name!r}")
    driver = kernel.state.devices[index].driver
    key = kernel.plugins.driver(driver)
    if not kernel.plugins.has(key, "driver_resize"):
        raise MemoryHotplugError(errno.EOPNOTSUPP, f"a device of {driver} keeps the size that it came with")
    before = set(device_blocks(kernel, name))
    try:
        return _played(kernel, partial(_verdict, kernel, key, "driver_resize", name=name, size=size))
    except MemoryHotplugError as problem:
        problem.blocks_done = tuple(sorted(before ^ set(device_blocks(kernel, name))))
        raise


def _verdict(kernel: Kernel, key: str, hook: str, **arguments: object) -> str | None:
    """Call a hook that answers with what the driver made of it, in words, or with None.

    Raises:
        PluginError: as ``Plugins.call()``, or the answer is something else.
    """
    answer: object = kernel.plugins.call(key, hook, kernel=kernel, **arguments)
    if answer is None or isinstance(answer, str):
        return answer
    raise kernel.plugins.blame(key, f"hook {hook} answered {shown(answer)}, which is no text")


def _check_done(kernel: Kernel, key: str, request: AddRequest, ranges: Sequence[PhysRange]) -> None:
    """Blame a driver that added nothing, opened no device that could grow, and said neither why nor what failed."""
    index = kernel.state.youngest(request.name, lambda device: not device.closed)
    if index is None or (len(ranges) and not _holds_anything(kernel, index)):
        what = f"none of {len(ranges)} ranges" if len(ranges) else "nothing, opened no device"
        raise kernel.plugins.blame(key, f"hook driver_add added {what} and says that all is well")


def _holds_anything(kernel: Kernel, index: int) -> bool:
    device = kernel.state.devices[index]
    return bool(device.ranges or device.enabled)


def _checked(kernel: Kernel, key: str, item: object) -> PhysRange:
    """Return one range that ``driver_ranges`` answered.

    Raises:
        PluginError: it is none, or not one that can be.
    """
    wrong = None
    if not isinstance(item, PhysRange) or not _of_numbers(item):
        wrong = f"{shown(item)}, which is no PhysRange"
    elif item.start < 0 or item.size < 0:
        wrong = f"a negative range: {item!r}"
    elif not (0 <= item.withheld <= item.size and 0 <= (item.backed or 0) <= item.size):
        wrong = f"more or less than a whole range: {item!r}"
    else:
        return item
    raise kernel.plugins.blame(key, f"hook driver_ranges answered {wrong}")


def _of_numbers(item: PhysRange) -> bool:
    optional = (item.nid is None or _is_number(item.nid)) and (item.backed is None or _is_number(item.backed))
    return optional and _is_number(item.start) and _is_number(item.size) and _is_number(item.withheld)


def _is_number(value: object) -> bool:
    return type(value) is int or (isinstance(value, int) and not isinstance(value, bool))


def _close(kernel: Kernel, request: AddRequest) -> None:
    devices = kernel.state.devices
    if not devices or devices[-1].name != request.name or devices[-1].closed:
        return
    if devices[-1].ranges or devices[-1].enabled or devices[-1].waiting:
        kernel.state.put_device(len(devices) - 1, closed=True)
    else:
        devices.pop()


def device_blocks(kernel: Kernel, name: str) -> list[int]:
    """Return the ids of a device's blocks, ascending; empty if there is no such device."""
    index = kernel.state.device_index(name)
    if index is None:
        return []
    return kernel.state.blocks.ids_with(device=index)


def eject(kernel: Kernel, name: str) -> str | None:
    """Have a device's driver take it out: offline what is online, then remove.

    Raises:
        MemoryHotplugError: EBUSY as a rule; what was offlined comes back by a plain online.
    """
    index = kernel.state.plugged_index(name)
    if index is None:
        raise MemoryHotplugError(errno.ENODEV, f"there is no memory of {name!r}")
    key = kernel.plugins.driver(kernel.state.devices[index].driver)
    if kernel.plugins.has(key, "driver_eject"):
        return _verdict(kernel, key, "driver_eject", name=name)
    _offline_in_two_passes(kernel, name)
    device = kernel.state.devices[index]
    for start, size in device.ranges:
        remove_memory(kernel, start, size)
    for start, size in device.enabled:
        remove_leftovers(kernel, start, size)
    kernel.state.put_device(index, enabled=(), waiting=())
    return None


def eject_blocks(kernel: Kernel, blocks: Sequence[int]) -> str | None:
    """Have a driver take some memory blocks out of its device; return what it made of it.

    Args:
        blocks: ids, ascending.

    Raises:
        MemoryHotplugError: ENODEV they are not blocks of one device, EOPNOTSUPP its driver gives none away alone, or
            what the driver refused with.
    """
    table = kernel.state.blocks
    rows = [table.row(block) for block in blocks]
    owners = {-1 if row is None else table.value("device", row) for row in rows}
    if len(owners) != 1 or -1 in owners:
        whose = "no one device has blocks" if len(blocks) > 1 else "no device has block"
        raise MemoryHotplugError(errno.ENODEV, f"{whose} {format_blocks(blocks)}")
    device = kernel.state.devices[owners.pop()]
    key = kernel.plugins.driver(device.driver)
    if not kernel.plugins.has(key, "driver_eject_blocks"):
        raise MemoryHotplugError(
            errno.EOPNOTSUPP, f"{device.driver} takes a device out as a whole ({device.name}), and no block of it alone"
        )
    return _verdict(kernel, key, "driver_eject_blocks", name=device.name, blocks=tuple(blocks))


def _offline_in_two_passes(kernel: Kernel, name: str) -> None:
    """Offline every online block, trying twice; if one stays online, bring the others back.

    They come back by the default rule, or as somebody asked while they were online already.

    Models: drivers/acpi/scan.c:acpi_scan_try_to_offline(), acpi_bus_online() (v5.2 to v6.12).
    """
    done: list[int] = []
    problem = _offline_each(kernel, name, done)
    if problem is not None:
        problem = _offline_each(kernel, name, done)
    if problem is None:
        return
    busy = format_blocks(_online(kernel, name))
    for block in sorted(done):
        device_online(kernel, block)
    raise MemoryHotplugError(errno.EBUSY, f"blocks of {name!r} stay online ({busy}): {problem.reason}")


def _offline_each(kernel: Kernel, name: str, done: list[int]) -> MemoryHotplugError | None:
    """Offline every online block that lets itself, which are noted as done; return the first refusal."""
    problem: MemoryHotplugError | None = None
    for block in _online(kernel, name):
        try:
            done += offline_blocks(kernel, [block])
        except MemoryHotplugError as refused:
            problem = problem or refused
    return problem


def _online(kernel: Kernel, name: str) -> list[int]:
    index = kernel.state.device_index(name)
    return [] if index is None else kernel.state.blocks.ids_with(device=index, state=_ONLINE)
