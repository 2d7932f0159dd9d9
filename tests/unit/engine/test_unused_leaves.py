"""Leaves of the vmemmap that describe more than one section: which of them may go."""

from __future__ import annotations

import pytest

from memhotplug import Machine


@pytest.fixture
def machine() -> Machine:
    """A hash MMU with 64K pages: a 16 MiB leaf describes 16 GiB, a section is 16 MiB."""
    keywords = {"arch": "powerpc", "kernel": "v2-2019", "memory": "4G", "page_size": "64K", "cmdline": "disable_radix"}
    return Machine.boot(**keywords)


def test_leaf_stays_while_a_section_needs_it(machine: Machine) -> None:
    """Boot memory and the range that goes are described by one leaf."""
    memory = machine.add_memory(driver="pseries", size="1G")
    geometry = machine.kernel.geometry
    pages = geometry.pfn(memory.start), geometry.pfn(memory.size)
    machine.kernel.state.sections.remove(pages[0], sum(pages))
    assert machine.kernel.memmap.unused_leaves(*pages).total == 0


def test_leaf_goes_whole_with_its_last_section(machine: Machine) -> None:
    """Beyond the leaf of boot memory the only section takes all of its leaf with it."""
    memory = machine.add_memory(driver="pseries", size="1G", address="32G")
    geometry = machine.kernel.geometry
    pages = geometry.pfn(memory.start), geometry.pfn(memory.size)
    machine.kernel.state.sections.remove(pages[0], sum(pages))
    leaf = (16 << 20) // geometry.page_size * geometry.described_per_page
    assert list(machine.kernel.memmap.unused_leaves(*pages)) == [
        (pages[0] // leaf * leaf, (pages[0] // leaf + 1) * leaf)
    ]


def test_range_without_memmap_is_itself(machine: Machine) -> None:
    """Where nothing is mapped there is no leaf to be whole."""
    assert list(machine.kernel.memmap.unused_leaves(1 << 30, 4096)) == [(1 << 30, (1 << 30) + 4096)]
