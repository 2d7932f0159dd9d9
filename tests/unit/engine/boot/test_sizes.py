"""Booting from sizes: zones, blocks, boot memmap, what the kernel takes, and bad configurations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from memhotplug import InputError, Machine
from memhotplug.engine.boot.sizes import parse_cmdline
from memhotplug.model.vmemmap import Source

Boot = Callable[..., Machine]
ZoneOf = Callable[..., dict[str, Any]]


def test_4g_are_32_blocks_in_two_zones(boot: Boot, zone_of: ZoneOf) -> None:
    """Contiguous from 0; DMA ends at 16 MiB; no Normal zone below 4 GiB."""
    machine = boot()

    assert zone_of(machine, "DMA")["present"] == 4096
    assert zone_of(machine, "DMA32")["present"] == 1048576 - 4096
    assert zone_of(machine, "Normal")["spanned"] == 0
    assert machine.kernel.state.blocks.id.tolist() == list(range(32))
    assert machine.to_dict()["iomem"] == [{"start": 0, "end": (4 << 30) - 1, "name": "System RAM"}]
    assert machine.violations() == []


def test_the_boot_memmap_lies_at_the_top_of_its_node(boot: Boot) -> None:
    """One page in 64, reserved, and not counted as hot-added."""
    machine = boot(memory=[{"node": 0, "size": "1G"}, {"node": 1, "size": "2G"}])

    runs = machine.kernel.state.vmemmap.runs
    assert runs.backing.tolist() == [262144 - 4096, 786432 - 8192]
    assert set(runs.source.tolist()) == {Source.BOOT}
    assert machine.to_dict()["memmap"] == {
        "self_hosted_pages": 0, "allocated_pages": 0, "page_table_pages": 0, "by_node": {},
    }  # fmt: skip
    assert machine.violations() == []


def test_watermarks_are_those_of_real_guests(boot: Boot) -> None:
    """Two populated kernel zones: 11264 pages, each zone's share rounded down."""
    for memory, pages in (("4G", 11264), ("8G", 16896)):
        marks = [zone.wmark[0] for zone in boot(memory=memory).kernel.state.zones() if zone.managed]
        assert 0 <= pages - sum(marks) <= len(marks)


def test_nodes_in_list_order(boot: Boot) -> None:
    """The first node of the list begins at 0, whatever its number."""
    machine = boot(memory=[{"node": 3, "size": "1G"}, {"node": 0, "size": "1G"}])

    assert machine.kernel.state.blocks.nid.tolist() == [3] * 8 + [0] * 8
    assert list(machine.kernel.state.nodes) == [0, 3]
    assert machine.violations() == []


@pytest.mark.parametrize("memory", ["128M", "200M", "1000M", "5G", "64G", "70G", "1T"])
def test_every_size_boots_without_a_violation(boot: Boot, memory: str) -> None:
    """Small, odd and large."""
    assert boot(memory=memory).violations() == []


@pytest.mark.parametrize(("memory", "bits"), [("63G", 27), ("64G", 31), ("65G", 30), ("66G", 31), ("127G", 30)])
def test_the_block_size_divides_the_end_of_memory(boot: Boot, memory: str, bits: int) -> None:
    """128 MiB below 64 GiB; above it the largest power of two up to 2 GiB that fits."""
    assert boot(memory=memory).kernel.geometry.memory_block_size == 1 << bits


def test_mem_limits_boot_memory(boot: Boot) -> None:
    """mem= cuts what is beyond it."""
    machine = boot(memory="4G", cmdline="mem=1G quiet")

    assert len(machine.kernel.state.blocks) == 8


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"memory": "64M"}, "machine.memory: got 64M, expected at least 128M of boot memory"),
        ({"memory": "4G", "cmdline": "mem=1Q"},
         "machine.cmdline: got mem=1Q, expected a size such as 128M, 1GiB or 0x8000000"),
        ({"memory": "8P"}, "machine.memory: got 8P, expected boot memory within 52 physical address bits"),
        ({"memory": "1000001"}, "machine.memory: got 976.6K, expected a multiple of 4K (page)"),
        ({"memory": [{"node": 0, "size": "1000M"}, {"node": 1, "size": "1G"}]},
         "machine.memory[0].size: got 1000M, expected a multiple of 128M (memory block)"),
        ({"memory": [{"node": 5000, "size": "1G"}]}, None),
        ({"memory": "4G", "page_size": "16K"}, None),
        ({"memory": "4G", "memory_block_size": "64M"}, None),
        ({"memory": "4G", "memory_block_size": "128G"}, None),
    ],
)  # fmt: skip
def test_impossible_machines_are_input_errors(boot: Boot, keywords: dict[str, Any], message: str | None) -> None:
    """Never a traceback of another kind; the message says what would be possible."""
    with pytest.raises(InputError) as caught:
        boot(**keywords)

    if message is not None:
        assert str(caught.value) == message


@pytest.mark.parametrize(
    ("text", "params"),
    [
        ("", {}),
        ("movable_node", {"movable_node": ""}),
        ('a=1  b="2" a=3', {"a": "3", "b": "2"}),
        ('"a=1" b="2 c=3" d="', {"a": "1", "b": "2 c=3", "d": ""}),
        ("a=1 -- b=2", {"a": "1"}),
        ("memhp-default-state=online x=y=z", {"memhp_default_state": "online", "x": "y=z"}),
    ],
)
def test_the_command_line_is_read_as_the_kernel_does(text: str, params: dict[str, str]) -> None:
    """Dashes in names are underscores, the last value wins, quotes go."""
    assert parse_cmdline(text) == params
