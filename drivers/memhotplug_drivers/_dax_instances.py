"""The device-dax instances of a machine: which ranges they have, and which driver holds them.

An instance stays when its driver leaves it: kmem makes memory of it, device_dax a character device. Simplified: a
region has one instance, and all of a region's space is the instance's to begin with.

Models: drivers/dax/bus.c, drivers/dax/device.c:dev_dax_probe() (v5.2 to v6.12).
"""

from __future__ import annotations

import errno
import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from memhotplug.plugin import AddRequest, Device, Kernel, MemoryHotplugError, Resource, format_range

__all__ = ["DEVDAX", "KMEM", "Instance", "bound_to_devdax", "instances", "new_instance", "put", "release_devdax"]

KMEM: Final = "kmem"
DEVDAX: Final = "device_dax"

_STATE: Final = __name__  # where the driver keeps what it remembers
_NAME: Final = re.compile(r"dax(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})", re.ASCII)
_ALIGN: Final = 2 << 20


class Instance(NamedTuple):
    """One device-dax instance.

    Attributes:
        name: what steps call it.
        plugin: the driver plugin that it belongs to.
        region, number: what the kernel calls it: daxREGION.NUMBER.
        kind: what its region is: cxl, hmem, pmem or dynamic.
        spans: first byte and bytes of each range of the region, in the order of their offsets.
        size: bytes of these that the instance has.
        nid: its target node, None if the firmware names none.
        align: the unit of mappings, in bytes.
        hosts: its attribute memmap_on_memory.
        options: the driver's own keys of the add.
        driver: who holds it: kmem, device_dax or nobody.
    """

    name: str
    plugin: str
    region: int
    number: int
    kind: str
    spans: tuple[tuple[int, int], ...]
    size: int
    nid: int | None
    align: int
    hosts: bool
    options: Mapping[str, object]
    driver: str | None = None

    @property
    def device(self) -> str:
        """What the kernel calls it."""
        return f"dax{self.region}.{self.number}"

    @property
    def room(self) -> int:
        """Bytes of the region."""
        return sum(size for _, size in self.spans)

    @property
    def ranges(self) -> list[tuple[int, int]]:
        """First byte and bytes of each range that the instance has."""
        left, found = self.size, []
        for start, size in self.spans:
            if left > 0:
                found.append((start, min(size, left)))
            left -= size
        return found


def instances(kernel: Kernel) -> list[Instance]:
    """Return all instances, by their kernel names; those of a recorded machine as /proc/iomem has them."""
    known = [item for item in kernel.state.driver_state.get(_STATE, {}).values() if isinstance(item, Instance)]
    names = {item.name for item in known}
    known += [_recorded(device) for device in kernel.state.devices if _is_recorded(device) and device.name not in names]
    return sorted(known, key=lambda item: (item.region, item.number))


def _is_recorded(device: Device) -> bool:
    return bool(device.ranges and _NAME.fullmatch(device.name))


def _recorded(device: Device) -> Instance:
    """Return the instance of a device that was there when the machine was recorded; what aligned away is not known."""
    region, number = map(int, device.name.removeprefix("dax").split("."))
    return Instance(
        name=device.name, plugin=device.driver, region=region, number=number, kind="dynamic", spans=device.ranges,
        size=device.size, nid=device.nid, align=_ALIGN, hosts=False, driver=KMEM, options={},
    )  # fmt: skip


def put(kernel: Kernel, instance: Instance) -> Instance:
    """Remember an instance, in place of the one of the same name; its region is claimed, whoever has it.

    Models: drivers/dax/kmem.c:dev_dax_kmem_probe() (v5.9 to v6.12), which names what it adds in /proc/iomem.
    """
    kernel.state.driver_state[_STATE] = {**kernel.state.driver_state.get(_STATE, {}), instance.name: instance}
    index = kernel.state.youngest(instance.name, lambda device: device.driver == instance.plugin)
    added = () if index is None or instance.driver != KMEM else kernel.state.devices[index].ranges
    spans = [(start, size, "") for start, size in instance.spans]
    spans += ((start, size, instance.device) for start, size in added)
    claims = (Resource(start=start, end=start + size - 1, name=name) for start, size, name in spans)
    kernel.state.claims[instance.plugin, instance.name] = tuple(claims)
    return instance


def new_instance(
    kernel: Kernel, request: AddRequest, spans: list[tuple[int, int]], *, hosts: bool, driver: str
) -> Instance:
    """Return the instance that a request makes, without remembering it; one of the same name keeps its number."""
    others = [item for item in instances(kernel) if item.name != request.name]
    old = next((item for item in instances(kernel) if item.name == request.name), None)
    region, number = (old.region, old.number) if old is not None else _numbers(request.name, others)
    return Instance(
        name=request.name,
        plugin=request.driver,
        region=region,
        number=number,
        kind=str(request.options.get("region", "dynamic")),
        spans=tuple(spans),
        size=sum(size for _, size in spans),
        nid=request.nid,
        align=_ALIGN if old is None else old.align,
        hosts=hosts,
        driver=driver,
        options=request.options,
    )


def _numbers(name: str, others: list[Instance]) -> tuple[int, int]:
    """Return region and number by which the kernel knows a device: as its name says, or a region of its own."""
    taken = {(item.region, item.number) for item in others}
    match = _NAME.fullmatch(name)
    if match is not None and (int(match[1]), int(match[2])) not in taken:
        return int(match[1]), int(match[2])
    regions = {region for region, _ in taken}
    return next(region for region in range(len(regions) + 1) if region not in regions), 0


def bound_to_devdax(kernel: Kernel, instance: Instance) -> Instance:
    """Make a character device of an instance, which claims its ranges in /proc/iomem.

    Raises:
        MemoryHotplugError: EBUSY, somebody has a part of them; ENXIO, the instance has no size.
    """
    if not instance.size:
        raise MemoryHotplugError(errno.ENXIO, f"{instance.device} has no size")
    for start, size in instance.ranges:
        taken = kernel.state.resources.overlapping(start, size)
        if taken:
            where = format_range(start, size)
            raise MemoryHotplugError(errno.EBUSY, f"could not reserve range {where}: {taken[0].name} has part of it")
    for start, size in instance.ranges:
        kernel.state.resources.request(
            Resource(start=start, end=start + size - 1, name=instance.device, hotplugged=True)
        )
    return put(kernel, instance._replace(driver=DEVDAX))


def release_devdax(kernel: Kernel, instance: Instance) -> Instance:
    """Take the character device away again."""
    for start, size in instance.ranges:
        kernel.state.resources.release(start, size)
    return put(kernel, instance._replace(driver=None))
