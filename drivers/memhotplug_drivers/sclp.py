"""sclp_cmd (s390): standby memory, known at boot, one add_memory() a memory block.

Standby memory cannot be accessed before it is assigned to the partition. The driver assigns it when
a block goes online and unassigns it when that fails or the block goes offline: in GOING_ONLINE up
to 6.7, in PREPARE_ONLINE and FINISH_OFFLINE from 6.8 to 6.18. From 6.19 on it is assigned when it
is configured, before it is added.

Models: drivers/s390/char/sclp_cmd.c:sclp_add_standby_memory(), sclp_mem_notifier(),
sclp_mem_change_state() (v5.2, v6.12). A memory block is never smaller than an increment
(arch/s390/mm/init.c:memory_block_size_bytes()), so whole blocks are whole increments. From 6.19 on
/sys/firmware/memory says which blocks are configured. Simplified: the increments of boot memory are always assigned.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence

from memhotplug.plugin import (
    AddRequest,
    DriverTraits,
    ExtentSet,
    InputError,
    Kernel,
    KeySpec,
    LazyRanges,
    MemoryEvent,
    MemoryHotplugError,
    MemoryNotify,
    PhysRange,
    Resource,
    SysfsFile,
    format_size,
    hookimpl,
    models,
    remove_memory,
    round_down,
    round_up,
)
from memhotplug_drivers import _sclp_firmware as firmware

__all__ = [
    "driver_add",
    "driver_eject",
    "driver_keys",
    "driver_ranges",
    "driver_traits",
    "memory_notify",
    "mhp_flags",
    "pages_in",
    "sysfs_files",
]

_STATE = __name__  # where the driver keeps what it remembers
_ASSIGN = {MemoryEvent.MEM_GOING_ONLINE}
_UNASSIGN = {MemoryEvent.MEM_CANCEL_ONLINE, MemoryEvent.MEM_OFFLINE}
_ASSIGN_V6_8 = {MemoryEvent.MEM_PREPARE_ONLINE}
_UNASSIGN_V6_8 = {MemoryEvent.MEM_FINISH_OFFLINE}


@models("drivers/s390/char/sclp_cmd.c:sclp_add_standby_memory() (v5.2, v6.12)")
@hookimpl
def driver_traits() -> DriverTraits:
    """The service processor of s390."""
    return DriverTraits(
        aliases=("sclp_cmd", "sclp_mem"),
        arches={"s390": (0, 0)},
        absence="only s390 has this service processor",
    )


@hookimpl
def driver_keys() -> Mapping[str, KeySpec]:
    """The increment is a property of the machine (``rzm``), not of an add."""
    return {
        "memmap_on_memory": KeySpec(
            "bool", "the blocks' attribute memmap_on_memory (Linux 6.19 and later); default true where a block can"
        ),
        "config": KeySpec(
            "bool",
            "whether the blocks are configured at once (Linux 6.19 and later); default true; if not, writes to "
            "/sys/firmware/memory do it",
        ),
    }


@hookimpl
def driver_ranges(kernel: Kernel, request: AddRequest) -> Sequence[PhysRange]:
    """The standby memory, merged and trimmed to whole blocks, block by block, on node 0.

    Raises:
        MemoryHotplugError: EINVAL nothing is left after trimming, E2BIG it cannot be
            addressed, ENOENT the kernel has no attribute memmap_on_memory, EEXIST some of it is there already.
        InputError: another node than 0.
    """
    for key in ("memmap_on_memory", "config"):
        if key in request.options and not kernel.has("configured_standby"):
            raise MemoryHotplugError(errno.ENOENT, f"there is no /sys/firmware/memory/*/{key} before Linux 6.19")
    if request.nid:
        raise InputError("node 0, the only one that sclp adds to", got=request.nid)
    blocks = _blocks(kernel, request)
    if kernel.has("configured_standby"):
        _refuse_twice(kernel, blocks)
    if not request.options.get("config", True):
        return ()
    size = kernel.geometry.memory_block_size
    return LazyRanges(blocks, lambda block: PhysRange(start=block * size, size=size, nid=0))


def _blocks(kernel: Kernel, request: AddRequest) -> range:
    """Return the ids of the whole blocks of the standby memory that a request attaches."""
    block_size = kernel.geometry.memory_block_size
    start = kernel.state.first_free_address(request.size) if request.address is None else request.address
    kernel.check_reach(start, request.size)
    low, high = round_up(start, block_size), round_down(start + request.size, block_size)
    if low >= high:
        raise MemoryHotplugError(
            errno.EINVAL,
            f"{format_size(request.size)} of standby memory hold no whole memory block of {format_size(block_size)}",
        )
    return range(low // block_size, high // block_size)


def _refuse_twice(kernel: Kernel, blocks: range) -> None:
    """Refuse blocks that are boot memory or standby memory already, be it configured or not.

    Models: drivers/s390/char/sclp_mem.c:sclp_create_mem() (v6.19, v7.2): each block has a directory of its name, and
    kobject_add() makes none twice. Simplified: the kernel keeps those that it made before it came to that block.

    Raises:
        MemoryHotplugError: EEXIST.
    """
    pages, known = kernel.geometry.pages_per_block, kernel.state.blocks
    boot = known.id[known.device < 0]
    taken = pages_in(kernel, "attached")
    taken.add_many(boot * pages, (boot + 1) * pages)
    twice = taken.within(blocks.start * pages, blocks.stop * pages)
    if twice.total:
        first = int(twice.starts[0]) // pages
        raise MemoryHotplugError(errno.EEXIST, f"there is a /sys/firmware/memory/memory{first} already")


@models("drivers/s390/char/sclp_mem.c:sclp_config_mem_store() (v6.19)")
@hookimpl
def mhp_flags(kernel: Kernel, request: AddRequest) -> int:
    """None before 6.8; then MHP_MEMMAP_ON_MEMORY, with MHP_OFFLINE_INACCESSIBLE up to 6.18; then as the block says.

    Models: drivers/s390/char/sclp_mem.c:sclp_config_mem_store() (v6.19).
    """
    if not kernel.has("inaccessible_altmap") or not request.options.get("memmap_on_memory", True):
        return 0
    if kernel.has("configured_standby"):
        return kernel.flag("on_memory")
    return kernel.flag("on_memory") | kernel.flag("MHP_OFFLINE_INACCESSIBLE")


def _hosts(kernel: Kernel, request: AddRequest) -> bool:
    """Return what the blocks' attribute says: by default whether the kernel lets a block host its memmap."""
    told = request.options.get("memmap_on_memory")
    return kernel.profile.memmap_on_memory_refusal(kernel) is None if told is None else bool(told)


