"""``expect``: what must hold at this point of a scenario.

One step may assert several things at once. What it is about is chosen by *selectors*:

- ``zone`` with ``node`` (default 0): the zone's counters, in pages, and its ``start_pfn``;
- ``block`` (one id) or ``range``: attributes of memory blocks. Words, and then ``zone`` and ``node``
  too, must hold for every block of the range; ``usable_pages`` and ``vmemmap_pages`` are their sum;
- ``head`` (a pfn): the self-hosted memmap that begins there;
- ``path``: a sysfs attribute, compared with ``value`` without its trailing newline; with ``fails``,
  the errno that reading it must give;
- none: the totals of the memmap, ``memmap_pages`` (of ``node``, default 0), and the lists of broken
  invariants and of warnings, as their number or as the entries themselves.
"""

from collections.abc import Iterator, Sequence
from typing import Annotated, Final

from memhotplug.formats.scenario.fields import (
    COUNT_OR_TEXTS,
    NAME,
    NODE,
    PAGES,
    PATH,
    RANGE,
    TEXT,
    ZONE_LIST,
    ZONES,
    choice,
    integer,
)
from memhotplug.formats.scenario.models import Action
from memhotplug.formats.scenario.ranges import RangeSpec
from memhotplug.formats.scenario.record import Conflict
from memhotplug.formats.scenario.values import one_of

__all__ = ["BLOCK_ATTRIBUTES", "HEAD_ATTRIBUTES", "MEMMAP_TOTALS", "ZONE_COUNTERS", "ExpectStep"]

ZONE_COUNTERS: Final = ("managed", "present", "spanned", "free", "start_pfn")
BLOCK_ATTRIBUTES: Final = ("state", "valid_zones", "usable_pages", "vmemmap_pages", "device")
HEAD_ATTRIBUTES: Final = ("nr_pages", "refcount", "private")
MEMMAP_TOTALS: Final = ("self_hosted_pages", "allocated_pages", "page_table_pages")
_ASSERTIONS: Final = frozenset(
    (
        *ZONE_COUNTERS,
        *BLOCK_ATTRIBUTES,
        *HEAD_ATTRIBUTES,
        *MEMMAP_TOTALS,
        "memmap_pages",
        "path",
        "value",
        "violations",
        "warnings",
    )
)
_PFN: Final = integer(0, (1 << 52) - 1, "a pfn")
_COUNT: Final = integer(0, None, "a number")


