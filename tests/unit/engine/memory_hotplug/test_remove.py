"""Taking a range away: what goes with it, what stays, and what a device still has of it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tests.conftest import Boot

from memhotplug.engine.memory_hotplug.remove import _without, take_range_away

RANGES = st.lists(st.tuples(st.integers(0, 4), st.integers(1, 5)), max_size=8)


def _disjoint(steps: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Return ascending ranges from gaps and sizes."""
    ranges, at = [], 0
    for gap, size in steps:
        ranges.append((at + gap, size))
        at += gap + size
    return tuple(ranges)


@given(RANGES, st.integers(0, 40), st.integers(1, 20))
def test_what_is_left_is_what_no_byte_of_the_range_touched(steps: list[tuple[int, int]], start: int, size: int) -> None:
    """Byte by byte the same, ascending, and untouched ranges are kept as they came."""
    ranges = _disjoint(steps)

    left = _without(ranges, start, start + size)

    def bytes_of(some: tuple[tuple[int, int], ...]) -> list[int]:
        return [byte for low, length in some for byte in range(low, low + length)]

    assert bytes_of(left) == [byte for byte in bytes_of(ranges) if not start <= byte < start + size]
    untouched = [(low, length) for low, length in ranges if low + length <= start or low >= start + size]
    assert set(untouched) <= set(left)
    assert all(length > 0 for _, length in left)


def test_a_range_is_taken_away_with_all_that_it_brought(boot: Boot) -> None:
    """Blocks, sections, resource, and the node that had nothing else; what lies beside it stays."""
    machine = boot(kernel="linux-6.12")
    machine.add_memory(driver="acpi", name="keep", size="256M", node=1)
    before = machine.to_dict()
    machine.add_memory(driver="acpi", name="dimm", size="512M", node=2)
    kernel, start, size = machine.kernel, 0x110000000, 512 << 20
    assert kernel.state.nodes[2].online

    take_range_away(kernel, start, size)

    assert 2 not in kernel.state.nodes
    assert 1 in kernel.state.nodes
    assert kernel.state.blocks.id.tolist()[-2:] == [32, 33]
    assert not kernel.state.sections.intersects(kernel.geometry.pfn(start), kernel.geometry.pfn(start + size))
    assert {key: machine.to_dict()[key] for key in ("blocks", "zones", "iomem")} == {
        key: before[key] for key in ("blocks", "zones", "iomem")
    }


def test_a_node_with_other_blocks_stays_online(boot: Boot) -> None:
    """As does one with CPUs, whatever is taken away."""
    machine = boot(kernel="linux-6.12")
    machine.add_memory(driver="acpi", name="a", size="128M", node=1)
    machine.add_memory(driver="acpi", name="b", size="128M", node=1)
    kernel = machine.kernel

    take_range_away(kernel, 0x100000000, 128 << 20)
    assert kernel.state.nodes[1].online

    take_range_away(kernel, 0x108000000, 128 << 20)
    assert list(kernel.state.nodes) == [0]
