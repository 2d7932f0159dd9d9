"""Which architecture a posted log is of: what tells it, and what must not be taken for another."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.plugins.rig import changed, example, plugged
from tests.registered import ARCHES
from tests.unit.commands.plan.conftest import Plan
from tests.unit.commands.plan.test_oomforms import ARM, HEAD, LIST, ask, chunks, parsed, pc, total, zone

from memhotplug.errors import InputError
from memhotplug.naming import arches
from memhotplug.plugin import hookimpl


@pytest.mark.parametrize(
    ("sign", "arch"),
    [
        ("pstate: 60400005 (nZCv daif +PAN -UAO)", "arm64"),
        ("Call trace:", "arm64"),
        (" el0t_64_sync_handler+0x100/0x130", "arm64"),
        (" __arm64_sys_openat+0x28/0x40", "arm64"),
        ("Krnl PSW : 0704c00180000000 00000000001ab2c4", "s390"),
        (" [<0000000000a1b2c4>] dump_stack_lvl+0x62/0x88", "s390"),
        ("NIP:  00007fff9e3c1b24 LR: 00007fff9e3c1b00", "powerpc"),
        ("[c0000000049eb6f0] [c000000000f4d3c8] dump_stack_lvl+0x74/0xa8 (unreliable)", "powerpc"),
        (" system_call_exception+0x160/0x300", "powerpc"),
        ("Hardware name: IBM pSeries (emulated by qemu) POWER9 (architected) 0x4e1202 of:SLOF,HEAD pSeries", "powerpc"),
        ("Hardware name: IBM 3931 A01 703 (KVM/Linux)", "s390"),
    ],
)
@pytest.mark.parametrize("prefix", ["", "[   61.204871] ", "Nov 12 03:04:05 host kernel: [   61.204871] "])
def test_one_line_tells_the_architecture(sign: str, arch: str, prefix: str) -> None:
    """Each alone, with a zone layout that several could have."""
    text = "".join(f"{prefix}{line}\n" for line in ARM.format(sign=sign).splitlines())

    assert parsed(text).machine.arch == arch


@pytest.mark.parametrize("sign", ["entry_SYSCALL_64_after_hwframe+0x76", " x64_sys_call+0x1b", "RIP: 0033:0x7f00"])
def test_signs_of_x86_64(sign: str) -> None:
    """Without any other line that tells."""
    assert parsed(pc().replace(" entry_SYSCALL_64+0x1/0x2", sign)).machine.arch == "x86_64"


def test_zones_that_a_pc_cannot_have_are_no_pc() -> None:
    """A DMA zone above 16 MiB; nothing else in the log tells."""
    machine = parsed(ARM.format(sign="")).machine

    assert machine.arch == "arm64"
    assert machine.notes[1].text.startswith("architecture arm64, of ")
    assert machine.notes[1].text.endswith("its page size, zones and chunks are none of x86_64")


def test_an_architecture_without_kernels_that_old_is_not_what_a_log_is_of() -> None:
    """The example riscv64 refuses all before 6.11; that it is installed is no matter to a log of 6.6."""
    with plugged("arch", changed(example("riscv64", "memhotplug_riscv64"), {})) as name:
        assert name in arches()
        assert parsed(ARM.format(sign="")).machine.arch == "arm64"


def test_a_broken_architecture_is_not_what_a_log_is_of() -> None:
    """Whoever uses it is told; a log that does not tell is no use of it."""
    broken = changed(example("riscv64", "memhotplug_riscv64"), {"page_sizing": hookimpl(lambda: 1 // 0)})
    with plugged("arch", broken):
        assert parsed(ARM.format(sign="")).machine.arch == "arm64"


@pytest.mark.parametrize(("page", "arch"), [(16, "arm64"), (64, "arm64")])
def test_the_smallest_chunk_is_a_page_and_tells(page: int, arch: str) -> None:
    """16K and 64K pages are no PC's."""
    text = f"Mem-Info:\n{zone('Normal', total(3, 2, page=page), 1048576)}Node 0 Normal: {chunks(3, 2, page=page)}\n"
    machine = parsed(text).machine

    assert (machine.arch, machine.page_size) == (arch, page << 10)


