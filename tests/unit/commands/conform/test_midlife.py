"""Replays that begin in mid-life: what was added before, by whom, and where its memmap lies is read off the machine."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from memhotplug.commands.conform.observation import Reason
from memhotplug.commands.conform.worlds import FileResult

Load = Callable[[str], dict[str, Any]]
ReplayDocument = Callable[[dict[str, Any]], FileResult]

RECORDINGS = Path(__file__).parents[3] / "data" / "recordings"
EVERY = int(os.environ.get("MHP_EXAMPLES", "2")) > 2
"""Whether to begin at every step: with MHP_EXAMPLES set to more than 2."""
NAMES = sorted(path.name.removesuffix(".json.xz") for path in RECORDINGS.glob("*.json.xz"))
PARAMETERS = "sys/module/memory_hotplug/parameters/"
ONLY_BY_HISTORY = {
    "ppc64el-6.12-64k-random-7",  # a kernel block without a neighbour was hot-added: it looks like boot memory
    "x86_64-6.1-numa-auto",  # so does a whole DIMM
    "x86_64-6.12-sticky-online-type-remove",  # what was asked of a block, in vain
    "x86_64-6.12-failed-add",  # what a DIMM has left that was not taken
    "x86_64-6.12-virtio-mem-tiny-zone",  # a whole DIMM once more
}
"""Recordings in which something matters later that no file of the machine tells."""


def begun_at(document: dict[str, Any], first: int) -> dict[str, Any]:
    """Return a recording of the same machine that was started after a step, with parameters as they stood then."""
    boot = {**document["steps"][first], "op": {"kind": "boot"}, "result": "ok"}
    boot["dmesg"] = document["steps"][0].get("dmesg", [])
    for key in ("results", "blocks_left"):
        boot.pop(key, None)
    files = dict(boot["files"])
    for step in document["steps"][1 : first + 1]:
        op = step["op"]
        if op["kind"] == "write" and op["path"].startswith(PARAMETERS) and step["result"] == "ok":
            files[op["path"]] = op["value"] + "\n"
    return {**document, "steps": [{**boot, "files": files}, *document["steps"][first + 1 :]]}


def starts(document: dict[str, Any]) -> list[int]:
    """Return where replays begin: a quarter, a half and three quarters of the way, or everywhere."""
    last = len(document["steps"]) - 1
    return list(range(1, last)) if EVERY else sorted({last // 4, last // 2, 3 * last // 4} - {0})


@pytest.mark.parametrize("name", NAMES)
def test_a_replay_gives_the_recorded_results_wherever_it_begins(name: str, load: Load, replay: ReplayDocument) -> None:
    """Not only results: everything that is compared comes out as it does from the first step on."""
    document = load(name)
    for first in starts(document):
        result = replay(begun_at(document, first))

        if name != "x86_64-6.12-failed-add":
            assert [seen for seen in result.mismatches if seen.reason is Reason.RESULT] == [], first
        if name not in ONLY_BY_HISTORY:
            assert result.mismatches == [], first
