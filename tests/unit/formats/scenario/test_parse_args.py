"""The same keys as keywords of the Python API."""

from __future__ import annotations

import enum
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memhotplug.errors import InputError
from memhotplug.formats.scenario import (
    OPERATIONS,
    AddStep,
    AllocateStep,
    BootMemory,
    DriverPolicy,
    MachineSpec,
    OnlineStep,
    RangeSpec,
    Scenario,
    SnapshotRef,
    Veto,
    WriteStep,
    parse_args,
)

Load: TypeAlias = Callable[[str], Scenario]
SIZE = "a size such as 128M, 1GiB or 0x8000000"


class Zone(enum.StrEnum):
    """A word that is a member of an enum."""

    MOVABLE = "movable"


@pytest.mark.parametrize(
    ("op", "keywords", "record"),
    [
        (
            "boot",
            {"arch": "x86_64", "kernel": "v2-2019", "memory": "4G"},
            MachineSpec(arch="x86_64", kernel="v2-2019", memory=(BootMemory(node=0, size=4 << 30),)),
        ),
        (
            "boot",
            {
                "arch": "s390",
                "kernel": "v2-2019",
                "memory": [{"node": 1, "size": 1 << 30}],
                "cmdline": None,
                "rzm": None,
            },
            MachineSpec(arch="s390", kernel="v2-2019", memory=(BootMemory(node=1, size=1 << 30),)),
        ),
        (
            "boot",
            {"arch": "s390", "kernel": "v2-2019", "snapshot": Path("a/b")},
            MachineSpec(arch="s390", kernel="v2-2019", snapshot=SnapshotRef(path="a/b")),
        ),
        (
            "add_memory",
            {"driver": "acpi", "size": "1G", "mhp_flags": "device"},
            AddStep(driver="acpi", size=1 << 30, mhp_flags=("device",)),
        ),
        (
            "add",
            {"driver": "acpi", "resources": (1 << 20, "1M"), "node": 1, "mhp_flags": ("device", "memblock")},
            AddStep(
                driver="acpi",
                size=2 << 20,
                node=1,
                mhp_flags=("device", "memblock"),
                options={"resources": (1 << 20, 1 << 20)},
            ),
        ),
        (
            "online",
            {"range": "dimm0", "zone": Zone.MOVABLE},
            OnlineStep(range=RangeSpec.named("dimm0"), zone="movable"),
        ),
        (
            "online",
            {"range": RangeSpec.blocks(32), "veto": {"event": "MEM_GOING_ONLINE", "errno": "EIO"}},
            OnlineStep(range=RangeSpec.blocks(32), veto=Veto(event="MEM_GOING_ONLINE", errno="EIO")),
        ),
        ("write", {"path": "a", "value": 5, "capable": False}, WriteStep(path="a", value="5", capable=False)),
        ("allocate", {"name": "a", "size": 4096}, AllocateStep(name="a", size=4096)),
    ],
)
def test_keywords_become_the_same_records(catalog: Any, op: str, keywords: dict[str, object], record: object) -> None:
    """None means that a keyword was not given."""
    result = parse_args(op, keywords, catalog)
    assert result == record
    assert type(result) is type(record)


def test_policies_are_checked_like_the_drivers_section(catalog: Any) -> None:
    """By driver."""
    assert parse_args("drivers", {"acpi": {"mhp_flags": "device"}}, catalog) == {
        "acpi": DriverPolicy(mhp_flags=("device",))
    }


@pytest.mark.parametrize("op", sorted(OPERATIONS))
def test_every_operation_of_a_scenario_can_be_called(catalog: Any, load_step: Load, op: str) -> None:
    """YAML and Python give equal records."""
    by_op: dict[str, dict[str, object]] = {
        "add": {"driver": "acpi", "name": "x", "size": "1G"},
        "write": {"path": "a", "value": "b"},
        "allocate": {"name": "a", "size": "1G"},
        "release": {"name": "app"},
        "resize": {"range": "dimm0", "size": "1G"},
        "expect": {"zone": "Normal", "managed": 1},
    }
    keywords = by_op.get(op, {"range": "dimm0"})
    text = ", ".join(f"{key}: {value}" for key, value in keywords.items())
    assert parse_args(op, keywords, catalog) == load_step(f"{op}: {{{text}}}").steps[-1].args


