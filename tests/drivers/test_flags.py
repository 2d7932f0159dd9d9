"""Which MHP flags each driver passes to add_memory(), release by release."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from memhotplug import Machine
from memhotplug.contracts import AddRequest
from memhotplug.engine.mhp_flags import flags_for

Boot = Callable[..., Machine]

NONE, HOSTS, GROUP, MERGE = "MHP_NONE", "MHP_MEMMAP_ON_MEMORY", "MHP_NID_IS_MGID", "MHP_MERGE_RESOURCE"
CASES = [
    # driver, architecture, kernel, memmap_on_memory=, the driver's own keys, flags
    ("acpi", "x86_64", "linux-5.13", "0", {}, NONE),
    ("acpi", "x86_64", "linux-5.13", "1", {}, HOSTS),
    ("acpi", "x86_64", "linux-5.15", "0", {}, GROUP),
    ("acpi", "x86_64", "linux-5.15", "1", {}, f"{HOSTS}|{GROUP}"),
    ("acpi", "x86_64", "linux-6.12", "0", {}, f"{HOSTS}|{GROUP}"),
    ("acpi", "arm64", "linux-6.12", "1", {}, f"{HOSTS}|{GROUP}"),
    ("dax", "x86_64", "linux-5.13", "1", {}, NONE),
    ("dax", "x86_64", "linux-5.15", "1", {}, GROUP),
    ("dax", "x86_64", "linux-6.12", "1", {"memmap_on_memory": False}, GROUP),
    ("dax", "x86_64", "linux-6.12", "1", {"memmap_on_memory": True}, f"{HOSTS}|{GROUP}"),
    ("virtio_mem", "x86_64", "linux-5.13", "1", {}, MERGE),
    ("virtio_mem", "x86_64", "linux-5.15", "1", {}, f"{MERGE}|{GROUP}"),
    ("virtio_mem", "x86_64", "linux-6.12", "1", {}, f"{MERGE}|{GROUP}"),
    ("hv_balloon", "x86_64", "linux-5.13", "1", {}, MERGE),
    ("hv_balloon", "x86_64", "linux-6.12", "1", {}, MERGE),
    ("xen", "x86_64", "linux-6.12", "1", {}, MERGE),
    ("probe", "x86_64", "linux-6.12", "1", {}, NONE),
    ("pseries", "powerpc", "linux-6.1", "1", {}, NONE),
    ("pseries", "powerpc", "linux-6.12", "1", {}, HOSTS),
    ("sclp", "s390", "linux-6.6", "1", {}, NONE),
    ("sclp", "s390", "linux-6.12", "1", {}, f"{HOSTS}|MHP_OFFLINE_INACCESSIBLE"),
    ("sclp", "s390", "linux-6.19", "1", {"memmap_on_memory": False}, NONE),
    ("sclp", "s390", "linux-6.19", "1", {}, HOSTS),
]


def _names(text: str) -> set[str]:
    return set(text.split("|"))


@pytest.mark.parametrize(("driver", "arch", "kernel", "parameter", "options", "flags"), CASES)
def test_flags_that_a_driver_passes(
    driver: str, arch: str, kernel: str, parameter: str, options: dict[str, object], flags: str, boot: Boot
) -> None:
    """For a range of one memory block; names, so that a bit that moves is no change."""
    cmdline = f"memory_hotplug.memmap_on_memory={parameter}"
    machine = boot(arch=arch, kernel=kernel, memory="4G", cmdline=cmdline)
    size = machine.kernel.geometry.memory_block_size
    request = AddRequest(driver=driver, name="it", size=size, options=options)
    plugins = machine.kernel.plugins
    ranges = plugins.call(plugins.driver(driver), "driver_ranges", kernel=machine.kernel, request=request)

    passed = {machine.kernel.profile.describe_flags(flags_for(machine.kernel, request, item)) for item in ranges}

    assert {frozenset(_names(text)) for text in passed} == {frozenset(_names(flags))}


@pytest.mark.parametrize("driver", ["hv_balloon", "pseries", "virtio_mem", "xen", "dax"])
def test_flags_that_the_series_does_not_have_are_not_passed(driver: str, boot: Boot) -> None:
    """The same driver under the series of 2019 asks for nothing that came later."""
    arch = "powerpc" if driver == "pseries" else "x86_64"
    machine = boot(arch=arch, kernel="v2-2019", memory="4G")
    kernel = machine.kernel
    known = 0
    for bit in kernel.profile.flags.values():
        known |= bit
    request = AddRequest(driver=driver, name="it", size=1 << 30)
    ranges = kernel.plugins.call(kernel.plugins.driver(driver), "driver_ranges", kernel=kernel, request=request)
    for item in ranges:
        assert flags_for(kernel, request, item) & ~known == 0
