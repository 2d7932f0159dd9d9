"""The kernel's own first slab in memory that has just come: where, how much, and where not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from memhotplug import Machine, MemoryHotplugError
from memhotplug.engine.slab import SLAB, THREADS, comes_late, first_zones, give_up_slab, slab_pages
from memhotplug.model.zones import ZoneKind

Boot = Callable[..., Machine]
Refused = Callable[..., MemoryHotplugError]

FIRST = 32 * 32768


def slab_of(machine: Machine) -> list[tuple[int, int]]:
    """Return the runs of pages that the kernel took for itself."""
    held = machine.kernel.state.allocations.get(SLAB)
    return [] if held is None else list(held.pages)


@pytest.mark.parametrize(("kernel", "late"), [("linux-6.12", False), ("linux-6.19", False), ("linux-7.2", True)])
def test_kernels_with_sheaves_ask_for_a_slab_late(kernel: str, late: bool, boot: Boot) -> None:
    """Nobody can know when: conform counts what hangs on it as undetermined."""
    assert comes_late(boot(kernel=kernel).kernel) is late


@pytest.mark.parametrize(("word", "start"), [("0", FIRST), ("1", FIRST + 1024)])
def test_an_empty_kernel_zone_gets_a_slab_in_its_first_block(
    boot: Boot, refused: Refused, word: str, start: int
) -> None:
    """At the lowest chunk of the top order; the order-9 piece behind self-hosted memmap stays untouched."""
    machine = boot(kernel="linux-6.12", cmdline=f"memory_hotplug.memmap_on_memory={word}")
    machine.add_memory(driver="acpi", name="dimm", size="256M")

    machine.online("dimm", zone="kernel")

    assert slab_of(machine) == [(start, start + 8)]
    machine.offline("block 33")
    pages = 32768 - 512 * int(word)
    assert (
        str(refused(machine.offline, "block 32"))
        == f"EBUSY: failure to isolate range: 8 of {pages} pages are unmovable"
    )
    assert machine.violations() == []


def test_movable_zones_and_zones_with_memory_get_none(boot: Boot) -> None:
    """Nobody allocates from Movable, and free pages of boot memory come first."""
    machine = boot(kernel="linux-6.12", memory="5G")
    machine.add_memory(driver="acpi", name="dimm", size="256M")
    machine.online("block 40", zone="kernel")
    machine.online("block 41", zone="movable")

    assert slab_of(machine) == []
    machine.offline("dimm")
    machine.remove("dimm")


def test_a_node_without_a_cpu_asks_for_nothing(boot: Boot) -> None:
    """The first node has the CPUs of a modelled machine."""
    machine = boot(kernel="linux-6.12", memory=[{"node": 0, "size": "2G"}, {"node": 1, "size": "2G"}])
    machine.add_memory(driver="acpi", name="far", size="128M", node=1)
    machine.online("far", zone="kernel")
    assert slab_of(machine) == []
    machine.offline("far")
    machine.add_memory(driver="acpi", name="near", size="128M", node=0)
    machine.online("near", zone="kernel")
    assert slab_of(machine) == [(FIRST + 32768, FIRST + 32768 + 8)]


@pytest.mark.parametrize(("kernel", "pages"), [("linux-6.12", 0), ("linux-6.14", 8)])
def test_the_first_memory_of_a_node_gets_its_threads(kernel: str, pages: int, boot: Boot, refused: Refused) -> None:
    """kswapd and kcompactd are started anew whenever a node gets memory, CPU or not, and lie there if they may."""
    machine = boot(kernel=kernel, memory="2G")
    machine.add_memory(driver="acpi", name="far", size="256M", node=1)
    allocations = machine.kernel.state.allocations
    machine.online("block 33", zone="movable")
    machine.online("block 32", zone="kernel")  # they run already, and lie elsewhere
    assert THREADS not in allocations
    machine.offline("far")

    machine.online("far", zone="kernel")

    assert (allocations[THREADS].pages.total if THREADS in allocations else 0) == pages == slab_pages(machine.kernel)
    assert SLAB not in allocations
    if pages:
        assert "8 of 32768 pages are unmovable" in str(refused(machine.offline, "block 32"))
    machine.offline("block 33")
    assert machine.violations() == []


def test_a_zone_that_became_empty_starts_again(boot: Boot) -> None:
    """What is known to be clean may go; the next memory of the zone gets a slab anew."""
    machine = boot(kernel="linux-6.12")
    machine.add_memory(driver="acpi", name="dimm", size="256M")
    machine.online("block 32", zone="kernel")
    zone = machine.kernel.state.zone_of(FIRST)
    assert zone is not None
    give_up_slab(machine.kernel, zone, FIRST, FIRST + 32768)
    assert zone.nr_free == zone.managed
    machine.offline("block 32")
    machine.online("block 33", zone="kernel")

    assert slab_of(machine) == [(FIRST + 32768, FIRST + 32768 + 8)]


def test_large_pages_give_one(boot: Boot) -> None:
    """32 KiB is less than a page of 64 KiB."""
    machine = boot(arch="arm64", kernel="linux-6.12", memory="1G", page_size="64K")
    machine.add_memory(driver="acpi", name="dimm", size="1G")
    machine.online("dimm", zone="kernel")
    assert [end - start for start, end in slab_of(machine)] == [1]


def test_a_cpu_without_memory_of_its_own_asks_the_next_node(boot: Boot) -> None:
    """Nodes without a CPU come first: what node 1 has not, node 2 gives, and not node 0, which has CPUs itself."""
    machine = boot(kernel="linux-6.12", memory=[{"node": 0, "size": "2G"}, {"node": 2, "size": "2G"}])
    machine.add_memory(driver="acpi", name="near", size="128M", node=1)
    nodes = machine.kernel.state.nodes
    nodes[1].has_cpu = True
    highest = next(zone for zone in reversed(nodes[2].zones.values()) if zone.managed)
    assert first_zones(machine.kernel) == {(0, ZoneKind.DMA32), highest.key}

    machine.online("near", zone="kernel")

    assert first_zones(machine.kernel) == {(0, ZoneKind.DMA32), (1, ZoneKind.NORMAL)}
    assert len(slab_of(machine)) == 1


def test_a_zone_of_one_chunk_gives_two_slabs(boot: Boot) -> None:
    """What can be reclaimed has a pageblock of its own: no pageblock of 4 MiB stays whole."""
    machine = boot(kernel="linux-6.12")
    device = {"device_size": "1G", "block_size": "4M"}
    machine.write("/sys/devices/system/memory/auto_online_blocks", "online_kernel")
    machine.add_memory(driver="virtio_mem", name="vm0", size="4M", address="4G", **device)

    assert slab_of(machine) == [(FIRST, FIRST + 8), (FIRST + 512, FIRST + 520)]
    assert machine.violations() == []
