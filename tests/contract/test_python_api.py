"""The Python interface: keywords are the scenario's keys, failures carry an errno, copies are independent."""

from __future__ import annotations

import errno
import inspect
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import memhotplug
from memhotplug import PAGE_DTYPE, InputError, Machine, Memory, MemoryHotplugError, PageFlag, PluginError
from memhotplug.catalog import Installed
from memhotplug.formats.scenario.schema import scenario_schema

FIRST = 1 << 20  # the first pfn above 4 GiB


@pytest.fixture
def machine() -> Machine:
    """Return the machine of the interface's own example, with its DIMM."""
    machine = Machine.boot(arch="x86_64", kernel="v2-2019", memory="4G")
    machine.add_memory(driver="acpi", name="dimm", size="1G", mhp_flags="device")
    return machine


# ---- names ----


def test_every_public_name_is_there_and_has_a_docstring() -> None:
    """Imported on first use; nothing else is promised."""
    for name in memhotplug.__all__:
        found = getattr(memhotplug, name)
        assert found is not None
        if inspect.isclass(found):
            assert inspect.getdoc(found)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    """Like that of any module."""
    with pytest.raises(AttributeError, match="module 'memhotplug' has no attribute 'Machin'"):
        memhotplug.Machin  # noqa: B018


@pytest.mark.parametrize("name", ["add_memory", "online", "offline", "remove", "write", "allocate", "release", "copy"])
def test_operations_say_what_they_do_and_what_they_raise(name: str) -> None:
    """One line first; MemoryHotplugError with the errnos where there are any."""
    text = inspect.getdoc(getattr(Machine, name)) or ""

    assert text.splitlines()[0].endswith(".")
    assert name == "copy" or "Raises:" in text


# ---- the example of the contract ----


def test_the_example(machine: Machine) -> None:
    """Add, online, one page, a range."""
    blocks = machine.online("dimm", zone="movable")
    page, pages = machine.page(FIRST), machine.memmap("dimm")

    assert blocks == list(range(32, 40))
    assert (page.refcount, page.private, page.head, page.backing) == (8, 4096, FIRST, FIRST)
    assert (page.zone, page.node) == ("Movable", 0)
    assert (len(pages), pages.dtype) == (262144, PAGE_DTYPE)


def test_flags_of_a_page_are_words_and_bits(machine: Machine) -> None:
    """An IntFlag: testable, printable, and what the array holds."""
    machine.online("dimm", zone="movable")
    flags = machine.page(FIRST).flags

    assert flags & PageFlag.RESERVED
    assert int(flags) == int(machine.memmap("dimm")["flags"][0])


def test_a_range_may_be_what_add_memory_returned_or_any_text(machine: Machine) -> None:
    """A Memory, its name, blocks, bytes: all the same here."""
    memory = machine.add_memory(driver="acpi", size="256M")

    assert isinstance(memory, Memory)
    spellings = (memory, memory.name, "block 40-41", "0x140000000+256M")
    assert [len(machine.memmap(spelling)) for spelling in spellings] == [65536] * 4


def test_sizes_are_text_or_bytes() -> None:
    """As in YAML."""
    machine = Machine.boot(arch="x86_64", kernel="v2-2019", memory=4 << 30)

    assert machine.add_memory(driver="acpi", size=128 << 20).blocks == (32,)
    assert machine.add_memory(driver="acpi", size="0x8000000").blocks == (33,)


# ---- keywords are the scenario's keys ----


