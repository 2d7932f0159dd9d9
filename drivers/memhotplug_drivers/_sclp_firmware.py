"""/sys/firmware/memory: which blocks of storage are configured, and whether they host their own memmap.

Models: drivers/s390/char/sclp_mem.c:sclp_config_mem_store(), sclp_memmap_on_memory_store() (v6.19).
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

from memhotplug.plugin import (
    AddRequest,
    Array,
    BlockState,
    ExtentSet,
    Kernel,
    MemoryHotplugError,
    PhysRange,
    SysfsFile,
    Write,
    kstrtobool,
    np,
    remove_memory,
)

__all__ = ["Storage", "files", "remember_standby"]

Ids: TypeAlias = tuple[int, ...]
_Change: TypeAlias = Callable[[Kernel, int, int], None]

_FOLDER: Final = "sys/firmware/memory/memory{}"
_STATE: Final = __name__  # where it is kept: the device of each standby block, and what its attribute says


class Storage:
    """What the driver does with storage, for the files.

    Args:
        attached: returns the pfns of standby memory.
        attach, assign, unassign: note of pages from one pfn to another that they are standby memory, or accessible.
    """

    def __init__(
        self, attached: Callable[[Kernel], ExtentSet], attach: _Change, assign: _Change, unassign: _Change
    ) -> None:
        self.attached, self.attach, self.assign, self.unassign = attached, attach, assign, unassign


def remember_standby(kernel: Kernel, request: AddRequest, blocks: range, *, hosts: bool) -> None:
    """Note of blocks of standby memory which device they are, and whether they are to host their own memmap."""
    known = kernel.state.driver_state.get(_STATE, {})
    kernel.state.driver_state[_STATE] = {
        **known,
        **{f"{block}": (request.driver, request.name, hosts) for block in blocks},
    }


def files(kernel: Kernel, storage: Storage) -> Iterator[SysfsFile]:
    """Yield both files of each block, on kernels that have them."""
    if not kernel.has("configured_standby"):
        return

    def blocks(kernel: Kernel, _ids: Ids) -> Array:
        boot = kernel.state.blocks.id[kernel.state.blocks.device < 0]
        pages = kernel.geometry.pages_per_block
        attached = storage.attached(kernel)
        spans = [np.arange(low // pages, high // pages) for low, high in attached]
        return np.union1d(boot, np.concatenate(spans)) if spans else boot

    def show_config(kernel: Kernel, ids: Ids) -> str:
        return f"{int(kernel.state.blocks.row(ids[0]) is not None)}\n"

    def store_config(kernel: Kernel, ids: Ids, write: Write) -> None:
        wanted = _truth("config", write)
        if wanted == (kernel.state.blocks.row(ids[0]) is not None):
            return
        (_configure if wanted else _deconfigure)(kernel, ids[0], storage)

    def show_memmap(kernel: Kernel, ids: Ids) -> str:
        return f"{int(_hosts(kernel, ids[0]))}\n"

    def store_memmap(kernel: Kernel, ids: Ids, write: Write) -> None:
        wanted = _truth("memmap_on_memory", write)
        rule = kernel.profile.memmap_on_memory_refusal(kernel) if wanted else None
        if rule is not None:
            raise MemoryHotplugError(errno.EOPNOTSUPP, f"memmap_on_memory: {rule}")
        if kernel.state.blocks.row(ids[0]) is not None:
            raise MemoryHotplugError(errno.EBUSY, f"memory block {ids[0]} is configured")
        owner, name, _ = _entry(kernel, ids[0])
        request = AddRequest(driver=owner, name=name, size=0)
        remember_standby(kernel, request, range(ids[0], ids[0] + 1), hosts=wanted)

    yield SysfsFile(path=f"{_FOLDER}/config", ids=(blocks,), show=show_config, store=store_config)
    yield SysfsFile(path=f"{_FOLDER}/memmap_on_memory", ids=(blocks,), show=show_memmap, store=store_memmap)


def _truth(name: str, write: Write) -> bool:
    value = kstrtobool(write.value)
    if value is None:
        raise MemoryHotplugError(errno.EINVAL, f"{name} takes a boolean, not {write.value!r}")
    return value


def _entry(kernel: Kernel, block: int) -> tuple[str, str, bool]:
    found = kernel.state.driver_state.get(_STATE, {}).get(f"{block}")
    if isinstance(found, tuple):
        return found[0], found[1], found[2]
    # Boot memory is configured without, and belongs to whoever has the files.
    return kernel.plugins.arch_traits.resident[0], f"memory{block}", False


def _hosts(kernel: Kernel, block: int) -> bool:
    found = kernel.state.driver_state.get(_STATE, {}).get(f"{block}")
    return bool(found[2]) if isinstance(found, tuple) else False


def _configure(kernel: Kernel, block: int, storage: Storage) -> None:
    """Assign a block's storage and add it; a block that cannot be added is unassigned again.

    Raises:
        MemoryHotplugError: what add_memory() returns.
    """
    owner, name, hosts = _entry(kernel, block)
    size, pages = kernel.geometry.memory_block_size, kernel.geometry.pages_per_block
    options = {"memmap_on_memory": hosts}
    request = AddRequest(driver=owner, name=name, size=size, address=block * size, nid=0, options=options)
    state = kernel.state
    index = state.youngest(name, lambda device: bool(device.ranges))
    if index is not None:
        state.put_device(index, closed=False)
    storage.assign(kernel, block * pages, (block + 1) * pages)
    try:
        kernel.add_range(request, PhysRange(start=block * size, size=size, nid=0))
    except MemoryHotplugError:
        storage.unassign(kernel, block * pages, (block + 1) * pages)
        raise
    finally:
        index = state.youngest(name, lambda device: not device.closed)
        if index is not None and state.devices[index].ranges:
            state.put_device(index, closed=True)
        elif index is not None:
            state.devices.pop(index)


def _deconfigure(kernel: Kernel, block: int, storage: Storage) -> None:
    """Remove a block and give its storage back.

    Raises:
        MemoryHotplugError: EBUSY, the block is not offline.
    """
    size, pages = kernel.geometry.memory_block_size, kernel.geometry.pages_per_block
    row = kernel.state.blocks.row(block)
    if row is not None and kernel.state.blocks.value("state", row) != BlockState.OFFLINE:
        raise MemoryHotplugError(errno.EBUSY, f"memory block {block} is not offline")
    remove_memory(kernel, block * size, size)
    storage.attach(kernel, block * pages, (block + 1) * pages)  # what was boot memory is standby from now on
    storage.unassign(kernel, block * pages, (block + 1) * pages)
