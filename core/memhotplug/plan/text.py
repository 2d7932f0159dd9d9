"""The answer as people read it: the verdict first, then why, then what to do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from memhotplug.run.text import Paint, plain, table
from memhotplug.units import format_size

__all__ = ["answer_lines"]

_VERDICTS = {"fits": ("fits", "green"), "risky": ("fits, at a risk", "yellow"), "does-not-fit": ("does not fit", "red")}


def answer_lines(document: dict[str, Any], paint: Paint = plain) -> list[str]:
    """Return the lines for what :func:`memhotplug.plan.document.to_document` returned."""
    return list(_lines(document, paint))


def _lines(document: dict[str, Any], paint: Paint) -> Iterator[str]:
    question, machine = document["question"], document["machine"]
    word, style = _VERDICTS[document["verdict"]]
    sizes = " + ".join(format_size(size) for size in question["sizes"])
    yield f"{sizes} by {question['driver']} on {machine['source']}, {machine['arch']} {machine['kernel']}:"
    yield f"  {paint(word, style)} ({document['reason']['rule']})"
    yield f"  {document['reason']['text']}"
    if document["flips_under"]:
        yield f"  Under the boot profile {document['flips_under']} the verdict is another one."
    if document["fits_from_boot_bytes"]:
        yield f"  It would fit with {format_size(document['fits_from_boot_bytes'])} of boot memory."
    yield ""
    yield from _costs(document)
    yield ""
    yield from _advice(document)
    yield ""
    yield "The same question under each policy:"
    yield from _policies(document["policies"], paint)
    yield ""
    yield "Rules of thumb, for the same machine:"
    yield from _rules(document["rules_of_thumb"], paint)
    yield ""
    yield "Assumed:"
    yield from (f"  - {sentence}" for sentence in document["assumptions"])


def _costs(document: dict[str, Any]) -> Iterator[str]:
    memmap, free, sizes = document["memmap"], document["free"], document["sizes"]
    fallback = f", {memmap['fallback_pages']} pages of it one by one" if memmap["fallback_pages"] else ""
    chunks = f"{memmap['blocks']} chunks of order {memmap['order']}"
    yield f"memmap        {_exact(memmap['bytes'])} in {chunks}, from {memmap['source'] or 'nowhere'}{fallback}"
    yield f"page tables   {memmap['page_table_pages']} pages"
    places = (_exact(free[key]) for key in ("before_bytes", "lowest_bytes", "after_bytes"))
    yield "free memory   {} before, {} at the lowest point, {} after".format(*places)
    names = ("requested", "added", "online", "usable")
    yield "sizes         " + ", ".join(f"{_exact(sizes[name + '_bytes'])} {name}" for name in names)
    gained = ", ".join(
        f"{_exact(zone['gained_bytes'])} in {zone['zone']} of node {zone['node']}"
        for zone in document["zones"]
        if zone["gained_bytes"]
    )
    ratio = document["movable_to_kernel"]
    yield f"zones         {gained or 'nothing online'}; Movable to kernel {ratio if ratio is not None else 'undefined'}"
    back = document["removable_blocks"]
    yield f"way back      {back['removable']} of {back['of']} new blocks can be removed again (a bound)"
    yield f"also          {document['gigantic_pages']} free 1G pages, {document['uevents']} uevents"


def _exact(size: int) -> str:
    """Return a size with the exact number of MiB where rounding would hide something."""
    return f"{size / (1 << 20):.1f}M" if size % (1 << 30) and size < 10 << 30 else format_size(size)


def _advice(document: dict[str, Any]) -> Iterator[str]:
    largest, steps = document["largest_single_add"], document["safe_steps"]
    at_least = "at least " if largest["capped"] else ""
    yield (
        f"largest single add   {at_least}{format_size(largest['clean_bytes'])} cleanly, "
        f"{at_least}{format_size(largest['with_fallback_bytes'])} with fallbacks"
    )
    total, wanted = sum(steps), document["sizes"]["requested_bytes"]
    shown = " + ".join(format_size(size) for size in steps) or "none"
    short = "" if total >= wanted else f" = {format_size(total)}, and no further step helps"
    yield f"safe steps           {shown}{short}"


def _policies(policies: Sequence[dict[str, Any]], paint: Paint) -> Iterator[str]:
    header = ("POLICY", "VERDICT", "SELF-HOSTED", "ALLOCATED", "LOWEST-FREE", "USABLE", "LARGEST", "LANDS-IN")
    rows = []
    for policy in policies:
        memmap = policy["memmap"]
        plus = "+" if policy["largest_clean_is_capped"] else ""
        zones = ", ".join(f"{name} {format_size(size)}" for name, size in policy["zones"].items())
        rows.append(
            (
                policy["name"] if policy["kind"] == "memmap" else f"online {policy['name']}",
                policy["verdict"],
                str(memmap["self_hosted_pages"]),
                str(memmap["allocated_pages"]),
                format_size(policy["lowest_free_bytes"]),
                format_size(policy["usable_bytes"]),
                format_size(policy["largest_clean_bytes"]) + plus,
                zones or "-",
            )
        )
    yield from table(header, rows, ("POLICY", "VERDICT", "LANDS-IN"), paint)


def _rules(rules: Sequence[dict[str, Any]], paint: Paint) -> Iterator[str]:
    rows = [(format_size(rule["allows_bytes"]), rule["name"], rule["source"], rule["kind"]) for rule in rules]
    yield from table(("ALLOWS", "RULE", "SOURCE", "LIMITS"), rows, ("RULE", "SOURCE", "LIMITS"), paint)
