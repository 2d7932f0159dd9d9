"""The releases of mainline: which rule comes with which, and what a release in between is taken for."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.kernels import MAINLINE, MAINLINE_LIST, since

from memhotplug import InputError, Machine
from memhotplug.naming import choose_profile

Boot = Callable[..., Machine]

ON = "memory_hotplug.memmap_on_memory=1"


@pytest.mark.parametrize("kernel", MAINLINE)
def test_flags_events_and_parameters_come_and_go(boot: Boot, kernel: str) -> None:
    """Groups with 5.15; PREPARE_ONLINE, FINISH_OFFLINE and OFFLINE_INACCESSIBLE from 6.8 to 6.18."""
    profile = boot(kernel=kernel).kernel.profile
    groups, prepares = kernel in since("linux-5.15"), kernel in since("linux-6.8") and kernel not in since("linux-6.19")
    parameters = {"online_policy", "auto_movable_ratio", "auto_movable_numa_aware"} if groups else set()

    assert profile.name == kernel
    assert ("MHP_NID_IS_MGID" in profile.flags) == groups
    assert ("MHP_OFFLINE_INACCESSIBLE" in profile.flags) == prepares
    assert ("MEM_PREPARE_ONLINE" in profile.event_names) == prepares
    assert ("MEM_FINISH_OFFLINE" in profile.event_names) == prepares
    assert set(profile.module_parameters(boot(kernel=kernel).kernel)) == {"memmap_on_memory", *parameters}


@pytest.mark.parametrize("kernel", MAINLINE)
def test_two_blocks_host_their_memmap_since_6_8(boot: Boot, kernel: str) -> None:
    """One block does in every release; force is a word since 6.6, and before an f, which is false."""
    machine = boot(kernel=kernel, cmdline=ON)
    machine.add_memory(driver="acpi", name="one", size="128M")
    machine.add_memory(driver="acpi", name="two", size="256M")
    blocks = machine.kernel.state.blocks
    hosting = blocks.altmap_pages[~blocks.early].tolist()
    forced = boot(kernel=kernel, cmdline="memory_hotplug.memmap_on_memory=force")

    assert hosting == [512, 512, 512] if kernel in since("linux-6.8") else [512, 0, 0]
    parameter = "/sys/module/memory_hotplug/parameters/memmap_on_memory"
    assert forced.read(parameter) == ("force\n" if kernel in since("linux-6.6") else "N\n")


@pytest.mark.parametrize("kernel", MAINLINE)
def test_sections_of_s390_have_128_mib_since_6_14(boot: Boot, kernel: str) -> None:
    """And with them the smallest memory block."""
    section = boot(arch="s390", kernel=kernel, memory="2G").kernel.geometry.section_size

    assert section >> 20 == (128 if kernel in since("linux-6.14") else 256)


@pytest.mark.parametrize(
    ("release", "profile"),
    [
        ("5.14.0", "linux-5.13"), ("5.15.0-91-generic", "linux-5.15"), ("6.1.0-53-amd64", "linux-6.1"),
        ("6.7", "linux-6.6"), ("6.8.12", "linux-6.8"), ("6.13.1", "linux-6.12"), ("6.14.9", "linux-6.14"),
        ("6.18.2", "linux-6.15"), ("6.19.0", "linux-6.19"), ("5.100.1", "linux-5.19"), ("99.1", MAINLINE[-1]),
        ("v2-2019", None), ("5.12.3", None), (None, None),
    ],
)  # fmt: skip
def test_a_release_goes_by_the_newest_profile_that_is_not_newer(release: str | None, profile: str | None) -> None:
    """Numbers count by value; what is older than all is refused."""
    if profile is not None:
        assert choose_profile(release) == profile
        return
    with pytest.raises(InputError) as caught:
        choose_profile(release)
    assert str(caught.value).endswith(f"expected a kernel release that a profile covers ({MAINLINE_LIST})")
