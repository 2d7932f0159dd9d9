"""add_memory(): what is refused, in which order, and what stays behind."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from memhotplug import Machine, MemoryHotplugError
from memhotplug.contracts import Restrictions
from memhotplug.model.altmap import Altmap
from memhotplug.model.vmemmap import Source

Boot = Callable[..., Machine]
Refused = Callable[..., MemoryHotplugError]
BASE, BLOCK = 1 << 20, 32768
GIB = 1 << 30


def iomem(machine: Machine) -> list[tuple[int, int, str]]:
    """Return /proc/iomem's top level."""
    entries: Any = machine.to_dict()["iomem"]
    return [(entry["start"], entry["end"], entry["name"]) for entry in entries]


def test_added_blocks_are_offline_and_named(boot: Boot, block_of: Callable[..., dict[str, Any]]) -> None:
    """The first add on 4 GiB starts at block 32; nothing is online without being asked for."""
    machine = boot()

    added = machine.add_memory(driver="acpi", name="dimm0", size="1G")

    assert (added.name, added.start, added.size, added.blocks) == ("dimm0", 4 * GIB, GIB, tuple(range(32, 40)))
    assert block_of(machine, 32) == {
        "id": 32,
        "state": "offline",
        "node": 0,
        "zone": None,
        "valid_zones": ["Normal", "Movable"],
        "start": 4 * GIB,
        "size": 128 << 20,
        "vmemmap_pages": 4096,
        "usable_pages": 28672,
        "device": "dimm0",
    }
    assert iomem(machine) == [(0, 4 * GIB - 1, "System RAM"), (4 * GIB, 5 * GIB - 1, "System RAM")]


@pytest.mark.parametrize(
    ("address", "size"), [("0x100001000", "128M"), ("4G", "64M"), ("4G", "130M"), ("0x104000000", "128M")]
)
def test_misaligned_range_is_einval_and_the_resource_is_released(
    boot: Boot, refused: Refused, address: str, size: str
) -> None:
    """Start and size must be multiples of the memory block size; the text is the kernel's."""
    machine = boot()
    before = machine.to_dict()

    problem = refused(machine.add_memory, driver="acpi", address=address, size=size)

    assert problem.name == "EINVAL"
    assert problem.reason.startswith("Block size [0x8000000] unaligned hotplug range: start 0x10")
    assert machine.to_dict() == before


def test_blocks_of_1g_do_not_take_128m(boot: Boot, refused: Refused) -> None:
    """The unit is the memory block, not the section."""
    problem = refused(boot(memory_block_size="1G").add_memory, driver="acpi", size="128M")

    assert problem.reason == "Block size [0x40000000] unaligned hotplug range: start 0x100000000, size 0x8000000"


def test_overlap_is_eexist_before_anything_else(boot: Boot, refused: Refused) -> None:
    """The resource is claimed first, so even a misaligned range that overlaps is EEXIST."""
    machine = boot()
    machine.add_memory(driver="acpi", name="dimm0", size="1G", mhp_flags="none")
    before = machine.to_dict()

    for address, size in (("4G", "1G"), ("0x13fffffff", "1K"), ("3G", "128M"), ("0", "16G")):
        problem = refused(machine.add_memory, driver="acpi", address=address, size=size)
        assert problem.name == "EEXIST"
        assert problem.leaks == ()
        assert machine.to_dict() == before


def test_a_name_can_be_used_once(boot: Boot, refused: Refused) -> None:
    """Two devices of one name could not be told apart."""
    machine = boot()
    machine.add_memory(driver="acpi", name="dimm0", size="128M")

    problem = refused(machine.add_memory, driver="acpi", name="dimm0", size="128M")

    assert str(problem) == "EEXIST: there is a device 'dimm0' already"


def test_beyond_the_address_bits_is_e2big(boot: Boot, refused: Refused) -> None:
    """8 PiB is more than 52 bits; with 36 bits 64 GiB are the limit, and up to it all is well."""
    problem = refused(boot().add_memory, driver="acpi", size="8P", mhp_flags="none")
    assert str(problem) == "E2BIG: 8P at 0x100000000 ends beyond 52 physical address bits (4P)"

    machine = boot(physical_address_bits=36)
    machine.add_memory(driver="acpi", size="60G", mhp_flags="device")
    assert refused(machine.add_memory, driver="acpi", size="128M").name == "E2BIG"


