"""In which block or zone two machines differ first, in words and as what a scenario expects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

from memhotplug.engine.kernel import Kernel
from memhotplug.model.blocks import NO_ZONE, BlockState
from memhotplug.model.zones import ZoneKey, ZoneKind

__all__ = ["Apart", "block_apart", "zone_apart"]

_EXPECTED: Final = (BlockState.ONLINE, BlockState.OFFLINE)
"""The states that a scenario can expect."""

_Counters: TypeAlias = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Apart:
    """The first difference.

    Attributes:
        what: the block or the zone.
        mine, theirs: how it is in each of the machines.
        expect: the keys of an ``expect`` step that holds in the other machine alone; None if there are none for it.
    """

    what: str
    mine: str
    theirs: str
    expect: Mapping[str, object] | None


class _Row(NamedTuple):
    state: int
    zone: int
    nid: int

    def __str__(self) -> str:
        state = BlockState(self.state).label
        return state if self.zone == NO_ZONE else f"{state} in node {self.nid} zone {ZoneKind(self.zone).label}"


def block_apart(mine: Kernel, theirs: Kernel) -> Apart | None:
    """Return the first block that is not the same in two machines, None if all are."""
    if _columns(mine) == _columns(theirs):
        return None  # as nearly always
    one, other = _rows(mine), _rows(theirs)
    block = next(block for block in sorted({*one, *other}) if one.get(block) != other.get(block))
    here, there = one.get(block), other.get(block)
    return Apart(f"memory block {block}", str(here or "absent"), str(there or "absent"), _expected(block, here, there))


def _rows(kernel: Kernel) -> dict[int, _Row]:
    return {block: _Row(*values) for block, *values in zip(*_columns(kernel), strict=True)}


def _columns(kernel: Kernel) -> list[list[int]]:
    blocks = kernel.state.blocks
    return [getattr(blocks, name).tolist() for name in ("id", "state", "zone", "nid")]


def _expected(block: int, here: _Row | None, there: _Row | None) -> Mapping[str, object] | None:
    if there is None:
        return {"block": block, "state": "absent"}
    keys: dict[str, object] = {}
    if there.state in _EXPECTED and (here is None or here.state != there.state):
        keys["state"] = BlockState(there.state).label
    if here is not None and here.nid != there.nid:
        keys["node"] = there.nid
    if here is not None and there.zone not in (NO_ZONE, here.zone):
        keys["zone"] = ZoneKind(there.zone).label
    return {"block": block, **keys} if keys else None


def zone_apart(mine: Kernel, theirs: Kernel, counters: tuple[str, ...]) -> Apart | None:
    """Return the first zone of which some counters are not the same in two machines, None if there is none.

    A zone that one of them does not have is one without pages.
    """
    one, other = _zones(mine, counters), _zones(theirs, counters)
    nothing = dict.fromkeys(counters, 0)
    for nid, kind in sorted({*one, *other}):
        here, there = one.get((nid, kind), nothing), other.get((nid, kind), nothing)
        if here != there:
            expect = {"zone": kind.label, "node": nid, **there}
            return Apart(f"node {nid} zone {kind.label}", _counted(here), _counted(there), expect)
    return None


def _zones(kernel: Kernel, counters: tuple[str, ...]) -> dict[ZoneKey, _Counters]:
    return {zone.key: {counter: getattr(zone, counter) for counter in counters} for zone in kernel.state.zones()}


def _counted(counters: _Counters) -> str:
    return ", ".join(f"{pages} pages {counter}" for counter, pages in counters.items())
