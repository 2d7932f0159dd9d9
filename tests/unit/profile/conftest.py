"""Machines with the series, and one DIMM of 1 GiB at 4 GiB."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import pytest

from memhotplug import Machine

WithDimm: TypeAlias = Callable[..., Machine]


@pytest.fixture
def with_dimm(boot: Callable[..., Machine]) -> WithDimm:
    """Return a function that boots a machine and adds "dimm0", 1 GiB in blocks 32-39."""

    def make(flag: str = "device", **keywords: object) -> Machine:
        machine = boot(**keywords)
        machine.add_memory(driver="acpi", name="dimm0", size="1G", mhp_flags=flag)
        return machine

    return make