def test_a_petabyte_without_a_flag_is_enomem_at_once(boot: Boot, refused: Refused) -> None:
    """16 TiB of memmap do not fit; what the sections done have got is the leak."""
    machine = boot()
    started = time.process_time()

    problem = refused(machine.add_memory, driver="acpi", size="1P", mhp_flags="none")

    assert problem.name == "ENOMEM"
    assert len(problem.leaks) == 1
    assert time.process_time() - started < 5
    assert machine.violations() == []


def test_a_failure_in_the_middle_leaves_sections_behind(boot: Boot, refused: Refused) -> None:
    """The fourth section gets nothing: three stay, with 6 MiB of memmap, and are listed."""
    machine = boot()
    machine.kernel.state.fail_allocation = 3
    before = machine.to_dict()

    problem = refused(machine.add_memory, driver="acpi", name="dimm0", size="1G", mhp_flags="none")

    assert problem.name == "ENOMEM"
    assert problem.leaks == ("3 sections from pfn 0x100000 on with 6M of memmap",)
    after = machine.to_dict()
    for key in ("iomem", "vmemmap", "violations"):
        assert after[key] == before[key], key
    assert len(machine.kernel.state.blocks) == 32
    assert list(machine.kernel.state.sections) == [(0, BASE + 3 * BLOCK)]
    memmap: Any = after["memmap"]
    assert memmap["allocated_pages"] == 1536


def test_adding_again_over_what_was_left_behind_is_eexist(boot: Boot, refused: Refused) -> None:
    """The resource is free again, the sections are there: no new leak, however often it is tried."""
    machine = boot()
    machine.kernel.state.fail_allocation = 3
    refused(machine.add_memory, driver="acpi", size="1G", mhp_flags="none")
    machine.kernel.state.fail_allocation = None
    before = machine.to_dict()

    for flag in ("none", "device", "memblock"):
        problem = refused(machine.add_memory, driver="acpi", size="1G", mhp_flags=flag)
        assert str(problem) == "EEXIST: the section at pfn 0x100000 is there already"
        assert problem.leaks == ()
        assert machine.to_dict() == before
    machine.add_memory(driver="acpi", size="128M", address=hex((BASE + 3 * BLOCK) << 12), mhp_flags="memblock")


def test_device_marks_its_pages_also_after_a_failure_in_the_middle(boot: Boot, refused: Refused) -> None:
    """A section of an earlier failed add is in the way of the fifth: four are done and marked.

    ::

        section   0  1  2  3  4  5  6  7        Expect a head with refcount 8 (the altmap was laid
                  new         old               out for 8) and private 4 * 512.
    """
    machine = boot()
    machine.kernel.state.fail_allocation = 2  # a table of the direct map, one leaf of memmap
    address = hex((BASE + 4 * BLOCK) << 12)
    refused(machine.add_memory, driver="acpi", size="256M", address=address, mhp_flags="none")
    machine.kernel.state.fail_allocation = None

    problem = refused(machine.add_memory, driver="acpi", size="1G", address="4G", mhp_flags="device")

    assert str(problem) == "EEXIST: the section at pfn 0x120000 is there already"
    assert problem.leaks == ("4 sections from pfn 0x100000 on with 8M of memmap",)
    heads: Any = machine.to_dict()["vmemmap"]
    assert [(head["start_pfn"], head["refcount"], head["private"], head["device"]) for head in heads] == [
        (BASE, 8, 2048, None)
    ]
    assert machine.violations() == ["I11: 2048 pages of memmap lie in memory that was never added (first pfn 0x100000)"]


def test_memblock_marks_whole_blocks_only(boot: Boot, refused: Refused) -> None:
    """Blocks of two sections, the fourth section in the way: the second block stays unmarked."""
    machine = boot(memory_block_size="256M")
    kernel, start = machine.kernel, BASE
    kernel.state.sections.add(start + 3 * BLOCK, start + 4 * BLOCK)

    problem = refused(machine.add_memory, driver="acpi", size="1G", mhp_flags="memblock")

    assert problem.leaks == ("3 sections from pfn 0x100000 on with 6M of memmap",)
    heads: Any = machine.to_dict()["vmemmap"]
    assert [(head["start_pfn"], head["refcount"], head["private"]) for head in heads] == [(BASE, 2, 1024)]


