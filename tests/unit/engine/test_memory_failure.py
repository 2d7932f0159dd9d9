"""soft_offline_page and hard_offline_page, and what a block with broken pages may do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.kernels import since

from memhotplug import Machine, MemoryHotplugError
from memhotplug.model.extents import ExtentSet
from memhotplug.plugin import PageFlag

Boot = Callable[..., Machine]
Refused = Callable[..., MemoryHotplugError]
ZoneOf = Callable[..., dict[str, Any]]

SOFT, HARD = "memory/soft_offline_page", "memory/hard_offline_page"
FIRST = 32 * 32768


def plugged(boot: Boot, kernel: str = "linux-6.12") -> Machine:
    """Return a machine with a Movable block 32."""
    machine = boot(kernel=kernel)
    machine.add_memory(driver="acpi", name="d", size="128M", mhp_flags="none")
    machine.online("d", zone="movable")
    return machine


@pytest.mark.parametrize("path", [SOFT, HARD])
def test_a_free_page_is_taken_off_the_free_lists(boot: Boot, zone_of: ZoneOf, path: str) -> None:
    """It stays present and managed, and nobody gets it."""
    machine = plugged(boot)
    machine.write(path, hex(FIRST * 4096 + 123))
    zone = zone_of(machine, "Movable")

    assert (zone["managed"], zone["free"]) == (32768, 32767)
    assert machine.page(FIRST).flags == PageFlag.HWPOISON
    assert machine.violations() == []


def test_soft_offlining_moves_a_page_and_hard_offlining_loses_it(boot: Boot) -> None:
    """The owner has as many pages as before, or one less."""
    machine = plugged(boot)
    machine.allocate("app", "100M", zone="movable")
    held = machine.kernel.state.allocations
    pfns = [int(held["app"].pages.starts[0]) + number for number in range(2)]
    machine.write(SOFT, hex(pfns[0] * 4096))
    assert held["app"].pages.total == 25600
    machine.write(HARD, hex(pfns[1] * 4096))
    assert machine.kernel.state.allocations["app"].pages.total == 25599
    assert machine.violations() == []


@pytest.mark.parametrize(
    ("path", "value", "name"),
    [
        (SOFT, "nonsense", "EINVAL"), (HARD, "", "EINVAL"), (SOFT, "1" * 25, "EINVAL"),
        (SOFT, hex(1 << 40), "ENXIO"), (HARD, hex(1 << 40), "ENXIO"),
        (SOFT, "0", "EIO"), (HARD, "0", "EBUSY"), (HARD, hex(FIRST * 4096), "EHWPOISON"),
    ],
)  # fmt: skip
def test_what_is_refused(boot: Boot, refused: Refused, path: str, value: str, name: str) -> None:
    """No number, not online, the kernel's own, given up already; soft offlining a second time is no error."""
    machine = plugged(boot)
    for _ in range(2):
        machine.write(SOFT, hex(FIRST * 4096))
    before = machine.to_dict()

    assert refused(machine.write, path, value).name == name
    assert refused(machine.write, path, "0x0", capable=False).name == "EPERM"
    assert refused(machine.read, path).name == "EACCES"
    assert machine.to_dict() == before


def test_a_page_of_the_kernel_is_marked_and_stays_in_use(boot: Boot, refused: Refused) -> None:
    """Nothing can be done about it, but its block does not come online again."""
    machine = boot(kernel="linux-6.12", cmdline="memory_hotplug.memmap_on_memory=1")
    machine.add_memory(driver="acpi", name="d", size="128M")
    machine.online("d", zone="movable")
    before = machine.to_dict()

    for name in ("EBUSY", "EHWPOISON"):
        assert refused(machine.write, HARD, hex((FIRST + 5) * 4096)).name == name
    assert refused(machine.write, HARD, "0x0").name == "EBUSY"
    assert machine.to_dict() == before
    assert machine.violations() == []
    machine.offline("d")
    assert str(refused(machine.online, "d", zone="movable")) == "EHWPOISON: 1 pages are given up as broken"


@pytest.mark.parametrize("kernel", ["v2-2019", "linux-6.1", "linux-6.2", "linux-6.12"])
def test_a_block_with_broken_pages_leaves_and_does_not_come_back(
    boot: Boot, refused: Refused, zone_of: ZoneOf, kernel: str
) -> None:
    """Since 6.2: before, its struct pages are initialised anew, and the page is used again."""
    machine = plugged(boot, kernel)
    machine.write(HARD, hex(FIRST * 4096))
    machine.offline("d")
    assert zone_of(machine, "Movable")["managed"] == 0
    assert machine.violations() == []
    if kernel in since("linux-6.2"):
        before = machine.to_dict()
        problem = refused(machine.online, "d", zone="movable")
        assert str(problem) == "EHWPOISON: 1 pages are given up as broken"
        assert machine.to_dict() == before
        machine.remove("d")
        machine.add_memory(driver="acpi", name="d", size="128M")  # the count went with the block
    machine.online("d", zone="movable")

    assert zone_of(machine, "Movable")["free"] == 32768
    assert machine.violations() == []


