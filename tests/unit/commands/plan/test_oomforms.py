"""Kernel logs as people post them: every architecture, every mail program, and the traps in what is free for whom."""

from __future__ import annotations

import json
import quopri
import re
from pathlib import Path
from typing import Any

import pytest
from tests.unit.commands.plan.conftest import Plan

from memhotplug.engine.boot.kernel_log.log import OomReport, parse_oom_log
from memhotplug.engine.boot.recorded import kernel_from_machine
from memhotplug.errors import InputError
from memhotplug.formats.snapshot.source import Source
from memhotplug.machine import Machine
from memhotplug.model.allocator import allocatable_chunks
from memhotplug.model.zones import ZoneKind


def chunks(*counts: int, page: int = 4, letters: str = "UM", types: dict[int, str] | None = None) -> str:
    """Return a list of free chunks, from one page on; ``types`` names those of single orders."""
    named = types or {}
    parts = [
        f"{count}*{page << order}kB" + (f" ({named.get(order, letters)})" if count else "")
        for order, count in enumerate(counts)
    ]
    return f"{' '.join(parts)} = {sum(count << order for order, count in enumerate(counts)) * page}kB"


def total(*counts: int, page: int = 4) -> int:
    """Return the kB that such a list holds."""
    return sum(count << order for order, count in enumerate(counts)) * page


def zone(name: str, free: int, present: int, *, node: int = 0, minimum: int = 0, more: str = "") -> str:
    """Return a zone's line and its reserve; sizes in kB."""
    return (
        f"Node {node} {name} free:{free}kB boost:0kB min:{minimum}kB low:{minimum * 5 // 4 // 64 * 64}kB "
        f"high:{minimum * 3 // 2 // 64 * 64}kB {more or 'reserved_highatomic:0KB'} active_anon:0kB present:{present}kB "
        f"managed:{present - (present >> 6) // 64 * 64}kB mlocked:0kB bounce:0kB free_pcp:0kB local_pcp:0kB "
        f"free_cma:0kB\nlowmem_reserve[]: 0 0 0 0\n"
    )


LIST = (40, 20, 10, 0, 0, 0, 0, 3, 2, 1, 60)
HEAD = "kworker/1:2: page allocation failure: order:9, mode:0x4cc0(GFP_KERNEL|__GFP_RETRY_MAYFAIL), nodemask=(null)\n"


def pc(
    *counts: int, more: str = "", release: str = "6.12.9", types: dict[int, str] | None = None, minimum: int = 0
) -> str:
    """Return a log of a machine of 2 GiB, all free memory of which is in DMA32."""
    counts = counts or LIST
    dma, normal = (0,) * 11, zone("DMA32", total(*counts), 2080768, more=more, minimum=minimum)
    return (
        f"{HEAD}CPU: 1 UID: 0 PID: 77 Comm: kworker/1:2 Not tainted {release} #1\nCall Trace:\n"
        " entry_SYSCALL_64+0x1/0x2\n"
        f"Mem-Info:\n{zone('DMA', 0, 15992)}{normal}Node 0 DMA: {chunks(*dma)}\n"
        f"Node 0 DMA32: {chunks(*counts, types=types)}\n524190 pages RAM\n"
    )


def parsed(text: str, arch: str | None = None) -> OomReport:
    """Return what a text tells."""
    return parse_oom_log(text, Source(file="log"), arch=arch)


def booted(text: str) -> Machine:
    """Return the machine of a log."""
    recorded = parsed(text).machine
    return Machine(kernel_from_machine(recorded, recorded.arch or "x86_64", "linux-6.12", ""))


def spare(text: str, order: int = 0, *, movable: bool = False) -> int:
    """Return how many chunks DMA32 would let go."""
    highest = ZoneKind.MOVABLE if movable else ZoneKind.NORMAL
    return allocatable_chunks(booted(text).kernel.state.nodes[0].zones[ZoneKind.DMA32], order, highest, 0)


