"""Keys that plugins may not take for their own."""

from memhotplug.formats.scenario.models import AddStep, MachineSpec
from memhotplug.keyspec import COMMON_KEYS


def test_common_keys_are_those_of_the_format() -> None:
    """Every key of an add step and of a machine, and of the step around them."""
    assert COMMON_KEYS["drivers"] == {*AddStep.fields, "fails", "veto"}
    assert set(MachineSpec.fields) - {"rzm"} <= COMMON_KEYS["arch"]