def test_a_partly_populated_section_gives_back_what_it_got(boot: Boot, refused: Refused) -> None:
    """Base pages run out in the middle of the second section: one section is left behind, not one and a bit."""
    machine = boot(memory="1G")
    machine.allocate("wedge", "475M", zone="kernel", order=8, scatter=True)  # no order-9 chunk is left
    machine.kernel.state.fail_allocation = 1 + 512 + 1 + 100  # a PTE table and its pages, another, 100 pages
    free = sum(zone.nr_free for zone in machine.kernel.state.zones())

    problem = refused(machine.add_memory, driver="acpi", size="1G", mhp_flags="none")

    assert problem.leaks == ("1 sections from pfn 0x100000 on with 2M of memmap",)
    assert free - sum(zone.nr_free for zone in machine.kernel.state.zones()) == 513
    assert machine.violations() == []


def test_a_caller_s_altmap_backs_the_memmap_unmarked(boot: Boot) -> None:
    """As pmem brings it: 2 reserved pages, padding up to the first 2 MiB boundary, no marks."""
    kernel = boot().kernel
    altmap = Altmap(BASE, 8192, reserve=2)

    kernel.add_pages(BASE, 8 * BLOCK, 0, Restrictions(0, altmap))

    runs = kernel.state.vmemmap.clip(BASE, BASE + 8 * BLOCK)
    assert (runs.start.tolist(), runs.backing.tolist()) == ([BASE], [BASE + 512])
    assert set(runs.source.tolist()) == {Source.ALTMAP}
    assert (int(altmap.align[0]), int(altmap.alloc[0])) == (510, 4096)
    assert list(kernel.profile.heads(kernel)) == []


@pytest.mark.parametrize("flag", ["device", "memblock"])
def test_a_flag_overrides_the_caller_s_altmap(boot: Boot, flag: str) -> None:
    """Even an altmap that would be refused is not looked at."""
    kernel = boot().kernel
    altmap = Altmap(BASE + 77, 1)

    kernel.add_pages(BASE, 8 * BLOCK, 0, Restrictions(kernel.flag(flag), altmap))

    assert altmap.total_alloc == 0
    assert sum(int(str(head["private"])) for head in kernel.profile.heads(kernel)) == 4096


@pytest.mark.parametrize(
    "altmap",
    [
        Altmap(BASE + 1, 4096),
        Altmap(BASE - BLOCK, 4096),
        Altmap(BASE, BLOCK + 1),
        Altmap(BASE, BLOCK, reserve=1),
    ],
    ids=["behind", "before", "too big", "too big with its reserve"],
)
def test_an_altmap_that_does_not_fit_is_einval(boot: Boot, refused: Refused, altmap: Altmap) -> None:
    """base_pfn must be the first pfn, reserve and free within the range."""
    kernel = boot().kernel
    before = list(kernel.state.sections)

    problem = refused(kernel.add_pages, BASE, BLOCK, 0, Restrictions(0, altmap))

    assert str(problem) == "EINVAL: the caller's altmap does not fit the range"
    assert list(kernel.state.sections) == before


def test_an_altmap_that_is_used_up_is_enomem(boot: Boot, refused: Refused) -> None:
    """No fallback to the page allocator: two of eight sections are done."""
    kernel = boot().kernel
    free = sum(zone.nr_free for zone in kernel.state.zones())

    problem = refused(kernel.add_pages, BASE, 8 * BLOCK, 0, Restrictions(0, Altmap(BASE, 1500)))

    assert str(problem) == "ENOMEM: the altmap has no 2M left for the memmap of pfn 0x110000"
    assert problem.leaks == ("2 sections from pfn 0x100000 on with 4M of memmap",)
    assert sum(zone.nr_free for zone in kernel.state.zones()) == free


@pytest.mark.parametrize(("start", "pages"), [(BASE + 1, BLOCK), (BASE, BLOCK + 511), (BASE + 256, 256)])
def test_pages_must_come_in_subsections(boot: Boot, refused: Refused, start: int, pages: int) -> None:
    """2 MiB, 512 pages."""
    problem = refused(boot().kernel.add_pages, start, pages, 0, Restrictions())

    assert str(problem) == f"EINVAL: pfn range {start:#x}+{pages:#x} is not aligned to a subsection"


