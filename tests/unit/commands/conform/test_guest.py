"""The guest's own pages: what holds a block online, and what does not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from memhotplug import Machine, MemoryHotplugError
from memhotplug.commands.conform.baseline import Baseline
from memhotplug.commands.conform.classes import BUDDY, NOT_BUDDY, OFFLINE, SELF_HOSTED, model_classes, split_blocks
from memhotplug.commands.conform.facts import StepFacts
from memhotplug.commands.conform.guest import Guest
from memhotplug.commands.conform.vacate import vacate
from memhotplug.engine.slab import give_up_slab
from memhotplug.formats.snapshot import KPageFlags, RecordedOp, RecordedStep
from memhotplug.formats.snapshot.flagruns import FlagRuns
from memhotplug.model.extents import ExtentSet
from memhotplug.model.state import Use
from memhotplug.model.vmemmap import Source

Boot = Callable[..., Machine]

PAGES = 32768
FIRST = 32 * PAGES
END = FIRST + PAGES
SLAB, BUDDY_FLAG, SELF, RESERVED, LRU = 0x80, 0x400, 1 << 37, 1 << 32, 0x20
HEAD, TAIL, ANON, PAGE_TABLE = 1 << 15, 1 << 16, 1 << 12, 1 << 26


def machine_with_kernel_block(boot: Boot, kernel: str = "linux-6.12") -> tuple[Machine, Baseline]:
    """A machine with a DIMM of two blocks, the first of which was onlined to Normal."""
    machine = boot(kernel=kernel, memory="2G", cmdline="memory_hotplug.memmap_on_memory=Y")
    baseline = Baseline(
        mem_total=None, managed=machine.kernel.state.total_managed(), pages_per_block=PAGES,
        populated=frozenset(zone.key for zone in machine.kernel.state.zones() if zone.present),
        early=frozenset(zone.key for zone in machine.kernel.state.zones() if zone.present),
    )  # fmt: skip
    machine.add_memory(driver="acpi", name="d0", size="256M")
    baseline.note_added([32, 33])
    machine.online("block 32", zone="kernel")
    return machine, baseline


def step(flags: KPageFlags | None, index: int = 1, zoneinfo: str | None = None) -> StepFacts:
    """A recorded step with page flags."""
    recorded = RecordedStep(
        index=index, op=RecordedOp(kind="online", blocks=(32,), type="online_kernel"), result="ok", results={},
        files=None if zoneinfo is None else {"proc/zoneinfo": zoneinfo}, kpageflags=flags, blocks_left=None,
        seconds=None, dmesg=(),
    )  # fmt: skip
    return StepFacts(recorded, "made up")


def flags_of(*runs: tuple[int, int, int], covered: tuple[int, int] = (FIRST, END)) -> KPageFlags:
    """Page flags of block 32, buddy pages but for some runs (relative pfns)."""
    ranges: list[tuple[int, int, int]] = []
    at = 0
    for low, high, value in runs:
        ranges += [(FIRST + at, FIRST + low, BUDDY_FLAG)] if low > at else []
        ranges.append((FIRST + low, FIRST + high, value))
        at = high
    ranges += [(FIRST + at, END, BUDDY_FLAG)] if at < PAGES else []
    return KPageFlags(ranges=FlagRuns.of(ranges), covered=(covered,), past_end=())


def offline_errno(machine: Machine, guest: Guest) -> str | None:
    """Take block 32 offline as a replay does."""
    guest.settle(machine, RecordedOp(kind="offline", blocks=(32,)))
    try:
        machine.offline("block 32")
    except MemoryHotplugError as problem:
        return problem.name
    finally:
        guest.dismiss(machine)
    return None


HOLDING = {
    "slab": ([(600, 601, SLAB)], "EBUSY"),
    "a reserved page": ([(600, 601, RESERVED)], "EBUSY"),
    "a page table": ([(600, 601, PAGE_TABLE)], "EBUSY"),
    "a large object of the kernel": ([(600, 601, HEAD), (601, 604, TAIL)], "EBUSY"),
    "flagless pages": ([(600, 700, 0)], "EBUSY"),
    "self-hosted memmap": ([(0, 512, SELF)], None),
    "self-hosted memmap of 6.1": ([(0, 512, SELF | RESERVED)], None),
    "user pages": ([(600, 700, LRU)], None),
    "a large page of a user": ([(600, 601, HEAD | ANON), (601, 1112, TAIL | ANON)], None),
    "nothing": ([], None),
}


@pytest.mark.parametrize("case", HOLDING)
def test_what_holds_a_block_online(case: str, boot: Boot) -> None:
    """Only pages that cannot move, of those that the flags showed before the step."""
    runs, errno = HOLDING[case]
    machine, baseline = machine_with_kernel_block(boot)
    guest = Guest(machine, step(None, 0), baseline)
    guest.observe(machine, step(flags_of(*runs)))
    free = machine.kernel.state.total_managed()

    assert offline_errno(machine, guest) == errno
    assert not [held for held in machine.kernel.state.allocations.values() if held.is_for(Use.GUEST)]
    if errno is not None:
        assert machine.kernel.state.total_managed() == free
    assert machine.violations() == []


SLABS = {
    "slabs of a page": ([(600, 603, SLAB)], "EINTR"),
    "a slab of two": ([(600, 601, SLAB | HEAD), (601, 602, SLAB | TAIL)], "EBUSY"),
    "a slab of a page and one of two": ([(600, 601, SLAB), (602, 603, SLAB | HEAD), (603, 604, SLAB | TAIL)], "EBUSY"),
    "a slab of a page and a page table": ([(600, 601, SLAB), (602, 603, PAGE_TABLE)], "EBUSY"),
}


@pytest.mark.parametrize("case", SLABS)
@pytest.mark.parametrize("kernel", ["linux-6.12", "linux-6.14"])
def test_isolation_overlooks_slabs_of_one_page_that_have_no_reference(case: str, kernel: str, boot: Boot) -> None:
    """Nothing can be moved then, and nothing says that it cannot: the offline tries until a signal comes."""
    runs, errno = SLABS[case]
    machine, baseline = machine_with_kernel_block(boot, kernel)
    guest = Guest(machine, step(None, 0), baseline)
    guest.observe(machine, step(flags_of(*runs)))

    assert offline_errno(machine, guest) == (errno if kernel == "linux-6.14" else "EBUSY")
    assert machine.violations() == []


@pytest.mark.parametrize(("count", "errno"), [(20, None), (19, "EBUSY")])
def test_flagless_pages_may_be_on_per_cpu_lists(count: int, errno: str | None, boot: Boot) -> None:
    """20 flagless pages hold nothing if the zone's per-cpu lists have 20."""
    zoneinfo = (
        "Node 0, zone   Normal\n  pages free     100\n        min      1\n        low      1\n        high     1\n"
        "        spanned  32768\n        present  32768\n        managed  32256\n        protection: (0, 0)\n"
        f"  pagesets\n    cpu: 0\n              count: {count}\n  start_pfn:           {FIRST}\n"
    )
    machine, baseline = machine_with_kernel_block(boot)
    guest = Guest(machine, step(None, 0), baseline)
    guest.observe(machine, step(flags_of((600, 620, 0)), zoneinfo=zoneinfo))

    assert offline_errno(machine, guest) == errno


