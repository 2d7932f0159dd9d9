"""Where nobody can know how an operation ends, each end is a world of its own, and no outcome is looked at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memhotplug.commands.conform import observe
from memhotplug.commands.conform import replay as replay_module
from memhotplug.commands.conform.observation import Agreed, Observation, Observations, Reason, Seen
from memhotplug.commands.conform.replay import Replay
from memhotplug.commands.conform.worlds import FileResult, Worlds, _ends, replay_file, together
from memhotplug.formats.snapshot import read_recording

Load = Callable[[str], dict[str, Any]]
Save = Callable[[dict[str, Any]], Path]

RECORDINGS = Path(__file__).parents[3] / "data" / "recordings"
NAME = "ppc64el-6.12-random-8"


def seen(what: str, expected: object, got: object) -> Observation:
    """Return an observation of a zone."""
    return Observation.equal(3, Reason.ZONE, what, expected, got)


def claims(result: FileResult) -> set[tuple[int, str, str]]:
    """Return what the model claims of each step's results."""
    return {(one.step, one.what, str(one.got)) for one in result.observations if one.reason is Reason.RESULT}


@pytest.mark.parametrize("name", [NAME, "x86_64-6.12-hog-step"])
def test_predictions_hold_whatever_happened_where_nobody_can_know(name: str) -> None:
    """Some world fits each observation, and results that differ between worlds are said to be undetermined."""
    result = replay_file(RECORDINGS / f"{name}.json.xz", predict=1)

    assert result.mismatches == []
    assert 0 < result.undetermined < len(result.observations) // 4
    assert any(one.undetermined and one.reason is Reason.RESULT for one in result.observations)


def test_no_outcome_is_read_after_an_undetermined_step(load: Load, save: Save) -> None:
    """The recording says the contrary of what happened from step 10 on: nothing is claimed otherwise."""
    honest, lying = load(NAME), load(NAME)
    for step in lying["steps"][10:]:
        step["files"] = lying["steps"][9]["files"]
        step.pop("kpageflags", None)
        step["result"] = "ok" if step["result"].startswith("E") else step["result"]
        step["results"] = dict.fromkeys(step.get("results") or {}, "ok")
    told = [Worlds(read_recording(save(document)), predict=1) for document in (honest, lying)]
    firsts = [worlds.explore() for worlds in told]

    assert len(told[0]._worlds) == len(told[1]._worlds) > 2
    for mine, other in zip(told[0]._worlds, told[1]._worlds, strict=True):
        for here, there in zip(mine.seen, other.seen, strict=True):
            results = [
                [
                    one.got["results"]
                    for one in compared.observations()
                    if isinstance(one.got, dict) and "results" in one.got
                ]
                for compared in (here, there)
            ]  # fmt: skip
            assert results[0] == results[1]
    states = [replay.machine.kernel.state.blocks for replay in firsts]
    assert states[0].id.tolist() == states[1].id.tolist()
    assert states[0].state.tolist() == states[1].state.tolist()


def test_an_outcome_that_fits_no_world_is_a_mismatch(load: Load, save: Save) -> None:
    """EBUSY or ok, nobody can know; EPERM it cannot be."""
    document = load(NAME)
    step = document["steps"][10]
    step["result"], step["results"] = "EPERM: Operation not permitted", {"14": "EPERM: Operation not permitted"}

    result = replay_file(save(document), predict=1)

    assert [(one.step, one.what) for one in result.mismatches] == [(10, "result")]


def test_a_replay_drops_worlds_that_the_next_steps_contradict() -> None:
    """State may be read before the step that it influences: worlds end where it says otherwise."""
    replayed = replay_file(RECORDINGS / f"{NAME}.json.xz")
    predicted = replay_file(RECORDINGS / f"{NAME}.json.xz", predict=1)

    assert replayed.mismatches == predicted.mismatches == []
    assert replayed.undetermined < predicted.undetermined


def test_a_replay_goes_on_from_what_was_recorded() -> None:
    """Only the step itself has several ends there; a prediction keeps them."""
    replayed = Worlds(read_recording(RECORDINGS / f"{NAME}.json.xz"), predict=None)
    replayed.explore()
    predicted = Worlds(read_recording(RECORDINGS / f"{NAME}.json.xz"), predict=1)
    predicted.explore()

    assert (len(replayed._worlds), bool(replayed._ended)) == (1, True)
    assert (len(predicted._worlds) > 1, predicted._ended) == (True, {})


