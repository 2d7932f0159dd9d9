"""The JSON of a machine agrees with itself after every step of every shipped scenario.

Two keys that tell the same thing in two ways are compared: a block's pages and the zone's, a head
and the pages that it stands for, the memmap by place and by source.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from memhotplug.catalog import Installed
from memhotplug.commands.run.runner import boot_scenario, run_scenario
from memhotplug.formats.scenario import load_scenario

SCENARIOS = Path(__file__).resolve().parents[2] / "scenarios"
FILES = sorted(SCENARIOS.glob("*.yaml"))
ZONES = ("DMA", "DMA32", "Normal", "Movable")

State: TypeAlias = Mapping[str, Any]

each_scenario = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)


@cache
def states(path: Path) -> tuple[State, ...]:
    """Return the machine as data: as booted, and after each step."""
    scenario = load_scenario(path, catalog=Installed())
    machine = boot_scenario(scenario)
    seen = [machine.to_dict()]
    run_scenario(scenario, machine=machine, on_step=lambda step, record: seen.append(machine.to_dict()))
    return tuple(seen)


def pages_per_block(state: State) -> int:
    """Return the pages in a memory block."""
    pages: int = state["machine"]["memory_block_size"] // state["machine"]["page_size"]
    return pages


def online(state: State) -> list[dict[str, Any]]:
    """Return the blocks that are online."""
    return [block for block in state["blocks"] if block["state"] == "online"]


@each_scenario
def test_every_key_is_there_in_its_order(path: Path) -> None:
    """Of the object, of each block and of each zone."""
    for state in states(path):
        assert list(state) == [
            "schema", "mhp", "scenario", "ok", "machine", "steps", "blocks", "zones", "vmemmap", "memmap", "iomem",
            "warnings", "violations",
        ]  # fmt: skip
        assert {tuple(block) for block in state["blocks"]} == {
            ("id", "state", "node", "zone", "valid_zones", "start", "size", "vmemmap_pages", "usable_pages", "device")
        }
        assert {tuple(zone) for zone in state["zones"]} == {
            ("node", "zone", "start_pfn", "spanned", "present", "managed", "free", "free_by_order")
        }
        assert list(state["memmap"]) == ["self_hosted_pages", "allocated_pages", "page_table_pages", "by_node"]


@each_scenario
def test_it_is_plain_json(path: Path) -> None:
    """No NumPy number, no tuple, no NaN: what is written is what is read."""
    for state in states(path):
        assert json.loads(json.dumps(state, allow_nan=False)) == state


@each_scenario
def test_blocks_ascend_and_lie_where_their_number_says(path: Path) -> None:
    """Start is id times size; every block has the size of the machine's blocks."""
    for state in states(path):
        size = state["machine"]["memory_block_size"]
        ids = [block["id"] for block in state["blocks"]]
        assert ids == sorted(set(ids))
        assert all((block["start"], block["size"]) == (block["id"] * size, size) for block in state["blocks"])


@each_scenario
def test_a_block_is_in_one_zone_or_says_where_it_could_go(path: Path) -> None:
    """Online: its zone and no other; offline: no zone, and at least one that it may have."""
    for state in states(path):
        for block in state["blocks"]:
            if block["state"] == "offline":
                assert block["zone"] is None
                assert "Movable" in block["valid_zones"]
            elif block["zone"] is not None:
                assert block["valid_zones"] == [block["zone"]]
            assert set(block["valid_zones"]) <= set(ZONES)


@each_scenario
def test_pages_of_a_block_are_its_own(path: Path) -> None:
    """Neither count is negative, and together they are no more than the block has."""
    for state in states(path):
        pages = pages_per_block(state)
        for block in state["blocks"]:
            assert block["vmemmap_pages"] >= 0
            assert 0 <= block["usable_pages"] <= pages - block["vmemmap_pages"]


@each_scenario
def test_zones_ascend_and_their_counts_descend(path: Path) -> None:
    """By node, then by type; spanned, present, managed, free."""
    for state in states(path):
        keys = [(zone["node"], ZONES.index(zone["zone"])) for zone in state["zones"]]
        assert keys == sorted(set(keys))
        for zone in state["zones"]:
            assert zone["spanned"] >= zone["present"] >= zone["managed"] >= zone["free"] >= 0


@each_scenario
def test_free_chunks_are_free_pages(path: Path) -> None:
    """Orders from 0 to the highest; what is free beyond the chunks waits on per-cpu lists."""
    for state in states(path):
        for zone in state["zones"]:
            chunks = sum(count << order for order, count in enumerate(zone["free_by_order"]))
            assert len(zone["free_by_order"]) == state["machine"]["max_order"] + 1
            assert 0 <= chunks <= zone["free"]


@each_scenario
def test_present_pages_are_those_of_online_blocks(path: Path) -> None:
    """Zone by zone where blocks have one zone; together never more than the online blocks hold."""
    for state in states(path):
        pages = pages_per_block(state)
        present = {(zone["node"], zone["zone"]): zone["present"] for zone in state["zones"]}
        whole: dict[tuple[int, str], int] = {}
        for block in online(state):
            if block["zone"] is not None:
                key = (block["node"], block["zone"])
                whole[key] = whole.get(key, 0) + pages
        assert sum(present.values()) <= len(online(state)) * pages
        if all(block["device"] for block in online(state) if block["zone"] == "Movable"):
            movable = {key: count for key, count in present.items() if key[1] == "Movable" and count}
            assert movable == {key: count for key, count in whole.items() if key[1] == "Movable"}


