"""The contract of a driver plugin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from typing import ClassVar

from memhotplug.catalog import Installed
from memhotplug.contracts import AddRequest, PhysRange
from memhotplug.engine.mhp_flags import flags_for
from memhotplug.errors import MemoryHotplugError
from memhotplug.formats.scenario.check import parse_args
from memhotplug.keyspec import KeySpec
from memhotplug.machine import Machine
from memhotplug.manager import own_keys
from memhotplug.model.blocks import BlockState
from memhotplug.naming import assumed_kernel
from memhotplug.testing.fingerprint import fingerprint
from memhotplug.testing.lives import Lives
from memhotplug.testing.support import balance, failure_points
from memhotplug.units import div_round_up

__all__ = ["DriverContract"]


class DriverContract(Lives):
    """Subclass this, name it ``Test…`` and set ``name``, ``machines`` and ``requests``.

    Class attributes:
        kernel: the profile to run under; empty for the one that commands assume.
        requests: keys of an ``add`` step without ``driver``, one mapping each.
        whole_blocks: whether every range that the driver adds is made of whole memory blocks.
    """

    kernel: ClassVar[str] = ""
    requests: ClassVar[Sequence[Mapping[str, object]]] = ()
    whole_blocks: ClassVar[bool] = True

    def fixed(self) -> Mapping[str, object]:
        return {"kernel": self.kernel or assumed_kernel()}

    def cases(self, parameter: str) -> Sequence[object] | None:
        return self.requests if parameter in ("request_keys", "way") else super().cases(parameter)

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

    def live(self, machine: Machine, way: object) -> None:
        """Add twice, online what is not, offline and eject the second."""
        assert isinstance(way, Mapping)
        for _ in range(2):
            with suppress(MemoryHotplugError):
                name = self.add(machine, {key: value for key, value in way.items() if key != "address"})
                self.online_the_rest(machine, name)
                machine.offline(name)
        with suppress(MemoryHotplugError):
            machine.eject(name)

    def ask(self, machine: Machine, keys: Mapping[str, object]) -> list[tuple[PhysRange, int]]:
        """Return the ranges that a request makes the driver add, each with the flags that it passes."""
        kernel, request = machine.kernel, self.request_of(keys)
        key = kernel.plugins.driver(self.name)
        ranges = kernel.plugins.ask(key, "driver_ranges", Sequence, kernel=kernel, request=request)
        return [(item, flags_for(kernel, request, item)) for item in ranges]

    def test_questions_change_nothing(self, machine: Machine, request_keys: Mapping[str, object]) -> None:
        """Ranges and flags are asked for by plan and explain too: the answer is the same again, and nothing else is."""
        before = fingerprint(machine)
        first = self.ask(machine, request_keys)
        assert fingerprint(machine) == before
        assert self.ask(machine, request_keys) == first
        assert self.ask(machine.copy(), request_keys) == first

    def test_what_is_answered_is_added(self, machine: Machine, request_keys: Mapping[str, object]) -> None:
        """On a machine with room the blocks are there afterwards, where the ranges are and on the node asked for."""
        before = balance(machine)
        block = machine.kernel.geometry.memory_block_size
        promised = [item for item, _ in self.ask(machine, request_keys)]
        blocks = machine.memory(self.add(machine, request_keys)).blocks
        assert blocks
        assert balance(machine).blocks[: len(before.blocks)] == before.blocks
        for item in promised:
            assert set(range(item.start // block, div_round_up(item.start + item.size, block))) & set(blocks)
        assert all(
            any(item.start // block <= one <= (item.start + item.size - 1) // block for item in promised)
            for one in blocks
        )
        wanted = request_keys.get("node")
        rows = [row for row in balance(machine).blocks if row[0] in blocks]
        assert wanted is None or {row[2] for row in rows} == {wanted}

    def test_odd_sizes_are_refused_or_made_whole(self, machine: Machine) -> None:
        """Parts of blocks, a byte, and more than can be addressed end in blocks or in an errno, never in a fault."""
        geometry = machine.kernel.geometry
        for size in (1, geometry.page_size, geometry.memory_block_size * 3 // 2, 1 << geometry.physical_address_bits):
            copy = machine.copy()
            with suppress(MemoryHotplugError):
                copy.add_memory(driver=self.name, size=size)
            assert copy.violations() == []

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
            assert flags_for(kernel, request, item) & ~known == 0

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
            assert machine.kernel.state.device_index(name) is None

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
