"""The classes in which a recorded result and the model's are compared."""

from __future__ import annotations

import pytest

from memhotplug.commands.conform.outcome import Outcome, model_class
from memhotplug.formats.snapshot import RecordedOp, RecordedStep


@pytest.mark.parametrize(
    ("kind", "result", "errno", "compared"),
    [
        ("add", "failed", "EINVAL", "failed: not whole memory blocks"),
        ("add", "failed", "ENOMEM", "failed"),
        ("add", "ok", None, "ok"),
        ("online", "EINVAL", "EINVAL", "EINVAL"),
        ("remove", "failed", "EINVAL", "failed"),
    ],
)
def test_only_an_add_is_refused_for_its_shape(kind: str, result: str, errno: str | None, compared: str) -> None:
    """EINVAL of an add says that the device is not made of whole memory blocks; elsewhere it says nothing more."""
    step = RecordedStep(
        index=1, op=RecordedOp(kind=kind), result=None, results={}, files=None, kpageflags=None, blocks_left=None,
        seconds=None, dmesg=(),
    )  # fmt: skip

    assert model_class(Outcome(result=result, errno=errno), step) == compared
