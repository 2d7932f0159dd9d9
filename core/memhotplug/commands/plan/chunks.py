"""Drivers that add in many chunks, played in a time that does not grow with their number.

The driver itself plays the first chunks, so that whatever it refuses, it refuses. Those that follow
go to add_memory() in runs; a run that fails is halved until the very chunk that fails is found.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from memhotplug.contracts import AddRequest, PhysRange
from memhotplug.engine.kernel import Kernel
from memhotplug.engine.memory_hotplug.add import device_blocks, hot_add
from memhotplug.engine.memory_hotplug.online import online_runs
from memhotplug.engine.mhp_flags import flags_for
from memhotplug.errors import InputError, MemoryHotplugError
from memhotplug.model.blocks import BlockState, OnlineType
from memhotplug.units import div_round_up

__all__ = ["HEAD", "MANY", "add_device"]

HEAD: Final = 32
"""Chunks that the driver plays itself before the others go in runs."""

MANY: Final = 4096
"""Memory blocks beyond which the driver is asked for its first chunks only, if they are all alike."""

_GIB: Final = 1 << 30


class _OfflineError(Exception):
    """Under a policy, blocks stay offline that their driver waits for: what becomes of that, the driver has to see."""


def add_device(kernel: Kernel, request: AddRequest) -> str | None:
    """Have a driver add memory, as :func:`memhotplug.engine.memory_hotplug.add.hot_add` does, but in runs of chunks.

    Simplified: very many chunks that end beyond the address space are refused at once, and none of them is played.
    Raises:
        MemoryHotplugError: the first error that add_memory() returned or the driver refused with.
    """
    ranges, rest = _chunks(kernel, request)
    if len(ranges) <= 2 * HEAD:
        return hot_add(kernel, request)
    before, total = kernel.copy(), len(ranges) + (rest.size // ranges[0].size if rest else 0)
    try:
        if rest is not None:
            kernel.check_reach(ranges[0].start, rest.start + rest.size - ranges[0].start)
        _play(kernel, request, ranges, rest)
    except _OfflineError:
        kernel.restore(before)
        return hot_add(kernel, request)
    except MemoryHotplugError as problem:
        done = len(device_blocks(kernel, request.name)) * kernel.geometry.memory_block_size // ranges[0].size
        verb = "added"
        if kernel.plugins.driver_traits(request.driver).rolls_back:
            kernel.restore(before)
            problem.leaks, verb = (), "added and taken away again"
        problem.driver_result = f"{done} of {total} chunks {verb}, then {problem.name}"
        raise
    return None


def _chunks(kernel: Kernel, request: AddRequest) -> tuple[list[PhysRange], PhysRange | None]:
    """Return the ranges that the driver would add; of very many the first, and the others as one range."""
    few = 4 * HEAD * kernel.geometry.memory_block_size
    if request.size > MANY * kernel.geometry.memory_block_size:
        first = _ask(kernel, _sized(kernel, request, few, request.size))
        if first and _alike(first) and not request.size % first[0].size:
            start, size = first[0].start, sum(chunk.size for chunk in first)
            return first, replace(first[0], start=start + size, size=request.size - size)
    return _ask(kernel, request), None


def _ask(kernel: Kernel, request: AddRequest) -> list[PhysRange]:
    """Return what the driver would add; nothing where it refuses, which it will say itself."""
    key = kernel.plugins.driver(request.driver)
    try:
        return list(kernel.plugins.ask(key, "driver_ranges", Sequence, kernel=kernel.copy(), request=request))
    except (MemoryHotplugError, InputError):
        return []


def _alike(chunks: Sequence[PhysRange]) -> bool:
    """Return whether chunks follow one another, equal and wholly backed."""
    head = chunks[0]
    return all(
        _follows(chunk, head, head.start + n * head.size) for n, chunk in enumerate(chunks) if n
    ) and not _partly(head)


def _sized(kernel: Kernel, request: AddRequest, size: int, whole: int) -> AddRequest:
    """Return a request for the first ``size`` of ``whole`` bytes."""
    key = kernel.plugins.driver_traits(request.driver).room_key
    options = request.options if key is None else {**request.options, key: whole}
    return replace(request, size=size, options=options)


def _play(kernel: Kernel, request: AddRequest, ranges: Sequence[PhysRange], rest: PhysRange | None) -> None:
    last = rest or ranges[-1]
    head = _sized(kernel, request, sum(chunk.size for chunk in ranges[:HEAD]), last.start + last.size - ranges[0].start)
    hot_add(kernel, replace(head, address=ranges[0].start))
    index = kernel.state.device_index(request.name)
    if index is None:
        return
    onlines = kernel.state.auto_online is OnlineType.OFFLINE and _all_online(kernel, request.name)
    kernel.state.put_device(index, closed=False)
    runs = [*_runs(ranges[HEAD:]), *([(rest, ranges[0].size)] if rest else ())]
    try:
        _play_runs(kernel, request, runs[::-1], onlines=onlines)
    finally:
        kernel.state.put_device(index, closed=True)


def _play_runs(kernel: Kernel, request: AddRequest, pending: list[tuple[PhysRange, int]], *, onlines: bool) -> None:
    """Add runs, the last of the list first; each is a range and the size of a chunk of it."""
    while pending:
        run, chunk = pending.pop()
        most = _most(kernel, request, run, chunk)
        if run.size > most:
            pending.append((replace(run, start=run.start + most, size=run.size - most), chunk))
            run = replace(run, size=most)
        saved = kernel.copy()
        try:
            whole = _play_run(kernel, request, run, chunk, onlines=onlines)
        except MemoryHotplugError:
            if run.size <= chunk:
                raise
            whole = False
        if not whole:
            kernel.restore(saved)
            half = run.size // chunk // 2 * chunk
            pending.append((replace(run, start=run.start + half, size=run.size - half), chunk))
            pending.append((replace(run, size=half), chunk))


def _most(kernel: Kernel, request: AddRequest, run: PhysRange, chunk: int) -> int:
    """Return the bytes of a run that the kernel treats as it treats a chunk: some self-host single blocks only."""
    if run.size > chunk and flags_for(kernel, request, replace(run, size=chunk)) & kernel.flag("on_memory"):
        refusal = kernel.profile.memmap_on_memory_refusal
        if refusal(kernel, run.size) is not None and refusal(kernel, chunk) is None:
            return chunk
    return run.size


def _play_run(kernel: Kernel, request: AddRequest, run: PhysRange, chunk: int, *, onlines: bool) -> bool:
    """Add one run, and return whether that is the same as adding it chunk by chunk.

    Whoever decides by size never sees the run. A policy is asked for each chunk, and for the last one again when the
    others have taken their memory.

    Raises:
        MemoryHotplugError: what add_memory() or onlining returned.
        _OfflineError: blocks stay offline that the driver waits for.
    """
    flags = flags_for(kernel, request, replace(run, size=chunk))
    decided, override = _is_decided(kernel, request), kernel.flag_override
    starts = range(run.start + chunk, run.start + run.size, chunk) if decided else ()
    if any(flags_for(kernel, request, replace(run, start=start, size=chunk)) != flags for start in starts):
        return False
    kernel.flag_override = {**override, request.driver: flags}
    try:
        _map_in_pieces(kernel, run, chunk)
        kernel.add_range(request, run)
    finally:
        kernel.flag_override = override
    if onlines:
        size = kernel.geometry.memory_block_size
        first, end = run.start // size, (run.start + run.size) // size
        online_runs(kernel, np.arange(first, end), OnlineType.ONLINE)
    if not decided:
        return True
    if kernel.plugins.driver_traits(request.driver).waits and not _all_online(kernel, request.name):
        raise _OfflineError
    last = replace(run, start=run.start + run.size - chunk, size=chunk)
    return run.size <= chunk or flags_for(kernel, request, last) == flags


def _is_decided(kernel: Kernel, request: AddRequest) -> bool:
    """Return whether a policy decides the flags of a request."""
    return request.driver in kernel.policies and request.driver not in kernel.flag_override


def _map_in_pieces(kernel: Kernel, run: PhysRange, chunk: int) -> None:
    """Make the direct map's tables that single chunks need: a run would be mapped with larger leaves.

    The windows of the largest leaf at both ends are mapped chunk-wise, and the second: what it takes, the others take.

    Raises:
        MemoryHotplugError: ENOMEM.
    """
    has_hook, leaf = kernel.plugins.has(kernel.plugins.arch, "create_mapping"), kernel.plugins.arch_traits.largest_leaf
    if run.size <= chunk or not (chunk | run.start) % leaf or not has_hook:
        return
    first, last = run.start // leaf, (run.start + run.size) // leaf
    _map_window(kernel, run, chunk, first)
    before = {kind: windows.total for kind, windows in kernel.state.page_tables.items()}
    _map_window(kernel, run, chunk, first + 1)
    shared = _shared_tables(kernel, run, chunk, last - 1)
    for kind, windows in list(kernel.state.page_tables.items()):
        each, served = windows.total - before.get(kind, 0), shared.get(kind, 0)
        if each and windows.contains((first + 1) * each, (first + 2) * each):
            order = kernel.tables.order_of(kind)
            kernel.tables.ensure(kind, (first + 2) * each, last * each, nid=_nid(kernel, run), order=order)
        elif served and (first + 2) * leaf < last * leaf:
            low, high = (first + 2) * leaf // served, div_round_up(last * leaf, served)
            kernel.tables.ensure(kind, low, high, nid=_nid(kernel, run), order=kernel.tables.order_of(kind))
    _map_window(kernel, run, chunk, last)


def _shared_tables(kernel: Kernel, run: PhysRange, chunk: int, window: int) -> dict[str, int]:
    """Return the kinds of tables of which one serves several windows of the largest leaf, and the bytes it serves.

    A machine without tables maps a piece of one window: where the table lies tells how much each of its kind serves.
    """
    scratch, leaf = kernel.copy(), kernel.plugins.arch_traits.largest_leaf
    scratch.state.page_tables = {}
    _map_window(scratch, replace(run, start=window * leaf, size=leaf), chunk, window)
    found: dict[str, int] = {}
    for kind, windows in scratch.state.page_tables.items():
        index = windows.first_from(0)
        if index:
            served = 1 << (window * leaf // index).bit_length() - 1
            found |= {kind: served} if served > leaf and window * leaf // served == index else {}
    return found


def _map_window(kernel: Kernel, run: PhysRange, chunk: int, window: int) -> None:
    """Map a piece of each GiB of a window of the largest leaf, as far as the run goes."""
    leaf = kernel.plugins.arch_traits.largest_leaf
    low, high = window * leaf, min((window + 1) * leaf, run.start + run.size)
    for start in range(max(low, run.start), high, max(min(chunk, leaf), _GIB)):
        pages = kernel.geometry.pfn(min(chunk, _GIB, high - start))
        kernel.plugins.call(
            kernel.plugins.arch,
            "create_mapping",
            kernel=kernel,
            start_pfn=kernel.geometry.pfn(start),
            nr_pages=pages,
            nid=_nid(kernel, run),
        )


def _nid(kernel: Kernel, run: PhysRange) -> int:
    return min(kernel.state.nodes) if run.nid is None else run.nid


def _runs(ranges: Sequence[PhysRange]) -> Iterator[tuple[PhysRange, int]]:
    """Yield neighbouring chunks that are wholly backed as one range, others as they are, each with a chunk's size."""
    first = 0
    while first < len(ranges):
        head, end, last = ranges[first], ranges[first].start + ranges[first].size, first + 1
        while not _partly(head) and last < len(ranges) and _follows(ranges[last], head, end):
            end, last = end + ranges[last].size, last + 1
        yield replace(head, size=end - head.start), head.size
        first = last


def _partly(chunk: PhysRange) -> bool:
    return chunk.backed is not None or chunk.withheld > 0


def _follows(chunk: PhysRange, head: PhysRange, end: int) -> bool:
    return chunk.start == end and chunk.nid == head.nid and chunk.size == head.size and not _partly(chunk)


def _all_online(kernel: Kernel, name: str) -> bool:
    blocks = kernel.state.blocks
    mine = np.isin(blocks.id, device_blocks(kernel, name))
    return bool((blocks.state[mine] == BlockState.ONLINE).all())
