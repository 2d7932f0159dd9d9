"""Replays that begin in mid-life: what was added before, by whom, and where its memmap lies is read off the machine."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from memhotplug.commands.conform.worlds import FileResult, replay_file

Load = Callable[[str], dict[str, Any]]
Save = Callable[[dict[str, Any]], Path]
ReplayDocument = Callable[[dict[str, Any]], FileResult]

RECORDINGS = Path(__file__).parents[3] / "data" / "recordings"
EVERY = int(os.environ.get("MHP_EXAMPLES", "2")) > 2
"""Whether to begin at every step: with MHP_EXAMPLES set to more than 2."""
NAMES = sorted(path.name.removesuffix(".json.xz") for path in RECORDINGS.glob("*.json.xz"))
PARAMETERS = "sys/module/memory_hotplug/parameters/"
VM = "proc/sys/vm/"
THP = "sys/kernel/mm/transparent_hugepage/enabled"
ONLY_BY_HISTORY = {"x86_64-6.12-failed-add"}
"""Recordings in which something matters later that no file of the machine tells: what an add has left that failed."""
ONLY_BY_LOG = {
    "ppc64el-6.12-64k-random-7",  # a kernel block without a neighbour was hot-added: it looks like boot memory
    "ppc64el-6.12-64k-two-nodes",  # so does a whole DIMM
    "x86_64-6.1-late-first-slab",
    "x86_64-6.1-numa-auto",
    "x86_64-6.1-page-of-a-process",
    "x86_64-6.12-memmap-in-old-block",
    "x86_64-6.12-sticky-online-type-remove",
    "x86_64-6.12-virtio-mem-tiny-zone",
    "x86_64-7.2-movable-boot",
}
"""Those in which something does that only the log of the boot tells."""
TELLING = {
    "ppc64el-6.12-64k-random-7": {11},
    "ppc64el-6.12-64k-two-nodes": {1},
    "ppc64el-6.12-two-cpu-nodes": {9},
    "x86_64-6.12-memmap-in-old-block": {1},
    "x86_64-7.2-hog-on-other-node": {1},
    "x86_64-6.1-late-first-slab": {4},
    "x86_64-6.1-virtio-mem-hogs": {4, 8},
    "x86_64-6.1-numa-auto": {1},
    "x86_64-6.1-page-of-a-process": {7},
    "x86_64-6.12-sticky-online-type-remove": {3},
    "x86_64-6.12-virtio-mem-tiny-zone": {2},
}
"""Where replays began that once came out differently."""


def begun_at(document: dict[str, Any], first: int, *, log: bool = True) -> dict[str, Any]:
    """Return a recording of the same machine that was started after a step, with parameters as they stood then.

    Args:
        log: whether the log of the boot lists the memory that was there.
    """
    boot = {**document["steps"][first], "op": {"kind": "boot"}, "result": "ok"}
    lines = document["steps"][0].get("dmesg", [])
    boot["dmesg"] = [line for line in lines if log or "Early memory node ranges" not in line]
    for key in ("results", "blocks_left"):
        boot.pop(key, None)
    files = dict(boot["files"])
    for step in document["steps"][1 : first + 1]:
        op = step["op"]
        if op["kind"] == "write" and step["result"] == "ok" and (text := shows(op["path"], op["value"])):
            files[op["path"]] = text
    return {**document, "steps": [{**boot, "files": files}, *document["steps"][first + 1 :]]}


def shows(path: str, value: str) -> str | None:
    """Return what a file reads after a write, None where that does not tell, or is no file of the machine's memory."""
    if path == THP:
        return " ".join(f"[{word}]" if word == value else word for word in ("always", "madvise", "never"))
    is_number = path.startswith(VM) and not path.endswith("min_free_kbytes") and value.replace(" ", "").isdigit()
    return f"{value}\n" if is_number or path.startswith(PARAMETERS) else None


def starts(name: str, document: dict[str, Any]) -> list[int]:
    """Return where replays begin: a quarter, a half and three quarters of the way, or everywhere."""
    last = len(document["steps"]) - 1
    if EVERY:
        return list(range(1, last))
    return sorted({last // 4, last // 2, 3 * last // 4} - {0} | TELLING.get(name, set()))


@pytest.mark.parametrize("name", NAMES)
def test_a_replay_gives_the_recorded_results_wherever_it_begins(name: str, load: Load, replay: ReplayDocument) -> None:
    """Not only results: everything that is compared comes out as it does from the first step on."""
    document = load(name)
    for first in starts(name, document):
        result = replay(begun_at(document, first))

        if name not in ONLY_BY_HISTORY:
            assert result.mismatches == [], first


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ONLY_BY_HISTORY | ONLY_BY_LOG])
def test_most_come_out_without_the_log_of_the_boot(name: str, load: Load, replay: ReplayDocument) -> None:
    """Lines of System RAM tell then what was hot-added."""
    document = load(name)
    for first in starts(name, document):
        assert replay(begun_at(document, first, log=False)).mismatches == [], first


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ONLY_BY_HISTORY])
def test_predictions_hold_wherever_they_begin(name: str, load: Load, save: Save) -> None:
    """What nobody can know without the history is undetermined: where memmap may lie that comes later, say."""
    document = load(name)
    for first in starts(name, document):
        assert replay_file(save(begun_at(document, first)), predict=1).mismatches == [], first


def test_where_blocks_come_back_is_undetermined_where_nobody_knows_what_was_asked_of_them(
    load: Load, save: Save
) -> None:
    """Block 33 was refused the word online_movable before the recording began; a remove that fails brings it back."""
    result = replay_file(save(begun_at(load("x86_64-6.12-sticky-online-type-remove"), 3)))
    open_ = {one.what for one in result.observations if one.undetermined}

    assert "node 0 zone Movable present" in open_
    assert "block 33 valid_zones" in open_
    assert "result" not in open_
