"""Which flags count: filtering with warnings, and the user's switch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from memhotplug import InputError, Machine, MemoryHotplugError
from memhotplug.engine.mhp_flags import parse_flags
from memhotplug.plugin import Altmap
from memhotplug_profiles.v2_2019.marks import mark_vmemmap_pages

Boot = Callable[..., Machine]
Refused = Callable[..., MemoryHotplugError]
SWITCH = "memory/vmemmap_hotplug"
BOTH = "MHP_MEMMAP_DEVICE and MHP_MEMMAP_MEMBLOCK exclude each other; all flags are dropped"
NO_VMEMMAP = "vmemmap flags need SPARSEMEM_VMEMMAP; all flags are dropped"


def memmap(machine: Machine) -> tuple[int, int]:
    """Return the pages of hot-added memmap that are self-hosted, and that are allocated."""
    totals: Any = machine.to_dict()["memmap"]
    return totals["self_hosted_pages"], totals["allocated_pages"]


def test_flag_bits_are_those_of_the_series(boot: Boot) -> None:
    """DEVICE is bit 0, MEMBLOCK bit 1, by short and by kernel names."""
    kernel = boot().kernel

    assert [kernel.flag(name) for name in ("device", "MHP_MEMMAP_DEVICE")] == [1, 1]
    assert [kernel.flag(name) for name in ("memblock", "MHP_MEMMAP_MEMBLOCK")] == [2, 2]
    assert [kernel.flag(name) for name in ("none", "MHP_NONE")] == [0, 0]
    assert parse_flags(kernel, ("MHP_NONE",)) == 0
    assert parse_flags(kernel, ("device", "memblock")) == 3
    assert kernel.profile.describe_flags(3) == "MHP_MEMMAP_DEVICE|MHP_MEMMAP_MEMBLOCK"
    assert kernel.profile.describe_flags(0) == "MHP_NONE"


def test_acpi_passes_device_by_itself(boot: Boot) -> None:
    """The one caller in the series that sets a flag."""
    machine = boot()
    machine.add_memory(driver="acpi", size="1G")

    assert [head["refcount"] for head in machine.kernel.profile.heads(machine.kernel)] == [8]


def test_both_flags_warn_on_every_call_and_count_as_none(boot: Boot) -> None:
    """The hot-add goes on as if no flag had been passed."""
    machine = boot()

    for _ in range(2):
        machine.add_memory(driver="acpi", size="128M", mhp_flags=["device", "memblock"])

    assert machine.to_dict()["warnings"] == [BOTH, BOTH]
    assert memmap(machine) == (0, 1024)


@pytest.mark.parametrize("flags", ["device", "memblock", ["device", "memblock"]])
def test_without_sparsemem_vmemmap_a_flag_warns_and_is_dropped(boot: Boot, flags: object) -> None:
    """One warning a call, whichever flags there are."""
    machine = boot(sparsemem_vmemmap=False)

    machine.add_memory(driver="acpi", size="128M", mhp_flags=flags)

    assert machine.to_dict()["warnings"] == [NO_VMEMMAP]
    assert memmap(machine) == (0, 512)


def test_the_mask_of_both_flags_has_a_name_of_its_own(boot: Boot) -> None:
    """MHP_VMEMMAP_FLAGS is both bits, and so the warning case."""
    machine = boot()

    machine.add_memory(driver="acpi", size="128M", mhp_flags="MHP_VMEMMAP_FLAGS")

    assert machine.to_dict()["warnings"] == [BOTH]
    assert memmap(machine) == (0, 512)


def test_without_a_flag_nobody_is_warned(boot: Boot) -> None:
    """Not even without SPARSEMEM_VMEMMAP."""
    machine = boot(sparsemem_vmemmap=False)

    machine.add_memory(driver="acpi", size="128M", mhp_flags="none")

    assert machine.to_dict()["warnings"] == []


def test_the_switch_is_on_by_default(boot: Boot) -> None:
    """It reads ``enabled`` and a newline."""
    assert boot().read(SWITCH) == "enabled\n"
    assert boot().read("/sys/devices/system/memory/vmemmap_hotplug") == "enabled\n"


@pytest.mark.parametrize("end", ["", "\n"])
def test_while_the_switch_is_off_flags_go_silently(boot: Boot, end: str) -> None:
    """No warning, memmap from the page allocator; switched on again, flags count again."""
    machine = boot()

    machine.write(SWITCH, "disable" + end)
    assert machine.read(SWITCH) == "disabled\n"
    machine.add_memory(driver="acpi", size="128M", mhp_flags="device")
    assert memmap(machine) == (0, 512)
    machine.write(SWITCH, "enable" + end)
    assert machine.read(SWITCH) == "enabled\n"
    machine.add_memory(driver="acpi", size="128M", mhp_flags="memblock")

    assert memmap(machine) == (512, 512)
    assert machine.to_dict()["warnings"] == []


def test_while_the_switch_is_off_nobody_checks_the_flags(boot: Boot) -> None:
    """Both flags together are dropped without the warning: the switch is asked first."""
    machine = boot()
    machine.write(SWITCH, "disable")

    machine.add_memory(driver="acpi", size="128M", mhp_flags=["device", "memblock"])

    assert machine.to_dict()["warnings"] == []
    assert memmap(machine) == (0, 512)


def test_the_switch_comes_with_sparsemem_vmemmap(boot: Boot, refused: Refused) -> None:
    """Without it there is no such file."""
    machine = boot(sparsemem_vmemmap=False)

    for problem in (refused(machine.read, SWITCH), refused(machine.write, SWITCH, "disable")):
        assert str(problem) == "ENOENT: there is no /sys/devices/system/memory/vmemmap_hotplug"


@pytest.mark.parametrize("value", ["enabled", "disabled", "1", "0", "", "\n", "Enable", " enable", "enable\n\n"])
def test_the_switch_takes_two_words_only(boot: Boot, refused: Refused, value: str) -> None:
    """Anything else is EINVAL, and nothing changes."""
    machine = boot()

    problem = refused(machine.write, SWITCH, value)

    word = value.removesuffix("\n")
    assert str(problem) == f"EINVAL: vmemmap_hotplug takes enable or disable, not {word!r}"
    assert machine.read(SWITCH) == "enabled\n"


@pytest.mark.parametrize("value", ["disable", "nonsense"])
def test_the_switch_needs_cap_sys_admin(boot: Boot, refused: Refused, value: str) -> None:
    """EPERM before the word is looked at."""
    machine = boot()

    problem = refused(machine.write, SWITCH, value, capable=False)

    assert str(problem) == "EPERM: vmemmap_hotplug needs CAP_SYS_ADMIN"
    assert machine.read(SWITCH) == "enabled\n"


def test_the_switch_is_in_the_memory_folder_only(boot: Boot, refused: Refused) -> None:
    """A path that merely ends like it is no such file."""
    for path in ("vmemmap_hotplug", "node/vmemmap_hotplug", "memory/memory/vmemmap_hotplug"):
        problem = refused(boot().write, path, "disable")
        assert str(problem) == f"ENOENT: there is no /sys/devices/system/{path}"


def test_a_copy_has_its_own_switch(boot: Boot) -> None:
    """What is switched off in a what-if stays on in the original."""
    machine = boot()

    machine.copy().write(SWITCH, "disable")

    assert machine.read(SWITCH) == "enabled\n"


def test_a_flag_of_another_kernel_is_an_input_error(boot: Boot) -> None:
    """on_memory came with 5.13; the message lists what this profile has."""
    machine = boot()
    before = machine.to_dict()

    with pytest.raises(InputError) as caught:
        machine.add_memory(driver="acpi", size="1G", mhp_flags="on_memory")

    assert str(caught.value) == (
        "got on_memory, expected an MHP flag of v2-2019: none, device, memblock, MHP_NONE, MHP_MEMMAP_DEVICE, "
        "MHP_MEMMAP_MEMBLOCK, MHP_VMEMMAP_FLAGS"
    )
    assert machine.to_dict() == before


def test_padding_in_an_altmap_warns_when_it_is_marked(boot: Boot) -> None:
    """Hot-add only ever asks for equal sizes, so there should be none."""
    machine = boot()
    altmap = Altmap(1 << 20, 32768)
    for pages in (1, 512):
        altmap.alloc_block_buf(pages)

    mark_vmemmap_pages(machine.kernel, altmap, 1, 32768)

    assert machine.to_dict()["warnings"] == [
        "altmap align is 511 pages: hot-add allocates equal sizes, so it should be 0"
    ]
