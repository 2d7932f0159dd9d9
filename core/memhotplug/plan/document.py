"""The answer as plain data: the JSON object of ``mhp plan``."""

from __future__ import annotations

import numpy as np

from memhotplug.model.blocks import BlockState
from memhotplug.model.extents import ExtentSet
from memhotplug.model.zones import ZoneKind
from memhotplug.plan.answer import Answer
from memhotplug.plan.policies import zones_gained
from memhotplug.plan.trial import Trial, movable_ratio

__all__ = ["to_document"]

_GIGANTIC = 1 << 30


def to_document(found: Answer) -> dict[str, object]:
    """Return the JSON object; sizes in bytes, keys in the documented order."""
    trial, geometry = found.trial, found.before.kernel.geometry
    page = geometry.page_size
    return {
        "schema": 1,
        "verdict": found.verdict,
        "reason": found.reason.to_dict(),
        "machine": {
            "source": found.subject.source,
            "arch": found.subject.arch,
            "kernel": found.subject.kernel,
            "page_size": page,
            "memory_block_size": geometry.memory_block_size,
            "boot_bytes": sum(zone.present for zone in found.before.kernel.state.zones()) * page,
        },
        "question": {
            "sizes": list(found.question.sizes),
            "driver": found.question.driver,
            "node": found.question.node,
            "address": found.question.address,
            "slots": found.question.slots,
            "online": found.question.online,
        },
        "memmap": _memmap(found),
        "free": {
            "before_bytes": trial.free_before * page,
            "lowest_bytes": trial.free_lowest * page,
            "after_bytes": trial.free_after * page,
        },
        "largest_single_add": {
            "clean_bytes": found.clean,
            "with_fallback_bytes": found.with_fallback,
            "capped": found.capped,
        },
        "safe_steps": list(found.steps),
        "sizes": {
            "requested_bytes": found.question.total,
            "added_bytes": trial.added_bytes,
            "online_bytes": trial.online_bytes,
            "usable_bytes": trial.usable_bytes,
        },
        "zones": _zones(found),
        "movable_to_kernel": _ratio(found),
        "removable_blocks": _removable(found),
        "gigantic_pages": _gigantic(found),
        "uevents": _uevents(trial),
        "policies": [dict(policy) for policy in found.policies],
        "rules_of_thumb": [rule.to_dict() for rule in found.rules],
        "flips_under": found.flips_under,
        "fits_from_boot_bytes": found.flip_boot,
        "driver_result": trial.driver_result,
        "assumptions": list(found.subject.assumptions),
    }


def _memmap(found: Answer) -> dict[str, object]:
    """Describe the memmap of what was asked for: how much, from where, in chunks of which order."""
    trial, geometry = found.trial, found.before.kernel.geometry
    pages = geometry.memmap_pages(found.question.total // geometry.page_size)
    hosted, taken = trial.memmap["self_hosted_pages"], trial.memmap["allocated_pages"]
    sources = [name for name, count in (("self-hosted", hosted), ("page allocator", taken)) if count]
    order = (geometry.pmd_size // geometry.page_size).bit_length() - 1
    whole = pages * geometry.page_size >= geometry.pmd_size and order <= geometry.max_order
    return {
        "bytes": pages * geometry.page_size,
        "pages": pages,
        "source": " and ".join(sources) or None,
        "order": order if whole else 0,
        "blocks": -(-pages >> order) if whole else pages,
        "fallback_pages": trial.fallback_pages,
        "page_table_pages": trial.memmap["page_table_pages"],
        "self_hosted_bytes": int(str(hosted)) * geometry.page_size,
        "allocated_bytes": int(str(taken)) * geometry.page_size,
        "by_node": trial.memmap["by_node"],
    }


def _zones(found: Answer) -> list[dict[str, object]]:
    page = found.before.kernel.geometry.page_size
    gained = zones_gained(found.before, found.trial)
    return [
        {
            "node": zone.nid,
            "zone": zone.kind.label,
            "gained_bytes": gained.get(f"{zone.nid} {zone.kind.label}", 0),
            "present_bytes": zone.present * page,
            "managed_bytes": zone.managed * page,
            "free_bytes": zone.nr_free * page,
            "min_bytes": zone.wmark[0] * page,
        }
        for zone in found.trial.machine.kernel.state.zones()
        if zone.present
    ]


def _ratio(found: Answer) -> float | None:
    movable, kernel = movable_ratio(found.trial.machine)
    return round(movable / kernel, 3) if kernel else None


def _removable(found: Answer) -> dict[str, int]:
    """Count the new blocks that nothing unmovable keeps: those that are offline or in a Movable zone."""
    blocks = found.trial.machine.kernel.state.blocks
    new = np.isin(blocks.id, found.trial.blocks)
    free = new & ((blocks.state != BlockState.ONLINE) | (blocks.zone == ZoneKind.MOVABLE))
    return {"removable": int(free.sum()), "of": int(new.sum())}


def _gigantic(found: Answer) -> int:
    """Count the aligned GiB that are free as a whole, over all zones."""
    span = _GIGANTIC // found.before.kernel.geometry.page_size
    return sum(_whole(zone.free, span) for zone in found.trial.machine.kernel.state.zones())


def _whole(free: ExtentSet, span: int) -> int:
    low, high = -(-free.starts // span), free.ends // span
    return int((high - low).clip(min=0).sum())


def _uevents(trial: Trial) -> int:
    """Count them: one for each block that is added, one for each that goes online, one for a new node."""
    blocks = trial.machine.kernel.state.blocks
    online = np.isin(blocks.id, trial.blocks) & (blocks.state == BlockState.ONLINE)
    nodes = sum(1 for event in trial.machine.kernel.events if event["event"] == "node_online")
    return len(trial.blocks) + int(online.sum()) + nodes
