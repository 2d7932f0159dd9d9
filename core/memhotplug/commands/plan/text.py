"""The answer as people read it: the verdict first, then why, then what it costs and what would be safe."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from memhotplug.commands.plan.sizes import MOST_STEPS, exact_size, typed_size
from memhotplug.output.tables import HEAD, Paint, plain, table
from memhotplug.units import format_size

__all__ = ["answer_lines", "brief_lines"]

_WIDTH: Final = 80
_NARROWEST: Final = 32
_LABEL: Final = 15
_VERDICTS: Final = {
    "fits": ("fits", "green"),
    "risky": ("fits, at a risk", "yellow"),
    "does-not-fit": ("does not fit", "red"),
}
_LEGEND: Final = (
    "* as asked; MEMMAP: taken from memory that is there; LOWEST: free in kernel zones; "
    "LARGEST: single add that leaves them their high watermarks, + at least"
)
_BRIEF: Final = 3


def answer_lines(document: Mapping[str, Any], paint: Paint = plain, *, width: int | None = None) -> list[str]:
    """Return the lines for what ``to_document()`` returned; prose wraps at 80 columns or at ``width``, if less."""
    return list(_lines(document, paint, width))


def brief_lines(document: Mapping[str, Any], paint: Paint = plain, *, width: int | None = None) -> list[str]:
    """Return three lines at most, however long: the verdict, why, and the best remedy that was tried."""
    del width  # sentences; whoever prints them folds them
    largest = document["largest_single_add"]
    if document["verdict"] is None:
        return [_how_much(document), f"limited by {largest['limit']['rule']}: {largest['limit']['text']}"]
    remedy = [f"it would fit {document['remedies'][0]['text']}"] if document["remedies"] else []
    return [_headline(document, paint), document["reason"]["text"], *remedy][:_BRIEF]


def _lines(document: Mapping[str, Any], paint: Paint, width: int | None) -> Iterator[str]:
    room = _WIDTH if width is None else max(min(_WIDTH, width), _NARROWEST)
    yield from _ticket(document, paint, room)
    for part in (_costs(document), _advice(document)):
        yield ""
        for label, text in part:
            yield from _row(label, text, room)
    yield ""
    yield paint("The same question under each policy", HEAD)
    nodes = len({zone["node"] for zone in document["zones"]})
    yield from _policies(document["policies"], document["machine"]["page_size"], nodes, width, room)
    yield ""
    yield paint("Assumed", HEAD)
    for sentence in document["assumptions"]:
        yield from textwrap.wrap(sentence, room, initial_indent="- ", subsequent_indent="  ")
    yield ""
    yield from _prose(_headline(document, plain) if document["verdict"] else _how_much(document), room)


def _headline(document: Mapping[str, Any], paint: Paint) -> str:
    """Return question, machine and verdict in one sentence."""
    question, machine = document["question"], document["machine"]
    word, style = _VERDICTS[document["verdict"]]
    rule = "" if document["verdict"] == "fits" else f" ({document['reason']['rule']})"
    where = f"{machine['source']}, {machine['arch']}, {machine['kernel']}"
    return f"{_sizes(question['sizes'])} by {_by(question)} on {where}: {paint(word, style)}{rule}"


def _by(question: Mapping[str, Any]) -> str:
    """Return who adds, and who decides for it."""
    return str(question["driver"]) + (f" under policy {question['policy']}" if question["policy"] else "")


def _how_much(document: Mapping[str, Any]) -> str:
    """Return how much could be added, in one sentence."""
    question, machine, largest = document["question"], document["machine"], document["largest_single_add"]
    least = "at least " if largest["capped"] else "up to "
    much = least + typed_size(largest["clean_bytes"]) if largest["clean_bytes"] else "nothing"
    return f"{machine['source']}, {machine['arch']}, {machine['kernel']}: {much} by {_by(question)} at once"


def _ticket(document: Mapping[str, Any], paint: Paint, room: int) -> Iterator[str]:
    """Yield what belongs into a ticket: the question, the verdict and why, on as few lines as it takes."""
    if document["verdict"] is None:
        yield from _prose(_how_much(document), room)
        return
    word, style = _VERDICTS[document["verdict"]]
    *lines, last = _prose(_headline(document, plain), room)
    yield from lines
    yield last.replace(f": {word}", f": {paint(word, style)}")
    for sentence in _reasons(document):
        yield from _prose(sentence, room, indent="  ")


def _reasons(document: Mapping[str, Any]) -> Iterator[str]:
    """Yield why, what else is wrong, and what would turn the verdict, a sentence each."""
    yield document["reason"]["text"]
    yield from (f"also {risk['rule']}: {risk['text']}" for risk in document["risks"][1:])
    if document["driver_result"]:
        yield f"driver: {document['driver_result']}"
    yield from (f"warning: {warning}" for warning in document["warnings"])
    if document["flips_under"]:
        other, _ = _VERDICTS[document["flips_to"]]
        yield f"Under the boot profile {document['flips_under']} the verdict is another one: {other}."
    if document["fits_from_boot_bytes"]:
        yield f"It would fit from {typed_size(document['fits_from_boot_bytes'])} of boot memory on."
    for remedy in document["remedies"]:
        if remedy["kind"] != "boot-memory":
            risk = "" if remedy["verdict"] == "fits" else ", at a risk"
            yield f"It would fit {remedy['text']}{risk}."


def _sizes(sizes: Sequence[int]) -> str:
    """Return sizes joined by plus signs, equal neighbours counted."""
    parts: list[tuple[int, int]] = []
    for size in sizes:
        if parts and parts[-1][1] == size:
            parts[-1] = (parts[-1][0] + 1, size)
        else:
            parts.append((1, size))
    return " + ".join(typed_size(size) if count == 1 else f"{count} x {typed_size(size)}" for count, size in parts)


def _prose(text: str, room: int, indent: str = "") -> list[str]:
    lines = textwrap.wrap(
        text, room, initial_indent=indent, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    return lines or [indent.rstrip()]


def _costs(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what the add costs and where it lands: labels and texts."""
    memmap, free, sizes = document["memmap"], document["free"], document["sizes"]
    chunks = _counted(memmap["blocks"], f"chunk of order {memmap['order']}", f"chunks of order {memmap['order']}")
    short = " would be needed; in the end" if 0 < memmap["made_pages"] < memmap["pages"] else ","
    yield "memmap", f"{exact_size(memmap['bytes'])} in {chunks}{short} {_origin(memmap)}"
    if memmap["fallback_pages"]:
        yield "", f"{memmap['fallback_pages']} pages of it mapped one by one"
    tables = memmap["page_tables"]
    extra = [f"sysfs and section objects of the new blocks {_pages(memmap['block_object_pages'])}"]
    if memmap["page_table_pages"]:
        parts = f"{tables['vmemmap_pages']} memmap, {tables['direct_map_pages']} direct map"
        extra.append(f"page tables {_pages(memmap['page_table_pages'])} ({parts})")
    yield "besides", ", ".join(extra)
    keys = [("free memory", "")]
    if any(free[f"{name}_bytes"] != free[f"kernel_{name}_bytes"] for name in ("before", "lowest", "after")):
        keys.append(("kernel zones", "kernel_"))
    for label, key in keys:
        before, lowest, after = (exact_size(free[f"{key}{name}_bytes"]) for name in ("before", "lowest", "after"))
        yield label, f"{before} before, {lowest} at the lowest point, {after} after"
    names = ("requested", "added", "online", "usable")
    yield "sizes", ", ".join(f"{exact_size(sizes[name + '_bytes'])} {name}" for name in names)
    yield "lands in", _landed(document)
    if document["failed_request"]:
        yield "failed request", _retried(document["failed_request"])
    yield "way back", _way_back(document["removable_blocks"])
    yield "also", _also(document)