def test_worlds_that_agree_make_one_claim() -> None:
    """Only what differs between worlds is undetermined."""
    same, one, other = seen("present", 5, 5), seen("managed", 7, 7), seen("managed", 7, 8)

    assert list(together([[same, one], [same, other]])) == [same, one._replace(undetermined=True)]
    assert list(together([[same, other], [same, one]])) == [same, one._replace(undetermined=True)]
    assert list(together([[other], [other]])) == [other]


@pytest.mark.parametrize(
    ("expected", "got", "fits"),
    [
        (5, (4, 6), True),
        (7, (4, 6), False),
        ("online", ("online", "offline"), True),
        ("gone", ("online", "offline"), False),
        ([1, 5], ([1, 4], [3, 9]), True),
        ([1, 5], ([2, 4], [3, 9]), False),
        ({"blocks": [4, 6], "x": "ok"}, ({"blocks": [4], "x": "ok"}, {"blocks": [4, 5, 6], "x": "no"}), True),
        ({"blocks": [5], "x": "ok"}, ({"blocks": [4], "x": "ok"}, {"blocks": [4, 5], "x": "no"}), False),
        ({"result": "ok"}, ({"result": "no"}, {"result": "EBUSY"}), False),
        ({"free": 3, "by_order": [1, 1]}, ({"free": 1, "by_order": [1, 0]}, {"free": 4, "by_order": [0, 2]}), True),
        (None, ("online", "offline"), False),
        ("free 7", ("managed 9, which has to be", "managed 10, which has to be"), True),
    ],
)  # fmt: skip
def test_what_lies_between_worlds_is_undetermined(expected: object, got: tuple[object, object], fits: bool) -> None:
    """Block by block it is one or the other, so that numbers lie between the least and the greatest."""
    found = list(Observations(together([[seen("x", expected, side)] for side in got])))

    assert [(one.matches, one.undetermined) for one in found] == [(fits, fits)]


@pytest.mark.parametrize("file", ["proc/pagetypeinfo", "proc/buddyinfo"])
def test_less_that_was_recorded_makes_no_wrong_claim(file: str, load: Load, save: Save) -> None:
    """Without counts by type nobody knows where memmap lies, from the first add on."""
    document = load(NAME)
    document["steps"] = document["steps"][:12]
    for step in document["steps"]:
        step["files"].pop(file)

    assert replay_file(save(document), predict=1).mismatches == []


def test_what_only_some_worlds_have_and_nobody_recorded_is_no_observation() -> None:
    """A block that is there in one world only; in all of them it is a mismatch."""
    assert list(together([[seen("block", None, "online")], []])) == []
    assert [one.matches for one in Observations(together([[seen("block", None, "online")]] * 2))] == [False]


def test_each_line_of_a_list_is_for_itself() -> None:
    """Two lines were recorded; one world lacks the second and has another instead, another one has it."""
    first = Observation(3, Reason.IOMEM, "iomem", "one", "one", True)
    second = Observation(3, Reason.IOMEM, "iomem", "two", "two", True)
    lacks = Observation(3, Reason.IOMEM, "iomem", "two", None, False)
    instead = Observation(3, Reason.IOMEM, "iomem", None, "three", False)

    assert list(together([[first, lacks, instead], [first, second]])) == [first, second._replace(undetermined=True)]
    some = Observations(together([[first, lacks], [first, lacks, instead]]))
    assert [one.matches for one in some] == [True, False]
    some = Observations(together([[first, instead], [first, instead]]))
    assert [one.matches for one in some] == [True, False]


