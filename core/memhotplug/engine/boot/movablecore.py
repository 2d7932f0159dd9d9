"""kernelcore= and movablecore=: where each node's Movable zone begins at boot.

Models: mm/page_alloc.c:find_zone_movable_pfns_for_nodes(), cmdline_parse_core() (v5.2);
mm/mm_init.c (v6.12). kernelcore=mirror is not modelled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from memhotplug.contracts import BootRange, ZoneLimit
from memhotplug.errors import InputError
from memhotplug.model.geometry import Geometry
from memhotplug.units import parse_size, round_up

__all__ = ["movable_pfns"]


def movable_pfns(
    geometry: Geometry, params: Mapping[str, str], ranges: Sequence[BootRange], limits: Sequence[ZoneLimit]
) -> dict[int, int]:
    """Return the first Movable pfn of each node that gets a Movable zone at boot.

    Raises:
        InputError: an amount that is neither a size nor a percentage.
    """
    runs = [(geometry.pfn(found.start), geometry.pfn(found.end), found.nid) for found in ranges]
    total = sum(end - start for start, end, _ in runs)
    kernelcore = _required(geometry, params, total)
    if not 0 < kernelcore < total:
        return {}
    usable_start = _usable_start(runs, limits)
    begins = {nid: 0 for _, _, nid in runs}
    nodes = len(begins)
    left = kernelcore
    while nodes:
        left = _spread(runs, begins, left, nodes, usable_start)
        nodes -= 1
        if left <= nodes:
            break
    top = geometry.pageblock_pages if geometry.max_order < geometry.pageblock_order else 1 << geometry.max_order
    found = {nid: round_up(begin, top) for nid, begin in begins.items()}
    ends = {nid: max(end for _, end, other in runs if other == nid) for nid in begins}
    return {nid: begin for nid, begin in found.items() if 0 < begin < ends[nid]}


def _required(geometry: Geometry, params: Mapping[str, str], total: int) -> int:
    """Return the pages that must stay in kernel zones, 0 if nothing is asked for."""
    kernelcore = _amount(geometry, params, "kernelcore", total)
    movablecore = _amount(geometry, params, "movablecore", total)
    if movablecore:
        movablecore = min(round_up(movablecore, 1 << geometry.max_order), total)
        kernelcore = max(kernelcore, total - movablecore)
    return kernelcore


def _amount(geometry: Geometry, params: Mapping[str, str], name: str, total: int) -> int:
    text = params.get(name)
    if not text:
        return 0
    percent = text.removesuffix("%")
    if percent != text and percent.isdecimal() and int(percent) <= 100:
        return total * int(percent) // 100
    try:
        return round_up(parse_size(text), geometry.page_size) // geometry.page_size
    except ValueError as problem:
        raise InputError(f"{problem}, or a percentage", got=f"{name}={text}", path="machine.cmdline") from None


def _usable_start(runs: Sequence[tuple[int, int, int]], limits: Sequence[ZoneLimit]) -> int:
    """Return where the highest kernel zone that has memory begins; Movable never begins below it."""
    highest, low = 0, 0
    for limit in limits:
        if any(start < limit.end_pfn and end > low for start, end, _ in runs):
            highest = low
        low = limit.end_pfn
    return highest


def _spread(
    runs: Sequence[tuple[int, int, int]], begins: dict[int, int], required: int, nodes: int, usable_start: int
) -> int:
    """Give each node an equal share of what kernel zones still need; return what is left over."""
    share = required // nodes
    for nid in begins:
        if required < share:
            share = required // nodes
        remaining = share
        for start, end, other in runs:
            low = max(start, begins[nid])
            if other != nid or low >= end or not remaining:
                continue
            if low < usable_start:
                below = min(end, usable_start) - low
                remaining -= min(below, remaining)
                required -= min(below, required)
                if end <= usable_start:
                    begins[nid] = end
                    continue
                low = usable_start
            size = min(end - low, remaining)
            begins[nid] = low + size
            required -= min(required, size)
            remaining -= size
    return required