@pytest.mark.parametrize(
    ("operation", "keywords", "message"),
    [
        (
            "add_memory",
            {"driver": "acpi", "siez": "1G"},
            "siez: got siez, expected one of",
        ),
        ("add_memory", {"driver": "acpj", "size": "1G"}, "did you mean 'acpi'?"),
        ("add_memory", {"driver": "acpi", "size": "1.5G"}, "got '1.5G', expected a size such as 128M"),
        ("add_memory", {"driver": "acpi", "size": "010M"}, "a leading zero would be octal"),
        ("add_memory", {"driver": "acpi"}, "size"),
        ("online", {"range": "dimm", "zone": "moveable"}, "did you mean 'movable'?"),
        ("online", {"range": "dinm"}, "did you mean 'dimm'?"),
        ("allocate", {"name": "a", "size": "1M", "zone": "dma"}, "zone"),
        ("allocate", {"name": "a", "size": -1}, "size"),
    ],
)
def test_what_a_scenario_would_refuse_is_refused(
    operation: str, keywords: dict[str, Any], message: str, machine: Machine
) -> None:
    """An InputError with the key and the nearest name, and the machine as it was."""
    before = machine.to_dict()

    with pytest.raises((InputError, PluginError)) as caught:
        getattr(machine, operation)(**keywords)

    assert message in str(caught.value)
    assert machine.to_dict() == before


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"arch": "x86-65"}, "did you mean 'x86_64'?"),
        ({"kernel": "linux-4.18"}, "linux-6.12"),
        ({"memory": "0"}, "greater than 0"),
        ({"memory_block_size": "100M"}, "power of two"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_machine_that_cannot_be_is_refused(keywords: dict[str, Any], message: str) -> None:
    """By the words of the scenario's machine section."""
    with pytest.raises((InputError, PluginError)) as caught:
        Machine.boot(**{"arch": "x86_64", "kernel": "v2-2019", "memory": "4G", **keywords})

    assert message in str(caught.value)


def test_every_key_of_the_machine_section_is_a_keyword_of_boot() -> None:
    """The JSON Schema has them; each is refused for its value, and not for its name."""
    schema: Any = scenario_schema(Installed())
    keys = list(schema["properties"]["machine"]["properties"])
    assert len(keys) > 8

    for key in keys:
        memory = {} if key == "snapshot" else {"memory": "4G"}
        with pytest.raises((InputError, PluginError)) as caught:
            Machine.boot(**{"arch": "s390" if key == "rzm" else "x86_64", "kernel": "v2-2019", **memory, key: object()})
        assert f"got {key}," not in str(caught.value)


# ---- failures ----


def _online_twice(machine: Machine) -> None:
    machine.online("block 32")
    machine.online("block 32")


FAILURES: list[tuple[Callable[[Machine], object], str]] = [
    (lambda machine: machine.add_memory(driver="acpi", size="100M"), "EINVAL"),
    (lambda machine: machine.add_memory(driver="acpi", size="1G", address="4G"), "EEXIST"),
    (lambda machine: machine.add_memory(driver="acpi", size="8P"), "E2BIG"),
    (lambda machine: machine.add_memory(driver="acpi", size="1P", mhp_flags="none"), "ENOMEM"),
    (_online_twice, "EINVAL"),
    (lambda machine: machine.online("block 99"), "ENOENT"),
    (lambda machine: machine.offline("block 31"), "EBUSY"),
    (lambda machine: machine.remove("block 0"), "EBUSY"),
    (lambda machine: machine.write("memory/vmemmap_hotplug", "perhaps"), "EINVAL"),
    (lambda machine: machine.write("memory/vmemmap_hotplug", "disable", capable=False), "EPERM"),
    (lambda machine: machine.read("memory/nothing"), "ENOENT"),
    (lambda machine: machine.allocate("a", "1T"), "ENOMEM"),
    (lambda machine: machine.release("nobody"), "ENOENT"),
]


@pytest.mark.parametrize(("operation", "name"), FAILURES, ids=[f"{i} {name}" for i, (_, name) in enumerate(FAILURES)])
def test_a_refused_operation_raises_an_oserror_with_the_errno(
    operation: Callable[[Machine], object], name: str, machine: Machine
) -> None:
    """A subclass of OSError; errno, name and reason; nothing else has changed."""
    with pytest.raises(MemoryHotplugError) as caught:
        operation(machine)

    problem = caught.value
    assert isinstance(problem, OSError)
    assert (problem.name, problem.errno) == (name, getattr(errno, name))
    assert problem.reason
    assert str(problem) == f"{name}: {problem.reason}"
    assert machine.violations() == []


def test_a_refusal_can_be_sent_to_another_process(machine: Machine) -> None:
    """Pools pickle exceptions."""
    with pytest.raises(MemoryHotplugError) as caught:
        machine.online("block 99")

    twin = pickle.loads(pickle.dumps(caught.value))
    assert (twin.name, str(twin)) == ("ENOENT", str(caught.value))


def test_what_was_done_before_a_failure_is_listed(machine: Machine) -> None:
    """Earlier blocks stay as they are."""
    machine.online("block 34")

    with pytest.raises(MemoryHotplugError) as caught:
        machine.online("dimm")

    assert tuple(caught.value.blocks_done) == (32, 33)


def test_leaks_of_the_real_kernel_are_listed() -> None:
    """256 MiB cannot describe 12 GiB: what was populated stays allocated."""
    machine = Machine.boot(arch="x86_64", kernel="linux-6.12", memory="256M")

    with pytest.raises(MemoryHotplugError) as caught:
        machine.add_memory(driver="acpi", size="15G")

    assert caught.value.name == "ENOMEM"
    assert [leak.endswith("of memmap") for leak in caught.value.leaks] == [True]


# ---- copies and determinism ----


def test_a_copy_lives_its_own_life(machine: Machine) -> None:
    """Neither sees what becomes of the other."""
    twin = machine.copy()
    machine.online("dimm", zone="movable")
    twin.remove("dimm")

    assert len(machine.memmap("dimm")) == 262144
    assert [block["device"] for block in _blocks(twin) if block["device"]] == []
    assert [block["state"] for block in _blocks(machine) if block["device"]] == ["online"] * 8


def test_the_memmap_that_was_read_does_not_change_with_the_machine(machine: Machine) -> None:
    """It is a projection, not a view."""
    pages = machine.memmap("dimm")
    kept = pages.copy()
    machine.online("dimm", zone="movable")

    assert np.array_equal(pages, kept)
    assert not np.array_equal(machine.memmap("dimm"), kept)


def test_two_machines_know_nothing_of_each_other() -> None:
    """No global state: same operations, same answers, whatever happens between them."""
    one = Machine.boot(arch="x86_64", kernel="v2-2019", memory="4G")
    other = Machine.boot(arch="s390", kernel="linux-6.12", memory="2G")
    other.add_memory(driver="sclp", size="512M")
    one.add_memory(driver="acpi", name="d", size="512M")
    again = Machine.boot(arch="x86_64", kernel="v2-2019", memory="4G")
    again.add_memory(driver="acpi", name="d", size="512M")

    assert one.to_dict() == again.to_dict()


def _blocks(machine: Machine) -> list[dict[str, Any]]:
    blocks: Any = machine.to_dict()["blocks"]
    return list(blocks)
