"""What a range of a scenario means on a machine."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from memhotplug import InputError, Machine, MemoryHotplugError
from memhotplug.formats.scenario.ranges import RangeSpec, parse_range
from memhotplug.ranges import block_ids, byte_ranges, check_name, device_of

Boot = Callable[..., Machine]
Refused = Callable[..., MemoryHotplugError]
MIB = 1 << 20


@pytest.fixture
def machine(boot: Boot) -> Machine:
    """Return a machine with three devices, one of them of several ranges."""
    machine = boot(kernel="linux-6.12")
    machine.add_memory(driver="acpi", name="dimm", resources=["256M", "128M"])
    machine.add_memory(driver="virtio_mem", name="region", size="256M", device_size="512M", address="0x180000000")
    machine.add_memory(driver="acpi", name="far", size="128M", address="0x200000000")
    return machine


def spec(text: str) -> RangeSpec:
    """Return what a scenario's text means."""
    return parse_range(text)


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("dimm", [32, 33, 34]),
        ("far", [64]),
        ("block 3", [3]),
        ("block 30-33", [30, 31, 32, 33]),
        ("0x100000000+256M", [32, 33]),
        ("0x8000000+128M", [1]),
    ],
)
def test_blocks_of_a_range(text: str, ids: list[int], machine: Machine) -> None:
    """By name, by number, by address."""
    assert block_ids(machine.kernel, spec(text)) == ids


@pytest.mark.parametrize(
    ("text", "ids"), [("block 60-70", [60, 61, 62, 63, 64, 65]), ("block 100-200000", [100]), ("block 65", [65])]
)
def test_blocks_that_do_not_exist_are_asked_for_once(text: str, ids: list[int], machine: Machine) -> None:
    """The first of them is refused, so that a million more make no difference."""
    assert block_ids(machine.kernel, spec(text)) == ids


@pytest.mark.parametrize("text", ["0x100000000+100M", "0x100100000+128M", "0x100000001+128M"])
def test_bytes_that_are_no_blocks_are_refused(text: str, machine: Machine, refused: Refused) -> None:
    """With the block size."""
    problem = refused(block_ids, machine.kernel, spec(text))
    assert problem.name == "EINVAL"
    assert problem.reason.endswith("is not made of whole memory blocks of 0x8000000 bytes")


@pytest.mark.parametrize(
    ("text", "ranges"),
    [
        ("dimm", [(4096 * MIB, 384 * MIB)]),
        ("region", [(6144 * MIB, 256 * MIB)]),
        ("block 2-3", [(256 * MIB, 256 * MIB)]),
        ("0x1000+4K", [(0x1000, 0x1000)]),
    ],
)
def test_bytes_of_a_range(text: str, ranges: list[tuple[int, int]], machine: Machine) -> None:
    """Ranges of a device stay apart; bytes are taken as they are."""
    assert byte_ranges(machine.kernel, spec(text)) == ranges


def test_memory_that_is_gone_has_neither(machine: Machine, refused: Refused) -> None:
    """Its name was given, so that it is no typing error: the machine answers."""
    machine.remove("far")

    check_name(machine.kernel, spec("far"))
    assert str(refused(block_ids, machine.kernel, spec("far"))) == "ENOENT: there is no memory block of 'far'"
    assert str(refused(byte_ranges, machine.kernel, spec("far"))) == "ENODEV: there is no memory of 'far'"
    assert refused(device_of, machine.kernel, "far").name == "ENODEV"


def test_devices_are_found_by_name(machine: Machine) -> None:
    """In the order in which they came."""
    assert [device_of(machine.kernel, name) for name in ("dimm", "region", "far")] == [0, 1, 2]


def test_a_name_that_was_never_given_is_bad_input(machine: Machine) -> None:
    """With the names that were, and the nearest of them."""
    with pytest.raises(InputError) as caught:
        check_name(machine.kernel, spec("dim"))
    assert str(caught.value) == (
        "got dim, expected the name of memory that was added (dimm, far, region); did you mean 'dimm'?"
    )


def test_without_any_memory_there_is_no_name(boot: Boot) -> None:
    """And none is near."""
    with pytest.raises(InputError) as caught:
        check_name(boot(kernel="linux-6.12").kernel, spec("dimm"))
    assert str(caught.value) == "got dimm, expected the name of memory that was added (there is none)"


@pytest.mark.parametrize("text", ["block 5", "block 900", "0x0+1G"])
def test_what_is_no_name_needs_none(text: str, boot: Boot) -> None:
    """Numbers are checked when they are used."""
    check_name(boot(kernel="linux-6.12").kernel, spec(text))