class ExpectStep(Action, summary="Assertions on the state of the machine; all of them must hold."):
    zone: Annotated[str | None, choice(*ZONES).says("The zone whose counters are compared; of a block: its zone.")] = (
        None
    )
    node: Annotated[int | None, NODE.says("The node of that zone, default 0; of a block: its node.")] = None
    block: Annotated[int | None, integer(0, 10**15 - 1, "a memory block id").says("The memory block.")] = None
    range: Annotated[RangeSpec | None, RANGE.says("Several memory blocks.")] = None
    head: Annotated[int | None, _PFN.says("First pfn of a self-hosted memmap.")] = None

    managed: Annotated[int | None, PAGES.says("Pages of the zone that the page allocator manages.")] = None
    present: Annotated[int | None, PAGES.says("Pages of the zone that exist.")] = None
    spanned: Annotated[int | None, PAGES.says("Pages from the zone's first to its last, holes included.")] = None
    free: Annotated[int | None, PAGES.says("Free pages of the zone.")] = None
    start_pfn: Annotated[int | None, _PFN.says("The zone's first pfn.")] = None

    state: Annotated[
        str | None, choice("online", "offline", "absent").says("State of the block; absent: there is no such block.")
    ] = None
    valid_zones: Annotated[tuple[str, ...] | None, ZONE_LIST.says("What the block's valid_zones says.")] = None
    usable_pages: Annotated[int | None, PAGES.says("Pages of the block that are left for use.")] = None
    vmemmap_pages: Annotated[int | None, PAGES.says("Pages of the block that hold memmap.")] = None
    device: Annotated[str | None, NAME.says("The name of the step that added the block.")] = None

    nr_pages: Annotated[int | None, PAGES.says("Pages of the self-hosted memmap.")] = None
    refcount: Annotated[int | None, _COUNT.says("Reference count of its head page.")] = None
    private: Annotated[int | None, _COUNT.says("The head page's private field.")] = None

    self_hosted_pages: Annotated[int | None, PAGES.says("Hot-added memmap that lives in the memory it describes.")] = (
        None
    )
    allocated_pages: Annotated[int | None, PAGES.says("Hot-added memmap that came from the page allocator.")] = None
    page_table_pages: Annotated[int | None, PAGES.says("Page tables that the hot-adds needed.")] = None
    memmap_pages: Annotated[int | None, PAGES.says("Pages of the node that hold memmap of hot-added memory.")] = None

    path: Annotated[str | None, PATH.says("A sysfs attribute.")] = None
    value: Annotated[str | None, TEXT.says("What that attribute reads.")] = None

    violations: Annotated[
        int | tuple[str, ...] | None, COUNT_OR_TEXTS.says("How many invariants are broken, or which.")
    ] = None
    warnings: Annotated[int | tuple[str, ...] | None, COUNT_OR_TEXTS.says("How many warnings there are, or which.")] = (
        None
    )

    def given(self, keys: Sequence[str]) -> dict[str, object]:
        """Return those of ``keys`` that this step asserts, with the values that it expects."""
        return {key: value for key in keys if (value := getattr(self, key)) is not None}

    @classmethod
    def conflicts(cls, keys: Sequence[str]) -> Iterator[Conflict]:
        """Every selector needs something to compare, and the other way round."""
        blocks = [key for key in keys if key in ("block", "range")]
        counters = [key for key in keys if key in ZONE_COUNTERS]
        if len(blocks) > 1:
            yield Conflict(blocks[-1], "block or range, and not both")
        if blocks and counters:
            yield Conflict(counters[0], f"attributes of blocks beside {blocks[0]}; zone counters need their own expect")
        yield from _needs_selector(keys, blocks, counters)
        yield from _needs_assertion(keys, blocks, counters)
        if "fails" in keys and "path" not in keys:
            yield Conflict("path", "an attribute: nothing else in expect can fail", missing=True)


def _needs_selector(keys: Sequence[str], blocks: list[str], counters: list[str]) -> Iterator[Conflict]:
    attributes = [key for key in keys if key in BLOCK_ATTRIBUTES]
    heads = [key for key in keys if key in HEAD_ATTRIBUTES]
    if attributes and not blocks:
        yield Conflict("block", f"block or range, to which {attributes[0]} belongs", missing=True)
    if counters and not blocks and "zone" not in keys:
        yield Conflict("zone", f"{one_of(ZONES)}, to which {counters[0]} belongs", missing=True)
    if heads and "head" not in keys:
        yield Conflict("head", f"a pfn, at which {heads[0]} is found", missing=True)
    if "value" in keys and "path" not in keys:
        yield Conflict("path", "the attribute that reads this value", missing=True)


def _needs_assertion(keys: Sequence[str], blocks: list[str], counters: list[str]) -> Iterator[Conflict]:
    if "zone" in keys and not blocks and not counters:
        yield Conflict("", f"one of: {', '.join(ZONE_COUNTERS)}, to compare in this zone", missing=True)
    elif "node" in keys and not blocks and "zone" not in keys and "memmap_pages" not in keys:
        yield Conflict("", "zone or memmap_pages, which node selects", missing=True)
    elif blocks and not {"zone", "node", *BLOCK_ATTRIBUTES} & set(keys):
        yield Conflict("", f"one of: {', '.join(BLOCK_ATTRIBUTES)}, zone, node, to compare", missing=True)
    elif "head" in keys and not set(HEAD_ATTRIBUTES) & set(keys):
        yield Conflict("", f"one of: {', '.join(HEAD_ATTRIBUTES)}, to compare", missing=True)
    elif "path" in keys and not {"value", "fails"} & set(keys):
        yield Conflict("value", "what the attribute reads", missing=True)
    elif not blocks and not _ASSERTIONS & set(keys):
        yield Conflict("", "something to compare, such as managed, state or violations", missing=True)
