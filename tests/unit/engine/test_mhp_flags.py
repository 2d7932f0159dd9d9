"""The flags of a range: the user's before a policy's before the driver's, and only bits that the kernel has."""

from __future__ import annotations

from pathlib import Path

import pytest

from memhotplug import InputError, Machine, PluginError
from memhotplug.contracts import AddRequest, PhysRange
from memhotplug.engine.mhp_flags import flags_for, parse_flags, set_policy

REQUEST = AddRequest(driver="acpi", name="d", size=1 << 30)
RANGE = PhysRange(start=8 << 30, size=1 << 30, nid=0)
POLICY = """from memhotplug.plugin import hookimpl


@hookimpl
def policy_mhp_flags(driver_flags):
    return {answer}
"""


def machine_with(tmp_path: Path, answer: str) -> Machine:
    """Return a machine that knows a policy which answers an expression."""
    path = tmp_path / "mine.py"
    path.write_text(POLICY.format(answer=answer))
    return Machine.boot(arch="x86_64", kernel="v2-2019", memory="1G", plugins=path)


def test_the_driver_decides_by_default(tmp_path: Path) -> None:
    """The series' acpi passes DEVICE."""
    assert flags_for(machine_with(tmp_path, "0").kernel, REQUEST, RANGE) == 1


def test_a_policy_decides_in_the_driver_s_stead(tmp_path: Path) -> None:
    """It gets what the driver would have answered."""
    kernel = machine_with(tmp_path, "driver_flags << 1").kernel
    set_policy(kernel, "acpi", "mine")

    assert flags_for(kernel, REQUEST, RANGE) == 2


def test_what_the_user_sets_comes_first(tmp_path: Path) -> None:
    """Neither the driver nor the policy is asked."""
    kernel = machine_with(tmp_path, "1 // 0").kernel
    set_policy(kernel, "acpi", "mine")
    kernel.flag_override["acpi"] = parse_flags(kernel, ("memblock",))

    assert flags_for(kernel, REQUEST, RANGE) == 2


def test_a_bit_that_this_kernel_does_not_have_is_blamed(tmp_path: Path) -> None:
    """Bits differ by profile: 4 is none of the series."""
    kernel = machine_with(tmp_path, "4").kernel
    set_policy(kernel, "acpi", "mine")

    with pytest.raises(PluginError) as caught:
        flags_for(kernel, REQUEST, RANGE)
    assert str(caught.value).endswith("hook policy_mhp_flags answered 0x4, which is not of v2-2019")


def test_an_unknown_flag_is_refused_with_the_nearest(tmp_path: Path) -> None:
    """The message lists the names of this profile."""
    with pytest.raises(InputError) as caught:
        parse_flags(machine_with(tmp_path, "0").kernel, ("devise",))
    assert str(caught.value) == (
        "got devise, expected an MHP flag of v2-2019: none, device, memblock, MHP_NONE, MHP_MEMMAP_DEVICE, "
        "MHP_MEMMAP_MEMBLOCK, MHP_VMEMMAP_FLAGS; did you mean 'device'?"
    )
