"""soft_offline_page and hard_offline_page, and what a block with broken pages may do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.kernels import since

from memhotplug import Machine, MemoryHotplugError
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
