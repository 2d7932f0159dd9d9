"""Physical memory as runs of alike memory blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from memhotplug.engine.kernel import Kernel
from memhotplug.model.blocks import NO_ZONE, BlockState
from memhotplug.model.zones import ZoneKind
from memhotplug.units import div_round_up

__all__ = ["MapRun", "map_runs"]


@dataclass(frozen=True, slots=True)
class MapRun:
    """Neighbouring memory blocks that are alike.

    Attributes:
        node: their node.
        start, end: half-open physical addresses in bytes.
        kind: ``kernel``, ``movable``, ``offline``, ``several`` zones, or ``unlike`` blocks folded into one.
        device: the memory that they came with, None for boot memory.
        memmap: bytes in them that hold memmap.
        blocks: first and last block id.
        zone: the zone that all of their pages are in, None if they are offline or in several.
    """

    node: int
    start: int
    end: int
    kind: str
    device: str | None
    memmap: int
    blocks: tuple[int, int]
    zone: str | None = None


_KINDS: Final = ("kernel", "movable", "offline", "several")


def map_runs(kernel: Kernel, limit: int = 60) -> list[MapRun]:
    """Return a machine's memory as runs of alike blocks, by node and address.

    Args:
        limit: about how many runs, at most; unlike neighbours are folded then.
    """
    state, geometry = kernel.state, kernel.geometry
    blocks = state.blocks
    if not len(blocks):
        return []
    kinds = np.zeros(len(blocks), dtype=np.int8)
    kinds[blocks.zone == ZoneKind.MOVABLE] = 1
    kinds[blocks.zone == NO_ZONE] = 3
    kinds[blocks.state != BlockState.ONLINE] = 2
    zones = np.where(blocks.state == BlockState.ONLINE, blocks.zone, NO_ZONE)
    memmap = state.vmemmap_pages_by_block()
    nodes = np.diff(blocks.nid) != 0
    apart = (np.diff(blocks.id) != 1) | nodes | (np.diff(blocks.device) != 0)
    finer = apart | (np.diff(kinds) != 0) | (np.diff(zones) != 0) | (np.diff(memmap) != 0)
    bounds = _bounds(nodes, apart, finer, len(blocks), limit)
    names = [device.name for device in state.devices]
    starts, ends = bounds[:-1], bounds[1:]
    held = np.add.reduceat(memmap, starts) * geometry.page_size
    several = np.maximum.reduceat(blocks.device, starts) != np.minimum.reduceat(blocks.device, starts)
    mixed = several | (np.maximum.reduceat(kinds, starts) != np.minimum.reduceat(kinds, starts))
    one_zone = np.maximum.reduceat(zones, starts) == np.minimum.reduceat(zones, starts)
    labels = {int(kind): kind.label for kind in ZoneKind}
    found = []
    rows = zip(starts.tolist(), ends.tolist(), held.tolist(), mixed.tolist(), one_zone.tolist(), strict=True)
    for first, end, some, unlike, alike in rows:
        ids = int(blocks.id[first]), int(blocks.id[end - 1])
        device = int(blocks.device[first])
        found.append(
            MapRun(
                node=int(blocks.nid[first]),
                start=ids[0] * geometry.memory_block_size,
                end=(ids[1] + 1) * geometry.memory_block_size,
                kind="unlike" if unlike else _KINDS[int(kinds[first])],
                device=_name_of(device, first, end, blocks.device, names),
                memmap=some,
                blocks=ids,
                zone=labels.get(int(zones[first])) if alike else None,
            )
        )
    return found


def _name_of(device: int, first: int, end: int, devices: npt.NDArray[np.int32], names: list[str]) -> str | None:
    if (devices[first:end] != device).any():
        return "several devices"
    return None if device < 0 else names[device]


def _bounds(
    nodes: npt.NDArray[np.bool_], apart: npt.NDArray[np.bool_], finer: npt.NDArray[np.bool_], count: int, limit: int
) -> npt.NDArray[np.int64]:
    """Return the rows where runs begin, and the end; too many unlike neighbours are folded by their number."""
    cuts = np.flatnonzero(finer) + 1
    if len(cuts) > limit:
        stride = div_round_up(count, limit)
        # Where even the pieces are too many, only nodes are kept apart.
        kept = apart if np.count_nonzero(apart) <= limit else nodes
        cuts = np.flatnonzero((np.arange(1, count) % stride == 0) | kept) + 1
    return np.concatenate([np.zeros(1, dtype=np.int64), cuts, np.full(1, count, dtype=np.int64)])
