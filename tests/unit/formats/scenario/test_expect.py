"""``expect``: which assertions there are, and which keys need each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import pytest

from memhotplug.errors import InputError
from memhotplug.formats.scenario import ExpectStep, RangeSpec, Scenario
from memhotplug.formats.scenario.expectation import BLOCK_ATTRIBUTES, HEAD_ATTRIBUTES, MEMMAP_TOTALS, ZONE_COUNTERS

ErrorOf: TypeAlias = Callable[[str], InputError]
Load: TypeAlias = Callable[[str], Scenario]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("zone: Movable, node: 0, managed: 258048", {"zone": "Movable", "node": 0, "managed": 258048}),
        (
            "zone: DMA32, present: 0, spanned: 0x10, free: 1, start_pfn: 0x100000",
            {"zone": "DMA32", "present": 0, "spanned": 16, "free": 1, "start_pfn": 1048576},
        ),
        ("block: 32, state: online", {"block": 32, "state": "online"}),
        ("block: 0x20, zone: Movable, node: 1", {"block": 32, "zone": "Movable", "node": 1}),
        ("block: 0, valid_zones: [Normal, Movable]", {"block": 0, "valid_zones": ("Normal", "Movable")}),
        ("block: 0, valid_zones: Movable", {"block": 0, "valid_zones": ("Movable",)}),
        ("block: 0, valid_zones: []", {"block": 0, "valid_zones": ()}),
        (
            "range: dimm0, state: offline, usable_pages: 258048, vmemmap_pages: 4096, device: dimm0",
            {
                "range": RangeSpec.named("dimm0"),
                "state": "offline",
                "usable_pages": 258048,
                "vmemmap_pages": 4096,
                "device": "dimm0",
            },
        ),
        ("range: block 32-39, state: absent", {"range": RangeSpec.blocks(32, 39), "state": "absent"}),
        (
            "head: 0x100000, nr_pages: 4096, refcount: 8, private: 4096",
            {"head": 1048576, "nr_pages": 4096, "refcount": 8, "private": 4096},
        ),
        (
            "self_hosted_pages: 4096, allocated_pages: 0, page_table_pages: 0",
            {"self_hosted_pages": 4096, "allocated_pages": 0, "page_table_pages": 0},
        ),
        ("memmap_pages: 4096, node: 1", {"memmap_pages": 4096, "node": 1}),
        ("memmap_pages: 4096", {"memmap_pages": 4096}),
        (
            "path: memory/vmemmap_hotplug, value: disabled",
            {"path": "memory/vmemmap_hotplug", "value": "disabled"},
        ),
        ("path: memory/memory32/removable, value: 1", {"path": "memory/memory32/removable", "value": "1"}),
        ("path: memory/memory99/state, fails: ENOENT", {"path": "memory/memory99/state", "fails": "ENOENT"}),
        ("violations: 0", {"violations": 0}),
        ("violations: []", {"violations": ()}),
        ("violations: [I11, 'memmap on unbacked memory']", {"violations": ("I11", "memmap on unbacked memory")}),
        ("warnings: 2, violations: 1", {"warnings": 2, "violations": 1}),
        (
            "zone: Normal, managed: 5, path: a, value: b, self_hosted_pages: 1, violations: 0",
            {"zone": "Normal", "managed": 5, "path": "a", "value": "b", "self_hosted_pages": 1, "violations": 0},
        ),
        ("block: 32, zone: Normal, violations: 0", {"block": 32, "zone": "Normal", "violations": 0}),
    ],
)
def test_assertions_are_read(load_step: Load, keys: str, expected: dict[str, Any]) -> None:
    """Everything that is not given stays None, and is not asserted."""
    args = load_step(f"expect: {{{keys}}}").steps[-1].args
    assert isinstance(args, ExpectStep)
    assert args == ExpectStep(**expected)
    assert args.given(list(expected)) == expected


def test_what_is_given_comes_in_groups(load_step: Load) -> None:
    """The runner asks for each group; zero is an assertion, None is none."""
    args = load_step("expect: {zone: Normal, managed: 0, self_hosted_pages: 1}").steps[-1].args
    assert isinstance(args, ExpectStep)
    assert args.given(ZONE_COUNTERS) == {"managed": 0}
    assert args.given(MEMMAP_TOTALS) == {"self_hosted_pages": 1}
    assert args.given(BLOCK_ATTRIBUTES) == args.given(HEAD_ATTRIBUTES) == {}


BAD = {
    "nothing": ("{}", "13: steps[2].expect: expected something to compare, such as managed, state or violations"),
    "only a node": ("{node: 0}", "13: steps[2].expect: expected zone or memmap_pages, which node selects"),
    "node with the list of violations": (
        "{violations: 0, node: 0}",
        "13: steps[2].expect: expected zone or memmap_pages, which node selects",
    ),
    "only a zone": (
        "{zone: Normal}",
        "13: steps[2].expect: expected one of: managed, present, spanned, free, start_pfn, to compare in this zone",
    ),
    "counter without zone": (
        "{managed: 1}",
        "13: steps[2].expect.zone: expected one of: DMA, DMA32, Normal, Movable, to which managed belongs; "
        "the key is missing",
    ),
    "zone in lower case": (
        "{zone: movable, managed: 1}",
        "20: steps[2].expect.zone: got movable, expected one of: DMA, DMA32, Normal, Movable; did you mean 'Movable'?",
    ),
    "counter negative": (
        "{zone: Normal, managed: -1}",
        "37: steps[2].expect.managed: got -1, expected a number of pages, at least 0",
    ),
    "counter as a size": (
        "{zone: Normal, managed: 1G}",
        "37: steps[2].expect.managed: got 1G, expected a number of pages, at least 0",
    ),
    "counter of a block": (
        "{block: 32, managed: 1}",
        "25: steps[2].expect.managed: got managed, expected attributes of blocks beside block; "
        "zone counters need their own expect",
    ),
    "only a block": (
        "{block: 32}",
        "13: steps[2].expect: expected one of: state, valid_zones, usable_pages, vmemmap_pages, device, zone, node, "
        "to compare",
    ),
    "block and range": (
        "{range: dimm0, block: 32, state: online}",
        "28: steps[2].expect.block: got block, expected block or range, and not both",
    ),
    "block as a range": (
        "{block: 32-35, state: online}",
        "21: steps[2].expect.block: got 32-35, expected a memory block id from 0 to 999999999999999",
    ),
    "attribute without block": (
        "{state: online}",
        "13: steps[2].expect.block: expected block or range, to which state belongs; the key is missing",
    ),
    "unknown state": (
        "{block: 32, state: onlin}",
        "32: steps[2].expect.state: got onlin, expected one of: online, offline, absent; did you mean 'online'?",
    ),
    "unknown zone in a list": (
        "{block: 32, valid_zones: [Normal, Highmem]}",
        "47: steps[2].expect.valid_zones[1]: got Highmem, expected one of: DMA, DMA32, Normal, Movable",
    ),
    "unknown name": (
        "{range: dimm7, state: online}",
        "21: steps[2].expect.range: got dimm7, expected the name of an earlier add step: dimm0; did you mean 'dimm0'?",
    ),
    "only a head": (
        "{head: 0x100000}",
        "13: steps[2].expect: expected one of: nr_pages, refcount, private, to compare",
    ),
    "refcount without head": (
        "{refcount: 8}",
        "13: steps[2].expect.head: expected a pfn, at which refcount is found; the key is missing",
    ),
    "path without value": (
        "{path: memory/probe}",
        "13: steps[2].expect.value: expected what the attribute reads; the key is missing",
    ),
    "value without path": (
        "{value: 1}",
        "13: steps[2].expect.path: expected the attribute that reads this value; the key is missing",
    ),
    "fails without path": (
        "{violations: 0, fails: EIO}",
        "13: steps[2].expect.path: expected an attribute: nothing else in expect can fail; the key is missing",
    ),
    "violations as a word": (
        "{violations: none}",
        "26: steps[2].expect.violations: got none, expected a number, or a list of names",
    ),
    "violations negative": (
        "{violations: -1}",
        "26: steps[2].expect.violations: got -1, expected a number, or a list of names",
    ),
    "violations with an empty name": (
        "{violations: [I1, '']}",
        "31: steps[2].expect.violations[1]: got '', expected text",
    ),
}


@pytest.mark.parametrize(("keys", "message"), BAD.values(), ids=BAD.keys())
def test_senseless_assertions_are_refused(step_error: ErrorOf, keys: str, message: str) -> None:
    """An assertion that compares nothing would always hold."""
    assert str(step_error(f"expect: {keys}")) == f"s.yaml:6:{message}"


def test_an_unknown_assertion_names_the_nearest(step_error: ErrorOf) -> None:
    """And lists all the keys."""
    error = step_error("expect: {zone: Normal, manged: 1}")
    assert (error.line, error.column, error.path) == (6, 28, "steps[2].expect.manged")
    assert (error.got, error.nearest) == ("manged", "managed")
    assert error.expected.startswith("one of the keys: zone, node, block, range, head, managed, ")
    assert error.expected.endswith(", violations, warnings, fails, veto, fail_allocation")