@hookimpl
def driver_add(kernel: Kernel, request: AddRequest, ranges: Sequence[PhysRange]) -> str | None:
    """Add block by block; the driver looks at no result and goes on."""
    failed: list[str] = []
    taken, configures = 0, kernel.has("configured_standby")
    blocks, pages_per_block = _blocks(kernel, request), kernel.geometry.pages_per_block
    _attach(kernel, blocks.start * pages_per_block, blocks.stop * pages_per_block)
    if configures:
        firmware.remember_standby(kernel, request, blocks, hosts=_hosts(kernel, request))
    if not request.options.get("config", True):
        return f"{len(blocks)} blocks are attached, and none is configured"
    for phys_range in ranges:
        taken += phys_range.size
        if configures:
            _assign(kernel, *_pages_of(kernel, phys_range))
        try:
            kernel.add_range(request, phys_range)
        except MemoryHotplugError as problem:
            failed.append(problem.name)
            if configures:
                _unassign(kernel, *_pages_of(kernel, phys_range))
    return _verdict(request.size - taken, ranges, failed)


def _pages_of(kernel: Kernel, phys_range: PhysRange) -> tuple[int, int]:
    return kernel.geometry.pfn(phys_range.start), kernel.geometry.pfn(phys_range.start + phys_range.size)


def _verdict(trimmed: int, ranges: Sequence[PhysRange], failed: list[str]) -> str | None:
    notes = []
    if trimmed:
        notes.append(f"{format_size(trimmed)} of standby memory stays unused outside whole memory blocks")
    if failed:
        done = len(ranges) - len(failed)
        notes.append(
            f"{done} of {len(ranges)} blocks added (first error: {failed[0]}); sclp ignores what add_memory() returns"
        )
    return "; ".join(notes) or None


