"""Adding and removing under mainline: who hosts its memmap, what is refused first, what may leave how."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.kernels import MAINLINE, since

from memhotplug import Machine, MemoryHotplugError

Boot = Callable[..., Machine]
Refused = Callable[..., MemoryHotplugError]

ON = "memory_hotplug.memmap_on_memory=1"


def two_dimms(boot: Boot, kernel: str) -> Machine:
    """Return a machine with two DIMMs of one block each, 32 and 33, which host their memmap."""
    machine = boot(kernel=kernel, cmdline=ON)
    for name in ("a", "b"):
        machine.add_memory(driver="acpi", name=name, size="128M")
    return machine


def totals(machine: Machine) -> tuple[int, int]:
    """Return the present and the managed pages of all zones."""
    zones = list(machine.kernel.state.zones())
    return sum(zone.present for zone in zones), sum(zone.managed for zone in zones)


@pytest.mark.parametrize("kernel", MAINLINE)
def test_two_hosting_blocks_leave_together_since_6_8(boot: Boot, refused: Refused, kernel: str) -> None:
    """Up to 6.7 only a range of exactly one block may be removed if it has an altmap."""
    machine = two_dimms(boot, kernel)
    if kernel in since("linux-6.8"):
        machine.remove("block 32-33")
        assert machine.kernel.state.blocks.row(32) is None
        return
    before = machine.to_dict()
    problem = refused(machine.remove, "block 32-33")

    assert (problem.name, problem.reason) == ("EINVAL", "Refuse to remove 0x100000000 - 0x110000000, wrong granularity")
    assert machine.to_dict() == before
    machine.remove("block 32")
    machine.remove("block 33")


@pytest.mark.parametrize("kernel", ["linux-6.1", "linux-6.12"])
def test_plain_blocks_leave_as_one_likes(boot: Boot, kernel: str) -> None:
    """A part of a device, or parts of two, and blocks that are not there are passed over."""
    machine = boot(kernel=kernel)
    machine.add_memory(driver="acpi", name="a", size="256M")
    machine.add_memory(driver="acpi", name="b", size="256M", address="0x120000000")
    machine.remove("block 33-36")

    assert machine.kernel.state.blocks.id[-2:].tolist() == [32, 37]


def test_hosting_and_plain_blocks_do_not_leave_together(boot: Boot, refused: Refused) -> None:
    """Either all blocks of a removal have an altmap or none; a block that is not there has none."""
    machine = boot(kernel="linux-6.12", cmdline=ON)
    machine.add_memory(driver="acpi", name="a", size="128M")
    machine.add_memory(driver="probe", name="b", size="128M")
    machine.add_memory(driver="acpi", name="c", size="128M", address="0x118000000")
    before = machine.to_dict()

    assert refused(machine.remove, "block 32-33").name == "EINVAL"
    assert refused(machine.remove, "block 33-35").name == "EINVAL"
    assert refused(machine.remove, "block 34-35").name == "EINVAL"
    assert machine.to_dict() == before
    machine.remove("block 33-34")


def test_a_caller_must_ask_before_6_6(boot: Boot, refused: Refused) -> None:
    """The flag for a range that cannot self-host is EINVAL; since 6.6 it is added plainly."""
    old, new = (boot(kernel=kernel, cmdline=ON) for kernel in ("linux-6.2", "linux-6.6"))

    problem = refused(old.add_memory, driver="acpi", size="256M", mhp_flags="on_memory")
    assert str(problem) == "EINVAL: MHP_MEMMAP_ON_MEMORY: the range is not exactly one memory block of 128M"
    new.add_memory(driver="acpi", size="256M", mhp_flags="on_memory")
    assert new.kernel.state.blocks.altmap_pages[-2:].tolist() == [0, 0]


def test_the_resource_is_asked_before_the_range_is_checked(boot: Boot, refused: Refused) -> None:
    """A misaligned range beyond the last address is E2BIG, over other memory EEXIST, else EINVAL."""
    machine = boot(kernel="linux-6.12", physical_address_bits=40)
    addresses = {"E2BIG": (1 << 40) - 4096, "EEXIST": (4 << 30) - 4096, "EINVAL": (4 << 30) + 4096}
    found = {
        name: refused(machine.add_memory, driver="acpi", address=address, size="1G")
        for name, address in addresses.items()
    }

    assert [problem.name for problem in found.values()] == list(found)
    assert found["EINVAL"].reason == (
        "Block size [0x8000000] unaligned hotplug range: start 0x100001000, size 0x40000000"
    )


def test_a_group_that_is_not_there_is_refused(boot: Boot, refused: Refused) -> None:
    """MHP_NID_IS_MGID from a driver that has registered none."""
    machine = boot(kernel="linux-6.12")
    problem = refused(machine.add_memory, driver="probe", size="128M", mhp_flags="MHP_NID_IS_MGID")

    assert str(problem) == "EINVAL: MHP_NID_IS_MGID: there is no memory group 0"


@pytest.mark.parametrize(
    ("arch", "keys", "mode", "pages", "self_hosted"),
    [
        ("x86_64", {}, "Y", 512, 512),
        ("x86_64", {"memory_block_size": "2G"}, "Y", 8192, 8192),
        ("x86_64", {"memory_block_size": "8G", "memory": "16G"}, "Y", 32768, 32768),
        ("s390", {}, "Y", 1024, 1024),
        ("powerpc", {"page_size": "4K", "memory_block_size": "256M"}, "Y", 1024, 1024),
        ("powerpc", {"memory_block_size": "256M"}, "Y", 0, 0),
        ("powerpc", {"memory_block_size": "64M"}, "force", 32, 1),
        ("powerpc", {"memory_block_size": "256M"}, "force", 32, 4),
        ("powerpc", {"memory_block_size": "1G"}, "force", 32, 16),
        ("powerpc", {"memory_block_size": "2G"}, "Y", 32, 32),
        ("powerpc", {"memory_block_size": "16M"}, "force", 0, 0),
        ("arm64", {}, "Y", 512, 512),
        ("arm64", {"page_size": "16K"}, "force", 0, 0),
        ("arm64", {"page_size": "64K", "memory": "8G"}, "force", 0, 0),
    ],
)
def test_what_a_block_reserves_and_what_of_it_its_memmap_takes(
    boot: Boot, arch: str, keys: dict[str, str], mode: str, pages: int, self_hosted: int
) -> None:
    """present counts the whole block, managed all but the reserve; the memmap is in the block or in none."""
    machine = boot(arch=arch, kernel="linux-6.12", cmdline=f"memory_hotplug.memmap_on_memory={mode}", **keys)
    driver = {"powerpc": "pseries", "s390": "sclp"}.get(arch, "acpi")
    geometry = machine.kernel.geometry
    before = totals(machine)
    memory = machine.add_memory(driver=driver, size=geometry.memory_block_size, address=16 << 30)
    memmap: dict[str, int] = machine.to_dict()["memmap"]  # type: ignore[assignment]  # plain JSON
    if driver != "pseries":
        machine.online(memory)
    after = totals(machine)

    assert [now - then for now, then in zip(after, before, strict=True)] == [
        geometry.pages_per_block,
        geometry.pages_per_block - pages,
    ]
    assert memmap["self_hosted_pages"] == self_hosted
    assert (memmap["allocated_pages"] == 0) == (pages > 0)
    assert machine.violations() == []


def test_ranges_of_powerpc_share_leaves_by_the_order_in_which_they_come(boot: Boot) -> None:
    """A plain block at a 2 GiB border takes a whole leaf, which the others of these 2 GiB then share."""

    def allocated(*addresses: int) -> list[int]:
        machine = boot(arch="powerpc", kernel="linux-6.12", memory_block_size="256M")
        found = []
        for address in addresses:
            machine.add_memory(driver="pseries", size="256M", address=address << 20)
            found.append(machine.to_dict()["memmap"]["allocated_pages"])
        return found

    assert allocated(8192, 8448) == [32, 32]
    assert allocated(8448, 8192) == [4, 8]


def test_a_failed_add_leaves_alone_what_an_earlier_one_leaked(boot: Boot, refused: Refused) -> None:
    """Sections that are there already are EEXIST; only the blocks of this call are taken out again."""
    machine = boot(kernel="linux-6.12", cmdline=ON)
    kernel = machine.kernel
    kernel.state.fail_allocation = 7
    leaks = refused(machine.add_memory, driver="acpi", size="1G", address="8G", mhp_flags="none").leaks
    kernel.state.fail_allocation = None
    sections = kernel.state.sections.copy()
    assert leaks == ("7 sections from pfn 0x200000 on with 14M of memmap",)
    problem = refused(machine.add_memory, driver="acpi", size="1G", address=(8 << 30) - (512 << 20))

    assert str(problem) == "EEXIST: the section at pfn 0x200000 is there already"
    assert problem.leaks == ()
    assert kernel.state.sections == sections
    assert machine.violations() == []


@pytest.mark.parametrize(
    ("arch", "cmdline", "keys", "size", "tables"),
    [
        ("x86_64", "", {}, "3G", 0),
        ("x86_64", ON, {}, "3G", 3),
        ("x86_64", ON, {"memory_block_size": "1G"}, "3G", 0),
        ("arm64", "", {}, "2G", 0),
        ("arm64", ON, {}, "2G", 2),
        ("s390", ON, {}, "4G", 2),
    ],
)
def test_what_is_added_block_by_block_is_mapped_block_by_block(
    boot: Boot, arch: str, cmdline: str, keys: dict[str, str], size: str, tables: int
) -> None:
    """A leaf of the direct map is never larger than what arch_add_memory() is called for."""
    machine = boot(arch=arch, kernel="linux-6.12", cmdline=cmdline, **keys)
    kind = "direct-segment" if arch == "s390" else "direct-pmd"

    def count() -> int:
        windows = machine.kernel.state.page_tables.get(kind)
        return windows.total if windows is not None else 0

    before = count()
    machine.add_memory(driver="sclp" if arch == "s390" else "acpi", name="d", size=size, address="64G")
    assert count() - before == tables
    machine.remove("d")
    assert count() == before
