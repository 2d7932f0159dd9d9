"""What one trial cost: memmap by order and by place, page tables, events, pages of 1 GiB."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from memhotplug.commands.plan.question import Question
from memhotplug.commands.plan.trial import Trial
from memhotplug.engine.boot.parameters import MEMMAP_ON_MEMORY
from memhotplug.engine.memory_hotplug.block_devices import BLOCK_DEVICES
from memhotplug.engine.views.document import memmap_totals
from memhotplug.machine import Machine
from memhotplug.model.blocks import BlockState
from memhotplug.model.extents import ExtentSet
from memhotplug.model.state import Owner, Use
from memhotplug.model.vmemmap import MapRuns, Source
from memhotplug.model.zones import ZoneKind
from memhotplug.units import div_round_up

if TYPE_CHECKING:
    from memhotplug.documents.machine import MemmapTotals
    from memhotplug.documents.plan import (
        MemmapCostDocument,
        PageTablesDocument,
        RemovableBlocksDocument,
        UeventsDocument,
    )

__all__ = ["gigantic_pages", "memmap_cost", "new_totals", "removable_blocks", "uevents", "waste"]

_GIGANTIC: Final = 1 << 30
_LISTENER: Final = 256  # events that a listener with a small queue keeps


def memmap_cost(question: Question, trial: Trial) -> MemmapCostDocument:
    """Describe the memmap of what was asked for: how much, from where, in chunks of which order."""
    geometry = trial.before.kernel.geometry
    pages = geometry.memmap_pages(question.total // geometry.page_size)
    runs = _new_runs(trial)
    by_order = _by_order(runs, geometry.described_per_page)
    hosted, taken = _pages(runs, Source.ALTMAP, trial), _pages(runs, Source.ALLOCATOR, trial)
    sources = [name for name, count in (("self-hosted", hosted), ("page allocator", taken)) if count]
    order = max(by_order, default=_usual_order(trial.before, pages))
    tables = _tables(trial)
    return {
        "bytes": pages * geometry.page_size,
        "pages": pages,
        "made_pages": hosted + taken,
        "self_hosted_pages": hosted,
        "allocated_pages": taken,
        "source": " and ".join(sources) or None,
        "order": order,
        "blocks": div_round_up(pages, 1 << order),
        "by_order": [{"order": one, "chunks": count, "pages": count << one} for one, count in sorted(by_order.items())],
        "fallback_pages": by_order.get(0, 0) if trial.fell_back else 0,
        "page_table_pages": tables["vmemmap_pages"] + tables["direct_map_pages"],
        "page_tables": tables,
        "block_object_pages": _held(trial, BLOCK_DEVICES),
        "self_hosted_bytes": hosted * geometry.page_size,
        "allocated_bytes": taken * geometry.page_size,
        "by_zone": _by_zone(trial, runs),
        "by_node": new_totals(trial)["by_node"],
    }


def new_totals(trial: Trial) -> MemmapTotals:
    """Return what the trial's memmap cost, in pages, without that of memory that was hot-added before."""
    old, now = memmap_totals(trial.before.kernel), memmap_totals(trial.machine.kernel)
    nodes = {nid: count - old["by_node"].get(nid, 0) for nid, count in now["by_node"].items()}
    return {
        "self_hosted_pages": now["self_hosted_pages"] - old["self_hosted_pages"],
        "allocated_pages": now["allocated_pages"] - old["allocated_pages"],
        "page_table_pages": now["page_table_pages"] - old["page_table_pages"],
        "by_node": {nid: count for nid, count in nodes.items() if count},
    }


def waste(trial: Trial) -> list[str]:
    """Return what the kernel says of pages that its blocks keep for their memmap and that hold none.

    Models: mm/memory_hotplug.c:set_memmap_mode() (v6.6)
    """
    kernel = trial.machine.kernel
    kept = kernel.state.blocks.altmap_pages
    if MEMMAP_ON_MEMORY not in kernel.profile.module_parameters(kernel) or not kept.any():
        return []
    geometry = kernel.geometry
    more = int(kept.max()) - geometry.memmap_pages(geometry.pages_per_block)
    return [f"Memory hotplug will waste {more} pages in each memory block"] if more > 0 else []


