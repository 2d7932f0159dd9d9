"""What the model says about a step of which only the operation is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memhotplug.commands.conform.baseline import Baseline
from memhotplug.commands.conform.classes import model_classes, split_blocks
from memhotplug.commands.conform.facts import KINDS, BlockShown
from memhotplug.commands.conform.observe import mem_total_change
from memhotplug.commands.conform.outcome import Outcome
from memhotplug.commands.conform.tables import blocks_shown, ram_lines, show_line
from memhotplug.formats.snapshot import RecordedOp
from memhotplug.machine import Machine
from memhotplug.model.buddy import free_by_order
from memhotplug.model.zones import Zone

if TYPE_CHECKING:
    from memhotplug.documents.conform import PredictedBlockDocument, PredictedZoneDocument, PredictionDocument

__all__ = ["UNDETERMINED", "predict_step"]

UNDETERMINED = "undetermined"
"""The result of a step of which nobody can know how it ends."""


def predict_step(
    machine: Machine, baseline: Baseline, step: int, op: RecordedOp, outcome: Outcome
) -> PredictionDocument:
    """Return what a recording of this step would show; sizes in pages unless they say otherwise.

    Only what stood in the recording before the step has gone into it. Where that cannot decide, the result is
    ``undetermined``; the rest is what follows if the operation goes as the model's own placement has it.
    """
    total = None if baseline.mem_total is None else baseline.mem_total // 1024 + mem_total_change(machine, baseline)
    classes = model_classes(machine, baseline, baseline.added, split_blocks(machine, baseline))
    return {
        "step": step,
        "op": op.kind,
        "result": UNDETERMINED if outcome.undetermined else outcome.result,
        "errno": outcome.errno,
        "results": {
            str(block): UNDETERMINED if block in outcome.undetermined else result
            for block, result in outcome.results.items()
        },
        "blocks_present": list(outcome.blocks),
        "zones": [_zone(machine, baseline, zone) for zone in machine.kernel.state.zones() if zone.present],
        "blocks": [_block(block, shown) for block, shown in blocks_shown(machine).items()],
        "iomem": [show_line(line) for line in ram_lines(machine.kernel.state.resources)],
        "memtotal_kb": total,
        "page_classes": [list(run) for run in classes],
    }


def _zone(machine: Machine, baseline: Baseline, zone: Zone) -> PredictedZoneDocument:
    """Return a zone; its free pages are only predictable where nobody but hotplug touches them."""
    exact = zone.kind is KINDS["Movable"] and zone.key not in baseline.populated
    return {
        "node": zone.nid,
        "zone": zone.kind.label,
        "start_pfn": zone.start_pfn,
        "spanned": zone.spanned,
        "present": zone.present,
        "managed": zone.managed,
        "free": zone.nr_free if exact else None,
        "free_by_order": free_by_order(zone.free, machine.kernel.geometry.max_order) if exact else None,
    }


def _block(block: int, shown: BlockShown) -> PredictedBlockDocument:
    return {
        "id": block,
        "state": shown.state or "",
        "valid_zones": shown.valid_zones or "",
        "removable": shown.removable or "",
        "node": shown.node or "",
    }
