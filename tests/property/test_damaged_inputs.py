"""Damaged snapshots, archives, recordings, logs and lists: one line and an exit status, never a traceback or a hang.

Each seed damages one input in one way and asks one command about it. A few seeds by default; MHP_EXAMPLES for more,
MHP_SEED for where they begin.
"""

from __future__ import annotations

import gzip
import io
import json
import lzma
import os
import random
import resource
import signal
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, TypeAlias

import pytest

from memhotplug.cli import main
from memhotplug.formats.snapshot import open_snapshot

EXAMPLES = int(os.environ.get("MHP_EXAMPLES", "80"))
FIRST = int(os.environ.get("MHP_SEED", "0"))
SECONDS = 60  # a hang is a failure, slowness is none: the slowest of many took two
MEMORY = 1 << 20  # KiB, above what the process had before
DATA = Path(__file__).parents[1] / "data"
SNAPSHOTS = ("x86_64-6.12-numa2-mom-1", "ppc64el-6.12-mom-1-r", "s390x-6.12-movablecore", "arm64-6.12-movablecore")
RECORDINGS = ("x86_64-6.12-state-words", "s390x-6.1-boot-blocks", "x86_64-6.12-virtio-mem-auto-movable")

Files: TypeAlias = dict[str, str]
Damage: TypeAlias = Callable[[random.Random, bytes], bytes]

NUMBERS = (b"0", b"1", b"-1", b"4096", b"18446744073709551615", b"18446744073709551616", b"9" * 30, b"0x10", b"1e9")
WORDS = (b"\x00", b"\xff\xfe", b"nan", b"Node 7, zone Movable", b"\r", b"\t", b"  ", b"\x1b[31m", b"kB", b"=", b"")


# ---- what is damaged ----


@cache
def files_of(name: str) -> Files:
    """Return the files of the first step of a recording, as a directory would hold them."""
    return dict(open_snapshot(DATA / "recordings" / f"{name}.json.xz", 0).files)


def archived(files: Mapping[str, str], dice: random.Random) -> bytes:
    """Return an sos report of a machine, some members of which are odd."""
    buffer = io.BytesIO()
    form = dice.choice((tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT))
    with tarfile.open(fileobj=buffer, mode="w", format=form) as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(f"sosreport-host/{name}")
            data = text.encode()
            member.size = len(data)
            if dice.random() < 0.01:
                odd = dice.choice(
                    (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE, tarfile.CHRTYPE)
                )
                member.type, member.linkname, member.size = odd, "../../../etc/passwd", 0
            tar.addfile(member, io.BytesIO(data if member.size else b""))
    return buffer.getvalue()


# ---- how ----


def _flip(dice: random.Random, data: bytes) -> bytes:
    at = dice.randrange(len(data) or 1)
    return data[:at] + bytes([dice.randrange(256)]) + data[at + 1 :]


def _cut(dice: random.Random, data: bytes) -> bytes:
    return data[: dice.randrange(len(data) + 1)]


def _drop(dice: random.Random, data: bytes) -> bytes:
    at = dice.randrange(len(data) or 1)
    return data[:at] + data[at + dice.choice((1, 7, 300, 5000)) :]


def _insert(dice: random.Random, data: bytes) -> bytes:
    at = dice.randrange(len(data) + 1)
    return data[:at] + dice.choice(WORDS) + data[at:]


def _number(dice: random.Random, data: bytes) -> bytes:
    """Replace a number by another one."""
    spots = [at for at in range(len(data)) if data[at : at + 1].isdigit() and not data[at - 1 : at].isdigit()][:20_000]
    if not spots:
        return data
    at = dice.choice(spots)
    end = at
    while data[end : end + 1].isdigit():
        end += 1
    return data[:at] + dice.choice(NUMBERS) + data[end:]


def _lines(dice: random.Random, data: bytes) -> bytes:
    """Repeat, drop or swap lines."""
    lines = data.split(b"\n")
    one, other = dice.randrange(len(lines)), dice.randrange(len(lines))
    how = dice.randrange(3)
    if how == 0:
        lines.insert(one, lines[other])
    elif how == 1:
        del lines[one : one + dice.choice((1, 2, 9))]
    else:
        lines[one], lines[other] = lines[other], lines[one]
    return b"\n".join(lines)


def _endings(_dice: random.Random, data: bytes) -> bytes:
    return data.replace(b"\n", b"\r\n")


DAMAGES: tuple[Damage, ...] = (_flip, _cut, _drop, _insert, _number, _number, _number, _lines, _lines, _endings)


def damaged(dice: random.Random, data: bytes) -> bytes:
    for _ in range(dice.choice((1, 1, 1, 2, 5))):
        data = dice.choice(DAMAGES)(dice, data)
    return data


# ---- each kind of input, and who is asked ----


def _directory(dice: random.Random, folder: Path) -> list[str]:
    files = dict(files_of(dice.choice(SNAPSHOTS)))
    for name in dice.sample(sorted(files), dice.choice((0, 1, 1, 2, 20))):
        del files[name]
    for name in dice.sample(sorted(files), min(len(files), dice.choice((1, 1, 2, 4)))):
        files[name] = damaged(dice, files[name].encode()).decode("utf-8", "surrogateescape")
    for name, text in files.items():
        path = folder / "machine" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode("utf-8", "surrogateescape"))
    return ["plan", "--from", str(folder / "machine")]


