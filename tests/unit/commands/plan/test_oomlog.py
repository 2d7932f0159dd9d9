"""Kernel logs in which memory ran out, as machines."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from tests.unit.commands.plan.conftest import Plan

from memhotplug.engine.boot.kernel_log.log import OomReport, parse_oom_log, read_oom_log
from memhotplug.engine.boot.recorded import kernel_from_machine
from memhotplug.errors import InputError
from memhotplug.formats.snapshot.source import Source
from memhotplug.machine import Machine

LOGS = Path(__file__).parents[3] / "data" / "oomlogs"
SMALL = LOGS / "x86_64-6.12-256M-add-9G.log"
LARGE = LOGS / "x86_64-6.12-1G-add-52G.log"
OLD = """\
kworker/0:1: page allocation failure: order:9, mode:0x14400c0(GFP_KERNEL|__GFP_RETRY_MAYFAIL|__GFP_ZERO)
CPU: 0 PID: 31 Comm: kworker/0:1 Tainted: G           O    4.14.67-20.container #1
RIP: 0010:0x0
Mem-Info:
active_anon:0 inactive_anon:0 isolated_anon:0
 free:64 free_pcp:0 free_cma:0
Node 0 active_anon:0kB inactive_anon:0kB all_unreclaimable? no
Node 0 DMA free:64kB min:4kB low:8kB high:12kB active_anon:0kB writepending:0kB present:15996kB managed:15908kB \
mlocked:0kB kernel_stack:0kB pagetables:0kB bounce:0kB free_pcp:0kB local_pcp:0kB free_cma:0kB
lowmem_reserve[]: 0 1000 1000
Node 0 DMA32 free:192kB min:4kB low:8kB high:12kB active_anon:0kB present:2080640kB managed:2040000kB mlocked:0kB \
bounce:0kB free_pcp:8kB local_pcp:4kB free_cma:0kB
lowmem_reserve[]: 0 0 0
Node 0 DMA: 0*4kB 0*8kB 0*16kB 0*32kB 1*64kB (U) 0*128kB 0*256kB 0*512kB 0*1024kB 0*2048kB 0*4096kB = 64kB
Node 0 DMA32: 2*4kB (UE) 1*8kB (M) 1*16kB (M) 1*32kB (U) 0*64kB 1*128kB (U) 0*256kB 0*512kB 0*1024kB 0*2048kB \
0*4096kB = 192kB
0 total pagecache pages
524159 pages RAM
"""
ARM = """\
qemu-ga invoked oom-killer: gfp_mask=0x140cca(GFP_HIGHUSER_MOVABLE|__GFP_COMP), order=0, oom_score_adj=0
CPU: 1 PID: 4 Comm: qemu-ga Not tainted 6.12.0-55.el10.aarch64+64k #1 PREEMPT_DYNAMIC
pstate: 60400005 (nZCv daif +PAN -UAO -TCO -DIT -SSBS BTYPE=--)
Mem-Info:
Node 0 DMA free:1280kB boost:0kB min:640kB low:832kB high:1024kB reserved_highatomic:0KB present:2097152kB \
managed:2031616kB mlocked:0kB bounce:0kB free_pcp:0kB local_pcp:0kB free_cma:0kB
lowmem_reserve[]: 0 0 0 0
Node 0 DMA: 2*64kB (U) 1*128kB (U) 0*256kB 0*512kB 1*1024kB (M) = 1280kB
32768 pages RAM
1024 pages reserved
"""
NODES = """\
Mem-Info:
Node 0 DMA free:0kB min:0kB low:0kB high:0kB present:15992kB managed:15360kB
lowmem_reserve[]: 0 0 0 0 0
Node 0 DMA32 free:0kB min:0kB low:0kB high:0kB present:2080768kB managed:2000000kB
lowmem_reserve[]: 0 0 0 0 0
Node 1 Normal free:0kB min:0kB low:0kB high:0kB present:1048576kB managed:1000000kB
lowmem_reserve[]: 0 0 0 0 0
Node 1 Movable free:4kB min:0kB low:0kB high:0kB present:1048576kB managed:1048576kB
lowmem_reserve[]: 0 0 0 0 0
Node 0 DMA: 0*4kB 0*8kB 0*16kB 0*32kB 0*64kB 0*128kB 0*256kB 0*512kB 0*1024kB 0*2048kB 0*4096kB = 0kB
Node 0 DMA32: 0*4kB 0*8kB 0*16kB 0*32kB 0*64kB 0*128kB 0*256kB 0*512kB 0*1024kB 0*2048kB 0*4096kB = 0kB
Node 1 Normal: 0*4kB 0*8kB 0*16kB 0*32kB 0*64kB 0*128kB 0*256kB 0*512kB 0*1024kB 0*2048kB 0*4096kB = 0kB
Node 1 Movable: 1*4kB (M) 0*8kB 0*16kB 0*32kB 0*64kB 0*128kB 0*256kB 0*512kB 0*1024kB 0*2048kB 0*4096kB = 4kB
"""


def parsed_log(text: str, arch: str | None = None) -> OomReport:
    return parse_oom_log(text, Source(file="dmesg"), arch=arch)


def error_in(text: str) -> str:
    with pytest.raises(InputError) as caught:
        parsed_log(text)
    return str(caught.value)


def _prefixed(text: str, prefix: str) -> str:
    return "".join(f"{prefix}{line}\n" for line in text.splitlines())


def _counts(report: OomReport) -> list[tuple[str, int, int, int, int]]:
    return [(zone.name, zone.free, zone.present, zone.managed, zone.pcp_pages) for zone in report.machine.zones]


def test_what_failed_is_told() -> None:
    """Order, mode and task, and the line itself."""
    report = read_oom_log(SMALL)

    assert (report.order, report.comm) == (9, "kworker/u4:0")
    assert report.mode == "0x4cc0(GFP_KERNEL|__GFP_RETRY_MAYFAIL)"
    assert report.text is not None
    assert report.text.startswith("kworker/u4:0: vmemmap alloc failure: order:9, mode:0x4cc0(")
    assert (report.machine.arch, report.machine.kernel_release) == ("x86_64", "6.12.107+deb13-amd64")


def test_zones_have_the_counts_of_the_log_in_pages() -> None:
    """Everything that zoneinfo would show of a zone, apart from places."""
    machine = read_oom_log(LARGE).machine
    low = machine.zone(0, "DMA32")

    assert low is not None
    assert (low.free, low.present, low.managed, low.pcp_pages) == (11013, 258016, 227229, 3417)
    assert (low.boost, low.min, low.low, low.high) == (0, 11075, 13843, 16611)
    assert low.free_by_order == (3, 3, 3, 2, 4, 1, 2, 2, 3, 1, 9)
    assert machine.zones[0].protection == (0, 881, 881, 881, 881)
    assert (machine.max_order, machine.page_size, machine.block_size) == (10, 4096, 128 << 20)


def test_places_are_those_that_the_real_machine_had() -> None:
    """zoneinfo of that guest: DMA starts at pfn 1 and spans 4095, DMA32 starts at 4096 and spans 61408."""
    machine = read_oom_log(SMALL).machine
    dma, dma32 = machine.zones

    assert (dma.start_pfn, dma.spanned, dma.present) == (1, 4095, 3998)
    assert dma.extents == ((0x1, 0x9F), (0x100, 0x1000))
    assert (dma32.start_pfn, dma32.spanned) == (4096, 61408)
    assert [(block.id, block.state, block.zone) for block in machine.blocks] == [
        (0, "online", None),
        (1, "online", "DMA32"),
    ]


def test_what_was_assumed_is_said() -> None:
    """Nothing is inferred in silence; nothing disagrees in a complete report."""
    notes = read_oom_log(SMALL).machine.notes

    assert [f"{note.kind}: {note.text}" for note in notes] == [
        "inferred: one moment in the middle of an operation: what it had allocated by then counts as used",
        "inferred: command line unknown: the log does not tell",
        "inferred: zones where x86_64 usually has them: their places are in no log",
        "inferred: memory blocks of 128M, online wherever there is memory",
    ]


@pytest.mark.parametrize("path", sorted(LOGS.glob("*.log")), ids=lambda path: path.stem)
def test_the_machine_boots_with_the_free_chunks_of_the_log(path: Path) -> None:
    """Real reports make machines without a broken invariant."""
    recorded = read_oom_log(path).machine
    machine = Machine(kernel_from_machine(recorded, "x86_64", "linux-6.12", ""))
    zones: list[dict[str, object]] = machine.to_dict()["zones"]  # type: ignore[assignment]  # plain JSON

    assert machine.violations() == []
    assert [zone["free_by_order"] for zone in zones] == [list(zone.free_by_order) for zone in recorded.zones]
    assert [zone["managed"] for zone in zones] == [zone.managed for zone in recorded.zones]


def test_the_memory_that_is_left_does_not_take_the_hot_add() -> None:
    """The same machine says ENOMEM to the same DIMM."""
    recorded = read_oom_log(SMALL).machine
    machine = Machine(kernel_from_machine(recorded, "x86_64", "linux-6.12", ""))

    with pytest.raises(OSError, match="ENOMEM"):
        machine.add_memory(driver="acpi", size="9G")


@pytest.mark.parametrize(
    "prefix",
    [
        "[  123.456789] ",
        "[    0.000000][    T1] ",
        "[Mon Apr 20 15:08:07 2020] ",
        "<4>[  123.456789] ",
        "Apr  2 15:08:07 node-7 kernel: [  123.456789] ",
        "Apr 20 15:08:07 node-7 kernel: ",
        "2026-04-20T15:08:07.123456+00:00 node-7 kernel: ",
    ],
)
def test_prefixes_of_dmesg_and_syslog_change_nothing(prefix: str) -> None:
    """People paste what they have."""
    plain = SMALL.read_text()

    assert parsed_log(_prefixed(plain, prefix)) == parsed_log(plain)


def test_a_compressed_log_is_read_too(tmp_path: Path) -> None:
    """As logrotate leaves it."""
    path = tmp_path / "kern.log.2.gz"
    path.write_bytes(gzip.compress(SMALL.read_bytes()))

    assert _counts(read_oom_log(path)) == _counts(read_oom_log(SMALL))


def test_a_report_of_an_old_kernel_is_read() -> None:
    """4.14: no boost, other fields around; the task's name may hold a colon."""
    report = parsed_log(OLD)

    assert (report.order, report.comm, report.machine.arch) == (9, "kworker/0:1", "x86_64")
    assert report.machine.kernel_release == "4.14.67-20.container"
    assert _counts(report) == [("DMA", 16, 3999, 3977, 0), ("DMA32", 48, 520160, 510000, 2)]
    assert report.machine.zones[0].extents == ((1, 160), (256, 4096))
    assert report.machine.zones[0].protection == (0, 1000, 1000)


