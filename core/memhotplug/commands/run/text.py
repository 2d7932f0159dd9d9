"""A run as people read it: one line a step, then the memory as lsmem shows it, the zones, and what
the memmap costs.

Everything is plain text; ``Paint`` adds colour where there is any. Without a width nothing is ever wrapped: a line is
as long as it is, so that a table survives a pipe.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from memhotplug.formats.scenario import (
    Action,
    AddStep,
    AllocateStep,
    ExpectStep,
    OnlineStep,
    ReleaseStep,
    ResizeStep,
    Step,
    WriteStep,
)
from memhotplug.formats.scenario.refusal import cut
from memhotplug.machine import Machine
from memhotplug.output.tables import HEAD, Paint, plain, table
from memhotplug.units import format_blocks, format_range, format_size

if TYPE_CHECKING:
    from memhotplug.documents.machine import StepRecord

__all__ = ["state_lines", "step_lines", "verdict_lines"]

_LONGEST: Final = 400
_GOOD, _EXPECTED, _BAD = "green", "yellow", "bold red"


# ---- steps ----


def step_lines(step: Step, record: StepRecord, paint: Paint = plain) -> list[str]:
    """Return the line of one step, and below it what was left behind and what the driver said."""
    lines = ["  ".join([*_subject(step.args, record), _outcome(record, paint)])]
    if not record["ok"] and record["blocks_done"]:
        lines.append(f"    done before: blocks {format_blocks(record['blocks_done'])}")
    lines += [f"    left behind: {cut(leak, _LONGEST)}" for leak in record["leaks"]]
    if record["driver_result"] is not None:
        lines.append(f"    driver: {cut(record['driver_result'], _LONGEST)}")
    return lines


def _outcome(record: StepRecord, paint: Paint) -> str:
    message = cut(record["message"] or "", _LONGEST)
    if not record["ok"]:
        return f"{paint('FAILED', _BAD)} {': '.join(part for part in (record['errno'], message) if part)}"
    if record["errno"] is None:
        return paint("ok", _GOOD)
    return f"{paint('ok', _GOOD)} ({paint(record['errno'] + ' as expected', _EXPECTED)}: {message})"


def _subject(args: Action, record: StepRecord) -> Iterator[str]:
    """Yield what a step is about, in columns."""
    op = record["op"]
    if isinstance(args, AddStep):
        yield f"{op} {record['name']}"
        yield args.driver
        where = "" if record["start"] is None else f" at {_where(record)}"
        yield format_size(record["size"] or 0) + where
    elif isinstance(args, WriteStep):
        yield f"{op} {args.path}"
        yield cut(args.value) or "(nothing)"
    elif isinstance(args, AllocateStep):
        yield f"{op} {args.name}"
        yield f"{format_size(args.size)} {args.zone} from node {args.node}"
    elif isinstance(args, ResizeStep):
        yield f"{op} {args.range}"
        yield f"to {format_size(args.size)}"
    elif isinstance(args, ExpectStep):
        yield f"{op} {', '.join(_assertions(args))}"
        return
    elif isinstance(args, ReleaseStep):
        yield f"{op} {args.name}"
        return
    else:
        yield f"{op} {getattr(args, 'range', '')}"
    if isinstance(args, OnlineStep) and args.zone != "auto":
        yield f"zone {args.zone}"
    if record["blocks"]:
        yield f"blocks {format_blocks(record['blocks'])}"


def _where(record: StepRecord) -> str:
    return format_range(record["start"] or 0, max(record["size"] or 0, 1))


def _assertions(args: ExpectStep) -> Iterator[str]:
    for key, value in args.given([key for key in ExpectStep.key_names() if key not in Action.fields]).items():
        shown = "/".join(map(str, value)) if isinstance(value, tuple) else str(value)
        yield f"{key} {cut(shown) or '(nothing)'}"


def verdict_lines(records: Sequence[StepRecord], paint: Paint = plain) -> list[str]:
    """Return what became of a run that did what its scenario says, for the place where the eye ends."""
    steps = [record for record in records if record["op"] != "expect"]
    parts = [_counted(len(steps), "step")] if steps else []
    expected = len(records) - len(steps)
    parts += [_counted(expected, "expectation")] if expected else []
    refused = sum(record["errno"] is not None for record in steps)
    among = f", {refused} refused as expected" if refused else ""
    return ["", f"{paint('ok', _GOOD)}: {' and '.join(parts)}{among}"] if parts else []


def _counted(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"


# ---- the state ----


def state_lines(
    machine: Machine, state: Mapping[str, Any], paint: Paint = plain, *, width: int | None = None
) -> list[str]:
    """Return the tables.

    Args:
        state: what ``machine.to_dict()`` returned.
        width: columns of the terminal, None for lines as long as they are.
    """
    return [
        "",
        *_memory(machine, state, paint, width),
        "",
        *_zones(state, paint, width),
        "",
        *_memmap(machine, state["memmap"], paint),
        *_listed("Warnings:", state["warnings"], paint, _EXPECTED),
        *_listed("Broken invariants:", state["violations"], paint, _BAD),
    ]


_SHORT: Final = {"REMOVABLE": "REMOV", "START_PFN": "START"}
_MEMORY_COLUMNS: Final = ("RANGE", "SIZE", "STATE", "REMOVABLE", "BLOCK", "ZONES", "NODE", "VMEMMAP", "DEVICE")


def _memory(machine: Machine, state: Mapping[str, Any], paint: Paint, width: int | None) -> Iterator[str]:
    """Yield the blocks, neighbours that are alike in one row. Models: util-linux sys-utils/lsmem.c."""
    rows = [_memory_row(run, removable) for run, removable in _runs(machine, state["blocks"])]
    yield from table(_MEMORY_COLUMNS, rows, ("RANGE", "DEVICE"), paint, width=width, short=_SHORT)
    online = sum(block["size"] for block in state["blocks"] if block["state"] == "online")
    total = sum(block["size"] for block in state["blocks"])
    yield ""
    for label, size in (
        ("Memory block size:", state["machine"]["memory_block_size"]),
        ("Total online memory:", online),
        ("Total offline memory:", total - online),
    ):
        yield f"{label:<23} {format_size(size):>5}"


def _runs(machine: Machine, blocks: list[dict[str, Any]]) -> Iterator[tuple[list[dict[str, Any]], str]]:
    """Yield runs of blocks that lsmem would merge, with what it prints as REMOVABLE."""
    run: list[dict[str, Any]] = []
    run_key: tuple[Any, ...] = ()
    answers = machine.kernel.profile.removable(machine.kernel, slice(0, len(blocks))).tolist()
    for block, answer in zip(blocks, answers, strict=True):
        removable = "-"
        if block["state"] == "online":
            removable = "yes" if answer else "no"
        key = (removable, block["state"], block["valid_zones"], block["node"], block["device"])
        if run and (key != run_key or block["id"] != run[-1]["id"] + 1):
            yield run, run_key[0]
            run = []
        run.append(block)
        run_key = key
    if run:
        yield run, run_key[0]


def _memory_row(run: list[dict[str, Any]], removable: str) -> list[str]:
    first = run[0]
    size = sum(block["size"] for block in run)
    ids = [first["id"]] if len(run) == 1 else [first["id"], run[-1]["id"]]
    return [
        format_range(first["start"], size),
        format_size(size),
        first["state"],
        removable,
        "-".join(map(str, ids)),
        "/".join(first["valid_zones"]) or "None",
        str(first["node"]),
        str(sum(block["vmemmap_pages"] for block in run)),
        first["device"] or "-",
    ]


def _zones(state: Mapping[str, Any], paint: Paint, width: int | None) -> Iterator[str]:
    header = ("NODE", "ZONE", "START_PFN", "SPANNED", "PRESENT", "MANAGED", "FREE")
    keys = ("node", "zone", "start_pfn", "spanned", "present", "managed", "free")
    yield paint("Zones, in pages:", HEAD)
    rows = [[str(zone[key]) for key in keys] for zone in state["zones"]]
    yield from table(header, rows, ("ZONE",), paint, width=width, short=_SHORT)


def _memmap(machine: Machine, memmap: Mapping[str, Any], paint: Paint) -> Iterator[str]:
    page_size = machine.kernel.geometry.page_size
    counts = [
        ("self-hosted", memmap["self_hosted_pages"]),
        ("from the page allocator", memmap["allocated_pages"]),
        ("page tables", memmap["page_table_pages"]),
        *((f"memmap on node {node}", count) for node, count in memmap["by_node"].items()),
    ]
    yield paint("Memmap of the hot-added memory:", HEAD)
    rows = [(label, str(count), format_size(count * page_size)) for label, count in counts]
    yield from table(("WHERE", "PAGES", "SIZE"), rows, ("WHERE",), paint)


def _listed(title: str, texts: list[str], paint: Paint, style: str) -> list[str]:
    if not texts:
        return []
    return ["", paint(title, style), *(f"  {cut(text, _LONGEST)}" for text in texts)]
