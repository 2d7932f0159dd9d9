"""Lines of a kernel log: prefixes and colours go, and what was cut is put together again."""

from __future__ import annotations

import pytest

from memhotplug.engine.boot.kernel_log.text import log_lines

_MEM = "Node 0 DMA free:1024kB min:40kB low:52kB high:64kB"


def lines(text: str) -> list[tuple[int, str]]:
    """Return what the kernel printed, by line number."""
    return list(log_lines(text))


@pytest.mark.parametrize(
    "prefix",
    [
        "",
        "[ 1234.567890] ",
        "[12345.678901][  T123] ",
        "<4>[12345.678901] ",
        "<191>",
        "> ",
        "> > [ 1.0] ",
        ">>",
        "Nov 28 01:02:03 host kernel: ",
        "Nov  8 01:02:03 host.example.org kernel: [12345.678901] ",
        "2026-11-28T01:02:03+0100 host kernel: ",
        "2026-11-28T01:02:03.123456+01:00 a host kernel:",
        "[Sat Nov 28 01:02:03 2026] ",
        "\x1b[32m[ 1234.567890]\x1b[0m ",
        "\x1b(B\x1b[1;31m",
        "\x0f",
        "\t",
        "    [ 1234.567890] ",
        "    17\t",
        "<4>1 2026-11-28T01:02:03.123456+01:00 host kernel - - - [12345.678901] ",
    ],
)
def test_prefixes_and_colours_go(prefix: str) -> None:
    """Of terminals, log daemons, mails and the kernel itself."""
    assert lines(f"{prefix}Mem-Info:\n") == [(1, "Mem-Info:")]


@pytest.mark.parametrize(
    "line",
    [
        "[c000000001a2b3c4] [c00000000001a2b3] foo",
        "[<0000000000a1b2c3>] dump_stack",
        "<1234> no priority",
        "Nov 28 01:02:03 host systemd: Mem-Info:",
        "nov 28 01:02:03 host kernel: Mem-Info:",
        "[" + "x" * 65 + "] long",
    ],
)
def test_what_is_no_prefix_stays(line: str) -> None:
    """Addresses in brackets belong to the line; of other daemons the whole line is theirs."""
    assert lines(line) == [(1, line)]


def test_tasks_that_report_at_once_are_told_apart() -> None:
    """Who prints last comes last; what nobody of them printed comes first."""
    text = (
        "a\n[ 1.0][ T7] Mem-Info:\n[ 1.0][ C1] Mem-Info:\n[ 1.0][ T7] b\n[ 1.1][ T9] d\n[ 1.1][ C1] c\n[ 1.2][ T7] e\n"
    )
    assert lines(text) == [(1, "a"), (5, "d"), (3, "Mem-Info:"), (6, "c"), (2, "Mem-Info:"), (4, "b"), (7, "e")]
    assert [number for number, _ in lines(text.replace("C1", "T7"))] == [1, 2, 3, 4, 5, 6, 7]


def test_lines_are_numbered_from_one_whatever_ends_them() -> None:
    """Empty ones count, and a text without an end of line has a last line."""
    assert lines("a\r\n\nb") == [(1, "a"), (2, ""), (3, "b")]
    assert lines("") == []


