"""Recordings that lack something, and recordings that cannot be used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.kernels import MAINLINE_LIST
from tests.registered import built_in

from memhotplug import InputError
from memhotplug.commands.conform.observation import Reason
from memhotplug.commands.conform.worlds import FileResult
from memhotplug.manager import arch_traits

Load = Callable[[str], dict[str, Any]]
Save = Callable[[dict[str, Any]], Path]
ReplayDocument = Callable[[dict[str, Any]], FileResult]

NAME = "x86_64-6.12-mom-1-b"
ARCH_WORDS = ", ".join(sorted({word for name in built_in("arch") for word in (name, *arch_traits(name).aliases)}))
LOST = {
    "proc/zoneinfo": {Reason.ZONE, Reason.FREE, Reason.MARKS},
    "proc/iomem": {Reason.IOMEM},
    "proc/meminfo": {Reason.MEMTOTAL},
    "proc/buddyinfo": set(),
    "proc/pagetypeinfo": set(),
}


def reasons(result: FileResult, step: int) -> set[Reason]:
    """Return the classes of what was compared in a step."""
    return {seen.reason for seen in result.observations if seen.step == step}


@pytest.mark.parametrize("path", LOST)
def test_what_was_not_recorded_is_not_compared(path: str, load: Load, replay: ReplayDocument) -> None:
    """A file less in one step: its own observations go, nothing else changes."""
    document = load(NAME)
    full = reasons(replay(document), 2)
    del document["steps"][2]["files"][path]
    result = replay(document)

    assert result.mismatches == []
    assert reasons(result, 2) == full - LOST[path]


def test_without_files_of_blocks_page_flags_still_tell(load: Load, replay: ReplayDocument) -> None:
    """NOPAGE says which pages are offline, so the classes need no block states."""
    document = load(NAME)
    files = document["steps"][2]["files"]
    document["steps"][2]["files"] = {path: text for path, text in files.items() if "/memory/memory" not in path}
    result = replay(document)

    assert result.mismatches == []
    assert Reason.BLOCK not in reasons(result, 2)
    assert Reason.PAGES in reasons(result, 2)


def test_without_nopage_the_states_of_blocks_are_needed(load: Load, replay: ReplayDocument) -> None:
    """7.2 shows 0x0 for an offline page, which an allocated page may show as well."""
    document = load("x86_64-7.2-mom-1-c")
    files = document["steps"][2]["files"]
    document["steps"][2]["files"] = {path: text for path, text in files.items() if "/memory/memory" not in path}
    result = replay(document)

    assert result.mismatches == []
    assert Reason.PAGES not in reasons(result, 2)


def test_a_step_with_nothing_but_a_result_is_compared(load: Load, replay: ReplayDocument) -> None:
    """One observation, and no prediction."""
    document = load(NAME)
    step = document["steps"][1]
    document["steps"][1] = {"op": step["op"], "result": step["result"]}
    result = replay(document)

    assert result.mismatches == []
    assert Counter(seen.step for seen in result.observations)[1] == 1
    assert result.predicted == ()


def test_hidden_addresses_are_not_compared(load: Load, replay: ReplayDocument) -> None:
    """An iomem that was read without root shows only zeros."""
    document = load(NAME)
    document["steps"][2]["files"]["proc/iomem"] = "00000000-00000000 : System RAM\n"
    result = replay(document)

    assert result.mismatches == []
    assert Reason.IOMEM not in reasons(result, 2)


def test_a_remove_that_names_only_its_device(load: Load, replay: ReplayDocument) -> None:
    """Blocks, address and size are those of the add."""
    document = load("x86_64-6.12-mom-1-a")
    step = document["steps"][18]
    step["op"] = {"kind": "remove", "dimm": step["op"]["dimm"]}
    result = replay(document)

    assert result.mismatches == []
    (seen,) = [seen for seen in result.observations if seen.step == 18 and seen.reason is Reason.RESULT]
    assert seen.expected == {"result": "ok", "blocks": [], "blocks_left": []}


def test_partly_covered_devices_compare_what_is_covered(load: Load, replay: ReplayDocument) -> None:
    """Only the first half of a block was read; runs end where the reading did."""
    document = load(NAME)
    flags = document["steps"][2]["kpageflags"]
    middle = 0x100000 + 16384
    flags["covered"] = [[0x100000, middle]]
    flags["ranges"] = [[low, min(high, middle), value] for low, high, value in flags["ranges"] if low < middle]
    result = replay(document)

    # The block is not covered as a whole, so its slab pages are unknown and it counts as clean.
    assert [seen.what for seen in result.mismatches if seen.step == 2] == []
    ends = [seen.what for seen in result.observations if seen.step == 2 and seen.reason is Reason.PAGES]
    assert ends[-1].endswith(f"-{middle:#x}")
    assert next(seen.got for seen in result.mismatches if seen.step == 3) == {
        "result": "ok",
        "results": {"32": "ok"},
        "blocks": [32],
    }


def test_writing_offline_to_a_state_file_meets_the_guests_pages_too(load: Load, replay: ReplayDocument) -> None:
    """An offline by ``write`` is refused as one by ``offline`` is."""
    document = load(NAME)
    step = document["steps"][3]
    step["op"] = {"kind": "write", "path": "sys/devices/system/memory/memory32/state", "value": "offline\n"}
    del step["results"]

    assert replay(document).mismatches == []


def test_after_a_failed_add(load: Load, replay: ReplayDocument) -> None:
    """The firmware takes the device out without asking the kernel; sections that the add left behind stay."""
    document = load("x86_64-6.12-kata4847-mom-0")
    add = document["steps"][1]["op"]
    document["steps"].append({"op": {"kind": "remove", "dimm": add["dimm"], "blocks": []}})
    document["steps"].append({"op": {**add, "dimm": "d1", "size": 1 << 27, "blocks": [32]}})
    result = replay(document)

    assert [(one["result"], one["errno"]) for one in result.predicted] == [("ok", None), ("failed", "EEXIST")]


BROKEN: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "a second boot": (
        lambda document: document["steps"].insert(2, {"op": {"kind": "boot"}}),
        "steps[2]: got it once more, expected 'boot' in the first step only",
    ),
    "no boot": (
        lambda document: document["steps"].pop(0),
        "steps[0].op.kind: got add, expected 'boot', which every recording begins with",
    ),
    "a future kernel of the past": (
        lambda document: document["meta"].update(kernel_release="4.19.0"),
        f"steps[0]: got 4.19.0, expected a kernel release that a profile covers ({MAINLINE_LIST})",
    ),
    "another architecture": (
        lambda document: document["meta"].update(arch="riscv64"),
        f"meta.arch: got 'riscv64', expected one of {ARCH_WORDS}",
    ),
    "a node that is not there": (
        lambda document: document["steps"][0]["files"].update({"sys/devices/system/memory/memory3/node": "5\n"}),
        "steps[0]: got blocks of node 5, which is not online, expected memory blocks of online nodes",
    ),
    "no files to boot from": (
        lambda document: document["steps"][0].pop("files"),
        "steps[0]: got one without, expected a step with files",
    ),
    "a result that contradicts itself": (
        lambda document: document["steps"][3].update(result="ok"),
        "steps[3]: got 'ok', expected a result that agrees with its blocks' ('EBUSY: Device or resource busy')",
    ),
    "an unreadable zoneinfo": (
        lambda document: document["steps"][2]["files"].update({"proc/zoneinfo": "nothing\n"}),
        "steps[2].files[proc/zoneinfo]: got none, expected zones, each after a line such as 'Node 0, zone   Normal'",
    ),
    "a huge device": (
        lambda document: document["steps"][1]["op"].update(blocks=[7]),
        "steps[1].op.blocks: got [7], expected blocks 32-32 of the device",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_unusable_recordings_name_file_and_step(case: str, load: Load, save: Save, replay: ReplayDocument) -> None:
    """One error with the place in it, never a traceback and never a comparison with nonsense."""
    breaking, text = BROKEN[case]
    document = load(NAME)
    breaking(document)
    with pytest.raises(InputError) as caught:
        replay(document)

    message = str(caught.value)
    assert message.startswith(str(save(document)) + ": ")
    assert message.split(": ", 1)[1].split("; did you mean")[0] == text


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    """Half of the compressed bytes."""
    from memhotplug.commands.conform.worlds import replay_file

    whole = Path(__file__).parents[3] / "data" / "recordings" / f"{NAME}.json.xz"
    half = tmp_path / "half.json.xz"
    half.write_bytes(whole.read_bytes()[:2000])
    with pytest.raises(InputError, match="expected a complete, readable file"):
        replay_file(half)


def test_replaying_twice_gives_the_same(load: Load, replay: ReplayDocument) -> None:
    """Nothing remembers the first replay."""
    document = load("x86_64-6.12-numa2-mom-1")

    assert replay(document) == replay(document)
