"""A live machine with a DIMM, without any file system around it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from memhotplug import Machine
from memhotplug.live.faults import parse_fault
from memhotplug.live.machine import LiveMachine

Alive = Callable[..., LiveMachine]


@pytest.fixture
def alive() -> Alive:
    """Return a function that makes a live machine: 4 GiB, and blocks 32-39 offline; its arguments are faults."""

    def make(*faults: str) -> LiveMachine:
        machine = Machine.boot(arch="x86_64", kernel="linux-6.12", memory="4G")
        machine.add_memory(driver="acpi", name="dimm0", size="1G")
        return LiveMachine(machine, [parse_fault(text) for text in faults])

    return make