def _new_runs(trial: Trial) -> MapRuns:
    """Return the mappings that the trial made."""
    runs = trial.machine.kernel.state.vmemmap.runs
    runs = runs[runs.source != Source.BOOT]
    old = trial.before.kernel.state.vmemmap.mapped
    return runs[old.covered_many(runs.start, runs.end) == 0]


def _pages(runs: MapRuns, source: Source, trial: Trial) -> int:
    mine = runs.source == source
    return int((runs.end - runs.start)[mine].sum()) // trial.before.kernel.geometry.described_per_page


def _by_order(runs: MapRuns, described_per_page: int) -> dict[int, int]:
    """Return the number of chunks by order."""
    pages = (runs.end - runs.start) // described_per_page
    leaves: list[int] = sorted(set(runs.leaf.tolist()))
    return {leaf.bit_length() - 1: int(pages[runs.leaf == leaf].sum()) // leaf for leaf in leaves}


def _usual_order(machine: Machine, pages: int) -> int:
    """Return the order that the memmap would have been mapped with, had anything been mapped."""
    geometry = machine.kernel.geometry
    order = (geometry.pmd_size // geometry.page_size).bit_length() - 1
    return order if pages >> order and order <= geometry.max_order else 0


def _by_zone(trial: Trial, runs: MapRuns) -> dict[str, int]:
    """Return the bytes of memmap that each zone gave, by ``NODE ZONE``."""
    state, page = trial.machine.kernel.state, trial.before.kernel.geometry.page_size
    backing = state.vmemmap.backing(runs[runs.source == Source.ALLOCATOR])
    found = {}
    for zone in state.zones():
        held = int(zone.linked.covered_many(backing.starts, backing.ends).sum())
        if held:
            found[f"{zone.nid} {zone.kind.label}"] = held * page
    return found


def _tables(trial: Trial) -> PageTablesDocument:
    """Return the pages of new page tables: for the memmap's own mapping, for the direct map, and section roots."""
    found: PageTablesDocument = {"vmemmap_pages": 0, "direct_map_pages": 0}
    for owner in trial.machine.kernel.state.allocations:
        if isinstance(owner, Owner) and owner.use is Use.PAGE_TABLES:
            if owner.name.startswith("vmemmap"):
                found["vmemmap_pages"] += _held(trial, owner)
            else:
                found["direct_map_pages"] += _held(trial, owner)
    return found


def _held(trial: Trial, owner: Owner) -> int:
    """Return by how many pages an owner's allocation grew."""
    counts = []
    for machine in (trial.before, trial.machine):
        held = machine.kernel.state.allocations.get(owner)
        counts.append(held.pages.total if held is not None else 0)
    return counts[1] - counts[0]


def removable_blocks(trial: Trial) -> RemovableBlocksDocument:
    """Count the new blocks that nothing unmovable keeps: those that are offline or in a Movable zone."""
    blocks = trial.machine.kernel.state.blocks
    new = np.isin(blocks.id, trial.blocks)
    free = new & ((blocks.state != BlockState.ONLINE) | (blocks.zone == ZoneKind.MOVABLE))
    return {"removable": int(free.sum()), "of": int(new.sum())}


def gigantic_pages(machine: Machine) -> int:
    """Count the aligned GiB that are free as a whole, over all zones."""
    span = _GIGANTIC // machine.kernel.geometry.page_size
    return sum(_whole(zone.free, span) for zone in machine.kernel.state.zones())


def _whole(free: ExtentSet, span: int) -> int:
    low, high = div_round_up(free.starts, span), free.ends // span
    return int((high - low).clip(min=0).sum())


def uevents(trial: Trial) -> UeventsDocument:
    """Count the events: one ``add`` a block, one ``online`` a block, one ``add`` for a new node.

    ``kept_online_bytes``: what a listener that loses all but the first 256 ``add`` events would bring online.
    """
    state = trial.machine.kernel.state
    online = np.isin(state.blocks.id, trial.blocks) & (state.blocks.state == BlockState.ONLINE)
    add, on = len(trial.blocks), int(online.sum())
    nodes = len(set(state.nodes) - set(trial.before.kernel.state.nodes))
    size = trial.before.kernel.geometry.memory_block_size
    return {
        "add": add,
        "online": on,
        "node": nodes,
        "total": add + on + nodes,
        "kept_online_bytes": min(add, _LISTENER) * size,
    }
