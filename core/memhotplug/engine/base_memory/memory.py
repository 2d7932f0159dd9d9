"""The memory block devices in sysfs: what their attributes read, and what writes to them do.

Models: drivers/base/memory.c, drivers/base/core.c:online_store(), uevent_store() (v5.2 to v6.12).
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final

from memhotplug.contracts import AddRequest, Ids, SysfsFile, Write
from memhotplug.engine import memory_failure
from memhotplug.engine.base_memory.node import has_nodes, node_link
from memhotplug.engine.base_memory.valid_zones import show_zones, valid_zones
from memhotplug.engine.kernel import Kernel
from memhotplug.engine.memory_hotplug.add import hot_add
from memhotplug.engine.memory_hotplug.online import device_online, offline_blocks, online_blocks
from memhotplug.engine.memory_hotplug.presence import absence, attribute_driver
from memhotplug.engine.procfs.items import has_config
from memhotplug.errors import MemoryHotplugError
from memhotplug.model.blocks import BlockState, OnlineType
from memhotplug.model.extents import Array
from memhotplug.units import kstrtobool, kstrtou

__all__ = ["files", "probe_absence", "uevent"]

_MEMORY: Final = "sys/devices/system/memory"
_PROBE: Final = "memory/probe"
_ONLINE_TYPES: Final = {online_type.label: online_type for online_type in OnlineType}
_UEVENTS: Final = ("add", "remove", "change", "move", "online", "offline", "bind", "unbind")


def files(kernel: Kernel) -> Iterator[SysfsFile]:
    """Yield the files below /sys/devices/system/memory, those that only this profile has included."""
    yield from _ROOT
    for name in kernel.profile.root_attributes(kernel):
        yield SysfsFile(path=f"{_MEMORY}/{name}", show=partial(_show_own, name), store=partial(_store_own, name))
    yield from _BLOCK


# ---- the root ----


def _show_own(name: str, kernel: Kernel, _ids: Ids) -> str:
    return kernel.profile.root_attributes(kernel)[name]


def _store_own(name: str, kernel: Kernel, _ids: Ids, write: Write) -> None:
    if not kernel.profile.write_root_attribute(kernel, name, write.value, capable=write.capable):
        raise MemoryHotplugError(errno.EACCES, f"/{_MEMORY}/{name} is read-only")


def _store_auto_online(kernel: Kernel, _ids: Ids, write: Write) -> None:
    wanted = _online_type(write.value)
    known = kernel.profile.auto_online_types
    if wanted not in known or wanted is None:
        words = ", ".join(online_type.label for online_type in known)
        raise MemoryHotplugError(errno.EINVAL, f"auto_online_blocks takes one of {words}, not {write.value!r}")
    kernel.state.auto_online = wanted


def probe_absence(kernel: Kernel) -> MemoryHotplugError | None:
    """Return why this kernel has no file ``probe``, None if it has one."""
    driver = attribute_driver(_PROBE)
    if driver is None:
        return MemoryHotplugError(errno.ENOENT, f"there is no /{_MEMORY}/probe: no driver that has it is installed")
    problem = absence(kernel, driver)
    if problem is None:
        return None
    return MemoryHotplugError(problem.errno or errno.ENOENT, f"there is no /{_MEMORY}/probe: {problem.reason}")


def _write_probe(kernel: Kernel, _ids: Ids, write: Write) -> None:
    """Add the one block at an address. Models: drivers/base/memory.c:probe_store()."""
    try:
        address = kstrtou(write.value, 64)
    except ValueError:
        raise MemoryHotplugError(errno.EINVAL, f"probe takes an address, not {write.value!r}") from None
    except OverflowError:
        raise MemoryHotplugError(errno.ERANGE, "probe takes an address of at most 64 bits") from None
    size = kernel.geometry.memory_block_size
    if address % size:
        raise MemoryHotplugError(errno.EINVAL, f"{address:#x} is not aligned to a memory block of {size:#x} bytes")
    driver = attribute_driver(_PROBE)
    assert driver is not None  # else there is no such file
    hot_add(kernel, AddRequest(driver=driver, name=f"{driver}{address // size}", size=size, address=address))


def _offline_page(name: str, kernel: Kernel, _ids: Ids, write: Write) -> None:
    memory_failure.offline_page(kernel, name, write.value, capable=write.capable)


def uevent(_kernel: Kernel, _ids: Ids, write: Write) -> None:
    """Have a device announce itself once more; nothing of the model listens.

    Models: lib/kobject_uevent.c:kobject_synth_uevent().
    """
    action = write.value.split(maxsplit=1)[0] if write.value.split() else ""
    if action not in _UEVENTS:
        raise MemoryHotplugError(errno.EINVAL, f"uevent takes one of {', '.join(_UEVENTS)}, not {write.value!r}")


def _nothing(_kernel: Kernel, _ids: Ids) -> str:
    return ""


_ROOT: Final = (
    SysfsFile(path=f"{_MEMORY}/block_size_bytes", show=lambda kernel, _: f"{kernel.geometry.memory_block_size:x}\n"),
    SysfsFile(
        path=f"{_MEMORY}/auto_online_blocks",
        show=lambda kernel, _: kernel.state.auto_online.label + "\n",
        store=_store_auto_online,
    ),
    SysfsFile(path=f"{_MEMORY}/probe", store=_write_probe, exists=lambda kernel: probe_absence(kernel) is None),
    *(SysfsFile(path=f"{_MEMORY}/{name}", store=partial(_offline_page, name)) for name in memory_failure.FILES),
    # Models: kernel/crash_core.c:crash_check_hotplug_support() (v6.6). Simplified: no crash kernel is ever loaded.
    SysfsFile(
        path=f"{_MEMORY}/crash_hotplug",
        show=lambda _kernel, _: "0\n",
        exists=lambda kernel: has_config(kernel, "CRASH_HOTPLUG"),
    ),
    SysfsFile(path=f"{_MEMORY}/uevent", show=_nothing, store=uevent),
)


# ---- a block ----


def _row(kernel: Kernel, ids: Ids) -> int:
    row = kernel.state.blocks.row(ids[-1] if len(ids) == 1 else ids[0])
    if row is None:
        raise MemoryHotplugError(errno.ENODEV, f"memory block {ids[0]} is gone")
    return row


def _block_ids(kernel: Kernel, _ids: Ids) -> Array:
    return kernel.state.blocks.id


def _nodes_of_block(kernel: Kernel, ids: Ids) -> Sequence[int]:
    row = kernel.state.blocks.row(ids[0])
    return [] if row is None else [kernel.state.blocks.value("nid", row)]


def _show_state(kernel: Kernel, row: int) -> str:
    return BlockState(kernel.state.blocks.value("state", row)).label


def _show_online(kernel: Kernel, row: int) -> str:
    return f"{int(kernel.state.blocks.value('state', row) == BlockState.ONLINE)}"


def _show_phys_index(kernel: Kernel, row: int) -> str:
    return f"{kernel.state.blocks.value('id', row):08x}"


def _show_phys_device(kernel: Kernel, row: int) -> str:
    increment = kernel.geometry.increment_size
    start = kernel.state.blocks.value("id", row) * kernel.geometry.memory_block_size
    return f"{start // increment if increment else 0}"


def _show_removable(kernel: Kernel, row: int) -> str:
    return f"{int(kernel.profile.removable(kernel, slice(row, row + 1))[0])}"


def _show_valid_zones(kernel: Kernel, row: int) -> str:
    return show_zones(valid_zones(kernel, row))


def _show_node(kernel: Kernel, row: int) -> str:
    return f"{kernel.state.blocks.value('nid', row)}"


def _store_state(kernel: Kernel, ids: Ids, write: Write) -> None:
    wanted = _online_type(write.value)
    if wanted is None:
        raise MemoryHotplugError(
            errno.EINVAL, f"state takes online, online_kernel, online_movable or offline, not {write.value!r}"
        )
    if wanted is OnlineType.OFFLINE:
        offline_blocks(kernel, [ids[0]])
    else:
        online_blocks(kernel, [ids[0]], wanted)


def _store_online(kernel: Kernel, ids: Ids, write: Write) -> None:
    """Write the generic ``online`` file, which is idempotent. Models: drivers/base/core.c:online_store()."""
    wanted = kstrtobool(write.value)
    if wanted is None:
        raise MemoryHotplugError(errno.EINVAL, f"online takes 0 or 1, not {write.value!r}")
    row = _row(kernel, ids)
    is_online = kernel.state.blocks.value("state", row) == BlockState.ONLINE
    if wanted and not is_online:
        device_online(kernel, ids[0])
    elif not wanted and is_online:
        offline_blocks(kernel, [ids[0]])


def _online_type(value: str) -> OnlineType | None:
    return _ONLINE_TYPES.get(value.removesuffix("\n"))


def _shown(reader: Callable[[Kernel, int], str]) -> Callable[[Kernel, Ids], str]:
    return lambda kernel, ids: reader(kernel, _row(kernel, ids)) + "\n"


def _of_block(
    name: str,
    reader: Callable[[Kernel, int], str],
    store: Callable[[Kernel, Ids, Write], None] | None = None,
    *,
    listed: bool = True,
) -> SysfsFile:
    path = f"{_MEMORY}/memory{{}}/{name}"
    return SysfsFile(path=path, ids=(_block_ids,), show=_shown(reader), store=store, listed=listed)


_BLOCK: Final = (
    _of_block("state", _show_state, _store_state),
    _of_block("online", _show_online, _store_online),
    _of_block("phys_index", _show_phys_index),
    _of_block("phys_device", _show_phys_device),
    _of_block("removable", _show_removable),
    _of_block("valid_zones", _show_valid_zones),
    # Recordings have the number in the name of the node's link as a file.
    _of_block("node", _show_node, listed=False),
    SysfsFile(path=f"{_MEMORY}/memory{{}}/uevent", ids=(_block_ids,), show=_nothing, store=uevent),
    SysfsFile(
        path=f"{_MEMORY}/memory{{}}/subsystem", ids=(_block_ids,), link=lambda _kernel, _ids: "../../../../bus/memory"
    ),
    SysfsFile(
        path=f"{_MEMORY}/memory{{}}/node{{}}", ids=(_block_ids, _nodes_of_block), link=node_link, exists=has_nodes
    ),
)
