"""The machine as a Python object: transactions, copies, ranges, values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import memhotplug
from memhotplug import InputError, Machine, Memory, MemoryHotplugError, PluginError
from memhotplug.contracts import MemoryEvent, PageFlag
from memhotplug.documents.machine import RunDocument
from memhotplug.model.extents import ExtentSet

Boot = Callable[..., Machine]
Refused = Callable[..., MemoryHotplugError]
BASE, BLOCK = 1 << 20, 32768


@pytest.fixture
def machine(boot: Boot) -> Machine:
    """Return a machine with eight offline blocks, 32-39."""
    machine = boot()
    machine.add_memory(driver="acpi", name="dimm0", size="1G", mhp_flags="device")
    return machine


def test_a_machine_says_what_it_is(machine: Machine) -> None:
    """And what was added to it, in one line."""
    machine.online("block 33", zone="movable")
    assert repr(machine) == ("<Machine v2-2019 on x86_64: 5G in 40 blocks of 128M, 33 online, with dimm0>")
    machine.offline("block 33")
    machine.remove("dimm0")
    assert repr(machine) == "<Machine v2-2019 on x86_64: 4G in 32 blocks of 128M, 32 online>"


def test_memory_says_where_it_is(machine: Machine) -> None:
    """As lsmem prints ranges."""
    assert repr(machine.memory("dimm0")) == ("<Memory dimm0: 0x0000000100000000-0x000000013fffffff, 1G, blocks 32-39>")
    assert repr(Memory("m", 0, 0, ())) == "<Memory m: no blocks>"


def test_the_package_shows_what_it_offers() -> None:
    """Though names are imported only when they are used."""
    assert dir(memhotplug) == sorted(memhotplug.__all__)


def test_to_dict_has_every_key(machine: Machine) -> None:
    """The JSON object of a run, without steps."""
    assert list(machine.to_dict()) == [
        "schema", "mhp", "scenario", "ok", "machine", "steps", "blocks", "zones", "vmemmap", "memmap", "iomem",
        "warnings", "violations",
    ]  # fmt: skip
    assert machine.to_dict()["machine"] == {
        "arch": "x86_64",
        "kernel": "v2-2019",
        "page_size": 4096,
        "section_size": 134217728,
        "memory_block_size": 134217728,
        "struct_page_size": 64,
        "pageblock_pages": 512,
        "max_order": 10,
    }


def test_the_same_operations_give_the_same_object(boot: Boot) -> None:
    """Nothing depends on time, chance or earlier machines."""

    def play() -> tuple[RunDocument, list[dict[str, object]]]:
        machine = boot()
        machine.add_memory(driver="acpi", size="1G", mhp_flags="memblock")
        machine.online("block 32-37", zone="movable")
        machine.allocate("app", "300M")
        machine.offline("block 33")
        machine.remove("block 33")
        return machine.to_dict(), list(machine.kernel.journal.events)

    assert play() == play()


def test_a_copy_does_not_follow(machine: Machine) -> None:
    """Every operation on a copy leaves the original's object as it was."""
    machine.online("block 32-33", zone="movable")
    before = machine.to_dict()
    twin = machine.copy()
    assert twin.to_dict() == before

    twin.online("block 34", zone="kernel")
    twin.allocate("app", "100M")
    twin.offline("block 32")
    twin.remove("block 32")
    twin.add_memory(driver="acpi", name="dimm1", size="1G", mhp_flags=["device", "memblock"])
    twin.write("memory/auto_online_blocks", "online")

    assert machine.to_dict() == before
    assert machine.read("memory/auto_online_blocks") == "offline\n"


@pytest.mark.parametrize(
    ("where", "blocks"),
    [("dimm0", range(32, 40)), ("block 34", [34]), ("block 33-35", [33, 34, 35]), ("0x108000000+256M", [33, 34])],
)
def test_ranges_name_blocks(machine: Machine, where: str, blocks: object) -> None:
    """A step's name, blocks, or bytes."""
    assert machine.online(where) == list(blocks)  # type: ignore[call-overload]  # an iterable of ints


def test_bytes_that_are_no_whole_blocks_are_einval(machine: Machine, refused: Refused) -> None:
    """Online and offline work on blocks."""
    problem = refused(machine.online, "0x108000000+64M")

    assert problem.name == "EINVAL"
    assert problem.reason.endswith("is not made of whole memory blocks of 0x8000000 bytes")


