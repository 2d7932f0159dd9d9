"""What the model makes of one operation, and the class by which results are compared."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from memhotplug.formats.snapshot import RecordedStep

__all__ = ["FAILED", "NOT_WHOLE_BLOCKS", "Outcome", "model_class", "recorded_class"]

FAILED = "failed"
NOT_WHOLE_BLOCKS = "failed: not whole memory blocks"
"""How a recording tells that a device was refused for its size or place (EINVAL)."""


class Outcome(NamedTuple):
    """What the model makes of one operation.

    Attributes:
        result: ``ok``, an errno's name, or ``failed`` for a device.
        errno: the name of a failed operation's errno, a device's too; None if it succeeded.
        results: by block, for online and offline.
        asked: the blocks that the operation is about.
        blocks: which of them exist afterwards.
        undetermined: blocks of which nobody can say whether they may go offline.
        own: whether the operation is about the guest's own and no model of memory hotplug can know its result.
        told: whether page flags that were recorded before the step had a say in it.
    """

    result: str
    errno: str | None = None
    results: Mapping[int, str] = MappingProxyType({})
    asked: tuple[int, ...] = ()
    blocks: tuple[int, ...] = ()
    undetermined: tuple[int, ...] = ()
    own: bool = False
    told: bool = False


def model_class(outcome: Outcome, step: RecordedStep) -> str:
    """Return the class of the model's result: an unaligned device is told from one for which memory was short."""
    if step.op.kind in ("resize", "hog"):
        return FAILED if outcome.result == FAILED else "ok"
    if step.op.kind == "add" and outcome.errno == "EINVAL":
        return NOT_WHOLE_BLOCKS
    return outcome.result


def recorded_class(result: str, step: RecordedStep) -> str:
    """Return the class of a recorded result; texts do not count.

    ``failed: n of m blocks appeared`` is a failure for whatever reason but the device's shape;
    ``failed: ACPI_DEVICE_OST`` and the like, of a remove, are failed ejects.
    """
    if step.op.kind == "add" and result.startswith(NOT_WHOLE_BLOCKS):
        return NOT_WHOLE_BLOCKS
    return FAILED if result.startswith(FAILED) else result.partition(":")[0]
