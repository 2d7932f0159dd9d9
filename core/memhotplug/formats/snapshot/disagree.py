"""Where the files of one snapshot contradict each other.

As a rule this is reported and not fatal: the files of a live machine are read one after the other. What
no moment between two reads explains is a contradiction, and whoever plans on such numbers plans on nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from memhotplug.formats.snapshot.extents import Extents, intersect, merge, size
from memhotplug.formats.snapshot.records import RecordedMachine, RecordedZone
from memhotplug.formats.snapshot.source import Note
from memhotplug.units import div_round_up, format_blocks

__all__ = ["contradictions", "disagreements"]

_MOVING = (16, 1024)  # free pages may differ by one part in so many of a zone, or so many pages


def disagreements(machine: RecordedMachine) -> tuple[Note, ...]:
    """Return a note for everything in which two recorded numbers disagree, in a fixed order."""
    listed = [zone.buddy_pages for zone in machine.zones]
    texts = (
        *_free(machine, listed),
        *_contiguous(machine),
        *_sizes(machine, listed),
        *_present(machine),
        *_total(machine),
        *_blocks(machine),
        *_nodes(machine),
    )
    return tuple(Note(kind="inconsistent", text=text) for text in texts)


def contradictions(machine: RecordedMachine) -> tuple[str, ...]:
    """Return those disagreements about zones that cannot come from reading one file after the other."""
    share, least = _MOVING
    found: list[str] = []
    for zone in machine.zones:
        slack = max(zone.managed // share, least)
        if abs(zone.free - zone.buddy_pages) > slack:
            found.append(_free_of(zone))
        found += _bounds(zone)
        if _most_free(zone, zone.buddy_pages) > zone.managed + slack:
            found.append(_beyond_managed(zone))
    return tuple(found)


def _free(machine: RecordedMachine, listed: Sequence[int]) -> Iterator[str]:
    for zone, pages in zip(machine.zones, listed, strict=True):
        if zone.free != pages:
            yield _free_of(zone)


def _free_of(zone: RecordedZone) -> str:
    return (
        f"{zone.title}: zoneinfo shows {zone.free} free pages, buddyinfo {zone.buddy_pages} "
        f"(difference {zone.free - zone.buddy_pages:+d})"
    )


def _contiguous(machine: RecordedMachine) -> Iterator[str]:
    for zone in machine.zones:
        if zone.free_cma > zone.free:
            yield f"{zone.title}: {zone.free_cma} free pages of CMA are more than the {zone.free} free"
        elif zone.kept.unseen:
            yield (
                f"{zone.title}: {zone.free_cma} pages are free in CMA, its lists show "
                f"{zone.free_cma - zone.kept.unseen} of them; the others are taken for the largest free chunks"
            )


def _sizes(machine: RecordedMachine, listed: Sequence[int]) -> Iterator[str]:
    for zone, pages in zip(machine.zones, listed, strict=True):
        yield from _bounds(zone)
        if _most_free(zone, pages) > zone.managed:
            yield _beyond_managed(zone)


def _bounds(zone: RecordedZone) -> Iterator[str]:
    if zone.managed > zone.present:
        yield f"{zone.title}: {zone.managed} managed pages are more than the {zone.present} present"
    if zone.present > zone.spanned:
        yield f"{zone.title}: {zone.present} present pages are more than the {zone.spanned} spanned"
    if not zone.min <= zone.low <= zone.high:
        yield f"{zone.title}: watermarks of {zone.min}, {zone.low} and {zone.high} pages do not ascend"


def _most_free(zone: RecordedZone, listed: int) -> int:
    """Return how many pages are free at most, of which so many are in buddy lists."""
    return max(zone.free, listed) + zone.pcp_pages


def _beyond_managed(zone: RecordedZone) -> str:
    free = _most_free(zone, zone.buddy_pages)
    return f"{zone.title}: {free} free pages (per-cpu lists included) are more than the {zone.managed} managed"


def _present(machine: RecordedMachine) -> Iterator[str]:
    what = "System RAM in its online blocks" if machine.iomem else "its online blocks"
    for zone in machine.zones:
        held = size(zone.extents)
        if held != zone.present:
            difference = zone.present - held
            yield f"{zone.title}: {zone.present} present pages, {what} holds {held} (difference {difference:+d})"


def _total(machine: RecordedMachine) -> Iterator[str]:
    if machine.mem_total is None:
        return
    managed = sum(zone.managed for zone in machine.zones) * machine.page_size
    if managed != machine.mem_total:
        yield (
            f"meminfo shows MemTotal {machine.mem_total // 1024} kB, the managed pages are {managed // 1024} kB "
            f"(difference {(machine.mem_total - managed) // 1024:+d} kB)"
        )


def _blocks(machine: RecordedMachine) -> Iterator[str]:
    wrong = [block.id for block in machine.blocks if block.phys_index not in (None, block.id)]
    if wrong:
        yield f"memory blocks {format_blocks(wrong)}: phys_index is not the block's number"
    if not machine.block_size:
        return
    pages = machine.block_size // machine.page_size
    online = [block.id for block in machine.blocks if block.state == "online"]
    held = merge([(block * pages, (block + 1) * pages) for block in online])
    outside = _outside(online, held, _spans(machine.zones), pages)
    if outside:
        yield f"memory blocks {format_blocks(outside)} are online, but outside every zone's span"
    if machine.iomem:
        without = _outside(online, held, machine.ram, pages)
        if without:
            yield f"memory blocks {format_blocks(without)} are online, but hold no System RAM"


def _outside(blocks: list[int], held: Extents, extents: Extents, pages: int) -> list[int]:
    """Return the blocks of which nothing lies in extents; ``held`` are the pages of all of them."""
    inside = intersect(held, extents)
    if inside == held:
        return []
    touched: set[int] = set()
    for start, end in inside:
        touched.update(range(start // pages, div_round_up(end, pages)))
    return [block for block in blocks if block not in touched]


def _spans(zones: tuple[RecordedZone, ...]) -> Extents:
    return merge((zone.start_pfn, zone.start_pfn + zone.spanned) for zone in zones if zone.start_pfn is not None)


def _nodes(machine: RecordedMachine) -> Iterator[str]:
    online = {node.id for node in machine.nodes if node.online}
    for node in sorted({zone.node for zone in machine.zones if zone.present} - online):
        yield f"node {node} has a zone with memory, but is not online"
    for node in sorted({block.node for block in machine.blocks if block.node is not None} - online):
        yield f"node {node} has memory blocks, but is not online"
    for record in machine.nodes:
        present = sum(zone.present for zone in machine.zones if zone.node == record.id)
        if record.has_memory != bool(present):
            shown = "is" if record.has_memory else "is not"
            yield f"node {record.id} {shown} in has_memory, but its zones hold {present} pages"
        managed = sum(zone.managed for zone in machine.zones if zone.node == record.id) * machine.page_size
        if record.mem_total is not None and record.mem_total != managed:
            yield (
                f"node {record.id}: its meminfo shows MemTotal {record.mem_total // 1024} kB, "
                f"its managed pages are {managed // 1024} kB"
            )
