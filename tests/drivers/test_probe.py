"""The probe file: one block, where it exists."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import pytest

from memhotplug import Machine, MemoryHotplugError

View: TypeAlias = Callable[[Machine], object]
Refused: TypeAlias = Callable[..., MemoryHotplugError]
Boot: TypeAlias = Callable[..., Machine]


def test_write_adds_the_block_at_the_address(machine: Machine, brief: View) -> None:
    """The memmap comes from the page allocator: the file passes no flag."""
    machine.write("memory/probe", "0x100000000\n")
    assert brief(machine) == [(32, "offline", 32768, 0)]


def test_step_and_write_are_the_same(machine: Machine, state_of: View) -> None:
    """Both end in the same driver."""
    twin = machine.copy()
    machine.write("memory/probe", "0x100000000")
    twin.add_memory(driver="probe", name="probe32", size="128M", address=4 << 30)
    assert state_of(machine) == state_of(twin)


def test_block_is_online_at_once_if_the_kernel_says_so(boot: Boot, brief: View) -> None:
    """The driver leaves onlining to auto_online_blocks."""
    machine = boot(cmdline="memhp_default_state=online")
    machine.write("memory/probe", "0x100000000")
    assert brief(machine) == [(32, "online", 32768, 0)]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"size": "256M"}, "EINVAL: probe adds exactly one memory block of 0x8000000 bytes, not 0x10000000"),
        ({"size": "64M"}, "EINVAL: probe adds exactly one memory block of 0x8000000 bytes, not 0x4000000"),
        (
            {"size": "128M", "address": 0x104000000},
            "EINVAL: 0x104000000 is not aligned to a memory block of 0x8000000 bytes",
        ),
        (
            {"size": "128M", "address": 0},
            "EEXIST: 0x0000000000000000-0x0000000007ffffff overlaps System RAM at "
            "0x0000000000000000-0x00000000ffffffff",
        ),
    ],
)
def test_anything_else_is_refused(
    machine: Machine, refused: Refused, state_of: View, keys: dict[str, object], message: str
) -> None:
    """Exactly one whole block that is not there."""
    before = state_of(machine)
    assert str(refused(machine.add_memory, driver="probe", **keys)) == message
    assert state_of(machine) == before


@pytest.mark.parametrize(("arch", "size"), [("arm64", "1G"), ("s390", "256M")])
def test_architecture_without_the_option_has_no_file(boot: Boot, refused: Refused, arch: str, size: str) -> None:
    """CONFIG_ARCH_MEMORY_PROBE is for powerpc and x86_64."""
    problem = refused(boot(arch=arch).add_memory, driver="probe", size=size)
    assert str(problem) == (
        f"ENOENT: there is no probe on {arch}: the architecture has no ARCH_MEMORY_PROBE (powerpc and x86_64 have)"
    )


def test_powerpc_has_the_file(boot: Boot) -> None:
    """The file exists by default there."""
    machine = boot(arch="powerpc")
    size = machine.kernel.geometry.memory_block_size
    assert machine.add_memory(driver="probe", size=size).size == size


def test_flags_of_the_step_replace_the_policy(machine: Machine, brief: View) -> None:
    """A block may host its own memmap like any other."""
    machine.add_memory(driver="probe", size="128M", mhp_flags="memblock")
    assert brief(machine) == [(32, "offline", 32256, 512)]


def test_there_is_no_eject(machine: Machine, refused: Refused, brief: View) -> None:
    """remove_memory() by hand still works."""
    machine.add_memory(driver="probe", name="unit", size="128M")
    problem = refused(machine.eject, "unit")
    assert str(problem) == "EOPNOTSUPP: the probe file only adds; offline the block and remove it instead"
    machine.remove("unit")
    assert brief(machine) == []
