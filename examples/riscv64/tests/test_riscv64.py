"""What riscv64 machines have, and what a hot-add costs on them."""

from __future__ import annotations

import pytest

from memhotplug import InputError, Machine, MemoryHotplugError
from memhotplug.testing import page_table_pages

_ON = "memory_hotplug.memmap_on_memory=1"


def boot(cmdline: str = "", **keywords: object) -> Machine:
    """Boot a machine with 2 GiB."""
    return Machine.boot(arch="riscv64", **{"kernel": "linux-6.12", "memory": "2G", "cmdline": cmdline, **keywords})


def test_sizes() -> None:
    """Sections of 128 MiB, one a block, 56 address bits."""
    geometry = boot().kernel.geometry
    assert (geometry.section_size, geometry.memory_block_size) == (128 << 20, 128 << 20)
    assert geometry.physical_address_bits == 56


def test_hotplug_came_with_6_11() -> None:
    """Older kernels cannot hot-add here, and the user is told so."""
    assert boot(kernel="linux-6.11").violations() == []
    with pytest.raises(InputError) as caught:
        boot(kernel="linux-6.10")
    expected = "machine.kernel: got 6.10, expected Linux 6.11 or later, which can hot-add on riscv64"
    assert str(caught.value) == expected


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"page_size": "64K"}, "machine.page_size: got 64K, expected 4K, the only page size of riscv64"),
        (
            {"memory_block_size": "1G"},
            "machine.memory_block_size: got 1G, expected 128M: a memory block of riscv64 is one section",
        ),
        ({"physical_address_bits": 57}, "machine.physical_address_bits: got 57, expected 34 to 56 address bits"),
    ],
)
def test_what_riscv64_does_not_have_is_refused(keys: dict[str, object], message: str) -> None:
    """Page and block size are fixed, and there are 56 address bits at most."""
    with pytest.raises(InputError) as caught:
        boot(**keys)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("cmdline", "reach"), [("no4lvl", 132 << 30), ("no5lvl", 64 << 40), ("", 127 << 48)], ids=["Sv39", "Sv48", "Sv57"]
)
def test_memory_beyond_the_direct_map_is_too_big(cmdline: str, reach: int) -> None:
    """The last block that the direct map reaches can be added, the next one cannot."""
    machine, end = boot(cmdline), (2 << 30) + reach
    machine.add_memory(driver="dax", size="128M", address=hex(end - (128 << 20)))
    before = machine.to_dict()
    with pytest.raises(MemoryHotplugError) as caught:
        machine.add_memory(driver="dax", size="128M", address=hex(end))
    assert caught.value.name == "E2BIG"
    assert machine.to_dict() == before


@pytest.mark.parametrize(("cmdline", "tables"), [("no4lvl", 0), ("no5lvl", 2), ("", 4)], ids=["Sv39", "Sv48", "Sv57"])
def test_only_tables_below_the_second_level_are_paid_for(cmdline: str, tables: int) -> None:
    """128 MiB far from boot memory need one table of each kind, for the vmemmap and for the direct map."""
    machine = boot(cmdline, physical_address_bits=56)
    memory = machine.add_memory(driver="dax", size="128M", address=hex(96 << 30))
    if cmdline != "no4lvl":
        machine.remove(memory)
        memory = machine.add_memory(driver="dax", size="128M", address=hex(48 << 40))
    assert page_table_pages(machine) == tables
    machine.remove(memory)
    assert page_table_pages(machine) == 0


def test_whole_gib_needs_no_pmd_table() -> None:
    """A GiB that is added at once is one leaf of the direct map; block by block it is not."""
    machine = boot("no5lvl " + _ON)
    machine.remove(machine.add_memory(driver="dax", size="1G"))
    whole = machine.add_memory(driver="dax", size="1G", memmap_on_memory=False)
    tables = page_table_pages(machine)
    machine.remove(whole)
    machine.add_memory(driver="dax", size="1G", memmap_on_memory=True)
    assert page_table_pages(machine) == tables + 1


def test_altmap_serves_whole_leaves() -> None:
    """Each section's memmap is one 2 MiB leaf of its own block."""
    machine = boot(_ON)
    memory = machine.add_memory(driver="dax", size="256M", memmap_on_memory=True)
    assert set(machine.kernel.state.vmemmap.clip(*_pfns(machine, memory.start, memory.size)).leaf.tolist()) == {512}


def _pfns(machine: Machine, start: int, size: int) -> tuple[int, int]:
    geometry = machine.kernel.geometry
    return geometry.pfn(start), geometry.pfn(start + size)
