"""Page classes, counted page by page, are those that runs are joined to."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memhotplug.commands.conform.baseline import Baseline
from memhotplug.commands.conform.classes import (
    BUDDY,
    NOT_BUDDY,
    OFFLINE,
    ONLINE,
    SELF_HOSTED,
    Runs,
    recorded_classes,
)
from memhotplug.commands.conform.facts import StepFacts
from memhotplug.contracts import PageFlag
from memhotplug.formats.snapshot import KPageFlags, RecordedOp, RecordedStep
from memhotplug.formats.snapshot.flagruns import FlagRuns
from memhotplug.model.extents import ExtentSet

_PAGES = 8  # pages of a block
_BLOCKS = 5
_WORDS = [
    0, int(PageFlag.BUDDY), int(PageFlag.SLAB), int(PageFlag.NOPAGE), int(PageFlag.OWNER_PRIVATE),
    int(PageFlag.OWNER_PRIVATE | PageFlag.RESERVED), int(PageFlag.BUDDY | PageFlag.NOPAGE),
]  # fmt: skip
_ZONEINFO = """\
Node 0, zone  Movable
  pages free     0
        min      0
        low      0
        high     0
        spanned  40
        present  40
        managed  40
        protection: (0, 0, 0, 0)
  pagesets
    cpu: 0
              count: {}
              high:  9
              batch: 1
  start_pfn:           0
"""


def runs_of(words: list[int | None]) -> list[tuple[int, int, int]]:
    """Pages with their flags, None where none were read, as runs."""
    runs: list[tuple[int, int, int]] = []
    for pfn, word in enumerate(words):
        if word is None:
            continue
        if runs and runs[-1][1] == pfn and runs[-1][2] == word:
            runs[-1] = runs[-1][0], pfn + 1, word
        else:
            runs.append((pfn, pfn + 1, word))
    return runs


def step_with(words: list[int | None], ends_at: int, states: list[bool], waiting: int) -> StepFacts:
    """A step in which some pages show some flags, and blocks are online or not."""
    files = {"proc/zoneinfo": _ZONEINFO.format(waiting)}
    for block, online in enumerate(states):
        folder = f"sys/devices/system/memory/memory{block}"
        files |= {f"{folder}/state": "online" if online else "offline", f"{folder}/node": "0"}
        files[f"{folder}/valid_zones"] = "Movable"
    read = [word is not None for word in words]
    flags = KPageFlags(
        ranges=FlagRuns.of(runs_of([word if pfn < ends_at else None for pfn, word in enumerate(words)])),
        covered=tuple(ExtentSet.of(*((pfn, pfn + 1) for pfn, there in enumerate(read) if there))),
        past_end=tuple(ExtentSet.of(*((p, p + 1) for p, there in enumerate(read) if there and p >= ends_at))),
    )
    return StepFacts(
        RecordedStep(
            index=1, op=RecordedOp(kind="offline"), result="ok", results={}, files=files, kpageflags=flags,
            blocks_left=None, seconds=None, dmesg=(),
        ),
        "made up",
    )  # fmt: skip


def page_by_page(
    words: list[int | None], ends_at: int, states: list[bool], waiting: int, split: frozenset[int], *, nopage: bool
) -> list[str | None]:
    """The class of each page, None where none was read."""
    used = [
        pfn for pfn, word in enumerate(words)
        if pfn // _PAGES in split and word is not None
        and (pfn >= ends_at or not word & int(PageFlag.BUDDY | PageFlag.OWNER_PRIVATE))
    ]  # fmt: skip
    all_wait = len(used) <= waiting and all(pfn < ends_at and words[pfn] == 0 for pfn in used)
    found: list[str | None] = []
    for pfn, word in enumerate(words):
        block = pfn // _PAGES
        if word is None:
            found.append(None)
        elif pfn >= ends_at or word & PageFlag.NOPAGE or not (word or nopage or states[block]):
            found.append(OFFLINE)
        elif word & PageFlag.OWNER_PRIVATE:
            found.append(SELF_HOSTED)
        elif block not in split:
            found.append(ONLINE)
        else:
            found.append(BUDDY if word & PageFlag.BUDDY or all_wait else NOT_BUDDY)
    return found


def spread(runs: Runs) -> list[str | None]:
    """The class of each page of some runs."""
    found: list[str | None] = [None] * (_PAGES * _BLOCKS)
    for low, high, kind in runs:
        assert low < high
        assert found[low:high] == [None] * (high - low)
        found[low:high] = [kind] * (high - low)
    return found


@given(
    st.lists(st.sampled_from([None, *_WORDS]), min_size=_PAGES * _BLOCKS, max_size=_PAGES * _BLOCKS),
    st.integers(0, _PAGES * _BLOCKS),
    st.lists(st.booleans(), min_size=_BLOCKS, max_size=_BLOCKS),
    st.sampled_from([0, 1, 3, 40]),
    st.frozensets(st.integers(0, _BLOCKS - 1)),
    st.booleans(),
)
def test_runs_have_the_class_of_each_of_their_pages(
    words: list[int | None], ends_at: int, states: list[bool], waiting: int, split: frozenset[int], nopage: bool
) -> None:
    """Under every kind of kernel, whatever is split, waits, is offline, was not read or lies behind the file's end."""
    facts = step_with(words, ends_at, states, waiting)
    assert facts.flags is not None
    baseline = Baseline(
        mem_total=None, managed=0, populated=frozenset(), early=frozenset(), pages_per_block=_PAGES, has_nopage=nopage
    )

    runs = recorded_classes(baseline, facts, facts.flags.covered, split)

    assert spread(runs) == page_by_page(words, ends_at, states, waiting, split, nopage=nopage)
    assert all(runs[at][1] < runs[at + 1][0] or runs[at][2] != runs[at + 1][2] for at in range(len(runs) - 1))


@pytest.mark.parametrize("words", [[0] * 3, [int(PageFlag.BUDDY)] * 3])
def test_equal_steps_share_what_was_read_of_them(words: list[Any]) -> None:
    """Flags and blocks that are as they were before are the same objects, or equal ones."""
    first = step_with(words, 3, [True, False], 0)
    second = StepFacts(first.step, "made up", first)
    assert first.flags is second.flags
    assert first.blocks == second.blocks == StepFacts(first.step, "made up").blocks


_FILES = st.dictionaries(
    st.sampled_from(
        [
            f"sys/devices/system/memory/memory{n}/{name}"
            for n in ("1", "2", "01")
            for name in ("state", "node", "phys_device")
        ]
    ),
    st.sampled_from(["0\n", "1\n", "online\n"]),
)


@given(_FILES, _FILES, st.booleans())
def test_blocks_are_read_as_if_there_were_no_step_before(
    before: dict[str, str], after: dict[str, str], same: bool
) -> None:
    """Whatever has changed between the two."""
    after = {path: after.get(path, text) for path, text in before.items()} if same else after
    steps = [
        RecordedStep(
            index=1, op=RecordedOp(kind="offline"), result="ok", results={}, files=files, kpageflags=None,
            blocks_left=None, seconds=None, dmesg=(),
        )
        for files in (before, after)
    ]  # fmt: skip
    first = StepFacts(steps[0], "made up")
    kept = dict(first.blocks or {})

    assert StepFacts(steps[1], "made up", first).blocks == StepFacts(steps[1], "made up").blocks
    assert (first.blocks or {}) == kept