@pytest.mark.parametrize("place", [0, 3, 7])
def test_a_page_on_a_per_cpu_list_is_taken_from_there(boot: Boot, place: int) -> None:
    """It and no other, at the beginning of a run, in it and at its end."""
    machine = plugged(boot)
    zone = machine.kernel.state.zone_of(FIRST)
    assert zone is not None
    zone.free.remove(FIRST, FIRST + 8)
    zone.pcp = ExtentSet.of((FIRST, FIRST + 8))
    machine.write(SOFT, hex((FIRST + place) * 4096))
    after = machine.kernel.state.zone_of(FIRST)
    assert after is not None
    assert sorted(pfn - FIRST for low, high in after.pcp for pfn in range(low, high)) == [
        number for number in range(8) if number != place
    ]
    assert list(machine.kernel.state.poisoned) == [(FIRST + place, FIRST + place + 1)]
    assert machine.violations() == []


def test_the_neighbours_of_a_broken_page_are_fine(boot: Boot, zone_of: ZoneOf) -> None:
    """Each is given up for itself, and softly a second time does nothing."""
    machine = plugged(boot)
    for pfn in (FIRST + 5, FIRST + 4, FIRST + 6, FIRST + 5):
        machine.write(SOFT, hex(pfn * 4096))
    assert list(machine.kernel.state.poisoned) == [(FIRST + 4, FIRST + 7)]
    assert zone_of(machine, "Movable")["free"] == 32768 - 3


def test_it_is_logged_once_with_the_file_that_was_written(boot: Boot) -> None:
    """What was given up already is no news."""
    machine = plugged(boot)
    machine.write(HARD, hex(FIRST * 4096))
    machine.write(SOFT, hex(FIRST * 4096))
    machine.write(SOFT, hex((FIRST + 1) * 4096))
    found = [event for event in machine.kernel.journal.events if event["event"] == "page_given_up"]
    assert [(event["pfn"], event["file"]) for event in found] == [
        (FIRST, "hard_offline_page"),
        (FIRST + 1, "soft_offline_page"),
    ]


def test_a_pinned_page_does_not_move_but_can_be_lost(boot: Boot, refused: Refused) -> None:
    """EBUSY softly; the owner keeps all its pages then."""
    machine = plugged(boot)
    machine.allocate("app", "1M", zone="movable", pinned=True)
    pages = machine.kernel.state.allocations["app"].pages
    first = int(pages.starts[0])
    problem = refused(machine.write, SOFT, hex(first * 4096))
    assert str(problem) == f"EBUSY: pfn {first:#x} of 'app' is pinned"
    assert list(machine.kernel.state.allocations["app"].pages) == list(pages)
    machine.write(HARD, hex((first + 1) * 4096))
    held = machine.kernel.state.allocations["app"].pages
    assert (held.total, held.intersects(first + 1, first + 2)) == (255, False)
    assert machine.violations() == []


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (SOFT, "x", "EINVAL: soft_offline_page takes an address, not 'x'"),
        (HARD, "-1", "EINVAL: hard_offline_page takes an address, not '-1'"),
        (SOFT, hex(FIRST * 4096 + (128 << 20)), "ENXIO: pfn 0x108000 is not online"),
        (HARD, hex(FIRST * 4096 + (128 << 20)), "ENXIO: pfn 0x108000 is not online"),
        (SOFT, "4096", "EIO: pfn 0x1 belongs to the kernel"),
        (HARD, "4096", "EBUSY: pfn 0x1 belongs to the kernel"),
    ],
)
def test_refusals_name_the_page(boot: Boot, refused: Refused, path: str, value: str, message: str) -> None:
    """Of memory that is not there nothing is offline."""
    machine = plugged(boot)
    before = machine.to_dict()
    assert str(refused(machine.write, path, value)) == message
    assert machine.to_dict() == before


def test_offline_memory_is_there_and_not_online(boot: Boot, refused: Refused) -> None:
    """pfn_valid() is asked first, and only softly."""
    machine = plugged(boot)
    machine.offline("block 32")
    last = (FIRST + 32767) * 4096
    assert str(refused(machine.write, SOFT, hex(last))) == "EIO: pfn 0x107fff is not online"
    assert str(refused(machine.write, HARD, hex(last))) == "ENXIO: pfn 0x107fff is not online"
    assert str(refused(machine.write, SOFT, hex(last + 4096))) == "ENXIO: pfn 0x108000 is not online"
