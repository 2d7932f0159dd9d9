"""Physical address space: claims, overlaps, and releases that trim and split."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memhotplug.errors import MemoryHotplugError
from memhotplug.formats.snapshot.iomem import IomemEntry, system_ram
from memhotplug.model.resources import SYSTEM_RAM, Resource, ResourceTable


def ram(start: int, end: int, name: str = SYSTEM_RAM) -> Resource:
    """Return a hot-added resource of the half-open range."""
    return Resource(start=start, end=end - 1, name=name, hotplugged=True)


def ranges(table: ResourceTable) -> list[tuple[int, int]]:
    """Return the entries as half-open ranges."""
    return [(entry.start, entry.end + 1) for entry in table]


def test_claims_are_kept_in_ascending_order() -> None:
    """Whatever the order of the claims."""
    table = ResourceTable([ram(40, 50)])

    table.request(ram(0, 10))
    table.request(ram(20, 30))

    assert ranges(table) == [(0, 10), (20, 30), (40, 50)]


@pytest.mark.parametrize(("start", "end"), [(0, 1), (9, 10), (5, 6), (0, 10), (0, 100), (9, 20)])
def test_an_overlap_is_eexist_and_changes_nothing(start: int, end: int) -> None:
    """One byte in common is enough; the message names who has it."""
    table = ResourceTable([ram(0, 10)])

    with pytest.raises(MemoryHotplugError) as caught:
        table.request(ram(start, end))

    assert str(caught.value) == (
        f"EEXIST: 0x{start:016x}-0x{end - 1:016x} overlaps System RAM at 0x0000000000000000-0x0000000000000009"
    )
    assert ranges(table) == [(0, 10)]


def test_neighbours_do_not_overlap() -> None:
    """Ends are inclusive in the table, so that 10 is free behind 0-9."""
    table = ResourceTable([ram(10, 20)])

    table.request(ram(0, 10))
    table.request(ram(20, 30))

    assert ranges(table) == [(0, 10), (10, 20), (20, 30)]


@pytest.mark.parametrize(
    ("start", "size", "left"),
    [
        (10, 30, []),
        (10, 5, [(15, 40)]),
        (35, 5, [(10, 35)]),
        (20, 5, [(10, 20), (25, 40)]),
        (0, 15, [(15, 40)]),
        (35, 50, [(10, 35)]),
        (0, 100, []),
        (40, 10, [(10, 40)]),
    ],
)
def test_release_trims_and_splits(start: int, size: int, left: list[tuple[int, int]]) -> None:
    """What is released goes; the rest keeps name and origin."""
    table = ResourceTable([ram(10, 40, "System RAM (kmem)")])

    table.release(start, size)

    assert ranges(table) == left
    assert {(entry.name, entry.hotplugged) for entry in table} <= {("System RAM (kmem)", True)}


def test_release_keeps_the_children_of_the_parts() -> None:
    """A child that lies wholly in a part that stays is kept with it."""
    inner = ram(12, 14), ram(30, 34)
    table = ResourceTable([Resource(start=10, end=39, name=SYSTEM_RAM, children=inner)])

    table.release(20, 5)

    assert [entry.children for entry in table] == [(inner[0],), (inner[1],)]


bounds = st.tuples(st.integers(0, 30), st.integers(1, 8)).map(lambda pair: (pair[0], pair[0] + pair[1]))


@given(st.lists(st.tuples(st.booleans(), bounds), max_size=12), bounds)
def test_the_table_is_a_set_of_claimed_bytes(steps: list[tuple[bool, tuple[int, int]]], asked: tuple[int, int]) -> None:
    """Claims and releases in any order agree with a set of bytes."""
    table, truth = ResourceTable(), set[int]()
    for claims, (start, end) in steps:
        wanted = set(range(start, end))
        if not claims:
            table.release(start, end - start)
            truth -= wanted
        elif truth & wanted:
            with pytest.raises(MemoryHotplugError):
                table.request(ram(start, end))
        else:
            table.request(ram(start, end))
            truth |= wanted
        assert table.ram == list(table)  # looked at each time, so that it must not be that of before

    assert {byte for low, high in ranges(table) for byte in range(low, high)} == truth
    assert ranges(table) == sorted(ranges(table))
    start, end = asked
    assert table.ram_bytes(start, end - start) == len(truth & set(range(start, end)))
    assert [entry.start for entry in table.overlapping(start, end - start)] == [
        low for low, high in ranges(table) if low < end and start < high
    ]
    assert table.end() == max((byte + 1 for byte in truth), default=0)


def test_a_name_that_merely_begins_like_ram_is_another() -> None:
    """Drivers put theirs into parentheses, or the kernel refuses the name; so it is wherever ranges are told apart."""
    names = ["System RAM", "System RAM (kmem)", "System RAM disk", "System RAMs", "Reserved"]
    table = ResourceTable([ram(10 * at, 10 * at + 10, name) for at, name in enumerate(names)])
    entries = [IomemEntry(start=entry.start, end=entry.end, name=entry.name, depth=0) for entry in table]

    assert [entry.name for entry in table.ram] == names[:2]
    assert system_ram(entries) == [(0, 10), (10, 20)]
    assert table.ram_bytes(0, 100) == 20


def test_only_ram_counts_as_ram() -> None:
    """Reserved ranges do not fill a range, a driver's RAM does; memory ends behind whatever was hot-added."""
    reserved = Resource(start=20, end=29, name="Reserved")
    table = ResourceTable([ram(0, 10), ram(10, 20, "System RAM (kmem)"), reserved])

    assert table.ram_bytes(0, 100) == 20
    assert table.end() == 20
    table.request(ram(40, 50, "dax0.0"))
    assert table.ram_bytes(0, 100) == 20
    assert table.end() == 50