def test_an_unknown_name_is_an_input_error(machine: Machine) -> None:
    """The nearest name is suggested."""
    with pytest.raises(InputError) as caught:
        machine.online("dim0")

    assert str(caught.value) == "got dim0, expected the name of memory that was added (dimm0); did you mean 'dimm0'?"


def test_memory_that_is_gone_is_refused(machine: Machine, refused: Refused) -> None:
    """Its name was right once, so this is no mistake in the input: the device is gone, and so are the state files."""
    machine.remove("dimm0")

    for write_state in (machine.online, machine.offline):
        assert str(refused(write_state, "dimm0")) == "ENOENT: there is no memory block of 'dimm0'"
    for operation in (machine.remove, machine.eject, machine.memmap):
        assert str(refused(operation, "dimm0")) == "ENODEV: there is no memory of 'dimm0'"


def test_the_memmap_of_a_device_is_that_of_all_its_ranges(machine: Machine) -> None:
    """One after the other, however many add_memory() calls it took."""
    twins = machine.add_memory(driver="acpi", name="twins", resources=["128M", "256M"])

    pages = machine.memmap(twins)

    assert len(pages) == 3 * 32768
    assert pages["private"][[0, 32768]].tolist() == [512, 1024]


def test_a_memmap_ends_with_the_address_space(machine: Machine) -> None:
    """No array is made for pages that there can never be."""
    with pytest.raises(ValueError, match=r"^0x0\+8P is beyond 52 address bits$"):
        machine.memmap("0x0+8P")


def test_names_are_made_up_where_none_is_given(machine: Machine) -> None:
    """The driver's name and the first free number."""
    assert machine.add_memory(driver="acpi", size="128M").name == "acpi0"
    assert machine.add_memory(driver="acpi", size="128M").name == "acpi1"


def test_an_unknown_driver_is_a_plugin_error_and_changes_nothing(machine: Machine) -> None:
    """Not an errno: the model has no such driver."""
    before = machine.to_dict()

    with pytest.raises((PluginError, InputError), match="acpj"):
        machine.add_memory(driver="acpj", size="1G")

    assert machine.to_dict() == before