def ask(plan: Plan, tmp_path: Path, text: str, *arguments: str) -> tuple[int, dict[str, Any]]:
    """Return exit status and answer of a plan on a log."""
    path = tmp_path / "dmesg"
    path.write_text(text)
    status, out, _ = plan("--oom-log", path, "--json", *arguments)
    return status, json.loads(out)


ARM = (
    "systemd invoked oom-killer: gfp_mask=0x140cca(GFP_HIGHUSER_MOVABLE|__GFP_COMP), order=0, oom_score_adj=0\n"
    "CPU: 2 PID: 1 Comm: systemd Not tainted 6.6.40 #7\n{sign}\nMem-Info:\n"
    + zone("DMA", total(*LIST), 1048576)
    + zone("Normal", 0, 1048576)
    + f"Node 0 DMA: {chunks(*LIST)}\nNode 0 Normal: {chunks(*(0,) * 11)}\n524288 pages RAM\n"
)


# ---- releases ----


@pytest.mark.parametrize(
    ("line", "release", "arch"),
    [
        (
            "CPU: 7 PID: 812 Comm: kworker/7:1 Kdump: loaded Tainted: P           OE    --------- -  - "
            "4.18.0-499.el8.x86_64 #1",
            "4.18.0-499.el8.x86_64",
            "x86_64",
        ),
        ("CPU: 0 PID: 5 Comm: a b Tainted: G W ------------ T 3.10.0-957.el7.x86_64 #1", "3.10.0-957.el7.x86_64",
         "x86_64"),
        ("CPU: 0 PID: 5 Comm: x ------------ 3.10.0-1127.el7.x86_64 #1", "3.10.0-1127.el7.x86_64", "x86_64"),
        ("CPU: 0 UID: 0 PID: 1 Comm: init Tainted: G S   W          6.12.3-200.fc41.aarch64 #1",
         "6.12.3-200.fc41.aarch64",
         "arm64"),
        ("CPU: 1 PID: 2 Comm: k Not tainted 5.14.0-503.el9.s390x #1", "5.14.0-503.el9.s390x", "s390"),
        ("CPU: 1 PID: 2 Comm: k Not tainted 6.4.0-150600.23-default #1 SLE15-SP6", "6.4.0-150600.23-default", None),
    ],
)  # fmt: skip
def test_the_release_is_the_last_word_before_the_build(line: str, release: str, arch: str | None) -> None:
    """Flags, dashes of distributions and spaces come before it; it may end in the architecture."""
    text = "\n".join(line if one.startswith("CPU:") else one for one in ARM.format(sign="").splitlines())
    text = text if arch != "x86_64" else "\n".join(line if one.startswith("CPU:") else one for one in pc().splitlines())
    machine = parsed(text.replace(" entry_SYSCALL_64+0x1/0x2", "")).machine

    assert machine.kernel_release == release
    assert machine.arch == (arch or "arm64")


# ---- what is free for whom ----


def test_free_cma_is_no_room_for_the_kernel(tmp_path: Path, plan: Plan) -> None:
    """All large chunks belong to CMA: 16M of memmap find no place, though 244M are free."""
    cma = {10: "C", 9: "C"}
    text = pc(more="free_pcp:0kB", types=cma).replace(
        "free_cma:0kB\nlowmem_reserve[]: 0 0 0 0\nNode 0 DMA:",
        f"free_cma:{60 * 4096 + 2048}kB\nlowmem_reserve[]: 0 0 0 0\nNode 0 DMA:",
    )

    assert spare(text) == total(*LIST) // 4 - 60 * 1024 - 512
    assert spare(text, movable=True) == total(*LIST) // 4
    assert ask(plan, tmp_path, text, "--add", "1G")[0] == 4
    assert ask(plan, tmp_path, pc(), "--add", "1G")[0] == 0