def test_the_oom_killer_and_64k_pages_on_arm64() -> None:
    """The smallest chunk is a page; memory begins at 1 GiB."""
    report = parsed_log(ARM)
    machine = report.machine

    assert (report.order, report.comm) == (0, "qemu-ga")
    assert report.mode == "0x140cca(GFP_HIGHUSER_MOVABLE|__GFP_COMP)"
    assert (machine.arch, machine.page_size, machine.max_order) == ("arm64", 64 << 10, 4)
    assert machine.zones[0].extents == ((0x4000, 0xC000),)
    assert machine.zones[0].free_by_order == (2, 1, 0, 0, 1)


def test_nodes_and_movable_zones_follow_one_another() -> None:
    """DMA32 ends below 4 GiB, node 1 begins there, Movable lies on top of it."""
    machine = parsed_log(NODES, arch="x86_64").machine

    assert [(zone.title, zone.start_pfn) for zone in machine.zones] == [
        ("node 0 zone DMA", 1),
        ("node 0 zone DMA32", 4096),
        ("node 1 zone Normal", 0x100000),
        ("node 1 zone Movable", 0x140000),
    ]
    assert [(node.id, node.has_memory, node.has_normal_memory) for node in machine.nodes] == [
        (0, True, True),
        (1, True, True),
    ]
    assert {block.node for block in machine.blocks if block.id >= 32} == {1}


