"""From a scenario's ``machine`` to a kernel: the keys that concern sizes go through by their name."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from memhotplug import InputError
from memhotplug.catalog import Installed
from memhotplug.contracts import SizesAsked, SizingRequest, sizes_of
from memhotplug.engine.boot.sizes import BootConfig
from memhotplug.formats.scenario.check import parse_args
from memhotplug.formats.scenario.models import MachineSpec
from memhotplug.machine.boot import kernel_of


def spec_of(**keys: object) -> MachineSpec:
    """Return a checked ``machine`` of an x86_64 with some keys more."""
    base = {"arch": "x86_64", "kernel": "linux-6.12", "memory": "4G"}
    spec: MachineSpec = parse_args("boot", base | keys, Installed())
    return spec


def test_every_size_is_a_key_of_machine_by_its_name() -> None:
    """A key that is new is added to the format and to one record, and copied nowhere."""
    names = [one.name for one in fields(SizesAsked)]
    asked = sizes_of(spec_of(memory_block_size="256M", physical_address_bits=40, advised_block_size="512M"))
    assert list(asked) == names
    assert (asked["memory_block_size"], asked["physical_address_bits"]) == (256 << 20, 40)
    assert asked["advised_block_size"] == 512 << 20
    for record in (BootConfig, SizingRequest):
        assert names == [one.name for one in fields(record)][: len(names)]


def test_sizes_reach_the_architecture() -> None:
    """What was asked for is what the kernel has."""
    kernel = kernel_of(spec_of(memory_block_size="256M", physical_address_bits=40, hole="1G"), ".")

    assert (kernel.geometry.memory_block_size, kernel.geometry.physical_address_bits) == (256 << 20, 40)
    assert kernel.state.blocks.id[-1] == 5 * 4 - 1
    assert kernel.state.blocks.id[11] == 11
    assert kernel.state.blocks.id[12] == 16


def test_slots_and_the_vmemmap_are_the_kernel_s() -> None:
    """They are no sizes."""
    kernel = kernel_of(spec_of(slots=3, sparsemem_vmemmap=False), ".")
    assert (kernel.slots, kernel.sparsemem_vmemmap) == (3, False)


def test_a_snapshot_that_is_not_there_is_bad_input(tmp_path: Path) -> None:
    """Its path is relative to the base."""
    with pytest.raises(InputError) as caught:
        kernel_of(parse_args("boot", {"snapshot": "nowhere"}, Installed()), str(tmp_path))
    assert caught.value.file == f"{tmp_path}/nowhere"
