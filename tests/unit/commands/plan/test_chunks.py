"""Runs of chunks give what chunk after chunk gives, only sooner."""

from __future__ import annotations

from typing import Any

import pytest

from memhotplug.commands.plan import chunks
from memhotplug.commands.plan.question import Question
from memhotplug.commands.plan.sources import from_boot
from memhotplug.commands.plan.trial import attempt
from memhotplug.contracts import AddRequest, PhysRange
from memhotplug.engine.memory_hotplug.add import hot_add
from memhotplug.engine.views.document import describe_state
from memhotplug.errors import MemoryHotplugError
from memhotplug.machine import Machine
from memhotplug.model.blocks import OnlineType

GIB = 1 << 30


def boot(arch: str, size: int) -> Machine:
    """Boot a lean guest."""
    return from_boot(size, arch=arch, kernel="linux-6.12", profile="lean", cmdline="").boot()


def state(machine: Machine) -> dict[str, Any]:
    """Return what the two ways must agree in: blocks, zones, and how much memmap from where."""
    found = describe_state(machine.kernel)
    return {key: found[key] for key in ("blocks", "zones", "memmap")}


CASES = [
    ("x86_64", "hv_balloon", OnlineType.OFFLINE),
    ("x86_64", "hv_balloon", OnlineType.ONLINE_MOVABLE),
    ("x86_64", "virtio_mem", OnlineType.ONLINE_MOVABLE),
    ("powerpc", "pseries", OnlineType.OFFLINE),
    ("s390", "sclp", OnlineType.OFFLINE),
]


