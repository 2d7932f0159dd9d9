"""The dax bus: which driver takes an instance, and how it is bound and taken away.

Models: drivers/dax/bus.c, drivers/base/bus.c:bind_store(), unbind_store() (v6.12).
"""

from __future__ import annotations

import errno
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Final, TypeAlias

from memhotplug.plugin import AddRequest, Kernel, MemoryHotplugError, Write, hot_add
from memhotplug_drivers._dax_instances import DEVDAX, KMEM, Instance, bound_to_devdax, instances, release_devdax

__all__ = ["Remove", "bind", "new_id", "remove_id", "unbind"]

Remove: TypeAlias = Callable[[Kernel, str], object]
"""What kmem does when it is taken from the device of a name."""

_OF_MEMORY: Final = ("cxl", "hmem")
_ACCEPTED: Final = f"{__name__} ids"
_ID: Final = re.compile(r"dax(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})\n?", re.ASCII)


def _accepted(kernel: Kernel, driver: str) -> tuple[str, ...]:
    found = kernel.state.driver_state.get(_ACCEPTED, {}).get(driver, ())
    return found if isinstance(found, tuple) else ()


def _accept(kernel: Kernel, driver: str, devices: tuple[str, ...]) -> None:
    known = kernel.state.driver_state.get(_ACCEPTED, {})
    kernel.state.driver_state[_ACCEPTED] = {**known, driver: devices}


def matches(kernel: Kernel, driver: str, item: Instance) -> bool:
    """Return whether a driver takes an instance. Models: drivers/dax/bus.c:dax_bus_match() (v5.1, v6.3)."""
    if item.device in _accepted(kernel, driver):
        return True
    if not kernel.has("dax_types"):
        return driver == DEVDAX
    return (KMEM if item.kind in _OF_MEMORY else DEVDAX) == driver


def _id_in(write: Write) -> str:
    match = _ID.fullmatch(write.value)
    if match is None:
        raise MemoryHotplugError(errno.EINVAL, f"a dax device such as dax0.0 is wanted, not {write.value!r}")
    return match[0].removesuffix("\n")


def new_id(driver: str, kernel: Kernel, write: Write) -> None:
    """Have a driver accept a device, and bind what it accepts; what comes of that is not told.

    Models: drivers/dax/bus.c:do_id_store(), drivers/base/dd.c:driver_attach().
    """
    device = _id_in(write)
    if device not in _accepted(kernel, driver):
        _accept(kernel, driver, (*_accepted(kernel, driver), device))
    for item in instances(kernel):
        if item.driver is None and matches(kernel, driver, item):
            with suppress(MemoryHotplugError):
                _probe(driver, kernel, item)


def remove_id(driver: str, kernel: Kernel, write: Write) -> None:
    device = _id_in(write)
    _accept(kernel, driver, tuple(other for other in _accepted(kernel, driver) if other != device))


def _named(kernel: Kernel, write: Write) -> Instance:
    wanted = write.value.removesuffix("\n")
    for item in instances(kernel):
        if item.device == wanted:
            return item
    raise MemoryHotplugError(errno.ENODEV, f"there is no dax device {wanted!r}")


def bind(driver: str, kernel: Kernel, write: Write) -> None:
    item = _named(kernel, write)
    if not matches(kernel, driver, item):
        raise MemoryHotplugError(errno.ENODEV, f"{driver} does not accept {item.device}: write it to new_id first")
    if item.driver is not None:
        raise MemoryHotplugError(errno.EBUSY, f"{item.device} is bound to {item.driver}")
    _probe(driver, kernel, item)


def _probe(driver: str, kernel: Kernel, item: Instance) -> None:
    """Bind an instance. Models: drivers/dax/bus.c:dax_bus_probe().

    Raises:
        MemoryHotplugError: what the driver's probe fails with.
    """
    if driver == DEVDAX:
        bound_to_devdax(kernel, item)
        return
    if not item.size:
        raise MemoryHotplugError(errno.ENXIO, f"{item.device} has no size")
    options = {key: value for key, value in item.options.items() if key not in ("mode", "memmap_on_memory")}
    options["ranges"] = tuple(size for _, size in item.ranges)
    if kernel.has("device_attribute"):
        options["memmap_on_memory"] = item.hosts
    hot_add(
        kernel,
        AddRequest(
            driver=item.plugin, name=item.name, size=item.size, address=item.spans[0][0], nid=item.nid, options=options
        ),
    )


def unbind(remove: Remove, driver: str, kernel: Kernel, write: Write) -> None:
    """Take an instance from its driver, which cannot refuse; memory that kmem cannot remove stays until reboot."""
    item = _named(kernel, write)
    if item.driver != driver:
        raise MemoryHotplugError(errno.ENODEV, f"{item.device} is not bound to {driver}")
    if driver == DEVDAX:
        release_devdax(kernel, item)
        return
    with suppress(MemoryHotplugError):
        remove(kernel, item.name)