def test_a_copy_does_not_follow() -> None:
    """Claims and releases in a copy leave the original alone."""
    table = ResourceTable([ram(0, 10)])
    twin = table.copy()

    twin.release(0, 5)
    twin.request(ram(20, 30))

    assert ranges(table) == [(0, 10)] == [(entry.start, entry.end + 1) for entry in table.ram]
    assert ranges(twin) == [(5, 10), (20, 30)] == [(entry.start, entry.end + 1) for entry in twin.ram]
    assert next(iter(table)).size == 10


def test_ram_is_found_at_whatever_depth_and_after_each_change() -> None:
    """A bus with memory on it, a driver's kind of RAM, and what is none."""
    inner = ram(12, 14, "System RAM (kmem)")
    bus = Resource(start=10, end=19, name="CXL Window 0", children=(Resource(10, 11, "Reserved"), inner))
    table = ResourceTable([mergeable(0, 5), bus])
    assert table.ram == [mergeable(0, 5), inner]
    table.request(mergeable(5, 10))
    assert [entry.end for entry in table.ram] == [4, 9, 13]
    table.merge(5)
    assert table.ram == [mergeable(0, 10), inner]
    table.release(0, 4)
    assert [(entry.start, entry.end) for entry in table.ram] == [(4, 9), (12, 13)]


def mergeable(start: int, end: int, name: str = SYSTEM_RAM, children: tuple[Resource, ...] = ()) -> Resource:
    """Return a hot-added resource of the half-open range that may merge."""
    return ram(start, end, name)._replace(mergeable=True, children=children)


@pytest.mark.parametrize(
    ("entries", "at", "merged"),
    [
        ([(10, 20)], 10, [(10, 20)]),
        ([(0, 10), (10, 20)], 10, [(0, 20)]),
        ([(10, 20), (20, 30)], 10, [(10, 30)]),
        ([(0, 10), (10, 20), (20, 30)], 10, [(0, 30)]),
        ([(0, 10), (10, 20), (20, 30)], 0, [(0, 20), (20, 30)]),
        ([(0, 10), (10, 20), (20, 30)], 20, [(0, 10), (10, 30)]),
        ([(0, 9), (10, 20), (21, 30)], 10, [(0, 9), (10, 20), (21, 30)]),
        ([(0, 5), (5, 10), (10, 20), (20, 30), (30, 40)], 10, [(0, 5), (5, 30), (30, 40)]),
    ],
)
def test_an_entry_merges_with_both_neighbours_that_touch_it(
    entries: list[tuple[int, int]], at: int, merged: list[tuple[int, int]]
) -> None:
    """And no further: whoever came earlier has merged with his own neighbours."""
    table = ResourceTable([mergeable(*entry) for entry in entries])
    table.merge(at)
    assert ranges(table) == merged
    assert all((entry.name, entry.hotplugged, entry.mergeable) == (SYSTEM_RAM, True, True) for entry in table)


