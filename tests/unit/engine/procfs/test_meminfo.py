"""/proc/meminfo, vmstat and the files of a node, of machines that were made up."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from memhotplug import Machine
from memhotplug.engine.procfs.meminfo import meminfo, node_meminfo, node_numastat, node_vmstat, vmstat

Boot = Callable[..., Machine]


def _values(text: str) -> dict[str, int]:
    """Return the numbers of meminfo by label."""
    return {label: int(value) for label, value in re.findall(r"^(?:Node \d+ )?([\w()]+): +(\d+)(?: kB)?$", text, re.M)}


@pytest.fixture
def machine(boot: Boot) -> Machine:
    """Return a machine of two nodes."""
    return boot(kernel="linux-6.12", memory=[{"node": 0, "size": "2G"}, {"node": 1, "size": "2G"}])


def test_totals_are_what_zones_manage(machine: Machine) -> None:
    """In kB, and they grow by what comes online."""
    state = machine.kernel.state
    before = _values(meminfo(machine.kernel))
    assert before["MemTotal"] == 4 * sum(zone.managed for zone in state.zones())
    assert before["MemFree"] == 4 * sum(zone.free.total for zone in state.zones())
    assert before["CommitLimit"] == before["MemTotal"] // 2
    machine.add_memory(driver="acpi", name="dimm", size="1G")
    assert _values(meminfo(machine.kernel))["MemTotal"] == before["MemTotal"]
    machine.online("dimm", zone="movable")
    assert _values(meminfo(machine.kernel))["MemTotal"] == before["MemTotal"] + (1 << 20)


def test_every_line_is_of_the_kernels_form(machine: Machine) -> None:
    """A label, a value, kB where it is a size and nothing where it is a count."""
    for line in meminfo(machine.kernel).splitlines():
        assert re.fullmatch(r"\S+: +\d+( kB)?", line), line
    assert re.search(r"^HugePages_Total: +0$", meminfo(machine.kernel), re.MULTILINE)
    assert re.search(r"^Hugepagesize: +2048 kB$", meminfo(machine.kernel), re.MULTILINE)


@pytest.mark.parametrize(("arch", "line"), [("x86_64", "DirectMap4k:"), ("s390", "DirectMap1M:"), ("arm64", None)])
def test_an_architecture_adds_its_own_lines(arch: str, line: str | None, boot: Boot) -> None:
    """At the end; some have none."""
    text = meminfo(boot(arch=arch, kernel="linux-6.12", memory="4G").kernel)
    assert ("DirectMap" in text) == (line is not None)
    assert line is None or text.index(line) > text.index("FilePmdMapped:")


def test_nodes_add_up_to_the_whole(machine: Machine) -> None:
    """Each page is on one of them."""
    whole = _values(meminfo(machine.kernel))
    nodes = [_values(node_meminfo(machine.kernel, nid)) for nid in (0, 1)]
    for label in ("MemTotal", "MemFree"):
        assert sum(node[label] for node in nodes) == whole[label]
    for node in nodes:
        assert node["MemUsed"] == node["MemTotal"] - node["MemFree"]


def test_lines_of_a_node_name_it(machine: Machine) -> None:
    """Counts of huge pages stand in a column of their own."""
    lines = node_meminfo(machine.kernel, 1).splitlines()
    assert all(line.startswith("Node 1 ") for line in lines)
    assert "Node 1 HugePages_Total:      0" in [re.sub("Total: +0", "Total:      0", line) for line in lines]


def test_vmstat_sums_over_zones_and_has_what_tools_look_for(machine: Machine) -> None:
    """One pair a line, no name twice."""
    pairs = [line.split() for line in vmstat(machine.kernel).splitlines()]
    values = {name: int(value) for name, value in pairs}
    assert len(values) == len(pairs)
    assert values["nr_free_pages"] == sum(zone.free.total for zone in machine.kernel.state.zones())
    assert {"pgfault", "pgmajfault", "oom_kill", "nr_dirty_threshold"} <= set(values)


def test_memmap_is_counted_from_a_release_on(boot: Boot) -> None:
    """And what hot-added memory brings is no boot memmap."""
    old, new = boot(kernel="linux-6.1"), boot(kernel="linux-7.2")
    assert not old.kernel.has("memmap_counted")
    assert "nr_memmap_pages" not in vmstat(old.kernel)
    new.add_memory(driver="acpi", size="128M")
    assert re.search(r"^nr_memmap_pages 512$", vmstat(new.kernel), re.MULTILINE)
    assert re.search(r"^nr_memmap_boot_pages 16384$", vmstat(new.kernel), re.MULTILINE)


def test_numastat_bears_the_names_of_the_file(machine: Machine) -> None:
    """Not those of the counters."""
    assert node_numastat(machine.kernel, 0).splitlines() == [
        "numa_hit 0", "numa_miss 0", "numa_foreign 0", "interleave_hit 0", "local_node 0", "other_node 0",
    ]  # fmt: skip


def test_vmstat_of_a_node_is_about_its_zones_alone(machine: Machine) -> None:
    """Free pages of both nodes make those of the machine."""
    found = [re.findall(r"^nr_free_pages (\d+)$", node_vmstat(machine.kernel, nid), re.MULTILINE) for nid in (0, 1)]
    free = [int(value) for values in found for value in values]
    assert len(free) == 2
    assert sum(free) == sum(zone.free.total for zone in machine.kernel.state.zones())
    assert all(free)
