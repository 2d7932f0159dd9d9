"""The text that goes into a ticket."""

from __future__ import annotations

import pytest
from tests.unit.commands.plan.conftest import Ask

from memhotplug.commands.plan.sizes import exact_size
from memhotplug.commands.plan.text import answer_lines

GIB = 1 << 30
MIB = 1 << 20


def test_the_whole_answer(ask: Ask) -> None:
    """Every line of one answer, the ticket first."""
    lines = answer_lines(ask(256 * MIB, 12 * GIB))

    assert lines[:21] == [
        "12G by acpi on a fresh 256M guest (lean), x86_64, linux-6.12: fits",
        "  every block appears; kernel zones keep 8.4M at the lowest point",
        "  Under the boot profile distro the verdict is another one: does not fit.",
        "",
        "memmap         192M in 96 chunks of order 9, 10M from DMA of node 0, 182M from",
        "               DMA32 of node 0",
        "besides        sysfs and section objects of the new blocks 144 pages",
        "free memory    201M before, 8.4M at the lowest point, 12296.4M after",
        "sizes          12G requested, 12G added, 12G online, 12G usable",
        "lands in       12G in Normal of node 0; Movable : kernel = 0.00 : 1",
        "way back       0 of 96 new blocks could be removed again for sure",
        "also           11 pages of 1G can be formed; 192 uevents (96 add, 96 online);",
        "               min_free_kbytes 1823 before, 14283 after",
        "",
        "largest add    12544M",
        "limited by     watermark: the memmap finds room, but then 24 of the 149 pages",
        "               for the sysfs objects of 99 memory blocks are missing: the OOM",
        "               killer runs, and where it finds no process the kernel panics",
        "safe steps     12G",
        "rules of thumb 768M (maxMemory = 4x, oVirt) to 12.6G (64x free, arithmetic)",
        "",
    ]
    assert lines[-1] == lines[0]


@pytest.mark.parametrize("size", [GIB, 12 * GIB, 15 * GIB, 100 * MIB, 128 * GIB])
@pytest.mark.parametrize("online", ["movable", "auto"])
def test_no_line_is_wider_than_a_terminal_of_80_columns(size: int, online: str, ask: Ask) -> None:
    """Prose is wrapped between words; tables are narrower than that."""
    lines = answer_lines(ask(256 * MIB, size, online=online))

    assert max(map(len, lines)) <= 80
    assert not any(line != line.rstrip() for line in lines)


@pytest.mark.parametrize(("size", "width"), [(12 * GIB, 40), (16 * GIB, 40), (16 * GIB, 60), (12 * GIB, 200)])
def test_a_narrow_terminal_has_the_prose_wrapped_to_it(size: int, width: int, ask: Ask) -> None:
    """Once, not folded a second time behind a line of 80 columns; a wide one has 80 all the same."""
    lines = answer_lines(ask(256 * MIB, size), width=width)

    assert max(map(len, lines)) <= min(width, 80)
    words = " ".join(answer_lines(ask(256 * MIB, size))[: lines.index("")]).split()
    assert " ".join(lines[: lines.index("")]).split()[:20] == words[:20]


def test_what_does_not_fit_says_from_where_on_it_would(ask: Ask) -> None:
    """The ticket names the missing memory, the driver's word, and the boot memory that would do."""
    lines = answer_lines(ask(256 * MIB, 15 * GIB))

    assert lines[: lines.index("")] == [
        "15G by acpi on a fresh 256M guest (lean), x86_64, linux-6.12: does not fit",
        "(memmap)",
        "  the memmap of 15G takes 240M, kernel zones can give 198.5M above their min",
        "  watermarks; 0 of 120 blocks appear (ENOMEM: vmemmap alloc failure: order:0,",
        "  for pfn 0x419f40; left behind: 99 sections from pfn 0x100000 on with 198M of",
        "  memmap)",
        "  driver: no resource enabled, so the device fails with EINVAL, yet the firmware",
        "  is told success: resource 0 (15G): ENOMEM",
        "  It would fit from 384M of boot memory on.",
        "  It would fit with memory_hotplug.memmap_on_memory=Y.",
        "  It would fit in 2 steps, each online before the next: 12544M then 2816M.",
        "  It would fit by hv_balloon.",
        "  It would fit by virtio_mem.",
    ]