@pytest.mark.parametrize(
    ("text", "joined"),
    [
        (f"{_MEM}\nboost:0kB active_anon:4kB\nnext", [(1, f"{_MEM} boost:0kB active_anon:4kB"), (3, "next")]),
        (f"{_MEM}\n  boost:0kB all_unreclaimable? no\n", [(1, f"{_MEM} boost:0kB all_unreclaimable? no")]),
        (f"{_MEM}\nboost:0kB\nactive_anon:4kB\n", [(1, f"{_MEM} boost:0kB active_anon:4kB")]),
        (f"{_MEM}\nlowmem_reserve[]: 0 0 0\n", [(1, _MEM), (2, "lowmem_reserve[]: 0 0 0")]),
        (f"{_MEM}\n{_MEM}\n", [(1, _MEM), (2, _MEM)]),
        ("Node 0 active_anon:4kB\ninactive_anon:8kB\n", [(1, "Node 0 active_anon:4kB inactive_anon:8kB")]),
        ("Mem-Info:\nactive_anon:4kB\n", [(1, "Mem-Info:"), (2, "active_anon:4kB")]),
        (
            "Node 0 DMA: 1*4kB (U)\n2*8kB (UM) = 20kB\nmore",
            [(1, "Node 0 DMA: 1*4kB (U) 2*8kB (UM) = 20kB"), (3, "more")],
        ),
        ("Node 0 DMA: 1*4kB\n(U) = 4kB\n", [(1, "Node 0 DMA: 1*4kB (U) = 4kB")]),
        ("Node 0 DMA: 1*4kB (U)\n= 4kB\n", [(1, "Node 0 DMA: 1*4kB (U) = 4kB")]),
        ("Node 0 DMA: 1*4kB (U) =\n4kB\n", [(1, "Node 0 DMA: 1*4kB (U) = 4kB")]),
        ("Node 0 DMA: 1*4kB = 4kB\n2*8kB\n", [(1, "Node 0 DMA: 1*4kB = 4kB"), (2, "2*8kB")]),
        ("Node 0 DMA: 1*4kB (U)\nNode 0 DMA32: 1*4kB\n", [(1, "Node 0 DMA: 1*4kB (U)"), (2, "Node 0 DMA32: 1*4kB")]),
        (
            "modprobe: page allocation failure:\norder:5, mode:0xcc0\nCPU: 1",
            [(1, "modprobe: page allocation failure: order:5, mode:0xcc0"), (3, "CPU: 1")],
        ),
        ("bash invoked oom-killer:\ngfp_mask=0x1\n", [(1, "bash invoked oom-killer: gfp_mask=0x1")]),
        (
            "CPU: 1 PID: 7 Comm: a Not tainted\n6.12.9-amd64 #1  Debian",
            [(1, "CPU: 1 PID: 7 Comm: a Not tainted 6.12.9-amd64 #1  Debian")],
        ),
        (
            "CPU: 1 PID: 7 Comm: a Tainted: G\n           OE       6.8.0-45 #45",
            [(1, "CPU: 1 PID: 7 Comm: a Tainted: G OE       6.8.0-45 #45")],
        ),
        (
            "CPU: 1 PID: 7 Comm: a Not tainted 6.1 #1\n6.2 #2",
            [(1, "CPU: 1 PID: 7 Comm: a Not tainted 6.1 #1"), (2, "6.2 #2")],
        ),
        ("bash invoked oom-killer:\nCPU: 1\n", [(1, "bash invoked oom-killer:"), (2, "CPU: 1")]),
    ],
)
def test_a_line_that_was_wrapped_is_whole_again(text: str, joined: list[tuple[int, str]]) -> None:
    """Zones, lists of chunks and the line of the failure; under the number of their first part."""
    assert lines(text) == joined


def test_quoted_printable_is_undone_and_numbers_stay() -> None:
    """Soft line breaks and bytes; what is no printable byte becomes a space."""
    text = "Content-Transfer-Encoding: quoted-printable\nNode 0 DMA: 1*4kB =\n(U) =3D 4kB=00\n=41=7E=7F=20end\n"
    assert lines(text) == [
        (1, "Content-Transfer-Encoding: quoted-printable"),
        (2, "Node 0 DMA: 1*4kB (U) = 4kB "),
        (3, ""),
        (4, "A~  end"),
    ]


def test_two_soft_breaks_owe_two_lines() -> None:
    """An encoded equals sign at the end is none, and a break at the end of the text is closed there."""
    assert lines("a =3D 1kB\nb=\nc= \nd\ne =3D\nf=") == [
        (1, "a = 1kB"), (2, "bcd"), (3, ""), (4, ""), (5, "e ="), (6, "f"),
    ]  # fmt: skip


def test_a_log_with_equals_signs_is_not_quoted() -> None:
    """Without any sign of the encoding nothing is taken for it."""
    assert lines("mode=\n0xcc0 =41\n") == [(1, "mode="), (2, "0xcc0 =41")]


def test_of_a_long_log_there_are_the_lines_around_its_reports() -> None:
    """And what the boot said; a line that is longer than any kernel's is none of it."""
    noise = [f"{place} of other daemons" for place in range(10_000)]
    text = "\n".join(
        ["Linux version 6.1", *noise, "Mem-Info:", "x" * 20_000, *noise, "Kernel command line: quiet", "end"]
    )

    found = lines(text)

    assert found[:2] == [(1, "Linux version 6.1"), (8002, "8000 of other daemons")]
    assert found[2000:2003] == [(10001, "9999 of other daemons"), (10002, "Mem-Info:"), (10004, "0 of other daemons")]
    assert found[-2:] == [(12002, "1998 of other daemons"), (20004, "Kernel command line: quiet")]