def test_a_failure_of_another_kind_undoes_the_whole_step(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken plugin must not leave half an operation."""
    before = machine.to_dict()

    def broken(*args: object, **keywords: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr("memhotplug.engine.memory_hotplug.online.take_first_slab", broken)
    with pytest.raises(RuntimeError, match="broken"):
        machine.online("dimm0")

    assert machine.to_dict() == before


def test_vetoes_last_for_one_step(machine: Machine, refused: Refused) -> None:
    """The next step is not vetoed."""
    veto = {"event": "MEM_GOING_ONLINE", "errno": "EPERM"}

    assert refused(machine.online, "block 32", veto=veto).name == "EPERM"

    assert machine.online("block 32") == [32]


def test_a_refusal_after_the_fact_is_not_heard(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel does not look at what notifiers answer to MEM_ONLINE; the block is online."""
    kernel = machine.kernel
    heard: list[MemoryEvent] = []

    def call(key: str, hook: str, **arguments: Any) -> None:
        heard.append(arguments["notify"].event)
        if arguments["notify"].event in (MemoryEvent.MEM_ONLINE, MemoryEvent.MEM_OFFLINE):
            raise MemoryHotplugError(1, "too late")

    monkeypatch.setattr(type(kernel.plugins), "listeners", property(lambda self: [self.arch, self.profile]))
    monkeypatch.setattr(kernel.plugins, "call", call)
    machine.online("block 32", zone="movable")
    machine.offline("block 32")

    assert heard == [
        MemoryEvent.MEM_GOING_ONLINE,
        MemoryEvent.MEM_GOING_ONLINE,
        MemoryEvent.MEM_ONLINE,
        MemoryEvent.MEM_GOING_OFFLINE,
        MemoryEvent.MEM_GOING_OFFLINE,
        MemoryEvent.MEM_OFFLINE,
    ]


def test_listeners_hear_a_cancel_after_a_veto(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, refused: Refused
) -> None:
    """GOING_ONLINE refused: CANCEL_ONLINE; GOING_OFFLINE refused: CANCEL_OFFLINE; one request a block."""
    kernel = machine.kernel
    heard: list[tuple[MemoryEvent, int, int]] = []

    def call(key: str, hook: str, **arguments: Any) -> None:
        notify = arguments["notify"]
        heard.append((notify.event, notify.start_pfn, notify.nr_pages))
        if notify.event in (MemoryEvent.MEM_GOING_ONLINE, MemoryEvent.MEM_GOING_OFFLINE):
            raise MemoryHotplugError(12, "no")

    machine.online("block 33", zone="movable")
    monkeypatch.setattr(type(kernel.plugins), "listeners", property(lambda self: [self.arch]))
    monkeypatch.setattr(kernel.plugins, "call", call)
    refused(machine.online, "block 32")
    refused(machine.offline, "block 33")

    assert heard == [
        (MemoryEvent.MEM_GOING_ONLINE, BASE, BLOCK),
        (MemoryEvent.MEM_CANCEL_ONLINE, BASE, BLOCK),
        (MemoryEvent.MEM_GOING_OFFLINE, BASE + BLOCK, BLOCK),
        (MemoryEvent.MEM_CANCEL_OFFLINE, BASE + BLOCK, BLOCK),
    ]


def test_page_agrees_with_memmap(machine: Machine) -> None:
    """One page at a time, or all of a range: the same values."""
    machine.online("block 32-35", zone="movable")
    machine.allocate("app", "1M")
    rows = machine.memmap("dimm0")

    for offset in (0, 1, 4095, 4096, 4097, 4096 + 255, 4096 + 256, BLOCK, 3 * BLOCK + 5, 4 * BLOCK, 8 * BLOCK - 1):
        page, row = machine.page(BASE + offset), rows[offset]
        assert page.flags == PageFlag(int(row["flags"]))
        assert (page.refcount, page.private, page.mapping) == (row["refcount"], row["private"], row["mapping"])
        assert page.head == (row["head"] if row["head"] >= 0 else None)
        assert page.backing == (row["backing"] if row["backing"] >= 0 else None)


def test_pages_tell_what_they_are_used_for(machine: Machine) -> None:
    """Movable user pages, reserved boot pages, offline pages, and pages that do not exist."""
    machine.online("block 32", zone="movable")
    machine.allocate("app", "1M")
    user = int(machine.kernel.state.allocations["app"].pages.starts[0])

    assert machine.page(user).flags == PageFlag.LRU | PageFlag.ANON
    assert machine.page(user).refcount == 1
    assert machine.page(0).flags == PageFlag.RESERVED
    assert machine.page(BASE + BLOCK).flags == PageFlag.NOPAGE
    assert machine.page(1 << 30).flags == PageFlag.NOPAGE
    assert machine.page(1 << 30).backing is None
    for pfn in (-1, 1 << 40):
        with pytest.raises(ValueError, match=r"is beyond 52 address bits"):
            machine.page(pfn)


def test_memmap_is_a_fresh_array(machine: Machine) -> None:
    """Writing into it changes nothing."""
    rows = machine.memmap("dimm0")
    rows["refcount"] = 99

    assert not np.array_equal(rows["refcount"], machine.memmap("dimm0")["refcount"])
    assert machine.page(BASE).refcount == 8


def test_broken_counters_are_reported(machine: Machine) -> None:
    """Each invariant names the zone or block and the figures."""
    machine.online("block 32", zone="movable")
    zone = next(zone for zone in machine.kernel.state.zones() if zone.kind == 3)

    zone.managed += 1
    zone.present += 1

    found = machine.violations()
    assert found[0].startswith("I1: node 0 zone Movable: ")
    assert found[1:] == [
        "I4: node 0 zone Movable: 32769 pages present, 32768 in online blocks",
        "I5: node 0 zone Movable: 28673 pages managed, 28672 expected",
        "I3: node 0 zone Movable: 28673 pages managed, 28672 free and 0 allocated",
    ]


def test_memmap_in_use_on_a_free_list_is_reported(machine: Machine) -> None:
    """Free pages that back somebody's struct pages."""
    machine.online("block 32", zone="movable")
    zone = next(zone for zone in machine.kernel.state.zones() if zone.kind == 3)

    zone.free = ExtentSet.of((BASE + 100, BASE + BLOCK))

    assert "I11: node 0 zone Movable: 3996 free pages hold memmap that is in use" in machine.violations()


def test_a_resource_without_blocks_and_blocks_without_a_resource_are_reported(machine: Machine) -> None:
    """Either way round."""
    machine.kernel.state.resources.release(34 << 27, 1 << 27)
    machine.kernel.state.blocks.delete(slice(39, 40))

    assert machine.violations() == [
        "I14: no resource covers all of blocks 32-38",
        "I14: the resource at 0x118000000 has no blocks",
    ]
