"""The dax bus in sysfs: regions, instances, and the drivers to which they are bound and from which they are taken.

Models: drivers/dax/bus.c, drivers/base/bus.c:bind_store(), unbind_store() (v6.12). Simplified: every region is a
platform device hmem.N, and a region has one instance: ``create`` makes no other.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Final, TypeAlias

from memhotplug.plugin import (
    Kernel,
    MemoryHotplugError,
    SysfsFile,
    Write,
    is_power_of_two,
    kstrtobool,
    kstrtou,
)
from memhotplug_drivers._dax_binding import Remove, bind, new_id, remove_id, unbind
from memhotplug_drivers._dax_instances import (
    DEVDAX,
    KMEM,
    Instance,
    instances,
    put,
)

__all__ = ["files"]

Ids: TypeAlias = tuple[int, ...]

_BUS: Final = "sys/bus/dax"
_REGION: Final = "sys/devices/platform/hmem.{}"
_DEVICE: Final = _REGION + "/dax{}.{}"
_MAJOR: Final = 510  # the first that alloc_chrdev_region() gives out beyond the usual ones
_DRIVERS: Final = (DEVDAX, KMEM)


def files(kernel: Kernel, remove: Remove) -> Iterator[SysfsFile]:
    """Yield the files of the bus, its drivers, its regions and its instances.

    Args:
        remove: what kmem does when it is taken from the device of a name.
    """
    yield from _of_bus()
    for driver in _DRIVERS:
        yield from _of_driver(driver, remove)
    yield from _of_region()
    yield from _of_device(kernel)
    yield SysfsFile(path="sys/dev/char/{}:{}", ids=(_majors, _minors), link=_place_of_number)
    yield SysfsFile(path="dev/dax{}.{}", ids=_IDS, device=lambda kernel, ids: (_MAJOR, _minor(kernel, ids)))


# ---- which there are ----


def _regions(kernel: Kernel, _ids: Ids) -> list[int]:
    return sorted({item.region for item in instances(kernel)})


def _numbers(kernel: Kernel, ids: Ids) -> list[int]:
    return [item.number for item in instances(kernel) if item.region == ids[-1]]


def _same_region(_kernel: Kernel, ids: Ids) -> list[int]:
    return [ids[0]]


def _mappings(kernel: Kernel, ids: Ids) -> list[int]:
    return list(range(len(_instance(kernel, ids).ranges)))


_IDS: Final = (_regions, _numbers)
_DEVICE_IDS: Final = (_regions, _same_region, _numbers)


def _instance(kernel: Kernel, ids: Ids) -> Instance:
    """Return the instance of the numbers region and number, or region, region, number and more."""
    number = ids[1] if len(ids) == 2 else ids[2]
    for item in instances(kernel):
        if (item.region, item.number) == (ids[0], number):
            return item
    raise MemoryHotplugError(errno.ENODEV, f"dax{ids[0]}.{number} is gone")


def _majors(kernel: Kernel, _ids: Ids) -> list[int]:
    return [_MAJOR] if instances(kernel) else []


def _minors(kernel: Kernel, _ids: Ids) -> list[int]:
    return list(range(len(instances(kernel))))


def _minor(kernel: Kernel, ids: Ids) -> int:
    return instances(kernel).index(_instance(kernel, ids))


def _place_of_number(kernel: Kernel, ids: Ids) -> str:
    return f"../../devices/platform/{_place(instances(kernel)[ids[1]])}"


def _place(item: Instance) -> str:
    return f"hmem.{item.region}/{item.device}"


# ---- the bus and its drivers ----


def _of_bus() -> Iterator[SysfsFile]:
    yield SysfsFile(
        path=f"{_BUS}/devices/dax{{}}.{{}}",
        ids=_IDS,
        link=lambda kernel, ids: f"../../../devices/platform/{_place(_instance(kernel, ids))}",
    )


def _of_driver(driver: str, remove: Remove) -> Iterator[SysfsFile]:
    place = f"{_BUS}/drivers/{driver}"
    stores: Mapping[str, Callable[[str, Kernel, Write], None]] = {
        "bind": bind,
        "unbind": partial(unbind, remove),
        "new_id": new_id,
        "remove_id": remove_id,
    }
    for name, store in stores.items():
        yield SysfsFile(path=f"{place}/{name}", store=partial(_store_of_driver, store, driver))
    yield SysfsFile(path=f"{place}/module", link=lambda _kernel, _ids: f"../../../../module/{driver}")
    yield SysfsFile(
        path=f"{place}/dax{{}}.{{}}",
        ids=(partial(_held_regions, driver), partial(_held_numbers, driver)),
        link=lambda kernel, ids: f"../../../../devices/platform/{_place(_instance(kernel, ids))}",
    )
    # What libkmod looks at to know that nothing need be loaded.
    yield SysfsFile(path=f"sys/module/{driver}/initstate", show=lambda _kernel, _ids: "live\n")
    yield SysfsFile(path=f"sys/module/{driver}/refcnt", show=lambda _kernel, _ids: "0\n")


def _store_of_driver(
    store: Callable[[str, Kernel, Write], None], driver: str, kernel: Kernel, _ids: Ids, write: Write
) -> None:
    store(driver, kernel, write)


def _held_regions(driver: str, kernel: Kernel, _ids: Ids) -> list[int]:
    return sorted({item.region for item in instances(kernel) if item.driver == driver})


def _held_numbers(driver: str, kernel: Kernel, ids: Ids) -> list[int]:
    return [item.number for item in instances(kernel) if (item.region, item.driver) == (ids[0], driver)]


# ---- regions ----


def _of_region() -> Iterator[SysfsFile]:
    shows: Mapping[str, Callable[[list[Instance]], str]] = {
        "id": lambda items: f"{items[0].region}",
        "size": lambda items: f"{sum(item.room for item in items)}",
        "align": lambda items: f"{items[0].align}",
        "available_size": lambda items: f"{sum(item.room - item.size for item in items)}",
        "create": lambda _items: "",
        "seed": lambda items: "" if items[0].driver or not items[0].number else items[0].device,
    }
    for name, show in shows.items():
        yield SysfsFile(
            path=f"{_REGION}/dax_region/{name}",
            ids=(_regions,),
            private=name == "align",
            show=partial(_show_of_region, show),
            store=_create if name == "create" else None,
        )
    yield SysfsFile(path=f"{_REGION}/dax_region/delete", ids=(_regions,), store=_delete)


def _in_region(kernel: Kernel, ids: Ids) -> list[Instance]:
    """Return the instances of a region, of which there is one at least."""
    found = [item for item in instances(kernel) if item.region == ids[0]]
    if not found:
        raise MemoryHotplugError(errno.ENODEV, f"region {ids[0]} is gone")
    return found


def _show_of_region(show: Callable[[list[Instance]], str], kernel: Kernel, ids: Ids) -> str:
    return show(_in_region(kernel, ids)) + "\n"


def _create(kernel: Kernel, ids: Ids, write: Write) -> None:
    if _number(write, 32) != 1:
        raise MemoryHotplugError(errno.EINVAL, f"create takes 1, not {write.value!r}")
    held = " and ".join(item.device for item in _in_region(kernel, ids))
    raise MemoryHotplugError(errno.ENOSPC, f"region {ids[0]} has room for {held} only")


def _delete(kernel: Kernel, ids: Ids, write: Write) -> None:
    """Refuse to delete what a region has been made for. Models: drivers/dax/bus.c:delete_store()."""
    wanted = write.value.removesuffix("\n")
    if wanted not in [item.device for item in _in_region(kernel, ids)]:
        raise MemoryHotplugError(errno.ENXIO, f"region {ids[0]} has no device {write.value!r}")
    raise MemoryHotplugError(errno.EBUSY, f"{wanted} is what region {ids[0]} is for, and stays")


# ---- instances ----


def _of_device(kernel: Kernel) -> Iterator[SysfsFile]:
    has_attribute = kernel.has("device_attribute")
    yield _attribute("size", lambda _kernel, item: f"{item.size}", _store_size)
    yield _attribute("align", lambda _kernel, item: f"{item.align}", _store_align)
    yield _attribute("resource", lambda _kernel, item: f"{item.spans[0][0]:#x}", private=True)
    yield _attribute("target_node", lambda kernel, item: f"{_target_node(kernel, item)}")
    yield _attribute("numa_node", lambda kernel, item: f"{_near_node(kernel, item)}")
    yield _attribute("modalias", lambda _kernel, _item: "dax:t0")
    yield _attribute("dev", lambda kernel, item: f"{_MAJOR}:{instances(kernel).index(item)}")
    if has_attribute:
        yield _attribute("memmap_on_memory", lambda _kernel, item: f"{int(item.hosts)}", _store_memmap_on_memory)
    yield SysfsFile(path=f"{_DEVICE}/uevent", ids=_DEVICE_IDS, show=_uevent, store=lambda _kernel, _ids, _write: None)
    yield SysfsFile(path=f"{_DEVICE}/subsystem", ids=_DEVICE_IDS, link=lambda _kernel, _ids: "../../../../bus/dax")
    yield SysfsFile(
        path=f"{_DEVICE}/driver",
        ids=_DEVICE_IDS,
        link=_driver_link,
        present=lambda kernel, ids: _instance(kernel, ids).driver is not None,
    )
    for name in ("start", "end", "page_offset"):
        yield SysfsFile(
            path=f"{_DEVICE}/mapping{{}}/{name}",
            ids=(*_DEVICE_IDS, _mappings),
            private=True,
            show=partial(_show_mapping, name),
        )


def _attribute(
    name: str,
    show: Callable[[Kernel, Instance], str],
    store: Callable[[Kernel, Instance, Write], None] | None = None,
    *,
    private: bool = False,
) -> SysfsFile:
    def shown(kernel: Kernel, ids: Ids) -> str:
        return show(kernel, _instance(kernel, ids)) + "\n"

    def stored(kernel: Kernel, ids: Ids, write: Write) -> None:
        assert store is not None
        store(kernel, _instance(kernel, ids), write)

    path = f"{_DEVICE}/{name}"
    return SysfsFile(path=path, ids=_DEVICE_IDS, show=shown, store=stored if store else None, private=private)


def _driver_link(kernel: Kernel, ids: Ids) -> str:
    return f"../../../../bus/dax/drivers/{_instance(kernel, ids).driver}"


def _uevent(kernel: Kernel, ids: Ids) -> str:
    item = _instance(kernel, ids)
    driver = f"DRIVER={item.driver}\n" if item.driver else ""
    number = f"MAJOR={_MAJOR}\nMINOR={instances(kernel).index(item)}\nDEVNAME={item.device}\n"
    return f"{number}{driver}MODALIAS=dax:t0\n"


def _show_mapping(name: str, kernel: Kernel, ids: Ids) -> str:
    ranges = _instance(kernel, ids).ranges
    start, size = ranges[ids[3]]
    offset = sum(length for _, length in ranges[: ids[3]]) // kernel.geometry.page_size
    value = {"start": start, "end": start + size - 1, "page_offset": offset}[name]
    return f"{value:#x}\n" if value else "0\n"


def _target_node(kernel: Kernel, item: Instance) -> int:
    return kernel.node_of_address(item.spans[0][0]) if item.nid is None else item.nid


def _near_node(kernel: Kernel, item: Instance) -> int:
    """Return the node that the device itself is on: its target if that has memory already, else node 0."""
    nid = _target_node(kernel, item)
    return nid if nid in kernel.state.nodes and kernel.state.nodes[nid].online else 0


def _number(write: Write, bits: int) -> int:
    try:
        return kstrtou(write.value, bits)
    except ValueError:
        raise MemoryHotplugError(errno.EINVAL, f"a number is wanted, not {write.value!r}") from None
    except OverflowError:
        raise MemoryHotplugError(errno.ERANGE, f"a number of at most {bits} bits is wanted") from None


def _store_size(kernel: Kernel, item: Instance, write: Write) -> None:
    """Change how much of its region an instance has. Models: drivers/dax/bus.c:size_store(), dev_dax_resize()."""
    size = _number(write, 64)
    if size % item.align:
        raise MemoryHotplugError(errno.EINVAL, f"size {size:#x} is not aligned to {item.align:#x}")
    if item.driver is not None:
        raise MemoryHotplugError(errno.EBUSY, f"{item.device} is bound to {item.driver}")
    if size > item.room:
        raise MemoryHotplugError(errno.ENOSPC, f"region {item.region} has {item.room - item.size:#x} bytes left")
    put(kernel, item._replace(size=size))


def _store_align(kernel: Kernel, item: Instance, write: Write) -> None:
    """Models: drivers/dax/bus.c:align_store(). Simplified: a page or a PMD, no PUD."""
    try:
        align = kstrtou(write.value, 64)
    except (ValueError, OverflowError):
        raise MemoryHotplugError(errno.ENXIO, f"align takes a number, not {write.value!r}") from None
    if align not in (kernel.geometry.page_size, kernel.geometry.pmd_size) or not is_power_of_two(align):
        raise MemoryHotplugError(errno.EINVAL, f"a dax device cannot be aligned to {align:#x}")
    if item.driver is not None:
        raise MemoryHotplugError(errno.EBUSY, f"{item.device} is bound to {item.driver}")
    if any(size % align for _, size in item.ranges):
        raise MemoryHotplugError(errno.EINVAL, f"a range of {item.device} is not aligned to {align:#x}")
    put(kernel, item._replace(align=align))


def _store_memmap_on_memory(kernel: Kernel, item: Instance, write: Write) -> None:
    """Models: drivers/dax/bus.c:memmap_on_memory_store() (v6.8)."""
    wanted = kstrtobool(write.value)
    if wanted is None:
        raise MemoryHotplugError(errno.EINVAL, f"memmap_on_memory takes a boolean, not {write.value!r}")
    rule = kernel.profile.memmap_on_memory_refusal(kernel) if wanted else None
    if rule is not None:
        raise MemoryHotplugError(errno.EOPNOTSUPP, f"memmap_on_memory: {rule}")
    if wanted != item.hosts and item.driver == KMEM:
        raise MemoryHotplugError(errno.EBUSY, f"{item.device} is bound to {KMEM}")
    put(kernel, item._replace(hosts=wanted))
