"""The contract of a policy plugin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import product
from typing import ClassVar

from memhotplug.contracts import AddRequest, PhysRange
from memhotplug.engine.memory_hotplug.presence import window_driver
from memhotplug.engine.mhp_flags import set_policy
from memhotplug.errors import MemoryHotplugError
from memhotplug.machine import Machine
from memhotplug.naming import assumed_kernel
from memhotplug.testing.fingerprint import fingerprint
from memhotplug.testing.lives import Lives
from memhotplug.testing.support import balance

__all__ = ["PolicyContract"]

_BLOCKS = (1, 3)


class PolicyContract(Lives):
    """Subclass this, name it ``Test…`` and set ``name`` and ``machines``, each with its ``arch``.

    Class attributes:
        kernel: the profile to run under; empty for the one that commands assume.
        driver: the driver that the policy decides for; None for one that adds a range whole.
    """

    kernel: ClassVar[str] = ""
    driver: ClassVar[str | None] = None

    def fixed(self) -> Mapping[str, object]:
        return {"kernel": self.kernel or assumed_kernel()}

    def cases(self, parameter: str) -> Sequence[object] | None:
        return _BLOCKS if parameter == "way" else super().cases(parameter)

    def driver_of(self, machine: Machine) -> str:
        """Return the driver that the policy decides for on a machine."""
        return self.driver or window_driver(machine.kernel.arch)

    def add(self, machine: Machine, nr_blocks: int) -> str:
        """Put the driver under the policy, add some memory blocks, and return the device's name."""
        driver = self.driver_of(machine)
        set_policy(machine.kernel, driver, self.name)
        return machine.add_memory(driver=driver, size=nr_blocks * machine.kernel.geometry.memory_block_size).name

    def live(self, machine: Machine, way: object) -> None:
        """Add, online, offline and eject some blocks, after one that stays."""
        assert isinstance(way, int)
        self.add(machine, 1)
        name = self.add(machine, way)
        with suppress(MemoryHotplugError):
            machine.online(name)
            machine.offline(name)
            machine.eject(name)

    def answers(self, machine: Machine, times: int = 1) -> list[int]:
        """Return what the policy makes of ranges of several sizes on each node, whatever the driver would pass.

        Args:
            times: how often each question is asked in a row.
        """
        kernel, driver = machine.kernel, self.driver_of(machine)
        key, start = kernel.plugins.policy(self.name), kernel.state.first_free_address()
        found = []
        sizes = [count * kernel.geometry.memory_block_size for count in (1, 2, 8, 64)]
        passed = (0, *kernel.profile.flags.values())
        for nid, size, flags, _ in product((None, *kernel.state.nodes), sizes, passed, range(times)):
            answer = kernel.plugins.ask(
                key,
                "policy_mhp_flags",
                int,
                kernel=kernel,
                request=AddRequest(driver=driver, name="contract", size=size, nid=nid),
                phys_range=PhysRange(start=start, size=size, nid=nid),
                driver_flags=flags,
            )
            found.append(answer)
        return found

    def test_flags_are_known_to_the_profile(self, machine: Machine) -> None:
        """Whatever the range, its node and the driver's own flags, the answer has bits of this kernel only."""
        known = 0
        for bit in machine.kernel.profile.flags.values():
            known |= bit
        assert all(answer & ~known == 0 for answer in self.answers(machine))

    def test_questions_change_nothing(self, machine: Machine) -> None:
        """The policy is asked by plan and explain too: the answer is the same again, and nothing else is."""
        before = fingerprint(machine)
        once = self.answers(machine)
        twice = self.answers(machine, times=2)
        assert twice[::2] == twice[1::2] == once == self.answers(machine.copy())
        assert fingerprint(machine) == before

    def test_life_under_the_policy_gives_everything_back(self, machine: Machine, way: int) -> None:
        """What is added under the policy goes online, offline and out again without a trace."""
        before = balance(machine)
        name = self.add(machine, way)
        assert machine.violations() == []
        machine.online(name, zone="movable")
        machine.offline(name)
        machine.remove(name)
        assert self.unexpected(machine) == []
        assert balance(machine) == before
