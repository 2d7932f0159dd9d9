"""Which counters a kernel has: what came and went, and what its configuration leaves out."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from memhotplug import Machine
from memhotplug.engine.procfs.items import (
    MEMINFO,
    NODE_ITEMS,
    NODE_MEMINFO,
    NUMA_ITEMS,
    ZONE_ITEMS,
    Item,
    has_config,
    names,
)

Boot = Callable[..., Machine]
ALL = {"meminfo": MEMINFO, "node": NODE_ITEMS, "node meminfo": NODE_MEMINFO, "numa": NUMA_ITEMS, "zone": ZONE_ITEMS}


@pytest.mark.parametrize("table", ALL.values(), ids=ALL)
def test_no_counter_stands_twice_and_none_ends_before_it_begins(table: tuple[Item, ...]) -> None:
    """One line each."""
    assert len({item.name for item in table}) == len(table)
    assert [item.name for item in table if item.since >= item.until] == []


@pytest.mark.parametrize(
    ("kernel", "name", "there"),
    [
        ("linux-6.1", "nr_bounce", True), ("linux-7.2", "nr_bounce", False),
        ("linux-6.12", "nr_free_pages_blocks", False), ("linux-7.2", "nr_free_pages_blocks", True),
        ("linux-6.1", "pgdemote_kswapd", False), ("linux-6.8", "pgdemote_kswapd", True),
        ("linux-6.10", "nr_iommu_pages", False), ("linux-6.11", "nr_iommu_pages", True),
        ("linux-5.18", "nr_sec_page_table_pages", False), ("linux-6.1", "nr_sec_page_table_pages", True),
    ],
)  # fmt: skip
def test_counters_come_and_go_with_releases(kernel: str, name: str, there: bool, boot: Boot) -> None:
    """Since is the first release that has it, until the first that has not."""
    found = names(boot(kernel=kernel).kernel, (*ZONE_ITEMS, *NODE_ITEMS))
    assert (name in found) is there


def test_the_order_is_the_kernels(boot: Boot) -> None:
    """A release leaves out, and never sorts."""
    order = [item.name for item in NODE_ITEMS]
    for kernel in ("linux-5.15", "linux-6.12", "linux-7.2"):
        found = names(boot(kernel=kernel).kernel, NODE_ITEMS)
        assert found == sorted(found, key=order.index)
        assert 35 < len(found) <= len(order)


def test_a_part_of_the_configuration_belongs_to_the_architecture(boot: Boot) -> None:
    """And may have come late there; one that nobody has is not there."""
    x86, s390 = boot(kernel="linux-6.12").kernel, boot(arch="s390", kernel="linux-6.12", memory="4G").kernel
    assert has_config(x86, "NUMA")
    assert not has_config(x86, "SOMETHING_ELSE")
    for name in ("NUMA", "CMA", "MEMORY_FAILURE", "UNACCEPTED_MEMORY"):
        since = s390.plugins.arch_traits.config.get(name)
        assert has_config(s390, name) == (since is not None and since <= (6, 12))


def test_lines_without_their_configuration_are_left_out(boot: Boot) -> None:
    """Whatever the release says."""
    kernel = boot(kernel="linux-6.12").kernel
    items = (Item("a"), Item("b", config="NUMA"), Item("c", config="NOTHING"), Item("d", since=(6, 13)))
    assert names(kernel, items) == ["a", "b"]