def test_a_block_that_is_covered_in_part_counts_as_clean(boot: Boot) -> None:
    """Half of it was read, and a slab page seen there; the rule is for whole blocks."""
    machine, baseline = machine_with_kernel_block(boot)
    guest = Guest(machine, step(None, 0), baseline)
    guest.observe(machine, step(flags_of((600, 601, SLAB), covered=(FIRST, FIRST + PAGES // 2))))

    assert offline_errno(machine, guest) is None


def test_a_block_with_the_kernels_image_stays(boot: Boot) -> None:
    """/proc/iomem shows where the kernel's own code lies: no page flag is needed to know that it stays there."""
    machine = boot(kernel="linux-6.12", memory="2G")
    state = machine.kernel.state
    baseline = Baseline(
        mem_total=None, managed=state.total_managed(), pages_per_block=PAGES, populated=frozenset(), early=frozenset(),
        image=ExtentSet.of((9 * PAGES + 512, 9 * PAGES + 9000)),
    )  # fmt: skip
    guest = Guest(machine, step(None, 0), baseline)
    op = RecordedOp(kind="offline", blocks=(8, 9))

    assert guest.undetermined(machine, op) == (8,)
    guest.settle(machine, op)
    with pytest.raises(MemoryHotplugError) as caught:
        machine.offline("block 9")
    assert caught.value.name == "EBUSY"
    guest.dismiss(machine)
    assert machine.violations() == []


def test_an_unseen_first_kernel_block_is_held(boot: Boot) -> None:
    """It came online after the last flags that were recorded, into a zone that was empty."""
    machine, baseline = machine_with_kernel_block(boot)
    state = machine.kernel.state
    before = machine.copy()
    give_up_slab(
        before.kernel, next(z for z in before.kernel.state.zones() if z.linked.contains(FIRST, END)), FIRST, END
    )
    before.offline("block 32")
    guest = Guest(before, step(None, 0), baseline)
    guest.observe(machine, step(None))
    free = state.zone((0, next(kind for kind in state.nodes[0].zones if kind.label == "Normal"))).nr_free

    assert offline_errno(machine, guest) == "EBUSY"
    assert machine.kernel.state.zone_of(FIRST).nr_free == free  # type: ignore[union-attr]


@pytest.mark.parametrize("op", [RecordedOp(kind="offline", blocks=(32,)), RecordedOp(kind="hog", size=1 << 20)])
@pytest.mark.parametrize(("kernel", "open_"), [("linux-6.12", ()), ("linux-7.2", (33,))])
def test_where_a_late_slab_lies_is_open_once_chunks_were_stirred(
    kernel: str, open_: tuple[int, ...], op: RecordedOp, boot: Boot
) -> None:
    """A block that stays goes to the tail of the list, and a workload takes chunks."""
    machine, baseline = machine_with_kernel_block(boot, kernel)
    guest = Guest(machine.copy(), step(None, 0), baseline)
    machine.online("block 33", zone="kernel")
    asked = RecordedOp(kind="offline", blocks=(33,))
    guest.observe(machine, step(None, 1), read=False)
    assert guest.undetermined(machine, asked) == ()

    guest.observe(machine, StepFacts(step(None, 2).step._replace(op=op), "made up"), read=False)

    assert guest.undetermined(machine, asked) == open_


def test_the_second_unseen_block_is_clean(boot: Boot) -> None:
    """The guest took its slab pages from the first one."""
    machine, baseline = machine_with_kernel_block(boot)
    before = machine.copy()
    give_up_slab(
        before.kernel, next(z for z in before.kernel.state.zones() if z.linked.contains(FIRST, END)), FIRST, END
    )
    before.offline("block 32")
    guest = Guest(before, step(None, 0), baseline)
    guest.observe(machine, step(None))
    machine.online("block 33", zone="kernel")
    guest.observe(machine, step(None, 2))
    guest.settle(machine, RecordedOp(kind="offline", blocks=(33,)))
    machine.offline("block 33")

    assert machine.kernel.state.blocks.state.tolist()[-1] == 4


def test_classes_of_the_model(boot: Boot) -> None:
    """Offline and absent are one class; Movable is split, Normal is not.

    [ 32: Normal | 33: Movable, a hole in its free pages | 34: absent ]
    """
    machine, baseline = machine_with_kernel_block(boot)
    machine.online("block 33", zone="movable")
    state = machine.kernel.state
    movable = next(zone for zone in state.zones() if zone.kind.label == "Movable" and zone.present)
    movable.free.remove(END + 1000, END + 1010)
    covered = ExtentSet.of((FIRST, FIRST + 3 * PAGES))

    assert model_classes(machine, baseline, covered, split_blocks(machine, baseline)) == [
        (FIRST, FIRST + 512, SELF_HOSTED),
        (FIRST + 512, END, "online"),
        (END, END + 512, SELF_HOSTED),
        (END + 512, END + 1000, BUDDY),
        (END + 1000, END + 1010, NOT_BUDDY),
        (END + 1010, END + PAGES, BUDDY),
        (END + PAGES, END + 2 * PAGES, OFFLINE),
    ]


def test_vacating_moves_memmap_and_page_tables(boot: Boot) -> None:
    """A plain DIMM's memmap lies in the only kernel block that was hot-added; nothing is lost by moving it."""
    machine = boot(kernel="linux-6.12", memory="2G")
    machine.add_memory(driver="acpi", name="d0", size="512M")
    machine.online("block 32-33", zone="kernel")
    machine.add_memory(driver="acpi", name="d1", size="1G", address=8 << 30)
    kernel = machine.kernel
    zone = kernel.state.zone_of(FIRST)
    assert zone is not None
    free, memmap = zone.nr_free, kernel.state.vmemmap.backing_from(Source.ALLOCATOR)
    inside = [block for block in (32, 33) if memmap.intersects(block * PAGES, (block + 1) * PAGES)]
    assert inside
    low, high = inside[0] * PAGES, (inside[0] + 1) * PAGES

    vacate(kernel, zone, low, high)

    moved = kernel.state.vmemmap.backing_from(Source.ALLOCATOR)
    assert not moved.intersects(low, high)
    assert (moved.total, zone.nr_free) == (memmap.total, free)
    assert not any(held.pages.intersects(low, high) for held in kernel.state.allocations.values())
    assert kernel.memmap.first_unmapped(64 * PAGES, 8 * PAGES) is None
    assert machine.violations() == []
    machine.offline(f"block {inside[0]}")


def test_what_a_zone_has_no_room_for_lies_in_other_zones(boot: Boot) -> None:
    """The zone has no other free page, nor others that stay."""
    machine = boot(kernel="linux-6.12", memory="2G")
    machine.add_memory(driver="acpi", name="d0", size="128M")
    machine.online("block 32", zone="kernel")
    machine.add_memory(driver="acpi", name="d1", size="1G", address=8 << 30)
    kernel, zone = machine.kernel, machine.kernel.state.zone_of(FIRST)
    assert zone is not None
    give_up_slab(kernel, zone, FIRST, END)

    vacate(kernel, zone, FIRST, END)

    assert zone.free.contains(FIRST, END)
    assert kernel.memmap.first_unmapped(64 * PAGES, 8 * PAGES) is None
    assert machine.violations() == []


def test_vacating_without_room_changes_nothing(boot: Boot) -> None:
    """No zone has another free page."""
    machine = boot(kernel="linux-6.12", memory="2G")
    machine.add_memory(driver="acpi", name="d0", size="128M")
    machine.online("block 32", zone="kernel")
    machine.add_memory(driver="acpi", name="d1", size="1G", address=8 << 30)
    zone = machine.kernel.state.zone_of(FIRST)
    assert zone is not None
    before = machine.to_dict()

    vacate(machine.kernel, zone, FIRST, END, avoid=ExtentSet.of((0, FIRST)))

    assert machine.to_dict() == before
    assert np.array_equal(zone.linked.starts, [FIRST])
