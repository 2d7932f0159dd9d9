"""``expect``: whether an assertion of a scenario holds on a machine.

What can be asserted, and what selects it, is described in ``scenario.expectation``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from memhotplug.commands.run.step_record import existing_blocks
from memhotplug.engine.base_memory import valid_zones
from memhotplug.engine.kernel import Kernel
from memhotplug.engine.views.document import memmap_totals
from memhotplug.errors import MemoryHotplugError
from memhotplug.formats.scenario import ExpectStep, RangeSpec
from memhotplug.formats.scenario.expectation import BLOCK_ATTRIBUTES, HEAD_ATTRIBUTES, MEMMAP_TOTALS, ZONE_COUNTERS
from memhotplug.machine import Machine
from memhotplug.model.blocks import BlockState
from memhotplug.model.zones import Zone, ZoneKind

__all__ = ["Verdict", "judge"]

_SUMS: Final = ("usable_pages", "vmemmap_pages")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came out of one ``expect``.

    Attributes:
        problems: what does not hold, as ``… is GOT, expected WANTED``; empty if all holds.
        errno: how reading the attribute failed, where that was expected.
        reason: why reading it failed.
    """

    problems: tuple[str, ...] = ()
    errno: str | None = None
    reason: str | None = None


def judge(machine: Machine, step: ExpectStep) -> Verdict:
    """Compare the state of a machine with what a step expects of it."""
    errno = reason = None
    if step.path is not None:
        try:
            text = machine.read(step.path)
        except MemoryHotplugError as problem:
            errno, reason, text = problem.name, problem.reason, None
        problems = list(_attribute(step, text, errno, reason))
    else:
        problems = []
    problems += _state(machine.kernel, step)
    problems += _lists(machine, step)
    return Verdict(tuple(problems), errno, reason) if not problems else Verdict(tuple(problems))


def _attribute(step: ExpectStep, text: str | None, errno: str | None, reason: str | None) -> Iterator[str]:
    if text is None:
        if step.fails is None:
            yield f"{step.path} cannot be read ({errno}: {reason}), expected {step.value!r}"
        elif step.fails != errno:
            yield f"reading {step.path} failed with {errno} ({reason}), expected {step.fails}"
        return
    got = text.removesuffix("\n")
    if step.fails is not None:
        yield f"{step.path} reads {got!r}, expected it to fail with {step.fails}"
    elif step.value is not None and got != step.value.removesuffix("\n"):
        yield f"{step.path} is {got!r}, expected {step.value!r}"


def _state(kernel: Kernel, step: ExpectStep) -> Iterator[str]:
    if step.block is not None or step.range is not None:
        yield from _blocks(kernel, step)
    elif step.zone is not None:
        yield from _zone(kernel, step, step.zone)
    if step.head is not None:
        yield from _head(kernel, step, step.head)
    totals = step.given((*MEMMAP_TOTALS, "memmap_pages"))
    if totals:
        got = memmap_totals(kernel)
        here = got["by_node"].get(str(step.node or 0), 0)
        yield from _differences("", {**got, "memmap_pages": here}, totals)


def _differences(of: str, got: Mapping[str, object], wanted: Mapping[str, object]) -> Iterator[str]:
    for key, value in wanted.items():
        if got[key] != value:
            yield f"{of}{key} is {_show(got[key])}, expected {_show(value)}"


def _show(value: object) -> str:
    if isinstance(value, (tuple, list)):
        return "/".join(map(str, value)) or "none"
    return "none" if value is None else str(value)


# ---- zones ----


def _zone(kernel: Kernel, step: ExpectStep, label: str) -> Iterator[str]:
    nid = step.node or 0
    node = kernel.state.nodes.get(nid)
    kind = ZoneKind[label.upper()]
    zone = node.zones.get(kind) if node is not None else None
    where = f"zone {label} of node {nid}: " if node is not None else f"there is no node {nid}: "
    yield from _differences(where, _counters(zone or Zone(nid, kind)), step.given(ZONE_COUNTERS))


def _counters(zone: Zone) -> dict[str, object]:
    return {
        "managed": zone.managed,
        "present": zone.present,
        "spanned": zone.spanned,
        "free": zone.nr_free,
        "start_pfn": zone.start_pfn,
    }


# ---- blocks ----


