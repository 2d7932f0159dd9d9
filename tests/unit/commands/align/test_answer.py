"""What alignment strands: the driver's and the kernel's verdicts, and the distances around them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memhotplug.commands.align.answer import BLOCK_SIZES, Fit, MachineChoice, assumptions, best, fit, survey
from memhotplug.commands.align.windows import Window
from memhotplug.errors import InputError, MemoryHotplugError
from memhotplug.machine import Machine

MIB = 1 << 20
GIB = 1 << 30
PLAIN = MachineChoice().boot().kernel
_KERNELS = [MachineChoice().boot(size).kernel for size in BLOCK_SIZES]

# dax ranges whose blocks are known: 61-63 is the published one of 502 MiB, the others follow from their blocks.
DAX = [
    (0x160000000, 512 * MIB, (44, 47), 0),
    (0x1A0000000, 512 * MIB, (52, 55), 0),
    (0x1C0A00000, 502 * MIB, (57, 59), 118 * MIB),
    (0x1E0A00000, 502 * MIB, (61, 63), 118 * MIB),
    (0x200A00000, 502 * MIB, (65, 67), 118 * MIB),
]


def _dax(start: int, size: int, kernel_size: int | None = None) -> Fit:
    kernel = PLAIN if kernel_size is None else MachineChoice().boot(kernel_size).kernel
    return fit(kernel, Window(start=start, size=size), "dax")


def test_an_unaligned_dimm_is_refused_with_the_kernels_own_text() -> None:
    """x86_64, a 1 GiB DIMM right behind an NVDIMM at 0x100200000.

    Expect the next legal start at 0x108000000, 126 MiB away.
    """
    found = fit(PLAIN, Window(start=0x100200000, size=GIB), "acpi")

    assert found.errno == "EINVAL"
    assert found.message == "Block size [0x8000000] unaligned hotplug range: start 0x100200000, size 0x40000000"
    assert (found.next_start, found.gap) == (0x108000000, 126 * MIB)
    assert (found.usable_bytes, found.stranded_bytes) == (0, GIB)


def test_arm64_with_blocks_of_1g_wants_the_next_gibibyte() -> None:
    """0xc8000000 + 0x40000000: next start 0x100000000, a gap of 896 MiB."""
    entries = survey(MachineChoice(arch="arm64", kernel="v2-2019"), [Window(start=0xC8000000, size=0x40000000)], "acpi")
    found = entries[0].fits[0]

    assert entries[0].block_size == GIB
    assert (found.errno, found.next_start, found.gap) == ("EINVAL", 0x100000000, 896 * MIB)
    assert found.message == "Block size [0x40000000] unaligned hotplug range: start 0xc8000000, size 0x40000000"


def test_a_size_that_is_no_multiple_is_refused_and_rounded_up() -> None:
    """The start is legal: no gap, but 24 MiB are missing."""
    found = fit(PLAIN, Window(start=4 * GIB, size=1000 * MIB), "acpi")

    assert (found.errno, found.gap, found.rounded) == ("EINVAL", 0, GIB)


@pytest.mark.parametrize(("start", "size", "blocks", "stranded"), DAX)
def test_dax_devices_are_trimmed_inwards(start: int, size: int, blocks: tuple[int, int], stranded: int) -> None:
    """Five devices of 512 MiB, of which three lost 10 MiB to their own metadata."""
    found = _dax(start, size)

    assert found.blocks == [blocks]
    assert (found.stranded_bytes, found.head, found.tail) == (stranded, stranded, 0)
    assert found.errno is None


def test_all_five_strand_354_mib_together() -> None:
    """3 times 118."""
    windows = [Window(start=start, size=size) for start, size, _, _ in DAX]
    entry = survey(MachineChoice(), windows, "dax", [128 * MIB])[0]

    assert entry.stranded_bytes == 354 * MIB
    assert entry.usable_bytes == (4 + 4 + 3 + 3 + 3) * 128 * MIB


def test_a_dax_device_without_a_whole_block_is_refused_by_the_driver() -> None:
    """All of it is stranded."""
    found = _dax(0x1E0A00000, 502 * MIB, GIB)

    assert (found.errno, found.message) == ("EINVAL", "no range holds a whole memory block of 1G")
    assert (found.head, found.tail, found.stranded_bytes) == (502 * MIB, 0, 502 * MIB)


def test_a_cxl_window_strands_more_with_larger_blocks() -> None:
    """64.25 GiB, aligned to 256 MiB: nothing up to blocks of 256M, more than 2 GiB with the largest."""
    entries = survey(MachineChoice(), [Window(start=0x1050000000, size=0x1010000000)], "dax")
    chosen = best(entries)

    assert [(entry.block_size // MIB, entry.stranded_bytes // MIB) for entry in entries] == [
        (128, 0),
        (256, 0),
        (512, 256),
        (1024, 1280),
        (2048, 2304),
    ]
    assert chosen is not None
    assert chosen.block_size == 256 * MIB


def test_block_sizes_that_the_architecture_lacks_are_left_out_unless_asked_for() -> None:
    """arm64 in 2019 has sections of 1 GiB."""
    choice = MachineChoice(arch="arm64", kernel="v2-2019")
    window = [Window(start=8 * GIB, size=2 * GIB)]

    assert all(entry.block_size >= GIB for entry in survey(choice, window, "acpi"))
    with pytest.raises(InputError):
        survey(choice, window, "acpi", [128 * MIB])


def test_the_first_entry_is_about_the_architectures_own_size() -> None:
    """A guest of 64 GiB has larger blocks; the others follow."""
    entries = survey(MachineChoice(memory="64G"), [Window(start=0x1000000000, size=GIB)], "acpi")

    assert entries[0].block_size == 2 * GIB
    assert entries[0].fits[0].errno == "EINVAL"
    assert [entry.block_size for entry in entries[1:]] == list(BLOCK_SIZES[:-1])


def test_no_block_size_is_best_if_none_takes_anything() -> None:
    """A DIMM that is aligned to 2 MiB only."""
    assert best(survey(MachineChoice(), [Window(start=0x100200000, size=GIB)], "acpi")) is None


def test_powerpc_with_64k_pages_wastes_memmap_in_small_blocks() -> None:
    """256 MiB of 64 KiB pages: 4 pages of memmap, 32 reserved, since a pageblock has 32."""
    choice = MachineChoice(arch="powerpc", page_size=64 << 10)
    memmap = survey(choice, [Window(start=8 * GIB, size=GIB)], "pseries", [256 * MIB])[0].memmap

    assert memmap is not None
    assert (memmap.block_pages, memmap.needed, memmap.reserved) == (4096, 4, 32)
    assert memmap.refusal == "4 pages of memmap are not a multiple of a pageblock of 32 pages"


def test_x86_64_wastes_no_memmap() -> None:
    """512 pages are one pageblock."""
    memmap = survey(MachineChoice(), [Window(start=4 * GIB, size=GIB)], "acpi", [128 * MIB])[0].memmap

    assert memmap is not None
    assert (memmap.needed, memmap.reserved, memmap.refusal) == (512, 512, None)


def test_a_kernel_without_the_parameter_says_nothing_of_memmap() -> None:
    """The series has flags instead."""
    entry = survey(MachineChoice(kernel="v2-2019"), [Window(start=4 * GIB, size=GIB)], "acpi")[0]

    assert entry.memmap is None


@pytest.mark.parametrize("driver", ["acpi", "dax"])
@given(start=st.integers(2048, 1 << 14), size=st.integers(1, 2048))
def test_what_is_usable_is_what_the_engine_adds(driver: str, start: int, size: int) -> None:
    """The same range, really added (in units of 2 MiB): same verdict, same blocks."""
    window = Window(start=start << 21, size=size << 21)
    found = fit(PLAIN, window, driver)
    machine = Machine(PLAIN.copy())

    assert (found.errno, [block for first, last in found.blocks for block in range(first, last + 1)]) == _added(
        machine, driver, window
    )


def _added(machine: Machine, driver: str, window: Window) -> tuple[str | None, list[int]]:
    try:
        memory = machine.add_memory(driver=driver, name="d", address=window.start, size=window.size)
    except MemoryHotplugError as refusal:
        return refusal.name, []
    return None, list(memory.blocks)


@given(start=st.integers(0, 1 << 20), size=st.integers(1, 1 << 14), power=st.integers(0, 4))
def test_nothing_is_lost_between_usable_and_stranded(start: int, size: int, power: int) -> None:
    """Head, usable part and tail make up the window; each end loses less than a block."""
    kernel = _KERNELS[power]
    block = kernel.geometry.memory_block_size
    found = fit(kernel, Window(start=start << 21, size=size << 21), "dax")

    assert found.head + found.usable_bytes + found.tail == found.window.size
    assert found.usable_bytes % block == 0
    assert 0 <= found.gap < block
    assert found.next_start % block == 0
    assert found.errno is not None or (found.head < block and found.tail < block)


@pytest.mark.parametrize(
    ("arch", "kernel", "driver", "message"),
    [
        ("s390", "linux-6.12", "acpi", "driver: got acpi, expected a driver of this machine (sclp, dax); there is no "
         "acpi on s390: its firmware does not describe memory by ACPI"),
        ("s390", "linux-6.14", "pseries", "driver: got pseries, expected a driver of this machine (sclp, dax, "
         "virtio_mem); there is no pseries on s390: it is a platform of powerpc"),
        ("s390", "linux-6.12", "virtio_mem", "driver: got virtio_mem, expected a driver of this machine (sclp, dax); "
         "there is no virtio_mem on s390: it came with Linux 6.14, this kernel is 6.12"),
    ],
)  # fmt: skip
def test_a_driver_that_the_machine_does_not_have_aligns_nothing(
    arch: str, kernel: str, driver: str, message: str
) -> None:
    """What never adds memory there is refused, with those that do, instead of answered for."""
    with pytest.raises(InputError) as caught:
        survey(MachineChoice(arch=arch, kernel=kernel), [Window(start=4 * GIB, size=GIB)], driver)

    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("end", "text"),
    [
        (65 * GIB, "boot memory of 4G (--memory); the iomem's System RAM ends at 65G, and if all of it is boot memory, "
         "memory blocks are 1G"),
        (5 * GIB, None),
        (1 << 63, None),
        (None, None),
    ],
)  # fmt: skip
def test_recorded_ram_beyond_the_boot_memory_that_is_assumed_is_told(end: int | None, text: str | None) -> None:
    """Where it makes other memory blocks: an iomem shows the machine's end, and the default is 4 GiB."""
    found = assumptions(MachineChoice(ram_end=end, memory=str(4 * GIB)), [Window(start=66 * GIB, size=GIB)], "dax")

    assert [one for one in found if "System RAM" in one] == ([] if text is None else [text])
