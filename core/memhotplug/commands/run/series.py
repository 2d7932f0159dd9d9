"""A run as a time series: a row for each step and zone."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from memhotplug.machine import Machine
from memhotplug.model.zones import ZoneKind

if TYPE_CHECKING:
    from memhotplug.documents.machine import StepRecord

__all__ = ["COLUMNS", "to_csv", "zone_rows"]

COLUMNS: Final = (
    "step", "op", "name", "ok", "errno", "node", "zone", "start_pfn", "spanned", "present", "managed", "free",
    "movable_kernel_ratio", "self_hosted_pages", "allocated_pages", "page_size",
)  # fmt: skip
"""Counts are in pages; ``movable_kernel_ratio`` is in percent, of all managed pages, and empty without kernel pages."""


def zone_rows(machine: Machine, record: StepRecord) -> Iterator[dict[str, Any]]:
    """Yield a row for each zone that spans anything, after a step."""
    from memhotplug.engine.views.document import memmap_totals

    kernel = machine.kernel
    zones = [zone for zone in kernel.state.zones() if zone.spanned]
    movable = sum(zone.managed for zone in zones if zone.kind is ZoneKind.MOVABLE)
    unmovable = sum(zone.managed for zone in zones if zone.kind is not ZoneKind.MOVABLE)
    totals = memmap_totals(kernel)
    for zone in zones:
        yield {
            "step": record["index"],
            "op": record["op"],
            "name": record["name"],
            "ok": record["ok"],
            "errno": record["errno"],
            "node": zone.nid,
            "zone": zone.kind.label,
            "start_pfn": zone.start_pfn,
            "spanned": zone.spanned,
            "present": zone.present,
            "managed": zone.managed,
            "free": zone.nr_free,
            "movable_kernel_ratio": round(100 * movable / unmovable, 2) if unmovable else None,
            "self_hosted_pages": totals["self_hosted_pages"],
            "allocated_pages": totals["allocated_pages"],
            "page_size": kernel.geometry.page_size,
        }


def to_csv(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return rows as CSV with a header; truth values as true and false, nothing as an empty cell."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({key: _cell(value) for key, value in row.items()})
    return text.getvalue()


def _cell(value: object) -> object:
    return str(value).lower() if isinstance(value, bool) else value
