"""What copies of a machine share is looked at once, and the invariants say what they say of a machine as a whole."""

from __future__ import annotations

from contextlib import suppress
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memhotplug import Machine, MemoryHotplugError
from memhotplug.engine.kernel import Kernel
from memhotplug.engine.views.invariants import violations
from memhotplug.model.blocks import BlockState, BlockTable
from memhotplug.model.vmemmap import MapRuns

_CMDLINE = "memory_hotplug.memmap_on_memory=1 memory_hotplug.online_policy=auto-movable"
_DAMAGE: dict[str, list[int]] = {
    "state": [BlockState.ONLINE, BlockState.GOING_OFFLINE, BlockState.OFFLINE],
    "zone": [-1, 1, 2, 3],
    "nid": [0, 5],
    "group": [-1, 0, 1],
    "altmap_pages": [0, 512, 700],
    "early": [0, 1],
}
_ACTS = st.one_of(
    st.tuples(st.sampled_from(["add none", "add on_memory"]), st.integers(1, 4), st.just(0)),
    st.tuples(st.sampled_from(["online", "offline", "remove", "unmap"]), st.integers(0, 14), st.just(0)),
    st.tuples(st.sampled_from(sorted(_DAMAGE)), st.integers(0, 14), st.integers(0, 3)),
)


@cache
def _booted(kernel: str) -> Machine:
    cmdline = _CMDLINE if kernel != "v2-2019" else ""
    machine = Machine.boot(arch="x86_64", kernel=kernel, memory="1G", cmdline=cmdline)
    assert machine.violations() == []  # what is known of it from now on
    return machine


def _whole(kernel: Kernel) -> list[str]:
    """Return what is broken in a machine of which nothing is known."""
    twin = kernel.copy()
    table = BlockTable()
    table._take({name: column.copy() for name, column in kernel.state.blocks})
    twin.state.blocks = table
    twin.state.vmemmap.runs = MapRuns.of_columns(*(column.copy() for column in kernel.state.vmemmap.runs.columns))
    return violations(twin)


def _act(machine: Machine, act: str, which: int, value: int) -> None:
    state = machine.kernel.state
    block = int(state.blocks.id[which % len(state.blocks)])
    if act.startswith("add "):
        flags = act.partition(" ")[2]
        machine.add_memory(driver="acpi", size=which << 27, mhp_flags=[flags if flags in ("none",) else _self(machine)])
    elif act == "unmap":
        starts, ends = state.block_bounds(slice(which % len(state.blocks), which % len(state.blocks) + 1))
        state.vmemmap.delete(starts, ends)
    elif act in _DAMAGE:
        values = _DAMAGE[act]
        state.blocks.set(state.blocks.rows(block, block), **{act: values[value % len(values)]})
    else:
        getattr(machine, act)(f"block {block}")


def _self(machine: Machine) -> str:
    return "memblock" if machine.kernel.profile.name == "v2-2019" else "on_memory"


@pytest.mark.parametrize("kernel", ["v2-2019", "linux-6.12"])
@given(acts=st.lists(_ACTS, max_size=10))
def test_what_is_known_of_a_part_changes_no_answer(kernel: str, acts: list[tuple[str, int, int]]) -> None:
    """After any life, and whatever was broken on purpose."""
    machine = _booted(kernel).copy()
    for act in acts:
        with suppress(MemoryHotplugError):
            _act(machine, *act)
        assert violations(machine.kernel) == _whole(machine.kernel)


@given(acts=st.lists(_ACTS, max_size=6))
def test_copies_know_nothing_of_what_happened_to_one(acts: list[tuple[str, int, int]]) -> None:
    """What it was damaged by is no damage of the machine that it was copied from."""
    machine = _booted("linux-6.12").copy()
    for act in acts:
        with suppress(MemoryHotplugError):
            _act(machine, *act)
    violations(machine.kernel)
    assert _booted("linux-6.12").violations() == []


def test_backing_that_was_asked_for_may_be_changed() -> None:
    """Whoever gets it has it for himself."""
    vmemmap = _booted("linux-6.12").copy().kernel.state.vmemmap
    first = vmemmap.backing()
    total = first.total
    first.remove(0, 1 << 40)
    assert (first.total, vmemmap.backing().total, total > 0) == (0, total, True)
