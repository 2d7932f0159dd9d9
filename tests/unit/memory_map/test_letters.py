"""The map of physical memory: a letter a block, the share of memmap below it, fitted into the width."""

from __future__ import annotations

import pytest

from memhotplug import Machine
from memhotplug.memory_map.letters import map_lines
from memhotplug.units import parse_size

HOSTING = {"arch": "x86_64", "kernel": "linux-6.12", "memory": "1G", "cmdline": "memory_hotplug.memmap_on_memory=1"}


def drawn(machine: Machine, width: int = 80) -> list[str]:
    """Return the map as lines."""
    return list(map_lines(machine.kernel, width=width))


def scale_of(lines: list[str]) -> int:
    """Return how many blocks of 128 MiB a letter stands for."""
    return parse_size(lines[0].rpartition(" ")[2]) >> 27


def test_every_block_is_a_letter_with_its_memmap_below() -> None:
    """
    boot: 8 blocks, the first in two zones; hot: 2 Movable, 2 offline, each with 1/64 of memmap

    Expect a line for each run, the hole between them left out.
    """
    machine = Machine.boot(**HOSTING)
    machine.add_memory(driver="acpi", name="d", size="512M")
    machine.online("block 32-33", zone="movable")
    assert drawn(machine) == [
        "node 0: 1.5G, a letter is 128M",
        "0x0000000000000000 ?KKKKKKK",
        "                          :",
        "0x0000000100000000 MM--",
        "                   ....",
    ]


def test_a_block_full_of_memmap_is_seen() -> None:
    """8 GiB with one memmap for all: the first block is nothing else."""
    machine = Machine.boot(arch="x86_64", kernel="v2-2019", memory="1G")
    machine.add_memory(driver="acpi", name="d", size="8G", mhp_flags="device")
    assert drawn(machine)[3:5] == ["0x0000000100000000 " + "-" * 61, "                   #"]


def test_nodes_have_their_own_heading() -> None:
    """Each with its size."""
    machine = Machine.boot(**{**HOSTING, "memory": [{"node": 0, "size": "1G"}, {"node": 1, "size": "512M"}]})
    assert [line for line in drawn(machine) if line.startswith("node")] == [
        "node 0: 1G, a letter is 128M",
        "node 1: 512M, a letter is 128M",
    ]


@pytest.mark.parametrize("width", [20, 40, 48, 80, 200])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    """Narrow ones have the block's number in place of the address."""
    machine = Machine.boot(**HOSTING)
    machine.add_memory(driver="acpi", name="d", size="64G")
    lines = drawn(machine, width)
    assert max(map(len, lines)) <= max(width, 31)
    letters = "".join(line[-len(line.split()[-1]) :] for line in lines if not line.startswith("node"))
    assert letters.count("-") * scale_of(lines) == 512


def test_large_machines_fit_by_letters_that_stand_for_more() -> None:
    """64 TiB in blocks of 2 GiB are a handful of lines; unlike neighbours are an x."""
    machine = Machine.boot(**{**HOSTING, "memory": "4G", "memory_block_size": "2G"})
    machine.add_memory(driver="acpi", name="d", size="64T")
    machine.online("block 100", zone="movable")
    lines = drawn(machine)
    assert len(lines) < 20
    assert lines[0] == "node 0: 64T, a letter is 256G"
    assert "x" in "".join(line[19:] for line in lines[1:])


def test_colour_is_by_runs_of_alike_letters() -> None:
    """Whoever paints is asked once for each."""
    machine = Machine.boot(**HOSTING)
    machine.add_memory(driver="acpi", name="d", size="512M")
    machine.online("block 32", zone="movable")
    lines = list(map_lines(machine.kernel, paint=lambda text, style: f"<{style}>{text}"))
    assert lines[-2] == "0x0000000100000000 <green>M<dim>---"
