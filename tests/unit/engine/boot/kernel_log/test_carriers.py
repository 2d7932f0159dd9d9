"""What a log travels in changes nothing of what it tells."""

from __future__ import annotations

import base64
import gzip
import json
import lzma
from collections.abc import Callable
from pathlib import Path

import pytest

from memhotplug.engine.boot.kernel_log.carriers import carried_lines
from memhotplug.engine.boot.kernel_log.log import is_kernel_log, read_oom_log

DATA = Path(__file__).parents[4] / "data"
LOG = (DATA / "oomlogs" / "x86_64-6.12-256M-add-9G.log").read_text(encoding="utf-8")
HEADERS = "From: a@example.org\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64\n\n"


def by_line(form: Callable[[int, str], str]) -> str:
    """Return the log with each line in another form."""
    return "\n".join(form(number, line) for number, line in enumerate(LOG.splitlines()))


def mail(data: bytes) -> str:
    """Return a mail with some bytes as its body."""
    return f"{HEADERS}{base64.encodebytes(data).decode()}"


def attached(data: bytes) -> str:
    """Return a mail of two parts, with some bytes as the second."""
    return f"From: a@example.org\n\n--XX\n\nsee below\n--XX\n{mail(data)}\n--XX--\n"


CARRIERS = {
    "journalctl -o json": by_line(lambda n, line: json.dumps({"_TRANSPORT": "kernel", "N": n, "MESSAGE": line})),
    "of bytes": by_line(lambda _, line: json.dumps({"MESSAGE": list(line.encode())})),
    "journalctl -o json-pretty": by_line(lambda _, line: json.dumps({"_X": "y", "MESSAGE": line}, indent=8)),
    "journalctl -o json-seq": by_line(lambda _, line: "\x1e" + json.dumps({"MESSAGE": line})),
    "journalctl -o json-sse": by_line(lambda _, line: f"data: {json.dumps({'MESSAGE': line})}\n"),
    "journalctl -o export": by_line(lambda _, line: f"_TRANSPORT=kernel\nMESSAGE={line}\n"),
    "dmesg --json": by_line(lambda n, line: json.dumps({"pri": 4, "time": n / 8, "msg": line}, indent=3)),
    "dmesg -x": by_line(lambda n, line: f"kern  :warn  : [  101.{n:06d}] {line}"),
    "dmesg -x --time-format iso": by_line(lambda n, line: f"kern  :warn  : 2026-11-28T10:11:12,{n:06d}+00:00 {line}"),
    "dmesg --time-format iso": by_line(lambda n, line: f"2026-11-28T10:11:12,{n:06d}+00:00 {line}"),
    "/dev/kmsg": by_line(lambda n, line: f"4,{n},101000{n:03d},-;{line}"),
    "docker, json-file": by_line(lambda _, line: json.dumps({"log": f"{line}\n", "stream": "stdout"})),
    "docker compose": by_line(lambda n, line: f"console-1  | [  101.{n:06d}] {line}"),
    "docker compose, without time": by_line(lambda _, line: f"console-1  | {line}"),
    "kubelet": by_line(lambda n, line: f"2026-11-28T10:11:12.{n:09d}Z stdout F {line}"),
    "kubelet, with time": by_line(lambda n, line: f"2026-11-28T10:11:12.{n:09d}Z stderr F [  101.{n:06d}] {line}"),
    "stern": by_line(lambda n, line: f"vm-abc console [  101.{n:06d}] {line}"),
    "kata-runtime": by_line(
        lambda n, line: f'time="2026-11-28T10:11:12Z" level=debug msg="console" vmconsole="[  101.{n:06d}] {line}"'
    ),
    "mail": mail(LOG.encode()),
    "mail, CRLF": mail(LOG.encode()).replace("\n", "\r\n"),
    "mail, UTF-16": mail(LOG.encode("utf-16")),
    "attachment": attached(LOG.encode()),
    "attachment, gzip": attached(gzip.compress(LOG.encode())),
    "attachment, xz": attached(lzma.compress(LOG.encode())),
}


@pytest.mark.parametrize("carrier", CARRIERS)
def test_a_log_tells_the_same_whatever_carries_it(carrier: str, tmp_path: Path) -> None:
    """The zones, and also what failed, where and in which kernel."""
    path = tmp_path / "log"
    path.write_text(LOG, encoding="utf-8")
    plain = read_oom_log(path)
    path.write_text(CARRIERS[carrier], encoding="utf-8", newline="")
    assert read_oom_log(path) == plain
    assert plain.order == 9
    assert is_kernel_log(CARRIERS[carrier])


def test_numbers_stay_those_of_the_file() -> None:
    """A body has that of its first line, a record's lines that of the record, and after them it goes on."""
    text = f"{HEADERS}{base64.encodebytes(b'one' * 40).decode()}--\n" + '{"MESSAGE": "a\\nb"}\nend\n'
    assert list(carried_lines(text))[4:] == [(5, "one" * 40), (8, "--"), (9, "a"), (9, "b"), (10, "end")]


@pytest.mark.parametrize("body", ["AAA", "iVBORw0KGgo=", "KLUv/SQBCQAAYQ==", "H4sIAAAA"])
def test_a_body_that_is_no_text_is_left_out(body: str) -> None:
    """A picture, another compression, and what is cut off or damaged."""
    lines = [line for _, line in carried_lines(f"{HEADERS}{body}\n\nend")]
    assert lines[:1] + lines[-1:] == ["From: a@example.org", "end"]
    assert not any("MESSAGE" in line for line in lines)


@pytest.mark.parametrize(
    "line", ['{"MESSAGE": 3}', '{"MESSAGE": [300]}', '{"MESSAGE": "\\q"}', 'level=x msg="\\q"', "time=1 of 2", "{", ""]
)
def test_what_is_no_record_stays(line: str) -> None:
    """Whatever it begins like."""
    assert list(carried_lines(f"{line}\n")) == [(1, line)]
