"""Architectures with one bug each in the memmap or in page tables: the engine or the contract notices every one."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.plugins.rig import Bad, check, example
from tests.plugins.test_bad_architectures import answer, contract, hook

from memhotplug.plugin import MemoryHotplugError, Restrictions

GOOD = example("riscv64", "memhotplug_riscv64")
_LIFE = "test_add_and_remove_leave_the_zones_as_before"


def _populate(**changes: object) -> Callable[..., None]:
    """Return a vmemmap_populate() that does what the good one does with other arguments."""

    def vmemmap_populate(kernel: Any, start_pfn: int, nr_pages: int, nid: int, altmap: Any) -> None:
        asked = {"nid": nid, "altmap": altmap, **changes}
        GOOD.vmemmap_populate(kernel, start_pfn, nr_pages, **asked)

    return vmemmap_populate


def _without_tables(kernel: Any, start_pfn: int, nr_pages: int, nid: int, altmap: Any) -> None:
    kernel.memmap.populate(start_pfn, nr_pages, leaf_pages=512, nid=nid, altmap=altmap)


def _unmap_only(kernel: Any, start_pfn: int, nr_pages: int) -> None:
    kernel.unmap(np.array([start_pfn]), np.array([start_pfn + nr_pages]))


def _free_too_many_tables(kernel: Any, start_pfn: int, nr_pages: int) -> None:
    _unmap_only(kernel, start_pfn, nr_pages)
    kernel.tables.drop("vmemmap-pmd", start_pfn >> 24, -(-(start_pfn + nr_pages) >> 24))


def _misspelt(kernel: Any, start_pfn: int, nr_pages: int) -> None:
    _unmap_only(kernel, start_pfn, nr_pages)
    mapped = kernel.state.vmemmap.mapped
    kernel.tables.drop_unused("vmemmap-pdm", 1 << 24, start_pfn, start_pfn + nr_pages, mapped)


def _free_the_neighbour(kernel: Any, start_pfn: int, nr_pages: int) -> None:
    section = kernel.geometry.pages_per_section
    GOOD.vmemmap_free(kernel, start_pfn - section, nr_pages + section)


def _lose_a_page(kernel: Any, start_pfn: int, nr_pages: int) -> None:
    GOOD.vmemmap_free(kernel, start_pfn, nr_pages)
    kernel.alloc(0, 1, 0)


def _second_helping(kernel: Any, start_pfn: int, nr_pages: int, nid: int, altmap: Any) -> None:
    GOOD.vmemmap_populate(kernel, start_pfn, nr_pages, nid, altmap)
    if kernel.tables.boot_altmap is None:
        kernel.alloc(0, 1, nid)


def _no_direct_map(kernel: Any, start_pfn: int, nr_pages: int, nid: int, restrictions: Restrictions) -> None:
    kernel.add_pages(start_pfn, nr_pages, nid, restrictions)


def _no_roll_back(kernel: Any, start_pfn: int, nr_pages: int, nid: int, restrictions: Restrictions) -> None:
    GOOD.create_mapping(kernel, start_pfn, nr_pages, nid)
    kernel.add_pages(start_pfn, nr_pages, nid, restrictions)


def _pages_before_the_map(kernel: Any, start_pfn: int, nr_pages: int, nid: int, restrictions: Restrictions) -> None:
    kernel.add_pages(start_pfn, nr_pages, nid, restrictions)
    GOOD.create_mapping(kernel, start_pfn, nr_pages, nid)


def _no_altmap(kernel: Any, start_pfn: int, nr_pages: int, nid: int, restrictions: Restrictions) -> None:
    GOOD.arch_add_memory(kernel, start_pfn, nr_pages, nid, Restrictions(step=restrictions.step))


def _keep_the_map(kernel: Any, start_pfn: int, nr_pages: int) -> None:
    kernel.remove_pages(start_pfn, nr_pages)


def _drop_the_whole_map(kernel: Any, start_pfn: int, nr_pages: int) -> None:
    kernel.remove_pages(start_pfn, nr_pages)
    kernel.tables.drop("direct-pmd", 0, 1 << 30)


def _lose_a_page_at_removal(kernel: Any, start_pfn: int, nr_pages: int) -> None:
    GOOD.arch_remove_memory(kernel, start_pfn, nr_pages)
    kernel.alloc(0, 1, 0)


def _of_another_errno(kernel: Any, start_pfn: int, nr_pages: int, nid: int, altmap: Any) -> None:
    try:
        GOOD.vmemmap_populate(kernel, start_pfn, nr_pages, nid, altmap)
    except MemoryHotplugError as problem:
        raise MemoryHotplugError(errno.EIO, "cannot") from problem


def _of_another_kind(kernel: Any, start_pfn: int, nr_pages: int, nid: int, altmap: Any) -> None:
    try:
        GOOD.vmemmap_populate(kernel, start_pfn, nr_pages, nid, altmap)
    except MemoryHotplugError as problem:
        raise OSError(errno.ENOMEM, "cannot") from problem


def _swallow(kernel: Any, start_pfn: int, nr_pages: int, nid: int, altmap: Any) -> None:
    try:
        GOOD.vmemmap_populate(kernel, start_pfn, nr_pages, nid, altmap)
    except MemoryHotplugError:
        return


_TAKEN = "test_memory_far_away_takes_page_tables"
_GONE = "test_page_tables_go_with_their_memory"
_FAILED = "test_failed_add_leaves_no_page_tables"
_ALTMAP = "test_altmap_holds_the_memmap"
_BACK = "test_populate_and_free_give_every_page_back"
_NEIGHBOUR = "test_removal_leaves_the_neighbour_alone"
_REFUSED = "test_add_without_memory_is_refused_cleanly"
MEMMAP = [
    Bad("forgotten tables of the vmemmap", _TAKEN, hook(vmemmap_populate=_without_tables), "'vmemmap'"),
    Bad("forgotten tables of the direct map", _TAKEN, hook(arch_add_memory=_no_direct_map), "'direct'"),
    Bad("tables of the vmemmap never freed", _GONE, hook(vmemmap_free=_unmap_only), "vmemmap-pmd"),
    Bad("tables of the direct map never freed", _GONE, hook(arch_remove_memory=_keep_the_map), "direct-pmd"),
    Bad("a kind that is misspelt", _GONE, hook(vmemmap_free=_misspelt), "vmemmap-pmd"),
    Bad("no roll-back of the direct map", _FAILED, hook(arch_add_memory=_no_roll_back), "direct-pmd"),
    Bad("pages before the map", _FAILED, hook(arch_add_memory=_pages_before_the_map)),
    Bad("tables that others need freed", _NEIGHBOUR, hook(vmemmap_free=_free_too_many_tables)),
    Bad("the map of others freed", _NEIGHBOUR, hook(arch_remove_memory=_drop_the_whole_map)),
    Bad("an altmap that is ignored", _ALTMAP, hook(vmemmap_populate=_populate(altmap=None))),
    Bad("an altmap that is dropped", _ALTMAP, hook(arch_add_memory=_no_altmap)),
    Bad("memmap never freed", _BACK, {"vmemmap_free": answer(None)}),
    Bad("the neighbour's memmap freed", _NEIGHBOUR, hook(vmemmap_free=_free_the_neighbour)),
    Bad("a page lost with the memmap", _BACK, hook(vmemmap_free=_lose_a_page)),
    Bad("a page lost at removal", _LIFE, hook(arch_remove_memory=_lose_a_page_at_removal)),
    Bad("pages taken every time", "test_second_populate_takes_nothing", hook(vmemmap_populate=_second_helping)),
    Bad("memmap from node 0", "test_memmap_is_near_its_memory", hook(vmemmap_populate=_populate(nid=0))),
    Bad("EIO for ENOMEM", _REFUSED, hook(vmemmap_populate=_of_another_errno)),
    Bad("a plain OSError", _REFUSED, hook(vmemmap_populate=_of_another_kind), "hook vmemmap_populate raised OSError"),
    Bad("a failure that is swallowed", _REFUSED, hook(vmemmap_populate=_swallow), "vmemmap_populate left pfn"),
]


@pytest.mark.parametrize("bad", MEMMAP, ids=lambda bad: bad.what)
def test_bug_is_noticed(bad: Bad) -> None:
    """The good plugin passes the test, the one with the bug does not."""
    check("arch", GOOD, bad, contract)
