"""A run as plain records."""

from __future__ import annotations

import pytest
from tests.unit.conftest import Load

from memhotplug import Machine
from memhotplug.commands.report.data import MAX_FRAMES, film_of, look
from memhotplug.errors import InputError
from memhotplug.memory_map.runs import MapRun

GIB = 1 << 30
HOSTING = "schema: 1\nmachine: {arch: x86_64, kernel: linux-6.12, memory: 4G, memory_block_size: 2G, cmdline: memory_hotplug.memmap_on_memory=1}\nsteps:\n"  # noqa: E501
ADD = "add: {driver: acpi, name: d, size: 1G, mhp_flags: device}"


def test_a_moment_has_runs_of_alike_blocks() -> None:
    """Of the hot-added GiB the first block holds all its memmap; one block is online."""
    machine = Machine.boot(arch="x86_64", kernel="v2-2019", memory="4G")
    machine.add_memory(driver="acpi", name="d", size="1G", mhp_flags="device")
    machine.online("block 33", zone="movable")
    frame = look(machine, None, None)
    block = 128 << 20
    assert [run for run in frame.runs if run.device == "d"] == [
        MapRun(0, 4 * GIB, 4 * GIB + block, "offline", "d", 16 << 20, (32, 32)),
        MapRun(0, 4 * GIB + block, 4 * GIB + 2 * block, "movable", "d", 0, (33, 33), "Movable"),
        MapRun(0, 4 * GIB + 2 * block, 5 * GIB, "offline", "d", 0, (34, 39)),
    ]
    assert (frame.self_hosted, frame.allocated) == (16 << 20, 0)
    assert [(zone.zone, zone.managed) for zone in frame.zones][-1] == ("Movable", block)


def test_a_film_has_the_boot_and_each_step_that_does_something(load: Load) -> None:
    """What only expects something has no moment of its own; a refusal has the kernel's reason."""
    film = film_of(load(ADD, "expect: {violations: 0}", "online: {range: d}", "remove: {range: d, fails: EBUSY}"))
    assert [(frame.step, frame.ok) for frame in film.frames] == [(None, True), (0, True), (2, True), (3, True)]
    assert [frame.refused for frame in film.frames[:3]] == [None] * 3
    assert (film.frames[3].refused or "").startswith("EBUSY: ")
    assert (film.first, film.steps, film.failure) == (3, 4, None)
    assert dict(film.facts)["kernel"] == "v2-2019"


def test_the_step_to_show_first(load: Load) -> None:
    """By its number in the scenario, an expectation too."""
    steps = [ADD, "expect: {violations: 0}", "online: {range: d}"]
    assert [film_of(load(*steps), step=step).first for step in (0, 1, 2, None)] == [1, 2, 2, 2]


def test_a_step_that_is_not_there(load: Load) -> None:
    """Before anything has run."""
    with pytest.raises(InputError) as caught:
        film_of(load(ADD), step=3)
    assert str(caught.value) == "--step: got 3, expected a step from 0 to 0"


def test_a_run_that_stops_says_why(load: Load) -> None:
    """The step that stopped it is the last moment."""
    film = film_of(load(ADD, "remove: {range: block 0}", "online: {range: d}"))
    assert [frame.ok for frame in film.frames] == [True, True, False]
    assert (film.failure or "").startswith("s.yaml:5:5: steps[1].remove: EBUSY: ")


def test_very_long_scenarios_keep_their_refusals(load: Load) -> None:
    """Of 500 steps at most 400 have a moment, and all that were refused."""
    pairs = ["online: {range: block 33, zone: movable}", "offline: {range: block 33}"] * 249
    film = film_of(load(ADD, *pairs, "remove: {range: block 0, fails: EBUSY}"))
    assert film.steps == 500
    assert len(film.frames) <= MAX_FRAMES + 1
    assert film.frames[-1].refused is not None


def test_64_tib_are_a_handful_of_runs(load: Load) -> None:
    """32768 blocks, each hosting its memmap."""
    film = film_of(load("add: {driver: acpi, name: d, size: 64T}", "online: {range: d}", head=HOSTING))
    assert max(len(frame.runs) for frame in film.frames) < 20


def test_a_moment_says_who_holds_the_pages(load: Load) -> None:
    """One list for each run, in the order of the runs."""
    film = film_of(load(ADD, "online: {range: d, zone: movable}", "allocate: {name: app, size: 1M, zone: movable}"))
    for frame in film.frames:
        assert len(frame.held) == len(frame.runs)
    owners = [[part.owner for part in parts] for parts in film.frames[-1].held[-2:]]
    assert owners == [["free in Movable", "memmap, self-hosted", "app"], ["free in Movable"]]


def test_too_many_runs_for_that_have_empty_lists(load: Load) -> None:
    """What keeps the file small: rows are shared by all moments and their runs."""
    steps = [f"online: {{range: block {block}}}" for block in range(40, 440, 2)]
    head = HOSTING.replace(", memory_block_size: 2G", "")
    film = film_of(load("add: {driver: acpi, name: d, size: 64G}", *steps, head=head))
    assert 1000 < sum(len(parts) for frame in film.frames for parts in frame.held) <= 20_000
    assert film.frames[-1].held[-1] == ()
