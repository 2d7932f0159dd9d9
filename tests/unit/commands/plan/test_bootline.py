"""What a fresh guest's command line takes of its memory."""

from __future__ import annotations

import json

import pytest
from tests.unit.commands.plan.conftest import Plan

from memhotplug.commands.plan.bootline import not_counted
from memhotplug.engine.boot.guest import crash_kernel

MIB = 1 << 20
GIB = 1 << 30


@pytest.mark.parametrize(
    ("cmdline", "boot", "taken"),
    [
        ("quiet", GIB, 0),
        ("crashkernel=256M", GIB, 256 * MIB),
        ("crashkernel=256M@16M quiet", GIB, 256 * MIB),
        ("crashkernel=256M,high", GIB, 256 * MIB),
        ("crashkernel=1G-4G:192M,4G-64G:256M,64G-:512M", GIB // 2, 0),
        ("crashkernel=1G-4G:192M,4G-64G:256M,64G-:512M", GIB, 192 * MIB),
        ("crashkernel=1G-4G:192M,4G-64G:256M,64G-:512M", 4 * GIB, 256 * MIB),
        ("crashkernel=1G-4G:192M,4G-64G:256M,64G-:512M@16M", 64 * GIB, 512 * MIB),
    ],
)
def test_a_crash_kernel_takes_what_its_parameter_says(cmdline: str, boot: int, taken: int) -> None:
    """A size, or one for each range of sizes."""
    assert crash_kernel(cmdline, boot) == taken


def test_a_crash_kernel_is_missing_from_what_is_free(plan: Plan) -> None:
    """And the assumption says how much it is, and what else is not counted."""
    plain, taken = (
        json.loads(plan("--boot", "1G", "--add", "1G", "--cmdline", line, "--json")[1])
        for line in ("quiet", "crashkernel=256M hugepages=4")
    )

    assert plain["free"]["before_bytes"] - taken["free"]["before_bytes"] == 256 * MIB
    assumptions = " ".join(taken["assumptions"])
    assert "no SWIOTLB, 256M for a crash kernel" in assumptions
    assert "what hugepages=4 takes of boot memory is not counted" in assumptions
    assert not_counted("quiet hugepages=") == []


def test_a_crash_kernel_of_no_size_is_refused(plan: Plan) -> None:
    """One line, with the forms that there are."""
    expected = "crashkernel=SIZE[@OFFSET] or crashkernel=START-END:SIZE,… (a size such as 128M, 1GiB or 0x8000000)"

    assert plan("--boot", "1G", "--add", "1G", "--cmdline", "crashkernel=lots") == (
        2,
        "",
        f"mhp: --cmdline: got crashkernel=lots, expected {expected}\n",
    )


def test_a_negative_address_is_no_address(plan: Plan) -> None:
    """It is refused as such, not for its alignment."""
    status, out, error = plan("--boot", "1G", "--add", "1G", "--address", "-4096")

    assert (status, out) == (2, "")
    assert error.startswith("mhp: invalid value for '--address': got '-4096', expected an address such as 0x100000000")