@hookimpl
def memory_notify(kernel: Kernel, notify: MemoryNotify) -> None:
    """Assign storage before it is used and unassign it afterwards, the block's own memmap included.

    Raises:
        MemoryHotplugError: EPERM, a block of boot memory that is partly standby must stay online.
    """
    attached = pages_in(kernel, "attached")
    if not attached.total:
        return
    # Storage is assigned for the whole block, whose own memmap may lie in front of what is onlined.
    per_block = kernel.geometry.pages_per_block
    low, high = round_down(notify.start_pfn, per_block), round_up(notify.start_pfn + notify.nr_pages, per_block)
    if notify.event == MemoryEvent.MEM_GOING_OFFLINE and kernel.state.holes.intersects(low, high):
        raise MemoryHotplugError(errno.EPERM, "the memory block contains standby memory and must stay online")
    if kernel.has("configured_standby"):
        return
    prepares = "MEM_PREPARE_ONLINE" in kernel.profile.event_names
    for first, end in ExtentSet(*attached.clip(low, high)):
        if notify.event in (_ASSIGN_V6_8 if prepares else _ASSIGN):
            _assign(kernel, first, end)
        elif notify.event in (_UNASSIGN_V6_8 if prepares else _UNASSIGN):
            _unassign(kernel, first, end)


def pages_in(kernel: Kernel, state: str) -> ExtentSet:
    """Return a copy of the pfns of standby memory that are ``attached`` or, of these, ``assigned``."""
    pages = kernel.state.driver_state.get(_STATE, {}).get(state)
    return pages.copy() if isinstance(pages, ExtentSet) else ExtentSet()


def _attach(kernel: Kernel, start_pfn: int, end_pfn: int) -> None:
    attached = pages_in(kernel, "attached")
    attached.add(start_pfn, end_pfn)
    _remember(kernel, "attached", attached)
    size = kernel.geometry.page_size
    claims = (Resource(start=low * size, end=high * size - 1, name="") for low, high in attached)
    kernel.state.claims[_STATE, "attached"] = tuple(claims)


def _remember(kernel: Kernel, state: str, pages: ExtentSet) -> None:
    known = {name: held for name, held in kernel.state.driver_state.get(_STATE, {}).items() if name != state}
    kernel.state.driver_state[_STATE] = {**known, state: pages} if pages.total else known


def _assign(kernel: Kernel, start_pfn: int, end_pfn: int) -> None:
    pages = pages_in(kernel, "assigned")
    for low, high in pages.gaps(start_pfn, end_pfn):
        kernel.log("sclp_assign", start_pfn=low, nr_pages=high - low)
    pages.add(start_pfn, end_pfn)
    _remember(kernel, "assigned", pages)


def _unassign(kernel: Kernel, start_pfn: int, end_pfn: int) -> None:
    pages = pages_in(kernel, "assigned")
    for low, high in ExtentSet(*pages.clip(start_pfn, end_pfn)):
        kernel.log("sclp_unassign", start_pfn=low, nr_pages=high - low)
    pages.remove(start_pfn, end_pfn)
    _remember(kernel, "assigned", pages)


@hookimpl
def driver_eject(kernel: Kernel, name: str) -> str | None:
    """Refuse before 6.19; from then on deconfigure block by block, all of which must be offline.

    Raises:
        MemoryHotplugError: EOPNOTSUPP, or EBUSY a block is online; those before it are gone.
    """
    if not kernel.has("configured_standby"):
        raise MemoryHotplugError(
            errno.EOPNOTSUPP, "standby memory cannot be taken out before Linux 6.19; offline it to give it back"
        )
    index = kernel.state.device_index(name)
    done: list[int] = []
    for start, size in kernel.state.devices[index].ranges if index is not None else ():
        try:
            remove_memory(kernel, start, size)
        except MemoryHotplugError as problem:
            problem.blocks_done = tuple(done)
            raise
        _unassign(kernel, kernel.geometry.pfn(start), kernel.geometry.pfn(start + size))
        done.append(start // kernel.geometry.memory_block_size)
    return None


@hookimpl
def sysfs_files(kernel: Kernel) -> Sequence[SysfsFile]:
    """The blocks below /sys/firmware/memory. Models: drivers/s390/char/sclp_mem.c:sclp_init_mem() (v6.19)."""
    storage = firmware.Storage(lambda kernel: pages_in(kernel, "attached"), _attach, _assign, _unassign)
    return list(firmware.files(kernel, storage))
