"""One range of a driver: what it is recorded as, and that a refusal leaves nothing but its notes."""

from __future__ import annotations

import pytest

from memhotplug import Machine, MemoryHotplugError
from memhotplug.contracts import AddRequest, PhysRange
from memhotplug.engine.kernel import Kernel

GIB = 1 << 30
REQUEST = AddRequest(driver="acpi", name="d", size=GIB)


@pytest.fixture
def kernel() -> Kernel:
    """Return the kernel of a machine with memory up to 4 GiB, whose driver passes no flags."""
    keywords = {"arch": "x86_64", "kernel": "linux-6.12", "memory": "4G", "physical_address_bits": 40}
    return Machine.boot(**keywords, drivers={"acpi": {"mhp_flags": "none"}}).kernel


def test_ranges_of_a_device_are_kept_ascending(kernel: Kernel) -> None:
    """In whatever order they come."""
    for start in (16, 8, 12):
        kernel.add_range(REQUEST, PhysRange(start=start * GIB, size=GIB, nid=0))

    assert kernel.state.devices[0].ranges == ((8 * GIB, GIB), (12 * GIB, GIB), (16 * GIB, GIB))


@pytest.mark.parametrize(
    ("start", "size", "text"),
    [
        (1 << 40, GIB, "E2BIG: 1G at 0x10000000000 ends beyond 40 physical address bits (1T)"),
        (1 * GIB, GIB, "EEXIST"),
        (8 * GIB, GIB + 4096, "EINVAL"),
        (8 * GIB, 0, "EINVAL"),
    ],
)
def test_a_refusal_is_noted_and_leaves_nothing(kernel: Kernel, start: int, size: int, text: str) -> None:
    """Neither memory nor address space; the device stays known, without a range."""
    resources = list(kernel.state.resources)

    with pytest.raises(MemoryHotplugError) as caught:
        kernel.add_range(REQUEST, PhysRange(start=start, size=size, nid=0, withheld=4096, backed=0))

    assert str(caught.value).startswith(text)
    assert kernel.step.add_errors == [caught.value]
    assert kernel.journal.events[-1] == {
        "event": "add_failed",
        "device": "d",
        "start": start,
        "size": size,
        "errno": caught.value.name,
    }
    assert list(kernel.state.resources) == resources
    assert (kernel.state.withheld.total, kernel.state.unbacked.total) == (0, 0)
    assert kernel.state.devices[0].ranges == ()


def test_what_the_hypervisor_does_not_back_and_what_the_driver_withholds_is_known(kernel: Kernel) -> None:
    """The tail of the range, in pages."""
    kernel.add_range(REQUEST, PhysRange(start=8 * GIB, size=GIB, nid=0, backed=GIB // 2, withheld=GIB // 4))

    first, pages = 8 * GIB >> 12, GIB >> 12
    assert list(kernel.state.unbacked) == [(first + pages // 2, first + pages)]
    assert list(kernel.state.withheld) == [(first + pages * 3 // 4, first + pages)]


def test_memory_ends_where_the_command_line_ends_it() -> None:
    """mem= is the end of what can be added, too, where the kernel has it so."""
    kernel = Machine.boot(arch="x86_64", kernel="v2-2019", memory="4G", cmdline="mem=4G").kernel

    with pytest.raises(MemoryHotplugError) as caught:
        kernel.check_reach(8 * GIB, GIB)
    assert str(caught.value) == "E2BIG: 1G at 0x200000000 ends beyond 4G, where mem= ends memory"
