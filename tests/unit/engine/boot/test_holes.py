"""A hole below 4 GiB, the size that firmware advises, and mem= as the end of all memory."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from memhotplug import Machine, MemoryHotplugError

Boot = Callable[..., Machine]


@pytest.mark.parametrize(
    ("memory", "hole", "ranges", "block"),
    [
        ("64G", None, [(0, 64 << 30)], 2048),
        ("64G", "1G", [(0, 3 << 30), (4 << 30, 65 << 30)], 1024),
        ("64G", "2G", [(0, 2 << 30), (4 << 30, 66 << 30)], 2048),
        ("3G", "1G", [(0, 3 << 30)], 128),
        ("3200M", "1G", [(0, 3 << 30), (4 << 30, (4 << 30) + (128 << 20))], 128),
    ],
)
def test_a_hole_pushes_memory_up(
    memory: str, hole: str | None, ranges: list[tuple[int, int]], block: int, boot: Boot
) -> None:
    """As on QEMU's pc and q35: the block size goes by where memory ends."""
    machine = boot(kernel="linux-6.12", memory=memory, hole=hole)
    state, geometry = machine.kernel.state, machine.kernel.geometry
    found = [(entry["start"], entry["end"] + 1) for entry in machine.to_dict()["iomem"]]
    assert (found, geometry.memory_block_size >> 20) == (ranges, block)
    assert sum(zone.present for zone in state.zones()) == sum(end - start for start, end in ranges) >> 12
    assert machine.violations() == []
    added = machine.add_memory(driver="acpi", size=geometry.memory_block_size)
    assert added.start == max(ranges[-1][1], 4 << 30)


def test_a_hole_through_the_second_node(boot: Boot) -> None:
    """What would lie in it lies above 4 GiB, on the node that it would have been on."""
    machine = boot(kernel="linux-6.12", memory=[{"node": 0, "size": "2G"}, {"node": 1, "size": "4G"}], hole="1G")
    blocks = machine.kernel.state.blocks
    nodes = dict(zip(blocks.id.tolist(), blocks.nid.tolist(), strict=True))
    assert [(block, nodes.get(block)) for block in (15, 16, 23, 24, 31, 32, 55, 56)] == [
        (15, 0), (16, 1), (23, 1), (24, None), (31, None), (32, 1), (55, 1), (56, None),
    ]  # fmt: skip
    assert machine.violations() == []


@pytest.mark.parametrize(
    ("kernel", "memory", "advised", "block"),
    [
        ("linux-6.15", "64G", "256M", 256),
        ("linux-6.14", "64G", "256M", 2048),
        ("linux-6.15", "64G", "8G", 2048),
        ("linux-6.15", "65G", "2G", 1024),
        ("linux-6.15", "63G", "512M", 128),
    ],
)
def test_the_lesser_of_advice_and_the_end_of_memory(
    kernel: str, memory: str, advised: str, block: int, boot: Boot
) -> None:
    """probe_memory_block_size() of 6.15; not below 64 GiB, and never more than 2 GiB."""
    machine = boot(kernel=kernel, memory=memory, advised_block_size=advised)
    assert machine.kernel.geometry.memory_block_size >> 20 == block


@pytest.mark.parametrize(("kernel", "refused"), [("v2-2019", True), ("linux-5.13", False), ("linux-6.12", False)])
def test_mem_limits_hotplug_up_to_5_5(kernel: str, refused: bool, boot: Boot) -> None:
    """max_mem_size: E2BIG; later kernels heed mem= during boot only."""
    machine = boot(kernel=kernel, memory="4G", cmdline="mem=2G")
    before = machine.to_dict()
    if not refused:
        assert machine.add_memory(driver="acpi", size="1G").start == 4 << 30
        return
    with pytest.raises(MemoryHotplugError) as caught:
        machine.add_memory(driver="acpi", size="1G")
    assert str(caught.value) == "E2BIG: 1G at 0x100000000 ends beyond 2G, where mem= ends memory"
    assert machine.to_dict() == before


def test_mem_limits_hotplug_on_x86_alone(boot: Boot) -> None:
    """Only its parse_memopt() sets max_mem_size."""
    machine = boot(arch="powerpc", kernel="v2-2019", memory="4G", cmdline="mem=2G")
    assert machine.add_memory(driver="pseries", size="1G").blocks