def test_the_number_of_chunk_sizes_tells() -> None:
    """Nine sizes of 64K pages and thirteen of 4K pages are powerpc's alone."""
    for counts, page in (((3, 2, 0, 0, 0, 0, 0, 0, 1), 64), ((*LIST, 0, 1), 4)):
        text = f"Mem-Info:\n{zone('Normal', total(*counts, page=page), 1048576)}"
        machine = parsed(f"{text}Node 0 Normal: {chunks(*counts, page=page)}\n").machine
        assert machine.arch == "powerpc"
        assert "architecture powerpc: its page size, zones and chunks are none of x86_64" in [
            note.text for note in machine.notes
        ]


def test_fewer_orders_than_a_pageblock_has_make_it_smaller(tmp_path: Path, plan: Plan) -> None:
    """arm64 with 64K pages and nine orders: a pageblock is what the largest chunk is."""
    counts = (3, 2, 0, 0, 0, 0, 0, 0, 60)
    text = (
        f"pstate: 60400005\nMem-Info:\n{zone('Normal', total(*counts, page=64), 4194304)}"
        f"Node 0 Normal: {chunks(*counts, page=64)}\n"
    )
    status, document = ask(plan, tmp_path, text, "--add", "1G")
    assert (status, document["machine"]["page_size"]) == (0, 65536)


@pytest.mark.parametrize(
    ("sign", "option", "error"),
    [
        ("pstate: 60400005", "x86_64", "log:3: got what arm64 alone prints, expected a log of architecture x86_64"),
        ("epc : ffffffff80008a5c ra : ffffffff80008a5c sp : ff20000000a8bd80", None,
         "log:3: got what riscv64 alone prints, expected the log of an architecture that is installed "
         f"({ARCHES})"),
        ("CPU: 1 PID: 2 Comm: k Not tainted 6.1.0-18-s390x #1", "arm64",
         "log: got release 6.1.0-18-s390x, expected a log of architecture arm64"),
    ],
)  # fmt: skip
def test_another_architecture_than_the_log_tells_is_refused(sign: str, option: str | None, error: str) -> None:
    """Asked for by option, or one that nobody has modelled: both are named."""
    with pytest.raises(InputError) as caught:
        parsed(ARM.format(sign=sign).replace("6.6.40 #7", "6.6.40"), option)
    assert str(caught.value) == error


def test_of_two_machines_in_one_file_each_report_has_its_own_signs() -> None:
    """The second report is cut off, so that the first one counts."""
    second = pc()
    text = ARM.format(sign="pstate: 60400005") + second[: second.index("Node 0 DMA32: ")]
    assert parsed(text).machine.arch == "arm64"


def test_the_option_reaches_the_reader_and_an_alias_does(tmp_path: Path, plan: Plan) -> None:
    """--arch of a log that does not tell, by any of its names."""
    text = ARM.format(sign="").replace("DMA", "Normal", 0)
    for word in ("arm64", "aarch64"):
        _, document = ask(plan, tmp_path, text, "--arch", word, "--add", "1G")
        assert document["machine"]["arch"] == "arm64"
        assert document["question"]["driver"] == "acpi"


def test_64k_pages_of_powerpc_are_planned(tmp_path: Path, plan: Plan) -> None:
    """Its only zone was called DMA up to v4.20, and is called Normal now."""
    counts = (9, 4, 2, 1, 1, 3, 0, 40)
    for name in ("DMA", "Normal"):
        text = (
            f"{HEAD}CPU: 3 PID: 9 Comm: kworker/1:2 Not tainted 6.12.4 #2\nNIP:  00007fff9e3c1b24 LR: 0\nMem-Info:\n"
            f"{zone(name, total(*counts, page=64), 4194304)}Node 0 {name}: {chunks(*counts, page=64)}\n"
            "65536 pages RAM\n"
        )
        status, document = ask(plan, tmp_path, text, "--add", "1G")

        assert (document["machine"]["arch"], document["machine"]["page_size"]) == ("powerpc", 65536)
        assert (document["question"]["driver"], status) == ("pseries", 0)
