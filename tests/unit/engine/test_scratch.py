"""Notes of one operation: a copy says the same and is independent."""

from __future__ import annotations

import errno

from memhotplug.contracts import MemoryEvent
from memhotplug.engine.scratch import Scratch
from memhotplug.errors import MemoryHotplugError


def test_fresh_notes_are_empty_and_so_is_their_copy() -> None:
    """A copy of nothing shares nothing either."""
    notes = Scratch()
    twin = notes.copy()

    twin.vetoes[MemoryEvent.MEM_GOING_ONLINE] = errno.ENOMEM
    twin.add_errors.append(MemoryHotplugError(errno.EINVAL, "no"))

    assert notes.vetoes == {}
    assert notes.add_errors == []


def test_a_copy_says_the_same_and_is_independent() -> None:
    """What the copy forgets is still noted here."""
    problem = MemoryHotplugError(errno.EINVAL, "no")
    notes = Scratch()
    notes.vetoes[MemoryEvent.MEM_GOING_OFFLINE] = errno.EBUSY
    notes.add_errors.append(problem)

    twin = notes.copy()
    assert (twin.vetoes, twin.add_errors) == ({MemoryEvent.MEM_GOING_OFFLINE: errno.EBUSY}, [problem])
    twin.vetoes.clear()
    twin.add_errors.clear()

    assert (notes.vetoes, notes.add_errors) == ({MemoryEvent.MEM_GOING_OFFLINE: errno.EBUSY}, [problem])
