"""The contract of a profile plugin."""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memhotplug.engine.memory_hotplug.presence import window_driver
from memhotplug.engine.profile import KernelProfile
from memhotplug.errors import InputError, MemoryHotplugError
from memhotplug.machine import Machine
from memhotplug.testing.lives import Lives
from memhotplug.testing.steps import own_steps, trace_steps, whole_life
from memhotplug.testing.support import balance, boot

__all__ = ["ProfileContract"]

_OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(("add", "online", "online movable", "offline", "remove", "eject", "copy")),
        st.integers(min_value=0, max_value=3),
        st.integers(min_value=0, max_value=7),
    ),
    max_size=12,
)


class ProfileContract(Lives):
    """Subclass this, name it ``Test…`` and set ``name`` and ``machines``, each with its ``arch``.

    Class attributes:
        driver: the driver that adds memory in these tests; None for one that adds a range whole.
    """

    driver: ClassVar[str | None] = None

    def fixed(self) -> Mapping[str, object]:
        return {"kernel": self.name}

    def cases(self, parameter: str) -> Sequence[object] | None:
        if parameter in ("flag", "way"):
            return list(boot({**self.fixed(), **self.machines[0]}).kernel.profile.short_flags)
        if parameter == "event":
            return ["MEM_GOING_ONLINE", "MEM_GOING_OFFLINE"]
        return super().cases(parameter)

    def add(self, machine: Machine, nr_blocks: int, **keys: object) -> str:
        """Add some memory blocks; return the device's name."""
        size = str(nr_blocks * machine.kernel.geometry.memory_block_size)
        return machine.add_memory(driver=self.driver or window_driver(machine.kernel.arch), size=size, **keys).name

    def live(self, machine: Machine, way: object) -> None:
        """Add, online, offline and remove two blocks, after one that stays."""
        machine.online(self.add(machine, 1, mhp_flags=way))
        name = self.add(machine, 2, mhp_flags=way)
        for operation in (machine.online, machine.offline, machine.remove):
            operation(name)

    def test_profile_says_what_it_is(self, machine: Machine) -> None:
        """Name, version and flags are there; every flag is one bit, and short names lead to flags."""
        profile = machine.kernel.profile
        assert isinstance(profile, KernelProfile)
        assert profile.name == self.name
        assert len(profile.version) == 2
        bits = list(profile.flags.values())
        assert all(bit > 0 and bit & (bit - 1) == 0 for bit in bits)
        assert len(set(bits)) == len(bits)
        assert set(profile.short_flags.values()) <= {*profile.flags, "MHP_NONE"}
        assert profile.short_flags["none"] == "MHP_NONE"

    def test_every_step_of_its_own_is_called(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What the class overrides is called on one of the machines; an override that never is would be silent."""
        machines = [{**self.fixed(), **keywords} for keywords in self.machines]
        kind = type(boot(machines[0]).kernel.profile)
        own, called = own_steps(kind), trace_steps(kind, monkeypatch)
        for keywords in machines:
            machine = Machine.boot(**keywords)
            whole_life(machine, self.driver or window_driver(machine.kernel.arch))
            if own <= called:
                break
        assert sorted(own - called) == []

    def test_profile_keeps_no_state_of_its_own(self, machine: Machine) -> None:
        """Machines with one profile do not share anything that changes."""
        copy = machine.copy()
        assert copy.kernel.state.profile is not machine.kernel.state.profile
        before = machine.to_dict()
        copy.online(self.add(copy, 1))
        assert machine.to_dict() == before

    def test_unknown_flag_is_bad_input(self, machine: Machine) -> None:
        """A flag that this kernel does not have is the user's mistake, not the kernel's refusal."""
        with pytest.raises(InputError):
            machine.add_memory(
                driver=self.driver or window_driver(machine.kernel.arch), size="1G", mhp_flags="no_such_flag"
            )

    def test_life_of_memory_restores_the_machine(self, machine: Machine, flag: str) -> None:
        """Add, online, offline and remove leave zones, blocks and pages as they were."""
        before = balance(machine)
        name = self.add(machine, 2, mhp_flags=flag)
        machine.online(name, zone="movable")  # in an empty kernel zone the kernel itself would take pages
        assert self.unexpected(machine) == []
        for operation in (machine.offline, machine.remove):
            operation(name)
            assert self.unexpected(machine) == []
        assert balance(machine) == before

    def test_onlined_memory_is_counted_whole(self, machine: Machine, flag: str) -> None:
        """present grows by every page of the range, managed by those that hold no memmap of its own."""
        before = _totals(machine)
        name = self.add(machine, 2, mhp_flags=flag)
        assert _totals(machine) == before
        machine.online(name)
        pages = 2 * machine.kernel.geometry.pages_per_block
        hosted = sum(
            int(count)
            for block, count in zip(
                machine.kernel.state.blocks.id.tolist(), machine.kernel.state.vmemmap_pages_by_block(), strict=True
            )
            if block in machine.memory(name).blocks
        )
        present, managed = _totals(machine)
        assert (present - before[0], managed - before[1]) == (pages, pages - hosted)

    def test_all_blocks_tell_what_each_of_them_tells(self, machine: Machine) -> None:
        """The description of a machine says of every block what its own ``valid_zones`` reads."""
        name = self.add(machine, 4)
        machine.online(f"block {machine.memory(name).blocks[1]}", zone="movable")
        for block in machine.to_dict()["blocks"]:
            shown = machine.read(f"memory/memory{block['id']}/valid_zones").split()
            assert (block["valid_zones"] or ["none"]) == shown

    def test_vetoed_change_changes_no_counter(self, machine: Machine, event: str) -> None:
        """A veto ends the request with the notifier's errno and every counter as it was."""
        name = self.add(machine, 1)
        if event == "MEM_GOING_OFFLINE":
            machine.online(name, zone="movable")
        before = balance(machine)
        request = machine.offline if event == "MEM_GOING_OFFLINE" else machine.online
        with pytest.raises(MemoryHotplugError) as caught:
            request(name, veto={"event": event, "errno": "EBUSY"})
        assert caught.value.errno == errno.EBUSY
        assert balance(machine) == before
        assert self.unexpected(machine) == []

    def test_online_memory_is_not_removed(self, machine: Machine, flag: str) -> None:
        """remove_memory() refuses while a block is online and changes nothing."""
        name = self.add(machine, 2, mhp_flags=flag)
        machine.online(name)
        before = machine.to_dict()
        with pytest.raises(MemoryHotplugError) as caught:
            machine.remove(name)
        assert caught.value.errno == errno.EBUSY
        assert machine.to_dict() == before

    @settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(operations=_OPERATIONS)
    def test_any_order_of_operations_stays_sound(
        self, keywords: Mapping[str, object], operations: list[tuple[str, int, int]]
    ) -> None:
        """Whatever is asked in whatever order, it is done or refused, and no invariant breaks."""
        machine = boot(keywords)
        flags = list(machine.kernel.profile.short_flags)
        for operation, device, choice in operations:
            with suppress(MemoryHotplugError, InputError):
                machine = self._apply(machine, operation, f"m{device}", choice, flags)
            assert self.unexpected(machine) == []

    def _apply(self, machine: Machine, operation: str, name: str, choice: int, flags: list[str]) -> Machine:
        if operation == "copy":
            return machine.copy()
        if operation == "add":
            self.add(machine, 1 + choice % 3, name=name, mhp_flags=flags[choice % len(flags)])
        elif operation.startswith("online"):
            machine.online(name, zone="movable" if operation.endswith("movable") else "auto")
        elif operation == "offline":
            machine.offline(name)
        elif operation == "remove":
            machine.remove(name)
        else:
            machine.eject(name)
        return machine


def _totals(machine: Machine) -> tuple[int, int]:
    zones = list(machine.kernel.state.zones())
    return sum(zone.present for zone in zones), sum(zone.managed for zone in zones)