def _row(label: str, text: str, room: int) -> list[str]:
    indent = " " * _LABEL
    return textwrap.wrap(text, room, initial_indent=label.ljust(_LABEL), subsequent_indent=indent)


def _counted(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"


def _pages(count: int) -> str:
    return _counted(count, "page", "pages")


def _origin(memmap: Mapping[str, Any]) -> str:
    if memmap["source"] is None:
        return "none of it allocated"
    zones = ", ".join(f"{exact_size(size)} from {_place(name)}" for name, size in memmap["by_zone"].items())
    hosted = f"{exact_size(memmap['self_hosted_bytes'])} self-hosted" if memmap["self_hosted_bytes"] else ""
    return ", ".join(part for part in (hosted, zones) if part) or str(memmap["source"])


def _place(name: str) -> str:
    """Return ``0 DMA32`` as ``DMA32 of node 0``."""
    node, _, zone = name.partition(" ")
    return f"{zone} of node {node}"


def _landed(document: Mapping[str, Any]) -> str:
    gained = [
        f"{exact_size(zone['gained_bytes'])} in {zone['zone']} of node {zone['node']}"
        for zone in document["zones"]
        if zone["gained_bytes"]
    ]
    ratio = document["movable_to_kernel"]
    balance = "no kernel zone" if ratio is None else f"Movable : kernel = {ratio:.2f} : 1"
    return f"{', '.join(gained) or 'nothing online'}; {balance}"


def _retried(failed: Mapping[str, Any]) -> str:
    words = [
        f"served from {_place(zone)}" if zone else "fails" for zone in (failed["zone_before"], failed["zone_after"])
    ]
    kind = f"order {failed['order']}{', movable' if failed['movable'] else ''}"
    return f"{kind}: {words[0]} before the add, {words[1]} after"


def _way_back(back: dict[str, int]) -> str:
    if not back["of"]:
        return "no new block"
    if back["removable"] == back["of"]:
        return f"all {back['of']} new blocks could be removed again (offline or Movable, nothing pinned)"
    return f"{back['removable']} of {back['of']} new blocks could be removed again for sure"


def _also(document: Mapping[str, Any]) -> str:
    events = document["uevents"]
    text = (
        f"{_counted(document['gigantic_pages'], 'page', 'pages')} of 1G can be formed; "
        f"{_counted(events['total'], 'uevent', 'uevents')} ({events['add']} add, {events['online']} online"
    )
    text += f", {events['node']} node)" if events["node"] else ")"
    if events["add"] > 256:
        text += f"; a listener that keeps 256 add events onlines {format_size(events['kept_online_bytes'])}"
    kept = document["min_free_kbytes"]
    if kept["before"] != kept["after"]:
        text += f"; min_free_kbytes {kept['before']} before, {kept['after']} after"
    return text


def _advice(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what would be safe: labels and texts."""
    largest, steps = document["largest_single_add"], document["safe_steps"]
    clean, more = typed_size(largest["clean_bytes"]), typed_size(largest["with_fallback_bytes"])
    if largest["capped"]:
        yield "largest add", f"at least {clean}"
    elif clean == more:
        yield "largest add", clean
    else:
        yield "largest add", f"{clean}; {more} with failed allocations or no reserve left"
    yield "limited by", f"{largest['limit']['rule']}: {largest['limit']['text']}"
    total, wanted = sum(steps), document["sizes"]["requested_bytes"]
    short = ""
    if total < wanted and steps:
        told = f" = {typed_size(total)}" if len(steps) > 1 else ""
        short = f"{told}, {_why_no_more(total, len(steps), largest['searched_bytes'])}"
    yield "safe steps", (_sizes(steps) if steps else "none") + short
    yield "rules of thumb", _rules(document["rules_of_thumb"])


def _why_no_more(total: int, steps: int, searched: int) -> str:
    if total >= searched:
        return "where the search ends"
    return "no further step is safe" if steps < MOST_STEPS else f"more than {MOST_STEPS} steps are not tried"


def _policies(policies: Sequence[dict[str, Any]], page: int, nodes: int, width: int | None, room: int) -> Iterator[str]:
    header = ("POLICY", "VERDICT", "MEMMAP", "LOWEST", "USABLE", "LARGEST", "LANDS-IN")
    rows = []
    for policy in policies:
        name = policy["name"].removeprefix("memmap_")
        if policy["kind"] != "memmap":
            name = f"{policy['kind']} {policy['name']}"
        rows.append(
            (
                name + ("*" if policy["current"] else ""),
                policy["verdict"],
                format_size(policy["memmap"]["allocated_pages"] * page),
                format_size(policy["lowest_free_bytes"]),
                format_size(policy["usable_bytes"]),
                _largest(policy),
                ", ".join(f"{_zone_name(zone, nodes)} {format_size(size)}" for zone, size in policy["zones"].items())
                or "-",
            )
        )
    yield from table(header, rows, ("POLICY", "VERDICT", "LANDS-IN"), width=width)
    yield from _prose(_LEGEND, room)


def _zone_name(name: str, nodes: int) -> str:
    """Return ``0 Normal`` as ``Normal``, or as ``Normal/0`` where there are several nodes."""
    node, _, zone = name.partition(" ")
    return zone if nodes == 1 else f"{zone}/{node}"


def _largest(policy: Mapping[str, Any]) -> str:
    if policy["largest_clean_bytes"] is None:
        return "-"
    return typed_size(policy["largest_clean_bytes"]) + ("+" if policy["largest_clean_is_capped"] else "")


def _rules(rules: Sequence[dict[str, Any]]) -> str:
    """Return the most careful and the boldest rule of thumb; all of them are in the JSON object."""
    least, most = rules[0], rules[-1]
    return " to ".join(f"{format_size(one['allows_bytes'])} ({one['name']}, {one['source']})" for one in (least, most))