@each_scenario
def test_hot_added_movable_memory_manages_what_is_usable(path: Path) -> None:
    """A zone that has nothing but whole hot-added blocks hands all of their usable pages to the allocator."""
    for state in states(path):
        for zone in state["zones"]:
            blocks = [b for b in online(state) if (b["node"], b["zone"]) == (zone["node"], zone["zone"])]
            if zone["zone"] == "Movable" and all(block["device"] for block in blocks):
                assert zone["managed"] == sum(block["usable_pages"] for block in blocks)


@each_scenario
def test_heads_stand_for_the_self_hosted_pages(path: Path) -> None:
    """They ascend without overlap, serve ranges that ascend, and their pages are the self-hosted ones that are left."""
    for state in states(path):
        runs = [(head["start_pfn"], head["start_pfn"] + head["nr_pages"]) for head in state["vmemmap"]]
        assert all(low < high for low, high in runs)
        assert all(one[1] <= other[0] for one, other in pairwise(runs))
        for head in state["vmemmap"]:
            assert list(head) == ["start_pfn", "nr_pages", "refcount", "private", "serves", "device"]
            assert head["serves"][0] < head["serves"][1]
            assert (head["refcount"] is None) == (head["private"] is None) == (state["machine"]["kernel"] != "v2-2019")
        if not state["violations"]:
            assert sum(high - low for low, high in runs) == state["memmap"]["self_hosted_pages"]


@each_scenario
def test_the_memmap_by_place_is_the_memmap_by_source(path: Path) -> None:
    """by_node counts the pages that hold memmap of hot-added memory; pages in removed memory lie on no node."""
    most = 0
    for state in states(path):
        memmap = state["memmap"]
        most = max(most, len(state["blocks"]))
        placed, all_pages = sum(memmap["by_node"].values()), memmap["self_hosted_pages"] + memmap["allocated_pages"]
        assert placed == all_pages or (placed < all_pages and len(state["blocks"]) < most)
        assert list(memmap["by_node"]) == sorted(memmap["by_node"], key=int)
        assert all(memmap["by_node"].values())


@each_scenario
def test_blocks_hold_all_memmap_of_hot_added_memory(path: Path) -> None:
    """What blocks say that they hold grows by what the memmap of hot-added memory takes."""
    first = states(path)[0]
    boot = sum(block["vmemmap_pages"] for block in first["blocks"]) - _memmap(first)
    for state in states(path):
        if state["violations"] or any(step["leaks"] for step in state["steps"]):
            continue
        held = sum(block["vmemmap_pages"] for block in state["blocks"])
        assert held >= _memmap(state)
        assert held <= boot + _memmap(state) + _leaked(state, first)


def _memmap(state: State) -> int:
    return int(state["memmap"]["self_hosted_pages"] + state["memmap"]["allocated_pages"])


def _leaked(state: State, first: State) -> int:
    """Return the pages of memmap that may be left of boot blocks and failed adds: none if blocks only came."""
    return 0 if len(state["blocks"]) >= len(first["blocks"]) else pages_per_block(state)


@each_scenario
def test_iomem_ascends_without_overlap_and_covers_the_blocks(path: Path) -> None:
    """Ends are inclusive; the System RAM of a hot-added block is all there."""
    for state in states(path):
        entries = [(entry["start"], entry["end"]) for entry in state["iomem"]]
        assert all(start <= end for start, end in entries)
        assert all(one[1] < other[0] for one, other in pairwise(entries))
        ram = [(e["start"], e["end"]) for e in state["iomem"] if e["name"].startswith("System RAM")]
        for block in state["blocks"]:
            if block["device"]:
                first, last = block["start"], block["start"] + block["size"] - 1
                covered = sum(max(0, min(end, last) - max(start, first) + 1) for start, end in ram)
                assert covered == block["size"], block


def steps_with_blocks(path: Path) -> Iterator[tuple[State, dict[str, Any]]]:
    """Yield each state with the record of the step that led to it."""
    scenario = load_scenario(path, catalog=Installed())
    result = run_scenario(scenario).to_dict()
    records: Any = result["steps"]
    yield from zip(states(path)[1:], records, strict=True)


@each_scenario
def test_what_a_step_says_it_did_is_what_the_machine_shows(path: Path) -> None:
    """Added blocks are there, onlined ones online, offlined ones offline, removed ones gone."""
    for state, record in steps_with_blocks(path):
        there = {block["id"]: block["state"] for block in state["blocks"]}
        done = record["blocks_done"]
        if record["op"] != "resize":  # which changes blocks that came or went
            assert set(done) <= set(record["blocks"])
        assert (record["errno"] is None) or record["message"]
        found = {there.get(block) for block in done}
        if record["op"] == "add":
            assert None not in found
        if record["op"] in ("online", "offline") and done:
            assert found == {record["op"]}
        if record["op"] == "remove" and record["errno"] is None:
            assert found <= {None}