def test_shared_lists_hide_cma_in_their_largest_chunks() -> None:
    """Of sixty chunks (UMC) the log tells no numbers, but how much is free in CMA."""
    text = pc(types={10: "UMC"}).replace(
        "free_cma:0kB\nlowmem_reserve[]: 0 0 0 0\nNode 0 DMA:",
        f"free_cma:{50 * 4096}kB\nlowmem_reserve[]: 0 0 0 0\nNode 0 DMA:",
    )
    kept = parsed(text).machine.zones[1].kept

    assert kept.cma == (0,) * 10 + (50,)
    assert spare(text) == total(*LIST) // 4 - 50 * 1024


@pytest.mark.parametrize(
    ("count", "left", "note"),
    [
        (
            40 * 1024,
            total(*LIST) // 4 - 40 * 1024,
            "40960 pages are free in CMA, its lists show 0 of them; the others are taken for the largest free chunks",
        ),
        (1 << 20, 0, "1048576 free pages of CMA are more than the 62968 free"),
    ],
)
def test_free_cma_counts_where_no_letter_shows_it(count: int, left: int, note: str) -> None:
    """The kernel's watermark check takes off the count, whatever its lists look like."""
    before, found, after = pc().rpartition("free_cma:0kB")
    text = f"{before}free_cma:{count * 4}kB{after}"

    assert found
    assert spare(text) == left
    assert f"node 0 zone DMA32: {note}" in [one.text for one in parsed(text).machine.notes]


@pytest.mark.parametrize(
    ("more", "taken"),
    [("reserved_highatomic:204800KB", 51200), ("reserved_highatomic:204800KB free_highatomic:8192KB", 2048)],
)
def test_the_high_atomic_reserve_is_taken_off(more: str, taken: int) -> None:
    """All of it up to v6.12; since v6.13 what is free of it, which the log then tells."""
    text = pc(more=more, types={10: "UMH"})

    assert spare(text) == total(*LIST) // 4 - taken
    assert spare(text, movable=True) == total(*LIST) // 4 - taken


def test_chunks_of_the_reserve_alone_are_nobodys(tmp_path: Path, plan: Plan) -> None:
    """(H) behind the only chunks of 2M and more."""
    counts = (4000, 2000, 1000, 0, 0, 0, 0, 0, 0, 30, 20)
    text = pc(*counts, more=f"reserved_highatomic:{30 * 2048 + 20 * 4096}KB", types={9: "H", 10: "H"})
    machine = booted(text)
    open_to = machine.kernel.state.nodes[0].zones[ZoneKind.DMA32].open_to(movable=False)

    assert open_to.total == 4000 + 4000 + 4000
    status, document = ask(plan, tmp_path, text, "--add", "1G")
    assert (status, document["reason"]["rule"]) == (3, "fallback")


def test_isolated_chunks_are_nobodys() -> None:
    """(I): somebody is taking the block offline just now."""
    machine = booted(pc(types={10: "I"}))

    assert machine.kernel.state.nodes[0].zones[ZoneKind.DMA32].open_to(movable=True).total == total(*LIST[:10]) // 4


def test_pages_on_per_cpu_lists_merge_with_nothing(tmp_path: Path, plan: Plan) -> None:
    """4000 pages wait there; as neighbours they would make seven chunks of 2M that the log does not show."""
    counts = (400, 200, 100, 50, 20, 10, 5, 5, 300, 0, 0)
    head, zone_line, tail = pc(*counts).partition("Node 0 DMA32 free")
    text = head + zone_line + tail.replace("free_pcp:0kB", "free_pcp:16000kB", 1)
    low = booted(text).kernel.state.nodes[0].zones[ZoneKind.DMA32]
    pages: set[int] = set()
    for start, end in low.pcp:
        pages.update(range(start, end))

    assert low.pcp.total == 4000
    assert not any(page ^ 1 in pages or low.free.covered(page ^ 1, (page ^ 1) + 1) for page in pages)
    status, document = ask(plan, tmp_path, text, "--add", "1G")
    assert (status, document["reason"]["rule"]) == (3, "fallback")
    assert document["memmap"]["by_order"] == [{"order": 0, "chunks": 4096, "pages": 4096}]


