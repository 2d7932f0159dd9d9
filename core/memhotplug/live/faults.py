"""Faults and delays on demand: ``MEM_GOING_ONLINE=ENOMEM``, ``offline:34=EBUSY``, ``online:32-39=EINVAL*2``.

A fault of an operation on a block is a notifier that refuses it, as a driver's would; what is written down of it
is therefore a ``veto`` that a scenario can repeat.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from memhotplug.engine.kernel import Kernel
from memhotplug.errors import InputError, errno_number, nearest
from memhotplug.formats.scenario.models import VETOABLE_EVENTS, Veto

__all__ = ["DELAYED", "Fault", "Faults", "parse_delay", "parse_fault", "veto_of"]

DELAYED: Final = ("online", "offline", "add", "eject", "resize", "write")
"""The operations that can be slowed down."""

_EVENT_OF: Final = {"online": "MEM_GOING_ONLINE", "offline": "MEM_GOING_OFFLINE"}
_SPEC: Final = re.compile(
    r"([A-Za-z_]+)(?::([0-9]{1,9})(?:-([0-9]{1,9}))?)?=([A-Z0-9]+)(?:\*([1-9][0-9]{0,8}))?", re.ASCII
)
_DELAY: Final = re.compile(r"([a-z]+)=([0-9]{1,8})", re.ASCII)
_WANTED: Final = "a fault such as MEM_GOING_ONLINE=ENOMEM, offline:34=EBUSY or online:32-39=EINVAL*2"


@dataclass(slots=True)
class Fault:
    """Something that is to go wrong.

    Attributes:
        event: the notifier event that is refused.
        errno: the errno's name.
        blocks: first and last block that it holds for, None for all.
        left: how often it is still to come, None for ever.
    """

    event: str
    errno: str
    blocks: tuple[int, int] | None = None
    left: int | None = None

    def holds(self, direction: str, block: int | None) -> bool:
        """Whether it is to come in an operation (``online`` or ``offline``) on a block, None for an unknown one."""
        if self.left == 0 or not self.event.endswith(direction.upper()):
            return False
        return self.blocks is None or (block is not None and self.blocks[0] <= block <= self.blocks[1])


def parse_fault(text: str) -> Fault:
    """Return the fault that a word of ``--fail`` means.

    Raises:
        InputError: it means none.
    """
    match = _SPEC.fullmatch(text)
    if match is None:
        raise InputError(_WANTED, got=repr(text), path="--fail")
    what, first, last, error, times = match.groups()
    known = (*_EVENT_OF, *VETOABLE_EVENTS)
    if what not in known:
        raise InputError(f"one of {', '.join(known)}", got=what, path="--fail", nearest=nearest(what, known))
    try:
        errno_number(error)
    except ValueError as problem:
        raise InputError(str(problem).partition(",")[0], got=error, path="--fail") from None
    if first is not None and what not in _EVENT_OF:
        raise InputError("blocks behind online or offline only", got=repr(text), path="--fail")
    blocks = None if first is None else (int(first), int(last or first))
    if blocks is not None and blocks[1] < blocks[0]:
        raise InputError("blocks in ascending order", got=f"{first}-{last}", path="--fail")
    return Fault(_EVENT_OF.get(what, what), error, blocks, None if times is None else int(times))


def parse_delay(text: str) -> tuple[str, float]:
    """Return the operation and the seconds that a word of ``--delay`` means.

    Raises:
        InputError: it means none.
    """
    match = _DELAY.fullmatch(text)
    if match is None:
        raise InputError("a delay in milliseconds such as online=200", got=repr(text), path="--delay")
    if match[1] not in DELAYED:
        raise InputError(
            f"one of {', '.join(DELAYED)}", got=match[1], path="--delay", nearest=nearest(match[1], DELAYED)
        )
    return match[1], int(match[2]) / 1000


class Faults:
    """All faults of a live machine.

    Args:
        faults: the first that holds comes.
        kernel: the machine, which must have the events.

    Raises:
        InputError: its kernel does not have an event.
    """

    def __init__(self, faults: Sequence[Fault], kernel: Kernel) -> None:
        self._faults = list(faults)
        have = kernel.profile.event_names
        for fault in faults:
            if fault.event not in have:
                known = [event for event in have if event in VETOABLE_EVENTS]
                expected = f"an event of {kernel.profile.name}: {', '.join(known)}"
                raise InputError(expected, got=fault.event, path="--fail")

    def find(self, direction: str | None, block: int | None) -> Fault | None:
        """Return the fault that is to come in an operation, None if it may go well."""
        if direction is None:
            return None
        return next((fault for fault in self._faults if fault.holds(direction, block)), None)

    def came(self, fault: Fault) -> None:
        """Note that a fault has come, once."""
        if fault.left is not None:
            fault.left -= 1


def veto_of(fault: Fault | None) -> Veto | None:
    """Return the veto that a fault is in a scenario."""
    return None if fault is None else Veto(event=fault.event, errno=fault.errno)
