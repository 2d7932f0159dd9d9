"""Physical address space: claims, overlaps, and releases that trim and split."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memhotplug.errors import MemoryHotplugError
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

    assert {byte for low, high in ranges(table) for byte in range(low, high)} == truth
    assert ranges(table) == sorted(ranges(table))
    start, end = asked
    assert table.ram_bytes(start, end - start) == len(truth & set(range(start, end)))
    assert [entry.start for entry in table.overlapping(start, end - start)] == [
        low for low, high in ranges(table) if low < end and start < high
    ]
    assert table.end() == max((byte + 1 for byte in truth), default=0)


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

    assert ranges(table) == [(0, 10)]
    assert ranges(twin) == [(5, 10), (20, 30)]
    assert next(iter(table)).size == 10