def test_pages_on_per_cpu_lists_make_no_room_until_compaction_drains_them(tmp_path: Path, plan: Plan) -> None:
    """3000 pages are free, and 4096 wanted. Of 4000 that wait none counts; the memmap's leaves have compaction tried.

    A guest of 256 MiB took 8 GiB in this way, with base pages for what was left.
    """
    head, zone_line, tail = pc(3000, *(0,) * 10).partition("Node 0 DMA32 free")
    for waiting, verdict in ((0, (4, "memmap")), (16000, (3, "fallback"))):
        text = head + zone_line + tail.replace("free_pcp:0kB", f"free_pcp:{waiting}kB", 1)
        low = booted(text).kernel.state.nodes[0].zones[ZoneKind.DMA32]

        assert low.pcp.total == waiting // 4
        assert allocatable_chunks(low, 0, ZoneKind.NORMAL, 0) == 3000
        status, document = ask(plan, tmp_path, text, "--add", "1G")
        assert (status, document["reason"]["rule"]) == verdict


# ---- a part of the machine ----

BOUND = (
    pc()
    .replace("nodemask=(null)", "nodemask=0,cpuset=db,mems_allowed=0-1")
    .replace("524190 pages RAM", "1048478 pages RAM")
)


def test_a_log_of_one_node_of_two_says_so_first(tmp_path: Path, plan: Plan) -> None:
    """The kernel leaves out nodes that the task may not use."""
    _, document = ask(plan, tmp_path, BOUND, "--add", "1G")

    assert document["assumptions"][0] == (
        "only a part of the machine: the report shows node 0, with 524190 of 1048478 pages RAM, mems_allowed=0-1; "
        "nothing is known of the rest"
    )
    log = document["machine"]["source"].removesuffix(" (only a part of the machine)")
    assert Path(log).is_file()
    assert plan("--oom-log", log, "--add", "1G", "--brief")[1].startswith(
        f"1G by acpi on {document['machine']['source']},"
    )


def test_free_pages_of_the_heading_tell_as_well() -> None:
    """Without the last lines of the report."""
    text = pc().replace("Mem-Info:\n", "Mem-Info:\n free:900000 free_pcp:12 free_cma:0\n")
    free = total(*LIST) // 4

    assert parsed(text).machine.notes[0].text == (
        f"only a part of the machine: the report shows node 0, with {free} of 900000 pages free; "
        "nothing is known of the rest"
    )
    assert not parsed(pc()).machine.notes[0].text.startswith("only a part")


def test_a_part_without_a_kernel_zone_is_refused_for_that_reason() -> None:
    """A node that is movable only: the kernel's memory is on a node that is not shown."""
    text = f"{HEAD}Mem-Info:\n{zone('Movable', 4, 1048576, node=1)}Node 1 Movable: {chunks(1, *(0,) * 10)}\n"

    with pytest.raises(InputError) as caught:
        parsed(text)
    assert str(caught.value) == (
        "log:2: got Movable zones of node 1 alone, expected a zone that the kernel allocates from; "
        "this report leaves out the nodes that have one"
    )


# ---- what mail programs and terminals make of a log ----


def _flowed(text: str) -> str:
    """Return a text as format=flowed breaks it: a space stays at the end of each broken line."""
    lines = []
    for line in text.splitlines():
        words, current = line.split(" "), ""
        for word in words:
            if current and len(current) + len(word) > 70:
                lines.append(current + " ")
                current = word
            else:
                current = f"{current} {word}" if current else word
        lines.append(current)
    return "\n".join(lines) + "\n"


def _same(text: str) -> None:
    expected, found = parsed(pc()), parsed(text)
    assert found.machine.zones == expected.machine.zones
    assert (found.order, found.machine.kernel_release) == (expected.order, expected.machine.kernel_release)