@pytest.mark.parametrize(
    "neighbour",
    [
        ram(0, 10),
        mergeable(0, 10, "System RAM (kmem)"),
        mergeable(0, 10, children=(Resource(start=2, end=3, name="Kernel code"),)),
    ],
)
def test_a_neighbour_must_be_mergeable_alike_and_without_children(neighbour: Resource) -> None:
    """On either side: with itself moved behind the entry it stays apart, too."""
    table = ResourceTable([neighbour, mergeable(10, 20)])
    table.merge(10)
    assert ranges(table) == [(0, 10), (10, 20)]
    behind = neighbour._replace(
        start=20,
        end=29,
        children=tuple(child._replace(start=child.start + 20, end=child.end + 20) for child in neighbour.children),
    )
    table = ResourceTable([mergeable(10, 20), behind])
    table.merge(10)
    assert ranges(table) == [(10, 20), (20, 30)]


@pytest.mark.parametrize(
    ("borders", "merged"),
    [
        ((), [(0, 30)]),
        ((10,), [(0, 10), (10, 30)]),
        ((20,), [(0, 20), (20, 30)]),
        ((10, 20), [(0, 10), (10, 20), (20, 30)]),
        ((0, 5, 15, 30), [(0, 30)]),
    ],
)
def test_entries_that_meet_at_a_border_stay_apart(borders: tuple[int, ...], merged: list[tuple[int, int]]) -> None:
    """They have other parents."""
    table = ResourceTable([mergeable(0, 10), mergeable(10, 20), mergeable(20, 30)])
    table.merge(10, borders)
    assert ranges(table) == merged


def test_an_entry_with_children_stays_alone() -> None:
    """Its neighbours may be as they like."""
    child = Resource(start=12, end=13, name="Kernel code")
    table = ResourceTable([mergeable(0, 10), mergeable(10, 20, children=(child,)), mergeable(20, 30)])
    table.merge(10)
    assert ranges(table) == [(0, 10), (10, 20), (20, 30)]
    assert list(table)[1].children == (child,)


def test_what_merges_may_merge_again_and_is_given_back_in_parts() -> None:
    """The table keeps finding entries by their starts."""
    table = ResourceTable([mergeable(0, 10)])
    for low in (10, 20, 30):
        table.request(mergeable(low, low + 10))
        table.merge(low)
    assert ranges(table) == [(0, 40)]
    table.release(10, 10)
    assert ranges(table) == [(0, 10), (20, 40)]
    assert [entry.start for entry in table.overlapping(5, 20)] == [0, 20]
    table.request(mergeable(10, 20))
    table.merge(10)
    assert ranges(table) == [(0, 40)]


def test_a_child_stays_with_the_part_that_holds_all_of_it() -> None:
    """One that the cut goes through is in neither; one that ends at the cut is in the first."""
    children = tuple(
        Resource(start=low, end=high, name=f"{low}") for low, high in ((0, 9), (20, 29), (38, 41), (60, 69), (90, 99))
    )
    table = ResourceTable([Resource(start=0, end=99, name=SYSTEM_RAM, children=children)])
    table.release(30, 30)
    assert [[child.name for child in entry.children] for entry in table] == [["0", "20"], ["60", "90"]]


def test_ram_is_counted_where_it_lies() -> None:
    """Bytes of a range, whatever it cuts; what is named otherwise is none, and the end is that of RAM and hot-adds."""
    table = ResourceTable([
        Resource(start=0, end=99, name=SYSTEM_RAM), Resource(start=100, end=199, name="Reserved"),
        Resource(start=200, end=299, name="System RAM (kmem)"), Resource(start=300, end=399, name="System RAMs"),
        Resource(start=500, end=599, name="dax0.0", hotplugged=True), Resource(start=700, end=799, name="PCI"),
    ])  # fmt: skip
    assert [table.ram_bytes(0, 1000), table.ram_bytes(50, 200), table.ram_bytes(99, 1), table.ram_bytes(100, 100)] == [
        200,
        50 + 50,
        1,
        0,
    ]
    assert table.end() == 600
    assert ResourceTable([Resource(start=700, end=799, name="PCI")]).end() == 0
    assert ResourceTable().end() == 0