@pytest.mark.parametrize(("arch", "driver", "online"), CASES)
def test_runs_end_where_single_chunks_end(
    arch: str, driver: str, online: OnlineType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same blocks in the same zones with as many free pages of each order."""
    machine = boot(arch, 4 * GIB)
    machine.kernel.state.auto_online = online
    request = AddRequest(driver=driver, name="d", size=40 * (1 << 30), address=None, nid=None)
    single, runs = machine.copy(), machine.copy()
    hot_add(single.kernel, request)
    monkeypatch.setattr(chunks, "HEAD", 4)
    chunks.add_device(runs.kernel, request)

    assert state(runs) == state(single)


@pytest.mark.parametrize(("arch", "driver", "online"), CASES)
def test_very_many_chunks_end_where_single_chunks_end(
    arch: str, driver: str, online: OnlineType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The driver is asked for the first ones, and the others are as those."""
    machine = boot(arch, 4 * GIB)
    machine.kernel.state.auto_online = online
    request = AddRequest(driver=driver, name="d", size=40 * (1 << 30), address=None, nid=None)
    single, runs = machine.copy(), machine.copy()
    hot_add(single.kernel, request)
    monkeypatch.setattr(chunks, "HEAD", 4)
    monkeypatch.setattr(chunks, "MANY", 16)
    chunks.add_device(runs.kernel, request)

    assert state(runs) == state(single)
    assert runs.kernel.state.page_tables == single.kernel.state.page_tables


@pytest.mark.parametrize("driver", ["hv_balloon", "virtio_mem"])
def test_more_chunks_than_there_are_addresses_are_refused_at_once(driver: str) -> None:
    """67 million chunks are neither listed nor played."""
    trial = attempt(boot("x86_64", 4 * GIB), Question(sizes=(8 << 50,), driver=driver, online="movable"))

    assert str(trial.problem) == "E2BIG: 8P at 0x100000000 ends beyond 52 physical address bits (4P)"
    assert trial.driver_result == "0 of 67108864 chunks added, then E2BIG"
    assert trial.added_bytes == 0


@pytest.mark.parametrize("kernel", ["v2-2019", "linux-6.12"])
@pytest.mark.parametrize(
    ("arch", "block", "page", "line"),
    [
        ("x86_64", None, 4, ""), ("arm64", None, 4, ""), ("arm64", None, 16, ""), ("arm64", None, 64, ""),
        ("powerpc", None, 64, ""), ("powerpc", 256, 64, ""), ("powerpc", 16, 64, ""), ("powerpc", 256, 4, ""),
        ("powerpc", 16, 4, "disable_radix"), ("s390", None, 4, ""),
    ],
)  # fmt: skip
def test_a_run_takes_the_page_tables_of_its_chunks(
    arch: str, block: int | None, page: int, line: str, kernel: str
) -> None:
    """A large leaf would do with fewer tables, but nobody maps all of it at once; one table may serve many leaves."""
    subject = from_boot(
        4 * GIB, arch=arch, kernel=kernel, profile="lean", cmdline=line, page_size=page << 10,
        block_size=block and block << 20,
    )  # fmt: skip
    machine = subject.boot()
    geometry = machine.kernel.geometry
    single, runs, size = machine.copy().kernel, machine.copy().kernel, geometry.memory_block_size
    start, end = 5 * GIB, 63 * GIB
    for low in range(start, end, size):
        single.plugins.call(
            single.plugins.arch,
            "create_mapping",
            kernel=single,
            start_pfn=geometry.pfn(low),
            nr_pages=geometry.pages_per_block,
            nid=0,
        )
    chunks._map_in_pieces(runs, PhysRange(start=start, size=end - start, nid=0), size)
    runs.plugins.call(
        runs.plugins.arch,
        "create_mapping",
        kernel=runs,
        start_pfn=geometry.pfn(start),
        nr_pages=geometry.pfn(end - start),
        nid=0,
    )

    assert runs.state.page_tables == single.state.page_tables


def test_a_run_that_fails_ends_at_the_very_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many chunks are there as the driver itself would have added one by one."""
    machine = boot("x86_64", 256 << 20)
    request = AddRequest(driver="hv_balloon", name="d", size=20 * GIB, address=None, nid=None)
    single, runs = machine.copy(), machine.copy()
    with pytest.raises(MemoryHotplugError):
        hot_add(single.kernel, request)
    monkeypatch.setattr(chunks, "HEAD", 4)
    with pytest.raises(MemoryHotplugError) as caught:
        chunks.add_device(runs.kernel, request)

    assert caught.value.driver_result == "98 of 160 chunks added, then ENOMEM"
    assert state(runs)["blocks"] == state(single)["blocks"]


def test_pseries_takes_its_blocks_away_again_when_one_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """DLPAR is all or nothing: the machine is as it was."""
    machine = boot("powerpc", 4 * GIB)
    before = state(machine)
    machine.kernel.state.fail_allocation = 20
    monkeypatch.setattr(chunks, "HEAD", 4)
    with pytest.raises(MemoryHotplugError) as caught:
        chunks.add_device(machine.kernel, AddRequest(driver="pseries", name="d", size=64 * GIB, address=None, nid=None))

    assert caught.value.driver_result is not None
    assert caught.value.driver_result.endswith("chunks added and taken away again, then ENOMEM")
    assert state(machine) == before


def test_virtio_mem_stops_at_its_threshold_when_nobody_onlines() -> None:
    """1 GiB may be added and offline; then the driver waits, which is where the trial ends."""
    trial = attempt(boot("x86_64", 4 * GIB), Question(sizes=(16 * GIB,), driver="virtio_mem", online="none"))

    assert trial.added_bytes == GIB
    assert str(trial.problem) == "ENOSPC: plan0: 1G are added and not online, no more than 1G may be"


def test_a_partly_backed_last_chunk_stays_a_chunk_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """hv_balloon rounds a request up to chunks and withholds the rest of the last one."""
    machine = boot("x86_64", 4 * GIB)
    monkeypatch.setattr(chunks, "HEAD", 4)
    size = 20 * GIB + (64 << 20)
    chunks.add_device(machine.kernel, AddRequest(driver="hv_balloon", name="d", size=size, address=None, nid=None))

    assert machine.kernel.state.withheld.total == (64 << 20) // 4096
    assert machine.violations() == []