def test_format_flowed_is_joined() -> None:
    """With and without marks of quotation."""
    _same(_flowed(pc()))
    _same("".join(f"> {line}\n" for line in _flowed(pc()).splitlines()))


def test_quoted_printable_is_decoded() -> None:
    """Soft breaks within words, =3D for the sign before the sum."""
    text = quopri.encodestring(pc().encode()).decode()

    assert "=3D" in text
    assert "=\n" in text
    _same(text)


def test_colours_go() -> None:
    """Before a word, and in the middle of the line."""
    coloured = re.sub(r"^Node", "\x1b[32mNode\x1b[0m", pc(), flags=re.MULTILINE)

    assert coloured != pc()
    _same(coloured.replace("free:", "\x1b[1;33mfree:\x1b[m"))


def test_two_nodes_in_colour_stay_two() -> None:
    """A colour before 'Node 1' hid which node it is."""
    second = f"{zone('Normal', 4, 1048576, node=1)}Node 1 Normal: {chunks(1, *(0,) * 10)}\n"
    text = pc().replace("524190 pages RAM\n", "") + second.replace("Node 1", "\x1b[33mNode 1\x1b[0m")

    assert [(one.node, one.name) for one in parsed(text).machine.zones] == [(0, "DMA"), (0, "DMA32"), (1, "Normal")]


def test_two_reports_line_by_line_are_two() -> None:
    """Two CPUs run out of memory at once; the one that ends last counts."""
    first, second = pc(*LIST[:10], 7).splitlines(), pc().splitlines()
    mixed = [line for a, b in zip(first, second, strict=True) for line in (f"[ 1.0][ T7] {a}", f"[ 1.0][ C2] {b}")]

    _same("\n".join(mixed) + "\n")


def test_nobody_warned_where_only_the_reader_inferred(tmp_path: Path, plan: Plan) -> None:
    """What was inferred is no warning of a kernel."""
    _, document = ask(plan, tmp_path, pc(), "--add", "1G")

    assert not [text for text in document["assumptions"] if text.startswith("the kernel warns: inferred")]


def test_reserves_are_no_room_to_spare_either(tmp_path: Path, plan: Plan) -> None:
    """Of 1200 MiB that are free 1000 are the high-atomic reserve's: what is left has to reach the high watermarks.

    Expect a risk: the memmap of 8G takes 128 MiB of 200, and what is left is less than 75 MiB, though 1072 are free.
    """
    text = pc(*(0,) * 10, 300, minimum=50_000, more="reserved_highatomic:1024000KB")
    status, document = ask(plan, tmp_path, text, "--add", "8G")
    assert (status, document["reason"]["rule"]) == (3, "watermark")
    free = document["free"]
    assert free["before_bytes"] - free["kernel_before_bytes"] == 1000 << 20
    assert free["kernel_lowest_bytes"] < 75_000 << 10 < free["lowest_bytes"]


@pytest.mark.parametrize("counts", [(40_000, 9000, 0, 0, 0, 0, 0, 0, 0, 5, 8), (9000, 0, 3000, 0, 0, 0, 0, 0, 0, 0, 0)])
def test_the_largest_adds_of_a_fragmented_machine_are_exact(
    counts: tuple[int, ...], tmp_path: Path, plan: Plan
) -> None:
    """One block more than the clean one needs single pages or the watermarks, one more than the other is refused."""
    text = pc(*counts, minimum=4000)
    _, document = ask(plan, tmp_path, text, "--add", "128M")
    found, block = document["largest_single_add"], 128 << 20
    clean, most = found["clean_bytes"], found["with_fallback_bytes"]
    assert clean < most
    sizes = {clean: 0, clean + block: 3, most: 3, most + block: 4}
    for size, status in sizes.items():
        if size:
            assert ask(plan, tmp_path, text, "--add", f"{size >> 20}M", "--online", "none")[0] == status