@pytest.mark.parametrize("release", ["4.1.51", "4.18.0-553.el8.x86_64", "5.4.77", "5.10.0-28-amd64"])
def test_a_kernel_older_than_every_profile_has_a_stand_in(release: str, tmp_path: Path, plan: Plan) -> None:
    """Most who ever reported such a failure had one; none of them can host a memmap where it is."""
    log = tmp_path / "log"
    log.write_text(LARGE.read_text().replace("6.12.107+deb13-amd64", release))
    arguments = ("--oom-log", log, "--add", "4G", "--json", "--cmdline", "memory_hotplug.memmap_on_memory=1")

    status, out, _ = plan(*arguments)
    document = json.loads(out)

    assert (status, document["memmap"]["self_hosted_bytes"]) == (4, 0)
    assert [one["name"] for one in document["policies"] if one["kind"] == "memmap"] == ["memmap_on_memory=N"]
    expected = f"the recorded kernel is {release}, which is older than that and never hosts a memmap in the memory it"
    assert f"kernel linux-5.13: {expected} describes" in document["assumptions"]


def test_without_a_failure_there_is_still_a_machine() -> None:
    """Mem-Info alone, as SysRq-m prints it."""
    report = parsed_log(NODES)

    assert (report.order, report.mode, report.comm, report.text) == (None, None, None, None)


