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
from memhotplug.engine.hotadd import device_blocks, hot_add
from memhotplug.engine.kernel import Kernel
from memhotplug.engine.onlining import online_blocks
from memhotplug.errors import InputError, MemoryHotplugError
from memhotplug.model.blocks import BlockState, OnlineType

__all__ = ["HEAD", "add_device"]

HEAD: Final = 32
"""Chunks that the driver plays itself before the others go in runs."""

_LARGE_LEAF: Final = 1 << 30  # bytes: what the direct map may map with one leaf
_ROLLS_BACK: Final = ("pseries",)


def add_device(kernel: Kernel, request: AddRequest) -> str | None:
    """Have a driver add memory, as :func:`memhotplug.engine.hotadd.hot_add` does, but in runs of chunks.

    Raises:
        MemoryHotplugError: the first error that add_memory() returned or the driver refused with.
    """
    ranges = _chunks(kernel, request)
    if len(ranges) <= 2 * HEAD:
        return hot_add(kernel, request)
    before = kernel.copy()
    try:
        _play(kernel, request, ranges)
    except MemoryHotplugError as problem:
        done = len(device_blocks(kernel, request.name)) * kernel.geometry.memory_block_size // ranges[0].size
        verb = "added"
        if request.driver in _ROLLS_BACK:
            kernel.restore(before)
            problem.leaks, verb = (), "added and taken away again"
        problem.driver_result = f"{done} of {len(ranges)} chunks {verb}, then {problem.name}"
        raise
    return None


def _chunks(kernel: Kernel, request: AddRequest) -> list[PhysRange]:
    """Return the ranges that the driver would add; none where it refuses, which it will say itself."""
    key = kernel.plugins.driver(request.driver)
    try:
        return list(kernel.plugins.ask(key, "driver_ranges", Sequence, kernel=kernel.copy(), request=request))
    except (MemoryHotplugError, InputError):
        return []


def _play(kernel: Kernel, request: AddRequest, ranges: Sequence[PhysRange]) -> None:
    head = replace(request, size=sum(chunk.size for chunk in ranges[:HEAD]), address=ranges[0].start)
    if request.driver == "virtio_mem":
        head = replace(head, options={"device_size": sum(chunk.size for chunk in ranges)})
    hot_add(kernel, head)
    index = kernel.state.device_index(request.name)
    if index is None:
        return
    onlines = kernel.state.auto_online is OnlineType.OFFLINE and _all_online(kernel, request.name)
    kernel.state.put_device(index, closed=False)
    try:
        _play_runs(kernel, request, list(_runs(ranges[HEAD:]))[::-1], onlines=onlines)
    finally:
        kernel.state.put_device(index, closed=True)


def _play_runs(kernel: Kernel, request: AddRequest, pending: list[tuple[PhysRange, int]], *, onlines: bool) -> None:
    """Add runs, the last of the list first; each is a range and the size of a chunk of it."""
    while pending:
        run, chunk = pending.pop()
        saved = kernel.copy()
        try:
            _map_in_pieces(kernel, run, chunk)
            kernel.add_range(request, run)
            if onlines:
                size = kernel.geometry.memory_block_size
                first, end = run.start // size, (run.start + run.size) // size
                online_blocks(kernel, list(range(first, end)), OnlineType.ONLINE)
        except MemoryHotplugError:
            if run.size <= chunk:
                raise
            kernel.restore(saved)
            half = run.size // chunk // 2 * chunk
            pending.append((replace(run, start=run.start + half, size=run.size - half), chunk))
            pending.append((replace(run, size=half), chunk))


def _map_in_pieces(kernel: Kernel, run: PhysRange, chunk: int) -> None:
    """Make the direct map's tables that single chunks need: a run would be mapped with larger leaves.

    Raises:
        MemoryHotplugError: ENOMEM.
    """
    key = kernel.plugins.arch
    if run.size <= chunk or not kernel.plugins.has(key, "create_mapping"):
        return
    pages, nid = kernel.geometry.pfn(min(chunk, _LARGE_LEAF)), run.nid or min(kernel.state.nodes)
    for start in range(run.start, run.start + run.size, max(chunk, _LARGE_LEAF)):
        kernel.plugins.call(
            key, "create_mapping", kernel=kernel, start_pfn=kernel.geometry.pfn(start), nr_pages=pages, nid=nid
        )


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