@given(st.lists(st.lists(st.sampled_from([0, 1, 2]), min_size=2, max_size=2), min_size=1, max_size=4))
def test_what_agrees_as_a_whole_is_no_other_than_one_by_one(worlds: list[list[int]]) -> None:
    """Zones and blocks of some worlds, either as was recorded or not quite; where all agree nobody looks at them."""

    def one_by_one(reason: Reason, wrong: int) -> list[Observation]:
        return [Observation.equal(3, reason, f"{reason} {at}", at, at + (at == wrong)) for at in (1, 2, 3)]

    def whole(reason: Reason, wrong: int) -> list[Seen]:
        rows = one_by_one(reason, wrong)
        return [*rows] if wrong else [Agreed(reason, 3, lambda: rows)]

    reasons = Reason.ZONE, Reason.BLOCK
    singly = [[one for reason, wrong in zip(reasons, world, strict=True) for one in one_by_one(reason, wrong)]
              for world in worlds]  # fmt: skip
    as_a_whole = [[one for reason, wrong in zip(reasons, world, strict=True) for one in whole(reason, wrong)]
                 for world in worlds]  # fmt: skip
    assert Observations(together(as_a_whole)) == Observations(together(singly))


@pytest.mark.parametrize(
    ("blocks", "ends"),
    [
        ((4,), [set(), {4}]),
        ((4, 5), [set(), {4}, {5}, {4, 5}]),
        ((4, 5, 6), [set(), {4}, {5}, {6}, {4, 5, 6}]),
        ((4, 5, 6, 7, 8), [set(), {4, 5, 6, 7, 8}]),
    ],
)
def test_ends_of_an_operation(blocks: tuple[int, ...], ends: list[set[int]]) -> None:
    """Every set of two blocks; of up to four none, one or all stay online, of more none or all."""
    assert [set(stay) for stay in _ends(blocks)] == ends


def test_the_number_of_worlds_is_bounded() -> None:
    """Each undetermined step splits every world."""
    worlds = Worlds(read_recording(RECORDINGS / f"{NAME}.json.xz"), predict=1)
    worlds.explore()

    assert 2 < len(worlds._worlds) <= 24


def test_what_worlds_have_in_common_is_played_once(monkeypatch: pytest.MonkeyPatch, load: Load, save: Save) -> None:
    """One boot for all worlds, and each step once until it falls apart; what was recorded is one of the ends."""
    calls: Counter[str] = Counter()

    def count(module: ModuleType, name: str) -> None:
        original = getattr(module, name)

        def counted(*arguments: object) -> object:
            calls[name] += 1
            return original(*arguments)

        monkeypatch.setattr(module, name, counted)

    count(replay_module, "kernel_from_machine")
    count(observe, "recorded_classes")
    recording = read_recording(RECORDINGS / f"{NAME}.json.xz")
    worlds = Worlds(recording, predict=None)
    worlds.explore()
    ends = sum(map(len, worlds._ended.values()))

    assert ends > len(worlds._ended) > 0
    assert calls["kernel_from_machine"] == 1
    assert calls["recorded_classes"] <= len(recording.steps) - len(worlds._ended) + ends


def test_a_fork_goes_on_for_itself() -> None:
    """Two replays of one beginning, one of which goes on: the other is where it was, and ends as one played alone."""
    recording = read_recording(RECORDINGS / f"{NAME}.json.xz")
    alone, parent = Replay(recording, predict=4), Replay(recording, predict=4)
    ends = [outcome for _, outcome in alone.run()]
    for _ in range(6):
        parent.advance()
    before = parent.machine.to_dict()
    twin = parent.fork()
    later = [outcome for _, outcome in twin.run()]

    assert parent.machine.to_dict() == before
    assert later == [outcome for _, outcome in parent.run()] == ends[6:]
    assert parent.machine.to_dict() == twin.machine.to_dict() == alone.machine.to_dict()
    assert (parent.baseline, twin.baseline) == (alone.baseline, alone.baseline)


@pytest.mark.parametrize("name", ["arm64-6.12-movablecore", "s390x-6.12-movablecore", "s390x-7.2-kernelcore"])
def test_boot_memory_in_movable_may_be_boots_own_where_no_flags_tell(name: str, load: Load, save: Save) -> None:
    """The zone lacks pages that boot kept: which block has them is undetermined, and EBUSY is one end."""
    document = load(name)
    for step in document["steps"]:
        step.pop("kpageflags", None)
    result = replay_file(save(document))

    assert result.mismatches == []
    assert [one.step for one in result.observations if one.reason is Reason.RESULT and one.undetermined][:1] == [1]
