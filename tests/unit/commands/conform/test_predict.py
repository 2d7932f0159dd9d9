"""Steps of which only the operation is known: predicted, from nothing but what came before."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from memhotplug.commands.conform.facts import StepFacts
from memhotplug.commands.conform.observe import compare
from memhotplug.commands.conform.replay import Replay
from memhotplug.commands.conform.worlds import FileResult, replay_file
from memhotplug.formats.snapshot import read_recording

Load = Callable[[str], dict[str, Any]]
Save = Callable[[dict[str, Any]], Path]
ReplayDocument = Callable[[dict[str, Any]], FileResult]

RECORDINGS = Path(__file__).parents[3] / "data" / "recordings"
NAMES = sorted(path.name.removesuffix(".json.xz") for path in RECORDINGS.glob("*.json.xz"))


def stripped(document: dict[str, Any], first: int) -> dict[str, Any]:
    """Return a recording that has only the operations of the steps from ``first`` on."""
    steps = [step if number < first else {"op": step["op"]} for number, step in enumerate(document["steps"])]
    return {**document, "steps": steps}


@pytest.mark.parametrize("name", NAMES)
def test_predictions_equal_what_the_kernel_did(name: str, load: Load, save: Save) -> None:
    """However many of the last steps are stripped, each one comes out as it was recorded."""
    document = load(name)
    whole = read_recording(RECORDINGS / f"{name}.json.xz")
    for first in range(1, len(document["steps"])):
        replay = Replay(read_recording(save(stripped(document, first))))
        for facts, outcome in replay.run():
            truth = StepFacts(whole.steps[facts.index], name)
            seen = compare(replay.machine, replay.baseline, truth, outcome).observations()
            if outcome.undetermined:
                break  # nobody can know, and the prediction says so; what follows hangs on it
            assert [one for one in seen if not one.matches] == []


def test_a_prediction_says_where_nobody_can_know(load: Load, replay: ReplayDocument) -> None:
    """Blocks 12-13 came online after the last flags that were read, in a zone with allocated memmap.

    Nothing tells how many chunks of each type were free.
    """
    document = load("ppc64el-6.12-64k-random-7")
    for step in document["steps"]:
        step["files"].pop("proc/pagetypeinfo", None)
    result = replay(stripped(document, 1))
    steps = [one["step"] for one in result.predicted if one["result"] == "undetermined"]

    assert steps[0] == 3
    assert all(one["errno"] is None for one in result.predicted if one["step"] == 1)


@pytest.mark.parametrize("name", ["x86_64-6.12-mom-1-b", "x86_64-6.12-numa2-mom-1"])
def test_the_outcome_of_a_step_changes_nothing_about_its_prediction(
    name: str, load: Load, replay: ReplayDocument
) -> None:
    """Lies about step k and later ones leave the prediction for step k as it is."""
    document = load(name)
    for step in range(2, len(document["steps"])):
        honest = stripped(document, step)
        lying = stripped(document, step)
        lying["steps"] = [*honest["steps"][: step + 1], *(dict(later) for later in document["steps"][step + 1 :])]
        for later in lying["steps"][step + 1 :]:
            later["files"] = document["steps"][0]["files"]

        assert replay(honest).predicted[0] == replay(lying).predicted[0]


def test_a_prediction_has_everything_that_would_be_compared(load: Load, replay: ReplayDocument) -> None:
    """Result, blocks present, zones, blocks, System RAM, MemTotal and page classes."""
    result = replay(stripped(load("x86_64-6.12-mom-1-a"), 18))
    (prediction,) = result.predicted

    assert list(prediction) == [
        "step", "op", "result", "errno", "results", "blocks_present", "zones", "blocks", "iomem", "memtotal_kb",
        "page_classes",
    ]  # fmt: skip
    assert (prediction["step"], prediction["op"], prediction["result"]) == (18, "remove", "ok")
    assert prediction["blocks_present"] == []
    assert prediction["page_classes"] == [[0x100000, 0x140000, "offline"]]
    assert len(result.observations) == sum(seen.step < 18 for seen in replay_file(
        RECORDINGS / "x86_64-6.12-mom-1-a.json.xz").observations)  # fmt: skip


def test_a_prediction_in_figures(load: Load, replay: ReplayDocument) -> None:
    """The first block of a self-hosted DIMM goes to Movable: 512 of its pages hold memmap."""
    (prediction, *_) = replay(stripped(load("x86_64-6.12-mom-1-a"), 2)).predicted

    assert prediction["results"] == {"32": "ok"}
    assert isinstance(prediction["zones"], list)
    assert prediction["zones"][-1] == {
        "node": 0,
        "zone": "Movable",
        "start_pfn": 0x100000,
        "spanned": 32768,
        "present": 32768,
        "managed": 32256,
        "free": 32256,
        "free_by_order": [0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 31],
    }
    assert isinstance(prediction["page_classes"], list)
    assert prediction["page_classes"][:2] == [
        [0x100000, 0x100200, "self-hosted"],
        [0x100200, 0x108000, "online, buddy"],
    ]


def test_slab_in_the_first_kernel_block_is_assumed_where_nothing_tells(load: Load, replay: ReplayDocument) -> None:
    """Of an online_kernel into an empty zone and the offline after it, only the operations are known."""
    predicted = replay(stripped(load("x86_64-6.12-mom-1-b"), 2)).predicted

    assert [(one["op"], one["result"]) for one in predicted] == [
        ("online", "ok"), ("offline", "EBUSY"), ("online", "EINVAL"),
    ]  # fmt: skip


def test_flags_of_an_earlier_step_count_for_blocks_that_stayed_online(load: Load, replay: ReplayDocument) -> None:
    """Slab pages were seen in step 2; step 3 was not recorded, and the slab pages are still there in step 4."""
    document = load("x86_64-6.12-mom-1-b")
    document["steps"].append({"op": {"kind": "offline", "blocks": [32]}})

    assert [one["result"] for one in replay(stripped(document, 3)).predicted] == ["EBUSY", "EINVAL", "EBUSY"]
