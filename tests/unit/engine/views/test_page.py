"""One struct page as a value: what it says, and that it is one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import FrozenInstanceError

import pytest

import memhotplug
from memhotplug import Machine, PageFlag
from memhotplug.engine.views.page import Page

Boot = Callable[..., Machine]
FIRST = 1 << 20  # the first pfn above 4 GiB


def test_it_says_what_its_row_says(boot: Boot) -> None:
    """-1 is None here, a zone is its name; the head of a free chunk says the order."""
    machine = boot(kernel="linux-6.12")
    machine.add_memory(driver="acpi", name="dimm", size="128M")
    machine.online("block 32", zone="movable")
    page = machine.page(FIRST)

    assert page.backing is not None
    assert page == Page(
        pfn=FIRST, flags=PageFlag.BUDDY, refcount=0, private=10, head=None, mapping=0, zone="Movable", node=0,
        backing=page.backing,
    )  # fmt: skip
    assert machine.page(FIRST + 1) != page


def test_it_is_a_value_of_the_package(boot: Boot) -> None:
    """Nobody changes it, and it can be a key."""
    page = boot(kernel="linux-6.12").page(0)

    assert memhotplug.Page is Page
    assert {page: 1}[boot(kernel="linux-6.12").page(0)] == 1
    with pytest.raises(FrozenInstanceError):
        page.refcount = 2  # type: ignore[misc]  # that is what is refused
