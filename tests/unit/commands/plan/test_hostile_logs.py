"""One log, however it was saved: every way gives the same answer, or one line that says what is wrong."""

from __future__ import annotations

import gzip
import io
import json
import lzma
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest

Plan: TypeAlias = Callable[..., tuple[int, str, str]]

LOG = Path(__file__).parents[3] / "data" / "oomlogs" / "x86_64-6.12-1G-add-52G.log"
TEXT = LOG.read_text(encoding="utf-8")
NOISE = random.Random(1).randbytes(5000)


def _each(prefix: str) -> bytes:
    return "".join(f"{prefix}{line}\n" for line in TEXT.splitlines()).encode()


WAYS = {
    "CRLF": TEXT.replace("\n", "\r\n").encode(),
    "colours": _each("\x1b[32m[ 1234.567890]\x1b[0m "),
    "syslog": _each("Nov 28 01:02:03 host kernel: [12345.678901] "),
    "syslog, with a pid": _each("Nov  8 01:02:03 host.example.org kernel[1]: "),
    "journalctl": _each("Nov 28 01:02:03 host kernel: "),
    "journalctl -o short-iso": _each("2026-11-28T01:02:03+0100 host kernel: "),
    "journalctl -o short-precise": _each("Nov 28 01:02:03.123456 host kernel: "),
    "dmesg -T": _each("[Sat Nov 28 01:02:03 2026] "),
    "dmesg --time-format iso": _each("2026-11-28T01:02:03,123456+01:00 "),
    "raw, with the caller": _each("<4>[12345.678901][  T123] "),
    "journalctl -o json": "".join(
        json.dumps({"MESSAGE": line, "PRIORITY": "4"}) + "\n" for line in TEXT.splitlines()
    ).encode(),
    "gzip": gzip.compress(TEXT.encode(), mtime=0),
    "xz": lzma.compress(TEXT.encode()),
    "UTF-16": TEXT.encode("utf-16"),
    "three reports": (TEXT * 3).encode(),
    "a second one that is cut off": (TEXT + TEXT[: TEXT.index("Node 0 DMA32:")]).encode(),
    "behind garbage": NOISE + b"\n" + TEXT.encode(),
    "before garbage": TEXT.encode() + NOISE,
}


@pytest.mark.parametrize("way", WAYS)
def test_a_log_is_read_however_it_was_saved(way: str, tmp_path: Path, plan: Plan) -> None:
    """Free memory, the verdict and the largest add are those of the plain file."""
    path = tmp_path / "log"
    path.write_bytes(WAYS[way])
    _, plain, _ = plan("--oom-log", LOG, "--add", "1G", "--json")
    status, out, err = plan("--oom-log", path, "--add", "1G", "--json")
    assert (status, err) == (4, "")
    keys = ("verdict", "free", "memmap", "largest_single_add", "machine")
    found, wanted = json.loads(out), json.loads(plain)
    found["machine"].pop("source")
    wanted["machine"].pop("source")
    assert {key: found[key] for key in keys} == {key: wanted[key] for key in keys}


def test_a_log_from_standard_input(plan: Plan, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """``-`` as in other programs, also for the steps."""

    class Piped(io.StringIO):
        buffer = io.BytesIO(TEXT.encode())

    assert plan("--from", LOG, "--add", "1G", "--brief")[0] == 4  # a log is a recorded machine as well
    monkeypatch.setattr(sys, "stdin", Piped("1G # one\n2G\n"))
    _, out, _ = plan("--boot", "2G", "--steps", "-", "--json")
    assert json.loads(out)["question"]["sizes"] == [1 << 30, 2 << 30]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("managed:15360kB", "managed:99999996kB",
         "got 99999996 kB managed, 15992 kB present, expected no more managed than present memory in node 0 zone DMA"),
        ("Node 0 DMA free:", "Node 99999 DMA free:", "got 99999, expected a node below 1024"),
        ("Node 0 DMA free:", "Node 1024 DMA free:", "got 1024, expected a node below 1024"),
        ("Node 0 DMA:", "Node 0 Normal:", "got none, expected the line 'Node 0 Normal free:…' before its free chunks"),
    ],
)  # fmt: skip
def test_contradictions_name_both_sides(old: str, new: str, message: str, tmp_path: Path, plan: Plan) -> None:
    """With the line."""
    assert old in TEXT
    path = tmp_path / "log"
    path.write_text(TEXT.replace(old, new), encoding="utf-8")
    status, out, err = plan("--oom-log", path, "--add", "1G")
    line = next(n for n, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1) if new in text)
    assert (status, out, err) == (2, "", f"mhp: {path}:{line}: {message}\n")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (NOISE, "got none, expected a page allocation failure or OOM report with its Mem-Info"),
        (b"", "got none, expected a page allocation failure or OOM report with its Mem-Info"),
        (gzip.compress(TEXT.encode(), mtime=0)[:-20], "got damaged or truncated data"),
        (lzma.compress(TEXT.encode())[:-20], "got damaged or truncated data"),
        (TEXT[: TEXT.index("Node 0 DMA free:")].encode(), "got none, expected zones, such as"),
    ],
)
def test_what_is_no_log_is_one_line(content: bytes, message: str, tmp_path: Path, plan: Plan) -> None:
    """Never a traceback, and nothing on stdout."""
    path = tmp_path / "log"
    path.write_bytes(content)
    status, out, err = plan("--oom-log", path, "--add", "1G")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert message in err


def test_an_impossible_request_names_the_limit(plan: Plan) -> None:
    """Address bits, in words and in bytes."""
    _, out, _ = plan("--oom-log", LOG, "--add", "8P", "--json")
    document: dict[str, Any] = json.loads(out)
    assert document["reason"]["rule"] == "address-space"
    assert "ends beyond 52 physical address bits (4P)" in document["reason"]["text"]


def test_watermarks_that_do_not_ascend_are_a_contradiction(tmp_path: Path, plan: Plan) -> None:
    """No kernel has a min watermark above its low one: whoever wrote that would be told nonsense."""
    path = tmp_path / "log"
    assert "min:752kB low:940kB" in TEXT
    path.write_text(TEXT.replace("min:752kB low:", "min:1128kB low:"), encoding="utf-8")
    status, out, err = plan("--oom-log", path, "--add", "1G")
    wrong = "node 0 zone DMA: watermarks of 282, 235 and 282 pages do not ascend"
    message = f"mhp: {path}: got a contradiction, expected zones whose numbers agree ({wrong})\n"
    assert (status, out, err) == (2, "", message)