def _blocks(kernel: Kernel, step: ExpectStep) -> Iterator[str]:
    spec = step.range if step.range is not None else RangeSpec.blocks(step.block or 0)
    ids = existing_blocks(spec, kernel)
    if step.state == "absent":
        if ids:
            yield f"{spec}: memory block {ids[0]} exists, expected none"
        return
    problem = _missing(spec, ids, kernel)
    if problem is not None:
        yield f"{spec}: {problem}"
        return
    rows = [kernel.state.blocks.rows(block, block).start for block in ids]
    wanted = step.given((*BLOCK_ATTRIBUTES, "zone", "node"))
    for key, value in wanted.items():
        if key in _SUMS:
            yield from _differences(f"{spec}: ", {key: _sum(kernel, key, rows)}, {key: value})
            continue
        for block, row in zip(ids, rows, strict=True):
            got = _WORDS[key](kernel, row)
            if got != value:
                yield f"memory block {block}: {key} is {_show(got)}, expected {_show(value)}"
                break


def _missing(spec: RangeSpec, ids: list[int], kernel: Kernel) -> str | None:
    if not ids:
        return "there is no such memory" if spec.kind == "name" else "there is no such memory block"
    first, last = ids[0], ids[-1]
    if spec.kind == "name":
        return None
    if spec.kind == "block":
        first, last = spec.first or 0, spec.last or 0
    elif spec.start is not None and spec.size is not None:
        block_size = kernel.geometry.memory_block_size
        if spec.start % block_size or spec.size % block_size:
            return f"this is not made of whole memory blocks of {block_size:#x} bytes"
        first, last = spec.start // block_size, (spec.start + spec.size) // block_size - 1
    if last - first + 1 == len(ids):
        return None
    lost = next(wanted for wanted, got in zip(range(first, last + 2), [*ids, -1], strict=False) if wanted != got)
    return f"there is no memory block {lost}"


def _sum(kernel: Kernel, key: str, rows: list[int]) -> int:
    """Return a number of pages, summed up over the blocks in some rows."""
    memmap = kernel.state.vmemmap_pages_by_block()[rows]
    if key == "vmemmap_pages":
        return int(memmap.sum())
    withheld = int(kernel.state.withheld_by_block()[rows].sum())
    # A self-hosting block may reserve more than its memmap fills (memmap_on_memory=force).
    reserved = int(np.maximum(memmap, kernel.state.blocks.altmap_pages[rows]).sum())
    return len(rows) * kernel.geometry.pages_per_block - reserved - withheld


def _state_word(kernel: Kernel, row: int) -> str:
    return BlockState(int(kernel.state.blocks.state[row])).label


def _zone_word(kernel: Kernel, row: int) -> str | None:
    kind = int(kernel.state.blocks.zone[row])
    return ZoneKind(kind).label if kind >= 0 else None


def _device_word(kernel: Kernel, row: int) -> str | None:
    device = int(kernel.state.blocks.device[row])
    return kernel.state.devices[device].name if device >= 0 else None


_WORDS: Final[Mapping[str, Callable[[Kernel, int], object]]] = {
    "state": _state_word,
    "zone": _zone_word,
    "node": lambda kernel, row: int(kernel.state.blocks.nid[row]),
    "device": _device_word,
    "valid_zones": lambda kernel, row: tuple(valid_zones(kernel, row)),
}


# ---- the memmap, and what is listed ----


def _head(kernel: Kernel, step: ExpectStep, pfn: int) -> Iterator[str]:
    for head in kernel.profile.heads(kernel):
        if head["start_pfn"] == pfn:
            yield from _differences(f"the memmap at pfn {pfn}: ", head, step.given(HEAD_ATTRIBUTES))
            return
    yield f"no self-hosted memmap begins at pfn {pfn}"


def _lists(machine: Machine, step: ExpectStep) -> Iterator[str]:
    if step.violations is not None:
        yield from _listed("violations", machine.violations(), step.violations)
    if step.warnings is not None:
        yield from _listed("warnings", machine.kernel.journal.warnings, step.warnings)


def _listed(what: str, got: list[str], wanted: int | tuple[str, ...]) -> Iterator[str]:
    """Compare a list with its length, or with its entries: a name such as I11, or the whole text."""
    shown = f": {'; '.join(got)}" if got else ""
    if isinstance(wanted, int):
        if len(got) != wanted:
            yield f"the number of {what} is {len(got)}, expected {wanted}{shown}"
        return
    same = len(got) == len(wanted) and all(_names(text, name) for text, name in zip(got, wanted, strict=True))
    if not same:
        yield f"the {what} are not as expected ({'; '.join(wanted) or 'none'}){shown or ': there are none'}"


def _names(text: str, name: str) -> bool:
    return text == name or text.startswith(name + ":")
