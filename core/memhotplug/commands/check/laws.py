"""What must hold after every operation, and where the kernel keeps it or does not.

The invariants are those of docs/model.md; a violation that ``mhp run --check`` would not see by itself
carries an expectation that a scenario can end with.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from memhotplug.engine.kernel import Kernel
from memhotplug.engine.memory_hotplug.spans import own_span
from memhotplug.engine.views.invariants import violations
from memhotplug.engine.views.undone import left_behind
from memhotplug.errors import MemoryHotplugError
from memhotplug.model.vmemmap import Source

__all__ = ["Broken", "History", "broken_by", "broken_invariants", "invariant_of", "remember", "where_in_the_kernel"]

_ALL_OR_NOTHING: Final = ("add", "online", "offline", "remove", "write", "allocate", "release")
_NUMBERED: Final = re.compile(r"(I\d+): ")
_WORDS: Final = re.compile(r"[^\d:(,]+")

_KERNEL: Final[Mapping[str, str]] = {
    "I1": "mm/memory_hotplug.c:adjust_present_page_count()",
    "I2": "mm/memory_hotplug.c:update_pgdat_span()",
    "I3": "mm/page_alloc.c:adjust_managed_page_count()",
    "I4": "mm/memory_hotplug.c:online_pages(), offline_pages()",
    "I5": "mm/memory_hotplug.c:generic_online_page()",
    "I6": "mm/memory_hotplug.c:adjust_present_page_count()",
    "I7": "drivers/base/memory.c:memory_group_register()",
    "I8": "mm/memory_hotplug.c:mhp_init_memmap_on_memory()",
    "I9": "mm/sparse-vmemmap.c:altmap_alloc_block_buf()",
    "I10": "mm/memory_hotplug.c:create_altmaps_and_memory_blocks()",
    "I11": "mm/sparse-vmemmap.c:vmemmap_populate(), vmemmap_free()",
    "I12": "mm/memory_hotplug.c:move_pfn_range_to_zone(), remove_pfn_range_from_zone()",
    "I13": "mm/page_isolation.c:start_isolate_page_range()",
    "I14": "mm/memory_hotplug.c:register_memory_resource()",
    "I17": "mm/memory_hotplug.c:online_pages(), failed_addition",
    "I18": "mm/memory_hotplug.c:add_memory_resource(), its error path",
    "I19": "mm/memory_hotplug.c:try_remove_memory()",
    "I20": "mm/memory_hotplug.c:memory_block_memmap_on_memory_pages()",
    "I21": "mm/memory_hotplug.c:try_offline_node()",
    "I22": "drivers/base/memory.c:add_memory_block()",
    "I23": "mm/memory_hotplug.c:zone_for_pfn_range()",
}


@dataclass(frozen=True, slots=True)
class _Held:
    """One count of pages: of a zone, or of all the memmap."""

    counter: str
    nid: int | None = None
    zone: str | None = None

    def __str__(self) -> str:
        return self.counter if self.zone is None else f"node {self.nid} zone {self.zone}, {self.counter}"

    def expectation(self, pages: int) -> dict[str, object]:
        """Return the keys of an ``expect`` step that asks for a number of pages."""
        return (
            {self.counter: pages} if self.zone is None else {"zone": self.zone, "node": self.nid, self.counter: pages}
        )


_Holdings: TypeAlias = dict[_Held, int]


@dataclass(frozen=True, slots=True)
class Moment:
    """One moment on the way: what its blocks were, what else people saw then, and what the kernel held."""

    blocks: bytes
    looks: object
    holdings: _Holdings


History: TypeAlias = tuple[Moment, ...]
"""The different moments on the way."""


@dataclass(frozen=True, slots=True)
class Broken:
    """One law that an operation broke.

    Attributes:
        invariant: its name: ``I11``, or the first words of a law without number.
        text: what is wrong, in one sentence.
        expect: the keys of an ``expect`` step that fails because of it, where ``mhp run --check`` does not see it.
        outcome: what the last step should have ended in, ``ok`` or an errno; None for what it ended in.
    """

    invariant: str
    text: str
    expect: Mapping[str, object] | None = None
    outcome: str | None = None


def invariant_of(text: str) -> str:
    """Return the name of the law that a sentence is about."""
    numbered = _NUMBERED.match(text)
    if numbered:
        return numbered[1]
    words = _WORDS.match(text)
    return (words[0] if words else text).strip()


def where_in_the_kernel(invariant: str) -> str | None:
    """Return the kernel function that has to keep an invariant, None if it has no number."""
    return _KERNEL.get(invariant)


def broken_invariants(kernel: Kernel) -> list[Broken]:
    """Return the invariants that do not hold in a machine."""
    return [Broken(invariant_of(text), text) for text in violations(kernel)]


def broken_by(
    op: str, problem: MemoryHotplugError | None, before: Kernel, after: Kernel, history: History
) -> list[Broken]:
    """Return the laws of an operation that it broke: what it should have undone, or given back.

    Args:
        op: the operation.
        problem: why it was refused, None if it was not.
        history: the moments on the way, from :func:`remember`.
    """
    found: list[Broken] = []
    if problem is not None and op in _ALL_OR_NOTHING and not problem.blocks_done and _same_blocks(before, after):
        texts = left_behind(before, after, leaks=bool(problem.leaks))
        found += [Broken(invariant_of(text), text) for text in texts]
        found += _grown_spans(before, after)
    if problem is None:
        found += _not_given_back(after, history)
    return found


def _same_blocks(before: Kernel, after: Kernel) -> bool:
    """A driver that goes on after an error keeps what it got, which is no failure to undo."""
    return len(before.state.blocks) == len(after.state.blocks) and before.state.withheld == after.state.withheld


def _grown_spans(before: Kernel, after: Kernel) -> Iterator[Broken]:
    if after.has("spans_come_back"):
        return  # the comparison of before and after sees it
    old = {zone.key: zone for zone in before.state.zones()}
    for zone in after.state.zones():
        was = old.get(zone.key)
        if was is not None and (was.start_pfn, was.spanned) != (zone.start_pfn, zone.spanned):
            expect = {"zone": zone.kind.label, "node": zone.nid, "spanned": was.spanned}
            text = (
                f"I17: {zone.title}: its span is not as before the failed operation "
                f"({zone.spanned} pages, before {was.spanned})"
            )
            yield Broken("I17", text, expect)


# ---- what comes back when everything looks as it did before ----


def remember(kernel: Kernel, history: History) -> History:
    """Return the history with this moment at its end."""
    if _alike(kernel, history) is not None:
        return history
    return (*history, Moment(_blocks(kernel), _looks(kernel), _holdings(kernel)))


def _alike(kernel: Kernel, history: History) -> Moment | None:
    """Return the moment at which everything looked as it does now, None if there was none."""
    blocks = _blocks(kernel)
    if all(moment.blocks != blocks for moment in history):
        return None  # as nearly always, and without a look at anything else
    looks = _looks(kernel)
    return next((moment for moment in history if (moment.blocks, moment.looks) == (blocks, looks)), None)


def _blocks(kernel: Kernel) -> bytes:
    blocks = kernel.state.blocks
    return b"|".join(getattr(blocks, name).tobytes() for name in ("id", "state", "nid", "zone", "altmap_pages"))


def _looks(kernel: Kernel) -> object:
    """Return what people see of a machine besides its blocks: devices and workloads."""
    state = kernel.state
    devices = sorted((device.driver, device.ranges, device.enabled) for device in state.devices if device.ranges)
    workloads = sorted((held.name, held.pages.total) for held in state.allocations.values() if not held.kernel)
    hosts = state.vmemmap.backing_from(Source.ALTMAP)
    kept = [(pages.starts.tobytes(), pages.ends.tobytes()) for pages in (state.sections, state.withheld, hosts)]
    return devices, workloads, kept, state.poisoned.total


def _holdings(kernel: Kernel) -> _Holdings:
    """Return what the kernel itself holds, in pages, without page tables and section roots, which may stay."""
    state = kernel.state
    found: _Holdings = {}
    spans = kernel.has("spans_come_back")
    for zone in state.zones():
        of = zone.nid, zone.kind.label
        found[_Held("present", *of)], found[_Held("managed", *of)] = zone.present, zone.managed
        if spans:
            low, high = own_span(state, zone)
            found[_Held("spanned", *of)] = high - low
    found[_Held("allocated_pages")] = state.vmemmap.backing_from(Source.ALLOCATOR).total
    return found


def _not_given_back(kernel: Kernel, history: History) -> Iterator[Broken]:
    before = _alike(kernel, history)
    if before is None:
        return
    now = _holdings(kernel)
    for what, pages in before.holdings.items():
        if now.get(what) != pages:
            text = f"I19: {what}: {now.get(what)} pages, and {pages} when all blocks were as they are now"
            yield Broken("I19", text, what.expectation(pages))