def _archive(dice: random.Random, folder: Path) -> list[str]:
    files = dict(files_of(dice.choice(SNAPSHOTS)))
    name = dice.choice(sorted(files))
    files[name] = damaged(dice, files[name].encode()).decode("utf-8", "replace")
    data = archived(files, dice)
    if dice.random() < 0.5:
        data = damaged(dice, data)
    path = folder / "sosreport.tar.xz"
    path.write_bytes(_packed(dice, data))
    return ["plan", "--from", str(path)]


def _packed(dice: random.Random, data: bytes) -> bytes:
    data = dice.choice((lzma.compress, gzip.compress, bytes))(data)
    return damaged(dice, data) if dice.random() < 0.2 else data


@cache
def _recording_text(name: str) -> bytes:
    return lzma.decompress((DATA / "recordings" / f"{name}.json.xz").read_bytes())


def _recording(dice: random.Random, folder: Path) -> list[str]:
    data = _recording_text(dice.choice(RECORDINGS))
    data = _in_tree(dice, data) if dice.random() < 0.7 else damaged(dice, data)
    path = folder / "recording.json.xz"
    path.write_bytes(_packed(dice, data))
    step = str(dice.choice((0, 1, 1, 3, 99)))
    return dice.choice(
        (["conform", str(path)], ["conform", "--predict", str(path)], ["plan", "--from", str(path), "--step", step])
    )


def _in_tree(dice: random.Random, data: bytes) -> bytes:
    """Put something else in the place of one value of a JSON document."""
    tree = json.loads(data)
    node: Any = tree
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        key = dice.choice(keys)
        inner = node[key]
        if isinstance(inner, (dict, list)) and inner and dice.random() < 0.85:
            node = inner
            continue
        odd: tuple[Any, ...] = (
            None,
            True,
            -1,
            0,
            1 << 70,
            1.5,
            "",
            "x",
            [],
            {},
            [[]],
            {"a": 1},
            inner * 2 if isinstance(inner, list) else inner,
        )
        node[key] = dice.choice(odd)
        if isinstance(inner, str) and dice.random() < 0.7:
            node[key] = damaged(dice, inner.encode()).decode("utf-8", "replace")
        return json.dumps(tree).encode()


def _log(dice: random.Random, folder: Path) -> list[str]:
    names = sorted((DATA / "oomlogs").glob("*.log"))
    data = b"\n".join(path.read_bytes() for path in dice.sample(names, dice.choice((1, 1, 2))))
    path = folder / "dmesg"
    path.write_bytes(_packed(dice, damaged(dice, data)))
    return ["plan", "--oom-log", str(path)]


def _list(dice: random.Random, folder: Path) -> list[str]:
    lists = (
        b'[{"chardev":"dax0.0","size":4225761280,"target_node":1,"mappings":[{"start":4294967296,"end":8520728575}]}]',
        b'[{"bus":"root0","decoders:root0":[{"decoder":"decoder0.0","resource":70061654016,"size":4563402752}]}]',
        b"1050000000-205fffffff : CXL Window 0\n  1050000000-144fffffff : dax0.0\n",
        b"RANGE SIZE STATE BLOCK\n0x0000000000000000-0x000000003fffffff 1G online 0-7\n\nMemory block size: 128M\n",
    )
    data = dice.choice(lists)
    path = folder / "list"
    path.write_bytes(damaged(dice, data))
    if data.startswith(b"RANGE"):
        return ["plan", "--from", str(path), "--arch", "x86_64"]
    return ["align", "--iomem", str(path)]


KINDS = (_directory, _archive, _recording, _log, _list)


# ---- the judge ----


@contextmanager
def limits() -> Iterator[None]:
    """Fail what hangs, and what takes more memory than any input is worth."""

    def too_long(_signal: int, _frame: FrameType | None) -> NoReturn:
        pytest.fail(f"no answer within {SECONDS} s")

    before = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(SECONDS)
    had = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - had < MEMORY


@pytest.mark.parametrize("seed", range(FIRST, FIRST + EXAMPLES))
def test_a_damaged_input_gets_an_answer_or_one_line(
    seed: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit status 0 to 4; with 2 nothing but one line that names the file."""
    dice = random.Random(seed)
    command = KINDS[seed % len(KINDS)](dice, tmp_path)
    if command[0] == "plan" and dice.random() < 0.8:
        command += ["--add", dice.choice(("128M", "1G", "40G", "1T"))]
    if command[0] == "plan":
        command += ["--brief"]

    with limits():
        status = main(command)

    out, err = capsys.readouterr()
    assert status in range(5), (command, err)
    assert "Traceback" not in err
    assert "bug in mhp" not in err, (command, err)
    if status == 2:
        assert (out, err.count("\n"), err[:5]) == ("", 1, "mhp: "), (command, err)
        assert len(err) < 1200, err