def test_page_tables_are_what_a_flagged_add_can_still_fail_for(boot: Boot, refused: Refused) -> None:
    """At 64 GiB a new PMD table of the vmemmap is needed; there is no page for it."""
    machine = boot()
    machine.kernel.state.fail_allocation = 0
    before = machine.to_dict()

    for flag in ("device", "memblock"):
        problem = refused(machine.add_memory, driver="acpi", size="1G", address="64G", mhp_flags=flag)
        assert problem.name == "ENOMEM"
        assert problem.leaks == ()
        assert machine.to_dict() == before


def test_auto_online_takes_blocks_online_at_once(boot: Boot, block_of: Callable[..., dict[str, Any]]) -> None:
    """By the command line, or by a write to auto_online_blocks."""
    machine = boot(cmdline="memhp_default_state=online")
    assert machine.read("memory/auto_online_blocks") == "online\n"
    machine.add_memory(driver="acpi", size="1G", mhp_flags="device")
    assert [block_of(machine, block)["zone"] for block in range(32, 40)] == ["Normal"] * 8

    machine.write("memory/auto_online_blocks", "offline\n")
    machine.add_memory(driver="acpi", size="128M")
    assert block_of(machine, 40)["state"] == "offline"


def test_a_failure_of_auto_online_does_not_fail_the_add(boot: Boot, block_of: Callable[..., dict[str, Any]]) -> None:
    """The walk stops at the first block; the add has succeeded."""
    machine = boot(cmdline="memhp_default_state=online")

    veto = {"event": "MEM_GOING_ONLINE", "errno": "ENOMEM"}
    machine.add_memory(driver="acpi", size="256M", mhp_flags="device", veto=veto)

    assert [block_of(machine, block)["state"] for block in (32, 33)] == ["offline", "offline"]
    assert machine.to_dict()["warnings"] == ["auto-onlining stopped: ENOMEM: a notifier vetoed MEM_GOING_ONLINE"]


@pytest.mark.parametrize("word", ["online_movable", "online_kernel", "nonsense"])
def test_auto_online_knows_two_words_only(boot: Boot, refused: Refused, word: str) -> None:
    """online_kernel and online_movable came later: ignored on the command line, EINVAL in the file."""
    machine = boot(cmdline=f"memhp_default_state={word}")

    assert machine.read("memory/auto_online_blocks") == "offline\n"
    assert machine.to_dict()["warnings"] == [f"memhp_default_state={word} is not known to v2-2019 and ignored"]
    problem = refused(machine.write, "memory/auto_online_blocks", word)
    assert str(problem) == f"EINVAL: auto_online_blocks takes one of offline, online, not {word!r}"


def test_several_resources_are_added_one_by_one(boot: Boot) -> None:
    """DEVICE covers one resource each; a device has the blocks of all of them."""
    machine = boot()

    added = machine.add_memory(driver="acpi", name="dimm0", resources=["256M", "128M"], mhp_flags="device")

    assert added.blocks == (32, 33, 34)
    heads: Any = machine.to_dict()["vmemmap"]
    assert [(head["start_pfn"], head["refcount"], head["private"]) for head in heads] == [
        (BASE, 2, 1024),
        (BASE + 2 * BLOCK, 1, 512),
    ]


def test_leaks_of_every_resource_are_listed(boot: Boot, refused: Refused) -> None:
    """The step's errno is the first error; what later ones left behind is listed too."""
    machine = boot()
    machine.add_memory(driver="acpi", size="128M", address="0x108000000", mhp_flags="none")
    machine.kernel.state.fail_allocation = 3  # a table of the direct map, two leaves of memmap

    problem = refused(
        machine.add_memory,
        driver="acpi",
        name="dimm0",
        address="4G",
        resources=["256M", "1G"],
        mhp_flags="none",
    )

    assert problem.name == "EEXIST"
    assert problem.leaks == ("2 sections from pfn 0x110000 on with 4M of memmap",)
    assert problem.driver_result is not None


def test_struct_pages_of_a_dimm_are_in_no_zone_before_online(boot: Boot) -> None:
    """The memmap is there, the zone is not chosen yet."""
    machine = boot()
    machine.add_memory(driver="acpi", name="dimm0", size="128M", mhp_flags="none")

    pages = machine.memmap("dimm0")

    assert len(pages) == BLOCK
    assert (pages["backing"] >= 0).all()
    assert set(np.unique(pages["zone"]).tolist()) == {-1}
    assert machine.page(BASE).zone is None
