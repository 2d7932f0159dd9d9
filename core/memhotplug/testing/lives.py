"""What holds of every plugin, whatever its kind: it depends on nothing but what it is asked."""

from __future__ import annotations

import random
from collections.abc import Mapping

from memhotplug.machine import Machine
from memhotplug.testing.fingerprint import fingerprint
from memhotplug.testing.support import Contract, boot, everything_said

__all__ = ["Lives"]

_TIMES = 4  # that a life is lived: a coin that is tossed for each of several ranges falls differently once


class Lives(Contract):
    """A contract whose plugin lives through something; the kind of plugin says what (:meth:`live`)."""

    def live(self, machine: Machine, way: object) -> None:
        """Use the plugin in one of the ways that ``cases("way")`` lists; refusals are swallowed."""
        raise NotImplementedError

    def test_the_same_steps_give_the_same_machine(self, keywords: Mapping[str, object], way: object) -> None:
        """No clock, no random numbers, no memory of other machines: every time all is the same, to the page."""
        seed = random.getstate()
        first = Machine.boot(**keywords)
        assert fingerprint(first) == fingerprint(boot(keywords))
        self.live(first, way)
        expected = fingerprint(first)
        for _ in range(_TIMES):
            again = boot(keywords)
            self.live(again, way)
            assert fingerprint(again) == expected
        assert random.getstate() == seed, "the plugin takes random numbers"

    def test_the_life_of_a_copy_is_its_own(self, machine: Machine, way: object) -> None:
        """Copies share arrays and notes, so none may be written in place: the original does not change."""
        self.live(machine, way)
        before = fingerprint(machine)
        copy = machine.copy()
        self.live(copy, way)
        assert fingerprint(machine) == before

    def test_nothing_is_printed(self, keywords: Mapping[str, object], way: object) -> None:
        """What is to be said is a message, a warning or an event."""
        with everything_said() as said:
            self.live(Machine.boot(**keywords), way)
        assert said == [""]
