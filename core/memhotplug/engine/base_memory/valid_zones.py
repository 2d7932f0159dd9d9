"""What ``valid_zones`` of memory blocks reads: of one, or of all at once.

Models: drivers/base/memory.c:valid_zones_show() (v5.2 to v6.12).
"""

from __future__ import annotations

from collections.abc import Sequence

from memhotplug.engine.kernel import Kernel
from memhotplug.engine.profile import KernelProfile
from memhotplug.lazy import np
from memhotplug.manager import shown
from memhotplug.model.blocks import BlockState, OnlineType
from memhotplug.model.extents import Array
from memhotplug.model.zones import ZoneKind

__all__ = ["valid_zones", "valid_zones_by_row"]


def valid_zones(kernel: Kernel, row: int) -> list[str]:
    """Return the zones that a block is in or may go to; empty for an online block in several zones.

    Models: drivers/base/memory.c:valid_zones_show().
    """
    blocks = kernel.state.blocks
    if blocks.value("state", row) != BlockState.OFFLINE:
        return _zones_of(blocks.value("zone", row))
    rows = slice(row, row + 1)
    found: list[str] = []
    for online_type in (OnlineType.ONLINE, OnlineType.ONLINE_KERNEL, OnlineType.ONLINE_MOVABLE):
        zone, _ = kernel.profile.zone_for_rows(kernel, rows, online_type)
        if zone.kind.label not in found:
            found.append(zone.kind.label)
    return found


def _zones_of(kind: int) -> list[str]:
    """Return the zone of an online block, none if it is in several."""
    return [ZoneKind(kind).label] if kind >= 0 else []


def valid_zones_by_row(kernel: Kernel) -> list[list[str]]:
    """Return the same for every block: of an online one its zone, and of offline ones that are alike, one is asked.

    What makes them alike is their node and group, where they lie between the borders of the zones' spans, and what the
    profile says in ``zone_keys()``.
    """
    state, blocks = kernel.state, kernel.state.blocks
    keys = _zone_keys(kernel)  # a wrong answer is told whatever is offline
    kinds = blocks.zone.tolist()
    own = {kind: _zones_of(kind) for kind in set(kinds)}  # anew each time: whoever gets the lists may change them
    found = [own[kind] for kind in kinds]
    offline = np.flatnonzero(blocks.state == BlockState.OFFLINE)
    if not len(offline):
        return found
    edges = np.array(
        sorted({edge for zone in state.zones() if zone.spanned for edge in (zone.start_pfn, zone.end_pfn)})
    )
    starts, ends = state.block_bounds(slice(None))
    low, high = edges.searchsorted(starts[offline], side="right"), edges.searchsorted(ends[offline])
    alike = [low.tolist(), high.tolist(), blocks.nid[offline].tolist(), blocks.group[offline].tolist()]
    alike += [key[offline].tolist() for key in keys]
    answers: dict[tuple[int, ...], list[str]] = {}
    for row, key in zip(offline.tolist(), zip(*alike, strict=True), strict=True):
        if key not in answers:
            answers[key] = valid_zones(kernel, row)
        found[row] = answers[key]
    return found


def _zone_keys(kernel: Kernel) -> Sequence[Array]:
    """Return what the profile says; what a class says of its own ``zone_for_rows`` does not hold for an override of it.

    Raises:
        PluginError: the profile's answer is no column of all blocks.
    """
    profile = kernel.profile
    order = type(profile).__mro__
    asked, said = (next(kind for kind in order if step in vars(kind)) for step in ("zone_for_rows", "zone_keys"))
    if order.index(asked) < order.index(said):
        return KernelProfile.zone_keys(profile, kernel)
    keys = profile.zone_keys(kernel)
    shape = kernel.state.blocks.id.shape
    if not isinstance(keys, Sequence) or any(not isinstance(key, np.ndarray) or key.shape != shape for key in keys):
        problem = f"its profile's step 'zone_keys' answered {shown(keys)}, which is no columns of {shape[0]} blocks"
        raise kernel.plugins.blame(kernel.plugins.profile, problem)
    return keys
