"""Kernel logs that are refused: without a report, cut off, contradicting themselves, damaged."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.commands.plan.test_oomlog import NODES, error_in, parsed_log

from memhotplug.engine.boot.kernel_log.log import OomReport, read_oom_log
from memhotplug.errors import InputError

LOGS = Path(__file__).parents[3] / "data" / "oomlogs"
SMALL = LOGS / "x86_64-6.12-256M-add-9G.log"


def test_a_log_without_a_report_is_refused() -> None:
    """Any other text, and none."""
    expected = "dmesg: got none, expected a page allocation failure or OOM report with its Mem-Info"

    assert error_in("") == expected
    assert error_in("nothing to see here\n" * 3) == expected


def test_a_report_without_zones_is_refused() -> None:
    """The heading alone."""
    assert error_in("a\nMem-Info:\nfree:1\n") == (
        "dmesg:2: got none, expected zones, such as 'Node 0 DMA32 free:4520kB …'"
    )


def test_a_report_that_is_cut_off_is_refused_with_its_line() -> None:
    """Behind the zones, or inside of a line."""
    text = SMALL.read_text()

    assert error_in(text[: text.index("Node 0 DMA32: ")]) == (
        "dmesg:17: got a log that is cut off, expected the free chunks of node 0 zone DMA32 "
        "('Node 0 DMA32: 37*4kB … = …kB')"
    )
    assert error_in(text[: text.index("managed:135924kB")]) == (
        "dmesg:17: got a line that is cut off or none of this kernel's, expected 'managed:' with kB in the line "
        "of node 0 zone DMA32"
    )
    assert error_in(text[: text.index("5*1024kB (ME)")]) == (
        "dmesg:20: got a line that is cut off or damaged, expected free chunks by order up to their sum, "
        "such as '1*4kB 0*8kB … = 4kB'"
    )


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        (
            "5*1024kB (ME)",
            "-5*1024kB (ME)",
            "dmesg:20: got a line that is cut off or damaged, expected free chunks by order up to their sum, such as "
            "'1*4kB 0*8kB … = 4kB'",
        ),
        ("min:1356kB", "min:-4kB", "dmesg:17: got min:-4kB, expected sizes that are never negative"),
        ("free:10564kB", "free:-4kB", "dmesg:17: got free:-4kB, expected sizes that are never negative"),
        ("= 10564kB", "= 10568kB", "dmesg:20: got 10564 kB, expected chunks that add up to 10568 kB"),
        (
            "managed:15360kB",
            "managed:16000kB",
            "dmesg:15: got 16000 kB managed, 15992 kB present, expected no more managed than present memory in "
            "node 0 zone DMA",
        ),
        (
            "Node 0 DMA32: ",
            "Node 1 DMA32: ",
            "dmesg:20: got none, expected the line 'Node 1 DMA32 free:…' before its free chunks",
        ),
        (
            "managed:135924kB",
            "managed:10000kB",
            "dmesg:20: got 10564 kB, expected at most 10000 kB free, which is all of node 0 zone DMA32",
        ),
        ("min:1356kB", "min:1357kB", "dmesg:17: got min:1357kB, expected multiples of a page of 4 kB"),
        (
            "present:15992kB",
            "present:99992kB",
            "dmesg:15: got 24998, expected at most 4095 present pages in zone DMA",
        ),
        (
            "present:245632kB",
            "present:4245632kB",
            "dmesg:17: got 1061408, expected at most 1044480 present pages in zone DMA32",
        ),
        (
            "Node 0 DMA32 free",
            "Node 0 DMA free",
            "dmesg:17: got node 0 zone DMA again, expected each zone once",
        ),
    ],
)
def test_a_report_that_contradicts_itself_is_refused(old: str, new: str, error: str) -> None:
    """One number changed is enough."""
    text = SMALL.read_text()

    assert text.count(old) == 1
    assert error_in(text.replace(old, new)) == error


def test_zones_of_32_bit_kernels_are_refused() -> None:
    """There is no memory hotplug with HighMem."""
    assert error_in(NODES.replace("Normal", "HighMem")) == (
        "dmesg:6: got zone HighMem, expected the zones of a 64-bit kernel"
    )


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """As everywhere: what, and why not."""
    with pytest.raises(InputError) as caught:
        read_oom_log(tmp_path / "dmesg")

    assert str(caught.value) == f"{tmp_path / 'dmesg'}: got No such file or directory, expected a readable file"


def _outcome(text: str) -> OomReport | InputError:
    try:
        return parsed_log(text)
    except InputError as problem:
        return problem


@given(cut=st.integers(0, len(SMALL.read_text())), drop=st.integers(0, 28))
def test_damaged_logs_are_read_or_refused(cut: int, drop: int) -> None:
    """Whatever is missing: no other error, and no negative count."""
    lines = SMALL.read_text()[:cut].splitlines(keepends=True)
    outcome = _outcome("".join(line for number, line in enumerate(lines) if number != drop))

    if isinstance(outcome, InputError):
        assert outcome.file == "dmesg"
    else:
        assert all(zone.managed <= zone.present <= zone.spanned for zone in outcome.machine.zones)


@given(text=st.text(alphabet="Node 0DMA32free:=*kB()\n[]1.-", max_size=300))
def test_noise_is_refused(text: str) -> None:
    """Letters of a report in any order."""
    assert isinstance(_outcome(text), InputError)
