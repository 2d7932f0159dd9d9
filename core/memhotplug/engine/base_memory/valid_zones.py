"""What ``valid_zones`` of memory blocks reads: of one, or of all at once.

Models: drivers/base/memory.c:valid_zones_show() (v5.2 to v6.12).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

from memhotplug.engine.kernel import Kernel
from memhotplug.engine.profile import KernelProfile
from memhotplug.lazy import np
from memhotplug.manager import shown
from memhotplug.model.blocks import NO_ZONE, BlockState, OnlineType
from memhotplug.model.extents import Array
from memhotplug.model.zones import ZoneKind

__all__ = ["show_zones", "valid_zones", "valid_zones_by_row", "zone_words"]

_OFFLINE = int(BlockState.OFFLINE)
_NONE = "none"
_OWN = {NO_ZONE: _NONE} | {int(kind): kind.label for kind in ZoneKind}
_ASKED = (OnlineType.ONLINE, OnlineType.ONLINE_KERNEL, OnlineType.ONLINE_MOVABLE)
_FEW = 64  # blocks up to which plain integers are faster than columns


def valid_zones(kernel: Kernel, row: int) -> list[str]:
    """Return the zones that a block is in or may go to; empty for an online block in several zones.

    Models: drivers/base/memory.c:valid_zones_show().
    """
    blocks = kernel.state.blocks
    if blocks.value("state", row) != BlockState.OFFLINE:
        return _zones_of(blocks.value("zone", row))
    ask, rows = kernel.profile.zone_for_rows, slice(row, row + 1)
    return list(dict.fromkeys([ask(kernel, rows, online_type)[0].kind.label for online_type in _ASKED]))


def _zones_of(kind: int) -> list[str]:
    """Return the zone of an online block, none if it is in several."""
    return [ZoneKind(kind).label] if kind >= 0 else []


def valid_zones_by_row(kernel: Kernel) -> list[list[str]]:
    """Return the same for every block; blocks that are alike have the same list."""
    words = zone_words(kernel)
    zones = {word: word.split() for word in set(words)} | {_NONE: []}  # anew: whoever gets the lists may change them
    return [zones[word] for word in words]


def zone_words(kernel: Kernel) -> list[str]:
    """Return what the file ``valid_zones`` of every block reads, without its newline.

    Of offline blocks that are alike, one is asked. What makes them alike is their node and group, where they lie
    between the borders of the zones' spans, and what the profile says in ``zone_keys()``.
    """
    keys = _zone_keys(kernel)  # a wrong answer is told whatever is offline
    blocks = kernel.state.blocks
    few = len(blocks) <= _FEW
    found = [_OWN[row[3]] for row in blocks.records()] if few else [_OWN[kind] for kind in blocks.zone.tolist()]
    answers: dict[tuple[int, ...], str] = {}
    for row, key in (_few_offline if few else _many_offline)(kernel, keys):
        if key not in answers:
            answers[key] = show_zones(valid_zones(kernel, row))
        found[row] = answers[key]
    return found


def show_zones(zones: list[str]) -> str:
    """Return the zones that a block is in or may go to as the file shows them."""
    return " ".join(zones) or _NONE


def _edges(kernel: Kernel) -> list[int]:
    """Return the pfns at which the span of some zone begins or ends, ascending."""
    return sorted({edge for zone in kernel.state.zones() if zone.spanned for edge in (zone.start_pfn, zone.end_pfn)})


def _few_offline(kernel: Kernel, keys: Sequence[Array]) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Yield the row of each offline block with what it has in common with those that are alike."""
    edges, pages = _edges(kernel), kernel.geometry.pages_per_block
    offline = [(row, record) for row, record in enumerate(kernel.state.blocks.records()) if record[1] == _OFFLINE]
    for row, (block, _, nid, _, _, _, group, _, _) in offline:
        start = block * pages
        between = bisect_right(edges, start), bisect_left(edges, start + pages)
        yield row, (*between, nid, group, *[int(key[row]) for key in keys])


def _many_offline(kernel: Kernel, keys: Sequence[Array]) -> Iterable[tuple[int, tuple[int, ...]]]:
    """Return the same, by whole columns."""
    blocks = kernel.state.blocks
    offline = np.flatnonzero(blocks.state == _OFFLINE)
    if not len(offline):
        return ()
    edges = np.array(_edges(kernel))
    starts, ends = kernel.state.block_bounds(slice(None))
    low, high = edges.searchsorted(starts[offline], side="right"), edges.searchsorted(ends[offline])
    alike = [low.tolist(), high.tolist(), blocks.nid[offline].tolist(), blocks.group[offline].tolist()]
    alike += [key[offline].tolist() for key in keys]
    return zip(offline.tolist(), zip(*alike, strict=True), strict=True)


def _zone_keys(kernel: Kernel) -> Sequence[Array]:
    """Return what the profile says; what a class says of its own ``zone_for_rows`` does not hold for an override of it.

    Raises:
        PluginError: the profile's answer is no column of all blocks.
    """
    profile = kernel.profile
    if _decides_anew(type(profile)):  # type: ignore[arg-type]  # classes can be hashed
        return KernelProfile.zone_keys(profile, kernel)
    keys = profile.zone_keys(kernel)
    if isinstance(keys, tuple) and not keys:
        return keys
    shape = kernel.state.blocks.id.shape
    if not isinstance(keys, Sequence) or any(not isinstance(key, np.ndarray) or key.shape != shape for key in keys):
        problem = f"its profile's step 'zone_keys' answered {shown(keys)}, which is no columns of {shape[0]} blocks"
        raise kernel.plugins.blame(kernel.plugins.profile, problem)
    return keys


@lru_cache(maxsize=64)
def _decides_anew(kind: type[KernelProfile]) -> bool:
    """Return whether a class of profiles chooses zones by a rule that came after the keys it has."""
    order = kind.__mro__
    asked, said = (next(base for base in order if step in vars(base)) for step in ("zone_for_rows", "zone_keys"))
    return order.index(asked) < order.index(said)
