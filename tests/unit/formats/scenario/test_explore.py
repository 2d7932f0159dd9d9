"""``explore``: one value or a list of them, each once, and never none."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import pytest

from memhotplug.errors import InputError
from memhotplug.formats.scenario import Scenario
from memhotplug.formats.scenario.explore import EXPLORED, ExploreSpec
from memhotplug.formats.scenario.schema import scenario_schema

Load: TypeAlias = Callable[[str], Scenario]
ErrorOf: TypeAlias = Callable[[str], InputError]
_HEAD = "schema: 1\nmachine: {arch: x86_64, kernel: v2-2019, memory: 4G}\nexplore: "
_OPERATIONS = ", ".join(EXPLORED)
_EMPTY = "an empty list leaves nothing to explore"


def explored(load: Load, text: str) -> ExploreSpec:
    """Return what a scenario with only this section asks for."""
    return load(_HEAD + text + "\n").explore


def test_what_is_left_out_is_all_there_is(load: Load) -> None:
    """An empty section says as much as none."""
    everything = dict.fromkeys(("operations", "drivers", "sizes", "zones", "blocks"))
    assert explored(load, "{}").values() == everything
    assert load("schema: 1\nmachine: {arch: x86_64, kernel: v2-2019, memory: 4G}\n").explore.values() == everything


@pytest.mark.parametrize(
    ("text", "key", "values"),
    [
        ("{operations: add}", "operations", ("add",)),
        ("{operations: [add]}", "operations", ("add",)),
        ("{operations: [online, add, online]}", "operations", ("online", "add")),
        (f"{{operations: [{_OPERATIONS}]}}", "operations", EXPLORED),
        ("{drivers: acpi}", "drivers", ("acpi",)),
        ("{drivers: [hv_balloon, acpi, acpi]}", "drivers", ("hv_balloon", "acpi")),
        ("{sizes: 128M}", "sizes", (128 << 20,)),
        ("{sizes: [1G, 0x40000000, 128M, 134217728]}", "sizes", (1 << 30, 128 << 20)),
        ("{zones: auto}", "zones", ("auto",)),
        ("{zones: [movable, kernel, auto]}", "zones", ("movable", "kernel", "auto")),
        ("{blocks: 1}", "blocks", 1),
        ("{blocks: 4096}", "blocks", 4096),
        ("{blocks: 0x10}", "blocks", 16),
    ],
)
def test_one_value_is_a_list_of_one_and_each_counts_once(load: Load, text: str, key: str, values: object) -> None:
    """In the order in which they were written; sizes are compared as bytes."""
    assert getattr(explored(load, text), key) == values


@pytest.mark.parametrize(
    ("text", "place", "got", "expected"),
    [
        ("{operations: []}", "23: explore.operations", "a list", f"one or a list of: {_OPERATIONS}; {_EMPTY}"),
        ("{operations: fry}", "23: explore.operations", "fry", f"one of: {_OPERATIONS}"),
        (
            "{operations: [add, onlin]}", "29: explore.operations[1]", "onlin",
            f"one of: {_OPERATIONS}; did you mean 'online'?",
        ),
        (
            "{operations: [add, [online]]}", "29: explore.operations[1]", "a list",
            f"one or a list of: {_OPERATIONS}",
        ),
        ("{operations: {add: 1}}", "23: explore.operations", "a mapping", f"one of: {_OPERATIONS}"),
        ('{drivers: ""}', "20: explore.drivers", "''", "a driver's name"),
        ("{drivers: []}", "20: explore.drivers", "a list", f"one or a list of: drivers; {_EMPTY}"),
        (
            "{drivers: acpy}", "20: explore.drivers", "acpy",
            "an installed driver, one of: acpi, hv_balloon, sclp; did you mean 'acpi'?",
        ),
        (
            "{sizes: [128M, 0]}", "25: explore.sizes[1]", "0",
            "a size such as 128M, 1GiB or 0x8000000, greater than 0",
        ),
        (
            "{zones: [kernel, Movable]}", "27: explore.zones[1]", "Movable",
            "one of: kernel, movable, auto; did you mean 'movable'?",
        ),
        ("{blocks: 0}", "19: explore.blocks", "0", "a number of blocks from 1 to 4096"),
        ("{blocks: 4097}", "19: explore.blocks", "4097", "a number of blocks from 1 to 4096"),
        (
            "{block: 4}", "11: explore.block", "block",
            "one of the keys: operations, drivers, sizes, zones, blocks; did you mean 'blocks'?",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_explored_is_refused_at_its_place(
    error_of: ErrorOf, text: str, place: str, got: str, expected: str
) -> None:
    """With the item of a list that is wrong; drivers are those that are installed."""
    assert str(error_of(_HEAD + text + "\n")) == f"s.yaml:3:{place}: got {got}, expected {expected}"


def test_an_alias_is_the_driver_that_it_means(load: Load) -> None:
    """Twice the same driver is explored once, whatever it was called."""
    assert explored(load, "{drivers: [dimm, hv_balloon]}").drivers == ("acpi", "hv_balloon")


def test_the_schema_says_the_same(catalog: object) -> None:
    """One value or a list that is not empty."""
    section = scenario_schema(catalog)["properties"]["explore"]  # type: ignore[arg-type]
    operations = section["properties"]["operations"]
    assert operations["anyOf"] == [
        {"enum": list(EXPLORED)},
        {"type": "array", "minItems": 1, "items": {"enum": list(EXPLORED)}},
    ]
    assert operations["description"] == "Which operations are tried."
    blocks = section["properties"]["blocks"]
    assert (blocks["type"], blocks["minimum"], blocks["maximum"]) == ("integer", 1, 4096)