def test_an_architecture_that_nothing_tells_is_assumed_and_said() -> None:
    """No release, no register dump, no zone that only one architecture has."""
    text = "\n".join(line for line in NODES.splitlines() if "Node 0" not in line)
    report = parsed_log(text)

    assert report.machine.arch == "x86_64"
    assert "architecture x86_64: the log does not tell" in [note.text for note in report.machine.notes]
    assert "kernel release unknown: the log does not tell" in [note.text for note in report.machine.notes]


def test_the_command_line_is_taken_from_the_boot_messages() -> None:
    """A whole dmesg has it."""
    head = "[    0.000000] Linux version 6.6.1 (gcc)\n[    0.000000] Command line: quiet movable_node\n"
    machine = parsed_log(head + NODES, arch="x86_64").machine

    assert (machine.cmdline, machine.kernel_release) == ("quiet movable_node", "6.6.1")


def test_of_several_reports_the_last_complete_one_counts() -> None:
    """A third that is cut off does not spoil the two before it."""
    small, large = SMALL.read_text(), LARGE.read_text()
    cut = small[: small.index("Node 0 DMA: ")]
    report = parsed_log(small + large + cut)

    assert _counts(report) == _counts(read_oom_log(LARGE))
    assert report.comm == "kworker/u4:1"
    assert "the report in line 41 of 3: the last that is complete" in [note.text for note in report.machine.notes]


def test_totals_and_free_pages_that_disagree_are_notes() -> None:
    """The lists are walked while others allocate; a node may have been left out of the report."""
    text = SMALL.read_text().replace("65406 pages RAM", "99999 pages RAM").replace("free:10564kB", "free:10560kB")
    notes = [note.text for note in parsed_log(text).machine.notes if note.kind == "inconsistent"]

    assert notes == [
        "the log ends with 99999 pages RAM, its zones have 65406",
        "node 0 zone DMA32: zoneinfo shows 2640 free pages, buddyinfo 2641 (difference -1)",
    ]