def test_equal_adds_are_counted(ask: Ask) -> None:
    """Twenty DIMMs do not take twenty words."""
    line = answer_lines(ask(4 * GIB, *(GIB,) * 20))[0]

    assert line == "20 x 1G by acpi on a fresh 4G guest (lean), x86_64, linux-6.12: fits"


def test_a_misaligned_request_is_told_the_next_legal_one(ask: Ask) -> None:
    """Address and size, with the block size that asks for it."""
    reason = ask(GIB, 1100 * MIB, address=0x100200000)["reason"]

    assert (reason["rule"], reason["text"]) == (
        "alignment",
        "EINVAL: Block size [0x8000000] unaligned hotplug range: start 0x100200000, size 0x44c00000; the next legal "
        "address is 0x108000000 and the next legal size is 1152M (memory blocks of 128M)",
    )


def test_a_device_with_a_unit_of_its_own_is_not_told_that_of_memory_blocks(ask: Ask) -> None:
    """130 MiB would do for 129, not only 256: virtio-mem plugs parts of blocks, and says in what unit."""
    reason = ask(GIB, 129 * MIB, driver="virtio_mem")["reason"]

    assert (reason["rule"], reason["text"]) == (
        "alignment",
        "EINVAL: requested size 0x8100000 is not a multiple of the device block size 0x200000",
    )


def test_colour_goes_to_the_verdict_only_through_paint(ask: Ask) -> None:
    """Plain text has none."""
    lines = answer_lines(ask(GIB, GIB), lambda text, style: f"<{style}>{text}</>")

    assert lines[0] == "1G by acpi on a fresh 1G guest (lean), x86_64, linux-6.12: <green>fits</>"
    assert "<bold>Assumed</>" in lines


def test_a_listener_with_a_short_queue_is_mentioned(ask: Ask) -> None:
    """Only when there are more events than it keeps."""
    text = " ".join(" ".join(answer_lines(ask(4 * GIB, 128 * GIB))).split())

    assert "2048 uevents (1024 add, 1024 online); a listener that keeps 256 add events onlines 32G" in text


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0B"), (8192, "8K"), (GIB, "1G"), (1937 * MIB, "1937M"), (MIB + MIB // 2, "1.5M"), (200 * GIB + MIB, "200G")],
)
def test_exact_sizes(size: int, text: str) -> None:
    """MiB with one decimal where whole GiB would lie."""
    assert exact_size(size) == text


@pytest.mark.parametrize(
    ("more", "online", "told"),
    [
        ("", "auto", "under auto_movable_ratio=601 or more all of 24G could be Movable, 301 is in force"),
        (" memory_hotplug.auto_movable_ratio=601", "auto", None),
        ("", "movable", None),
        ("", "none", None),
    ],
)
def test_the_ratio_that_makes_all_of_it_movable_is_said(more: str, online: str, told: str | None, ask: Ask) -> None:
    """Where the kernel decides, and its own ratio does not; under the one that is said it is so."""
    line = f"memory_hotplug.online_policy=auto-movable{more}"
    document = ask(4 * GIB, 24 * GIB, online=online, cmdline=line)

    found = [text for text in document["assumptions"] if "auto_movable_ratio" in text]
    assert found == ([f"online_policy=auto-movable decides the zones: {told}"] if told else [])
    if more:
        assert {zone["zone"] for zone in document["zones"] if zone["gained_bytes"]} == {"Movable"}


def test_marks_that_the_add_raises_are_said(ask: Ask) -> None:
    """min_free_kbytes before and after; nothing where it stays."""
    raised = " ".join(answer_lines(ask(256 * MIB, 4 * GIB, online="kernel")))
    kept = ask(256 * MIB, 4 * GIB, online="kernel")["min_free_kbytes"]
    same = " ".join(answer_lines(ask(256 * MIB, 4 * GIB, online="none")))

    assert kept["before"] < kept["after"]
    assert f"min_free_kbytes {kept['before']} before, {kept['after']} after" in " ".join(raised.split())
    assert "min_free_kbytes" not in same
