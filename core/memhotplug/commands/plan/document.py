"""The answer as plain data: the JSON object of ``mhp plan``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memhotplug.commands.plan.answer import Answer
from memhotplug.commands.plan.cost import gigantic_pages, memmap_cost, removable_blocks, uevents, waste
from memhotplug.commands.plan.policies import zones_gained
from memhotplug.commands.plan.retry import ratio_for_all_movable, zone_that_gives
from memhotplug.commands.plan.search import reach_of
from memhotplug.commands.plan.trial import free_pages, movable_ratio
from memhotplug.machine import Machine

if TYPE_CHECKING:
    from memhotplug.documents.plan import (
        FailedRequestDocument,
        FreeDocument,
        PlanDocument,
        PlannedMachineDocument,
        PlannedZoneDocument,
        QuestionDocument,
    )

__all__ = ["to_document"]


def to_document(found: Answer) -> PlanDocument:
    """Return the JSON object; sizes in bytes, keys in the documented order."""
    trial = found.trial
    return {
        "schema": 1,
        "verdict": found.verdict,
        "reason": found.reason.to_dict(),
        "risks": [risk.to_dict() for risk in found.risks],
        "machine": _machine(found),
        "question": _question(found),
        "memmap": memmap_cost(found.question, trial),
        "free": _free(found),
        "largest_single_add": {
            "clean_bytes": found.clean.size,
            "with_fallback_bytes": found.with_fallback.size,
            "capped": found.clean.capped,
            "searched_bytes": reach_of(trial.before, found.question),
            "limit": found.limit.to_dict(),
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
        "removable_blocks": removable_blocks(trial),
        "gigantic_pages": gigantic_pages(trial.machine),
        "uevents": uevents(trial),
        "policies": list(found.policies),
        "rules_of_thumb": [rule.to_dict() for rule in found.rules],
        "flips_under": found.flips_under,
        "flips_to": found.flips_to,
        "fits_from_boot_bytes": found.flip_boot,
        "remedies": [remedy.to_dict() for remedy in found.remedies],
        "min_free_kbytes": {"before": _min_free(found.trial.before), "after": _min_free(trial.machine)},
        "auto_movable_ratio": ratio_for_all_movable(
            trial.before, trial.added_bytes if trial.present else found.question.total
        ),
        "failed_request": _failed(found),
        "driver_result": trial.driver_result,
        "warnings": [
            *waste(trial),
            *trial.machine.kernel.journal.warnings[len(trial.before.kernel.journal.warnings) :],
        ],
        "assumptions": list(found.assumptions),
    }


def _machine(found: Answer) -> PlannedMachineDocument:
    kernel = found.trial.before.kernel
    return {
        "source": found.subject.source,
        "arch": found.subject.arch,
        "kernel": found.subject.kernel,
        "page_size": kernel.geometry.page_size,
        "memory_block_size": kernel.geometry.memory_block_size,
        "boot_bytes": sum(zone.present for zone in kernel.state.zones()) * kernel.geometry.page_size,
        "managed_bytes": kernel.state.total_managed() * kernel.geometry.page_size,
    }


def _question(found: Answer) -> QuestionDocument:
    asked = found.question
    return {
        "sizes": [] if found.verdict is None else list(asked.sizes),
        "driver": asked.driver,
        "policy": asked.policy,
        "node": asked.node,
        "address": asked.address,
        "slots": asked.slots,
        "online": asked.online,
    }


def _free(found: Answer) -> FreeDocument:
    """Free memory of all zones, then of the kernel zones alone, where the memmap comes from."""
    trial, page = found.trial, found.trial.before.kernel.geometry.page_size
    return {
        "before_bytes": free_pages(trial.before) * page,
        "lowest_bytes": trial.lowest * page,
        "after_bytes": free_pages(trial.machine) * page,
        "kernel_before_bytes": free_pages(trial.before, movable=False) * page,
        "kernel_lowest_bytes": trial.kernel_lowest * page,
        "kernel_after_bytes": free_pages(trial.machine, movable=False) * page,
    }


def _zones(found: Answer) -> list[PlannedZoneDocument]:
    page = found.trial.before.kernel.geometry.page_size
    gained = zones_gained(found.trial)
    return [
        {
            "node": zone.nid,
            "zone": zone.kind.label,
            "gained_bytes": gained.get(f"{zone.nid} {zone.kind.label}", 0),
            "present_bytes": zone.present * page,
            "managed_bytes": zone.managed * page,
            "free_bytes": zone.nr_free * page,
            "min_bytes": zone.wmark[0] * page,
            "low_bytes": zone.wmark[1] * page,
            "high_bytes": zone.wmark[2] * page,
        }
        for zone in found.trial.machine.kernel.state.zones()
        if zone.present
    ]


def _failed(found: Answer) -> FailedRequestDocument | None:
    """Return what would become of the request that a kernel log reports, before and after the add."""
    failed = found.subject.failed
    if failed is None:
        return None
    before, after = (zone_that_gives(machine, failed) for machine in (found.trial.before, found.trial.machine))
    return {
        "order": failed.order,
        "movable": failed.movable,
        "text": failed.text,
        "zone_before": before,
        "zone_after": after,
    }


def _min_free(machine: Machine) -> int:
    """Return what vm.min_free_kbytes is then."""
    return machine.kernel.state.min_free_kbytes


def _ratio(found: Answer) -> float | None:
    movable, kernel = movable_ratio(found.trial.machine)
    return round(movable / kernel, 3) if kernel else None
