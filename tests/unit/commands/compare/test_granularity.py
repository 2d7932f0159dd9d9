"""The smallest unit in which added memory can be taken out again, and why no smaller one."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import TypeAlias

import pytest

from memhotplug import Machine
from memhotplug.commands.compare.granularity import MAX_TRIALS, SAMPLE, Removable, removable

Boot: TypeAlias = Callable[..., Machine]
_MIB, _GIB = 1 << 20, 1 << 30


def test_a_machine_without_devices_has_nothing_to_take_out(boot: Boot) -> None:
    """Boot memory is no device's."""
    assert removable(boot(kernel="linux-6.12")) == []


@pytest.mark.parametrize("zone", [None, "movable"])
def test_block_by_block_where_nothing_depends_on_another(boot: Boot, zone: str | None) -> None:
    """Whether it is offline or in Movable; the machine itself stays as it is."""
    machine = boot(kernel="linux-6.12")
    machine.add_memory(driver="acpi", name="d", size="512M", mhp_flags="none")
    if zone is not None:
        machine.online("d", zone=zone)
    before = machine.to_dict()
    assert removable(machine) == [Removable(device="d", unit="block", size=128 * _MIB, problem=None)]
    assert machine.to_dict() == before


def test_devices_answer_in_the_order_in_which_they_came(boot: Boot) -> None:
    """Those without memory are left out."""
    machine = boot(kernel="linux-6.12")
    for name in ("b", "a", "c"):
        machine.add_memory(driver="acpi", name=name, size="128M", mhp_flags="none")
    machine.eject("a")
    assert [found.device for found in removable(machine)] == ["b", "c"]


def test_what_another_device_cannot_give_is_not_asked_for(boot: Boot) -> None:
    """Kernel memory above a device that could leave, and below it: only its own blocks go offline."""
    machine = boot(kernel="linux-6.12")
    for name, zone in (("low", "kernel"), ("d", "movable"), ("high", "kernel")):
        machine.add_memory(driver="acpi", name=name, size="256M", mhp_flags="none")
        machine.online(name, zone=zone)
    machine.allocate("slab", "4G", zone="kernel")
    assert [(found.device, found.unit) for found in removable(machine)] == [
        ("low", None),
        ("d", "block"),
        ("high", None),
    ]


def test_memmap_of_others_keeps_a_block(boot: Boot) -> None:
    """The 2019 series: the first block hosts the memmap of all, so that only the device goes as a whole."""
    machine = boot(kernel="v2-2019")
    machine.add_memory(driver="acpi", name="d", size="512M", mhp_flags="device")
    (found,) = removable(machine)
    assert (found.device, found.unit, found.size, found.sampled) == ("d", "device", 512 * _MIB, False)
    assert found.problem is not None


def test_several_ranges_are_units_of_their_own(boot: Boot) -> None:
    """The largest range is the size that is told."""
    machine = boot(kernel="v2-2019")
    machine.add_memory(driver="acpi", name="d", resources=["256M", "512M"], mhp_flags="device")
    (found,) = removable(machine)
    assert (found.unit, found.size) == ("range", 512 * _MIB)


def test_what_cannot_leave_at_all_says_why(boot: Boot) -> None:
    """Kernel memory in the only block: the errno and the reason of the last unit that was tried."""
    machine = boot(kernel="linux-6.12")
    machine.add_memory(driver="acpi", name="d", size="128M", mhp_flags="none")
    machine.online("d", zone="kernel")
    machine.allocate("slab", "128K", zone="kernel")
    (found,) = removable(machine)
    assert (found.unit, found.size) == (None, None)
    assert str(found.problem).startswith("EBUSY: failure to isolate range")


@pytest.mark.parametrize(("blocks", "sampled"), [(MAX_TRIALS, False), (MAX_TRIALS + 1, True)])
def test_of_many_blocks_some_are_tried(boot: Boot, monkeypatch: pytest.MonkeyPatch, blocks: int, sampled: bool) -> None:
    """The first and the last among them, at even distances."""
    machine = boot(kernel="linux-6.12", memory="16G")
    machine.add_memory(driver="acpi", name="d", size=blocks * 128 * _MIB, mhp_flags="none")
    tried: list[int] = []

    def note(_machine: Machine, part: tuple[tuple[int, int], ...], _known: list[str]) -> None:
        tried.extend(start // (128 * _MIB) for start, _ in part)

    monkeypatch.setattr("memhotplug.commands.compare.granularity._try", note)
    (found,) = removable(machine)
    assert (found.unit, found.sampled) == ("block", sampled)
    first = machine.memory("d").blocks[0]
    assert (len(tried), tried[0], tried[-1]) == (SAMPLE if sampled else blocks, first, first + blocks - 1)
    assert tried == sorted(set(tried))
    steps = {later - earlier for earlier, later in pairwise(tried)}
    assert steps == ({4, 5} if sampled else {1})
