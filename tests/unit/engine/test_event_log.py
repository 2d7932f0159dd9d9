"""The log of events, compared with a list; what copies share stays apart."""

from __future__ import annotations

import copy
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memhotplug import Machine
from memhotplug.engine.event_log import Event, EventLog

numbers = st.lists(st.integers(0, 9), max_size=12)
places = st.one_of(st.none(), st.integers(-15, 15))


def events(values: list[int]) -> list[Event]:
    """Return an event for each number."""
    return [{"event": "number", "value": value} for value in values]


@given(numbers, places, places, st.sampled_from([None, 1, 2, -1]))
def test_it_reads_as_a_list(values: list[int], start: int | None, stop: int | None, step: int | None) -> None:
    """Length, order, slices and equality."""
    wanted, log = events(values), EventLog(events(values))

    assert len(log) == len(wanted)
    assert list(log) == wanted
    assert log[start:stop:step] == wanted[start:stop:step]
    assert log == wanted
    assert log == EventLog(wanted)
    assert log != EventLog([*wanted, {"event": "one more"}])
    assert [log[place] for place in range(-len(wanted), len(wanted))] == wanted + wanted
    assert bool(log) == bool(wanted)


def test_a_place_behind_the_end_is_an_index_error() -> None:
    """As of a list."""
    with pytest.raises(IndexError, match=r"^list index out of range$"):
        EventLog(events([1]))[1]


@given(numbers, numbers, numbers)
def test_copies_go_different_ways(common: list[int], one: list[int], other: list[int]) -> None:
    """What is appended to one of two copies is not in the other, in whatever order they grow."""
    log = EventLog(events(common))
    twin = log.copy()
    for event in events(one):
        log.append(event)
    for event in events(other):
        twin.append(event)

    assert list(log) == events(common + one)
    assert list(twin) == events(common + other)
    log.clear()
    assert list(log) == []
    assert list(twin) == events(common + other)


def test_a_long_log_can_be_copied_deeply_pickled_and_dropped() -> None:
    """Links are not followed one inside the other."""
    log = EventLog(events([1] * 100_000))

    assert len(pickle.loads(pickle.dumps(log))) == 100_000
    assert copy.deepcopy(log) == log
    del log


def test_a_copy_of_a_machine_shares_nothing_that_changes() -> None:
    """Events and the errors of the last add are the copy's own."""
    machine = Machine.boot(arch="x86_64", kernel="linux-6.12", memory="1G")
    twin = machine.copy()
    before = list(machine.kernel.journal.events)

    twin.add_memory(driver="acpi", name="d", size="128M")

    assert list(machine.kernel.journal.events) == before
    assert [event["event"] for event in twin.kernel.journal.events][len(before) :] == ["plain_add", "added"]
    assert twin.kernel.step.add_errors is not machine.kernel.step.add_errors
