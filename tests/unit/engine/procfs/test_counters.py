"""Counters of zones and nodes: the model's own, else what was recorded, else 0."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from memhotplug import Machine
from memhotplug.engine.procfs import counters
from memhotplug.engine.procfs.counters import Recorded, _read
from memhotplug.model.zones import ZoneKind

Boot = Callable[..., Machine]

ZONEINFO = """\
Node 0, zone      DMA
  per-node stats
      nr_inactive_anon 7
      nr_active_file 40
  pages free     100
        boost    0
        min      1
      nr_free_pages 100
      nr_mlock     3
  pagesets
    cpu: 0
              count:    5
    cpu: 3
              count:    9
Node 1, zone   Normal
  per-node stats
      nr_inactive_anon 11
  pages free     200
      nr_free_pages 200
      nr_zone_write_pending -2
"""
MEMINFO = "MemTotal:        1000 kB\nHugePages_Total:       4\nNonsense\nOdd: many kB\nVmallocUsed:       12 kB\n"


def test_recorded_counters_are_told_apart_by_node_and_zone() -> None:
    """Those behind "per-node stats" belong to the node, all others to their zone."""
    found = _read({"proc/zoneinfo": ZONEINFO, "proc/meminfo": MEMINFO})

    assert found.nodes == {0: {"nr_inactive_anon": 7, "nr_active_file": 40}, 1: {"nr_inactive_anon": 11}}
    assert found.zones[0, "DMA"]["nr_mlock"] == 3
    assert found.zones[0, "DMA"]["min"] == 1
    assert found.zones[1, "Normal"]["nr_zone_write_pending"] == -2
    assert found.cpus == 4
    assert found.meminfo == {"MemTotal": 1000, "HugePages_Total": 4, "VmallocUsed": 12}


def test_what_is_missing_is_nothing() -> None:
    """A machine that was made up has no files at all."""
    assert _read({}) == Recorded({}, {}, {}, cpus=1)


@pytest.mark.parametrize(("cpu", "count"), [("4095", 4096), ("4096", 4096), ("99999999", 4096)])
def test_cpus_are_not_believed_without_limit(cpu: str, count: int) -> None:
    """A number in a file must not cost memory."""
    assert _read({"proc/zoneinfo": f"Node 0, zone      DMA\n  pagesets\n    cpu: {cpu}\n"}).cpus == count


def test_a_machine_that_was_made_up_has_a_cpu_on_each_node_that_has_any(boot: Boot) -> None:
    """At least one, all in all."""
    machine = boot(kernel="linux-6.12")
    assert counters.cpus(machine.kernel) == 1
    assert counters.recorded(machine.kernel) == Recorded({}, {}, {}, cpus=1)
    machine.kernel.state.nodes[0].has_cpu = False
    assert counters.cpus(machine.kernel) == 1


def test_free_pages_are_the_models_own(boot: Boot) -> None:
    """Whatever was recorded of them."""
    machine = boot(kernel="linux-6.12")
    for zone in machine.kernel.state.zones():
        assert counters.zone_counter(machine.kernel, zone, "nr_free_pages") == zone.free.total
        by_order = counters.zone_free_by_order(machine.kernel, zone)
        assert sum(count << order for order, count in enumerate(by_order)) == zone.free.total
        whole = counters.zone_counter(machine.kernel, zone, "nr_free_pages_blocks")
        assert whole == sum(count << order for order, count in enumerate(by_order) if order >= 9)
        assert counters.zone_counter(machine.kernel, zone, "nr_mlock") == 0
    assert counters.node_counter(machine.kernel, 0, "nr_inactive_anon") == 0
    assert counters.node_counter(machine.kernel, 9, "nr_inactive_anon") == 0


@pytest.mark.parametrize(
    ("arch", "zones"),
    [
        ("x86_64", ("DMA", "DMA32", "Normal", "Movable")),
        ("s390", ("DMA", "Normal", "Movable")),
    ],
)
def test_zones_are_those_that_the_architecture_has(arch: str, zones: tuple[str, ...], boot: Boot) -> None:
    """Movable everywhere, at the end."""
    kernel = boot(arch=arch, kernel="linux-6.12", memory="4G").kernel
    assert tuple(kind.label for kind in counters.printed_zones(kernel)) == zones
    assert counters.printed_zones(kernel)[-1] is ZoneKind.MOVABLE


@pytest.mark.parametrize(
    ("managed", "cpus", "expected"),
    [(0, 1, 2), (1 << 15, 1, 4), (1 << 18, 4, 30), (1 << 30, 4096, 125)],
)
def test_a_counter_may_drift_so_far(managed: int, cpus: int, expected: int) -> None:
    """calculate_normal_threshold(): 2 * fls(cpus) * (1 + fls(mem in 128M)), 125 at most."""
    assert counters.threshold(managed, 12, cpus) == expected


def test_page_sets_are_at_least_four_batches(boot: Boot) -> None:
    """zone_batchsize(), zone_highsize(): a tiny zone has batches of one page."""
    machine = boot(kernel="linux-6.12")
    kernel = machine.kernel
    sets = {zone.kind.label: counters.pageset(kernel, zone) for zone in kernel.state.zones()}
    assert sets["DMA32"]["batch"] == 63
    assert sets["Movable"]["batch"] == 1
    assert sets["Movable"]["high_max"] == 4
    for found in sets.values():
        assert found["high"] >= 4 * found["batch"]
        assert found["high_max"] >= 4 * found["batch"]


def test_what_is_available_is_free_less_what_is_kept(boot: Boot) -> None:
    """MemAvailable without a page cache, never below 0."""
    machine = boot(kernel="linux-6.12")
    state = machine.kernel.state
    free = sum(zone.free.total for zone in state.zones())
    available = counters.available_pages(machine.kernel)
    assert 0 < available < free
    machine.allocate("all", 4096 * (available + 2000), zone="kernel")
    assert counters.available_pages(machine.kernel) == 0


def test_what_may_be_dirty_is_a_share_of_what_is_free(boot: Boot) -> None:
    """20 and 10 percent."""
    kernel = boot(kernel="linux-6.12").kernel
    hard, background = counters.dirty_thresholds(kernel)
    available = counters.available_pages(kernel)
    assert 0.099 * available < background <= 0.1 * available  # in bytes of a page, rounded down, as the kernel does
    assert 0.199 * available < hard <= 0.2 * available


def test_memmap_is_counted_by_who_made_it(boot: Boot) -> None:
    """Of hot-added memory, and of boot memory."""
    machine = boot(kernel="linux-6.12")
    before = counters.memmap_pages(machine.kernel)
    assert before == (0, 4 << 30 >> 12 >> 6)
    machine.add_memory(driver="acpi", size="256M")
    assert counters.memmap_pages(machine.kernel) == (1024, before[1])