@pytest.mark.parametrize(
    ("op", "keywords", "message"),
    [
        ("boot", {"arch": "x86_64", "memory": "4G"}, "boot.kernel: expected a name; the key is missing"),
        (
            "boot",
            {"arch": "x86", "kernel": "v2-2019", "memory": "4G"},
            "boot.arch: got 'x86', expected an installed architecture, one of: arm64, s390, x86_64; "
            "did you mean 'x86_64'?",
        ),
        (
            "boot",
            {"arch": "x86_64", "kernel": "v2-2019"},
            "boot: expected memory or snapshot, and not both",
        ),
        (
            "boot",
            {"arch": "x86_64", "kernel": "v2-2019", "memory": [{"node": 0}]},
            f"boot.memory[0].size: expected {SIZE}; the key is missing",
        ),
        (
            "boot",
            {"arch": "x86_64", "kernel": "v2-2019", "memory": 0},
            f"boot.memory: got 0, expected {SIZE}, or a list such as [{{node: 0, size: 2G}}], greater than 0",
        ),
        ("add_memory", {"driver": "acpi", "size": "1X"}, f"add_memory.size: got '1X', expected {SIZE}"),
        ("add_memory", {"driver": "acpi", "size": None}, f"add_memory.size: expected {SIZE}; the key is missing"),
        ("add_memory", {"driver": "acpi", "size": True}, f"add_memory.size: got True, expected {SIZE}"),
        ("add_memory", {"driver": "acpi", "size": 1.5e9}, f"add_memory.size: got 1500000000.0, expected {SIZE}"),
        (
            "add_memory",
            {"driver": "acpi", "size": "1G", "node": "0"},
            "add_memory.node: got '0', expected a node number from 0 to 1023",
        ),
        (
            "add_memory",
            {"driver": "sclp", "size": "1G", "flags": "device"},
            "add_memory.flags: got flags, expected one of the keys: driver, name, size, address, node, mhp_flags, "
            "fails, veto, fail_allocation; did you mean 'mhp_flags'?",
        ),
        (
            "online",
            {"range": object()},
            "online.range: got a value of type object, expected a range: a step's name, 'block N', 'block N-M' or "
            "0xSTART+SIZE",
        ),
        (
            "online",
            {"range": "block 1", "veto": {"event": "MEM_GOING_ONLINE", 5: 6}},
            "online.veto[5]: got 5, expected one of the keys: event, errno",
        ),
        ("write", {"path": "a", "value": True}, "write.value: got True, expected text"),
        ("write", {"path": "a", "value": "b", "capable": 0}, "write.capable: got 0, expected true or false"),
        (
            "drivers",
            {"acpi": "device"},
            "drivers.acpi: got 'device', expected a mapping with the keys: mhp_flags, policy",
        ),
        (
            "drivers",
            {"apci": {}},
            "drivers.apci: got apci, expected an installed driver, one of: acpi, hv_balloon, sclp; "
            "did you mean 'acpi'?",
        ),
    ],
)
def test_bad_keywords_are_refused_without_a_place(
    catalog: Any, op: str, keywords: dict[str, object], message: str
) -> None:
    """The path begins with what was called."""
    with pytest.raises(InputError) as caught:
        parse_args(op, keywords, catalog)
    assert str(caught.value) == message
    assert (caught.value.file, caught.value.line, caught.value.column) == (None, None, None)


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.data())
def test_any_keywords_give_a_record_or_an_input_error(catalog: Any, data: st.DataObject) -> None:
    """Nothing that Python can pass ends in another exception."""
    op = data.draw(st.sampled_from(["boot", "drivers", "add_memory", *OPERATIONS]))
    names = ["driver", "size", "range", "zone", "name", "path", "value", "memory", "arch", "veto", "fails", "mhp_flags"]
    good = st.sampled_from(["acpi", "1G", "block 1", "movable", "x86_64", "v2-2019"])
    keywords = data.draw(st.dictionaries(st.sampled_from(names), JUNK | good))
    try:
        parse_args(op, keywords, catalog)
    except InputError as error:
        assert error.line is None  # noqa: PT017
        assert "\n" not in str(error)  # noqa: PT017
