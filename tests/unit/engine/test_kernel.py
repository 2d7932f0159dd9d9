"""The kernel and its parts: a copy has its own, and what is restored has those of the copy."""

from __future__ import annotations

import pytest

from memhotplug import Machine
from memhotplug.engine.kernel import Kernel


@pytest.fixture
def kernel() -> Kernel:
    """Return the kernel of a machine whose boot is over."""
    return Machine.boot(arch="x86_64", kernel="linux-6.12", memory="1G").kernel


def is_whole(kernel: Kernel) -> bool:
    """Return whether all parts of a kernel work on its state."""
    return kernel.tables.state is kernel.state is kernel.memmap.state and kernel.memmap.tables is kernel.tables


def test_the_parts_of_a_copy_work_on_the_state_of_the_copy(kernel: Kernel) -> None:
    """A page table that a copy makes is a page of the copy."""
    before = kernel.state.page_tables.keys()
    twin = kernel.copy()

    twin.tables.ensure("test-pmd", 0, 4, nid=0)

    assert is_whole(kernel)
    assert is_whole(twin)
    assert "test-pmd" in twin.state.page_tables
    assert kernel.state.page_tables.keys() == before


def test_what_is_restored_has_the_parts_of_the_copy(kernel: Kernel) -> None:
    """Nothing keeps working on the state that was given up."""
    saved = kernel.copy()
    kernel.tables.ensure("test-pmd", 0, 4, nid=0)
    kernel.warn("changed")

    kernel.restore(saved)

    assert is_whole(kernel)
    assert "test-pmd" not in kernel.state.page_tables
    assert kernel.journal.warnings == []


def test_where_boot_memmap_comes_from_is_forgotten_when_the_machine_runs(kernel: Kernel) -> None:
    """Page tables cost pages from then on."""
    assert kernel.tables.boot_altmap is None
    free = sum(zone.nr_free for zone in kernel.state.zones())
    kernel.tables.ensure("test-pmd", 0, 4, nid=0)
    assert free - sum(zone.nr_free for zone in kernel.state.zones()) == 4


def test_a_warning_is_an_event_too(kernel: Kernel) -> None:
    """Both stand in the journal."""
    kernel.warn("careful")
    kernel.log("something", size_bytes=4096)

    assert kernel.journal.warnings == ["careful"]
    assert kernel.journal.events[-2:] == [
        {"event": "warning", "text": "careful"},
        {"event": "something", "size_bytes": 4096},
    ]
