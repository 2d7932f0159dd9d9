"""The contract of a driver plugin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import ClassVar

from memhotplug.catalog import Installed
from memhotplug.contracts import AddRequest
from memhotplug.errors import MemoryHotplugError
from memhotplug.formats.scenario.check import parse_args
from memhotplug.keyspec import KeySpec
from memhotplug.machine import Machine
from memhotplug.manager import own_keys
from memhotplug.model.blocks import BlockState
from memhotplug.testing.support import Contract, balance, failure_points

__all__ = ["DriverContract"]


class DriverContract(Contract):
    """Subclass this, name it ``Test…`` and set ``name``, ``machines`` and ``requests``.

    Class attributes:
        kernel: the profile to run under.
        requests: keys of an ``add`` step without ``driver``, one mapping each.
        whole_blocks: whether every range that the driver adds is made of whole memory blocks.
    """

    kernel: ClassVar[str] = "v2-2019"
    requests: ClassVar[Sequence[Mapping[str, object]]] = ()
    whole_blocks: ClassVar[bool] = True

    def fixed(self) -> Mapping[str, object]:
        return {"kernel": self.kernel}

    def cases(self, parameter: str) -> Sequence[object] | None:
        return self.requests if parameter == "request_keys" else super().cases(parameter)

    def request_of(self, keys: Mapping[str, object]) -> AddRequest:
        """Return what the driver is asked when a step has these keys."""
        step = parse_args("add", {"driver": self.name, **keys}, Installed())
        return AddRequest(
            driver=step.driver,
            name=step.name or "contract",
            size=step.size,
            address=step.address,
            nid=step.node,
            options=step.options,
        )

    def add(self, machine: Machine, keys: Mapping[str, object]) -> str:
        """Add memory; return the device's name."""
        return machine.add_memory(driver=self.name, **keys).name

    def test_keys_are_declared(self) -> None:
        """Every key of the driver's own has a kind and a help text, and a name that YAML can bear."""
        for key, spec in own_keys("drivers", self.name).items():
            assert isinstance(spec, KeySpec)
            assert key.isidentifier()
            assert spec.help

    def test_ranges_are_disjoint_and_whole(self, machine: Machine, request_keys: Mapping[str, object]) -> None:
        """The ranges of a request do not overlap and, unless the driver says so, are whole blocks."""
        kernel = machine.kernel
        request = self.request_of(request_keys)
        key = kernel.plugins.driver(self.name)
        ranges = kernel.plugins.ask(key, "driver_ranges", Sequence, kernel=kernel, request=request)
        runs = sorted((item.start, item.start + item.size) for item in ranges)
        assert all(low < high for low, high in runs)
        assert all(before[1] <= after[0] for before, after in pairwise(runs))
        if self.whole_blocks:
            block = kernel.geometry.memory_block_size
            assert all(low % block == 0 and high % block == 0 for low, high in runs)

    def test_flags_are_known_to_the_profile(self, machine: Machine, request_keys: Mapping[str, object]) -> None:
        """The driver's policy names only flags that the kernel has."""
        kernel = machine.kernel
        request = self.request_of(request_keys)
        key = kernel.plugins.driver(self.name)
        known = 0
        for bit in kernel.profile.flags.values():
            known |= bit
        for item in kernel.plugins.ask(key, "driver_ranges", Sequence, kernel=kernel, request=request):
            assert kernel.flags_for(request, item) & ~known == 0

    def test_life_of_a_device_gives_everything_back(self, machine: Machine, request_keys: Mapping[str, object]) -> None:
        """Add, online, offline and eject restore the machine, or refuse with an errno and stay sound."""
        before = balance(machine)
        name = self.add(machine, request_keys)
        assert machine.violations() == []
        try:
            self.online_the_rest(machine, name)
            machine.offline(name)
            machine.eject(name)
        except MemoryHotplugError:
            assert machine.violations() == []
        else:
            assert machine.violations() == []
            assert balance(machine) == before

    def online_the_rest(self, machine: Machine, name: str) -> None:
        """Bring those blocks of a device online that are not."""
        blocks = machine.kernel.state.blocks
        for block in machine.memory(name).blocks:
            if blocks.state[blocks.rows(block, block)][0] == BlockState.OFFLINE:
                machine.online(f"block {block}", zone="movable")

    def test_half_done_adds_leave_a_sound_machine(self, machine: Machine, request_keys: Mapping[str, object]) -> None:
        """When memory runs out at any point of an add, no page is lost and every block has its device."""
        before = balance(machine)
        for copy, _ in failure_points(machine, lambda copy: self.add(copy, request_keys)):
            assert copy.violations() == []
            after = balance(copy)
            assert after.blocks[: len(before.blocks)] == before.blocks
            if after.blocks == before.blocks:
                assert after == before
            else:
                blocks = copy.kernel.state.blocks
                assert (blocks.device[~blocks.early] >= 0).all()
