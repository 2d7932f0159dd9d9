"""``mhp conform``: the diff, the summaries, the JSON, the exit statuses."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from memhotplug.cli import main
from memhotplug.commands.conform.text import describe_op
from memhotplug.formats.snapshot import RecordedOp

Load = Callable[[str], dict[str, Any]]
Save = Callable[[dict[str, Any]], Path]

RECORDINGS = Path(__file__).parents[3] / "data" / "recordings"
GOLDEN = Path(__file__).parents[3] / "golden" / "conform-tampered.txt"


def recording(name: str) -> str:
    """Return where a recording is."""
    return str(RECORDINGS / f"{name}.json.xz")


def test_one_line_a_file_and_a_total(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing differs, so nothing is shown but the counts."""
    first, second = recording("s390x-6.12-movablecore"), recording("x86_64-6.12-kata4847-mom-0")

    assert main(["conform", first, second]) == 0
    assert capsys.readouterr().out == (
        f"{first}: 271 of 271 observations match (linux-6.12 on s390, 7 steps)\n"
        f"{second}: 46 of 46 observations match (linux-6.12 on x86_64, 2 steps)\n"
        "2 files: 317 of 317 observations match (2 within the tolerance of 128"
        " pages a kernel zone and node with CPUs,"
        " 0 left out (the guest's processes, a block still going offline), 0 undetermined, "
        "3 told by flags read before the step)\n"
    )


def test_of_a_folder_its_recordings_are_replayed_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing else that lies there, and nothing in folders below; the rest of the command line stands."""
    plain = lzma.decompress(Path(recording("x86_64-6.12-kata4847-mom-0")).read_bytes())
    (tmp_path / "c.json").write_bytes(plain)
    (tmp_path / "a.json.gz").write_bytes(gzip.compress(plain))
    (tmp_path / "b.json.bz2").write_bytes(bz2.compress(plain))
    (tmp_path / "README.md").write_text("none")
    (tmp_path / "d.json").mkdir()
    (tmp_path / "d.json" / "below.json").write_bytes(plain)
    last = recording("x86_64-6.12-kata4847-mom-0")

    assert main(["conform", str(tmp_path), last, "--json"]) == 0
    files = [one["file"] for one in json.loads(capsys.readouterr().out)["files"]]
    assert files == [*(str(tmp_path / name) for name in ("a.json.gz", "b.json.bz2", "c.json")), last]


def test_a_folder_without_recordings_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The others are replayed."""
    assert main(["conform", str(tmp_path), recording("x86_64-6.12-kata4847-mom-0")]) == 2
    shown = capsys.readouterr()
    assert shown.err == (
        f"mhp: {tmp_path}: got a folder without any, expected recordings (*.json, *.json.xz, *.json.gz, *.json.bz2)\n"
    )
    assert shown.out.splitlines()[-1] == "1 file: 46 of 46 observations match; 1 file cannot be used"


def tampered(load: Load) -> dict[str, Any]:
    """A recording with a lie of most kinds, and a last step of which only the operation is known."""
    document = load("x86_64-6.12-mom-1-b")
    files = document["steps"][2]["files"]
    files["proc/zoneinfo"] = files["proc/zoneinfo"].replace("managed  32256", "managed  32255")
    files["proc/iomem"] = files["proc/iomem"].replace("100000000-107ffffff", "100000000-10fffffff")
    files["sys/devices/system/memory/memory32/valid_zones"] = "Movable\n"
    step = document["steps"][3]
    step["result"] = step["results"]["32"] = "EPERM: Operation not permitted"
    document["steps"][4] = {"op": document["steps"][4]["op"]}
    return document


def test_differences_read_like_a_diff(load: Load, save: Save, capsys: pytest.CaptureFixture[str]) -> None:
    """By step; the kernel's word with a minus, the model's with a plus, each with its class."""
    path = save(tampered(load))

    assert main(["conform", str(path)]) == 1
    assert capsys.readouterr().out.replace(str(path), "FILE") == GOLDEN.read_text()


def test_json_has_every_mismatch(load: Load, save: Save, capsys: pytest.CaptureFixture[str]) -> None:
    """Files, counts, mismatches and predictions; plain values throughout."""
    path = save(tampered(load))

    assert main(["conform", str(path), recording("s390x-6.12-movablecore"), "--json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    first, second = answer["files"]
    counts = ["tolerated", "left_out", "undetermined", "told_by_flags"]
    assert list(answer) == ["schema", "files", "observations", "matched", *counts]
    assert list(first) == [
        "file", "kernel", "arch", "steps", "observations", "matched", *counts, "mismatches", "predicted",
    ]  # fmt: skip
    assert (first["file"], first["kernel"], first["arch"], first["steps"]) == (str(path), "linux-6.12", "x86_64", 5)
    assert first["mismatches"][0] == {
        "step": 2, "what": "node 0 zone Normal managed", "expected": 32255, "got": 32256,
    }  # fmt: skip
    assert len(first["mismatches"]) == first["observations"] - first["matched"] == 5
    assert [one["step"] for one in first["predicted"]] == [4]
    assert second["mismatches"] == second["predicted"] == []
    assert answer["observations"] == first["observations"] + second["observations"]
    assert answer["matched"] == first["matched"] + second["matched"]


def test_predictions_alone_do_not_fail(load: Load, save: Save, capsys: pytest.CaptureFixture[str]) -> None:
    """What was not compared cannot differ."""
    document = load("x86_64-6.12-mom-1-b")
    document["steps"][4] = {"op": document["steps"][4]["op"]}

    assert main(["conform", str(save(document))]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].startswith("? step 4: online_movable block 32: EINVAL, MemTotal ")
    assert shown[0].endswith(" kB (predicted)")
    assert shown[1].endswith("5 steps, 1 of them predicted)")


def test_predict_reads_nothing_of_the_steps_from_there_on(capsys: pytest.CaptureFixture[str]) -> None:
    """No page flags are input, and every step of a recording comes out as recorded; 0 is the boot, which is read."""
    path = recording("x86_64-6.12-mom-1-a")
    assert main(["conform", path, "--json"]) == 0
    replayed = json.loads(capsys.readouterr().out)
    assert main(["conform", "--predict", path, "--json"]) == 0
    predicted = json.loads(capsys.readouterr().out)
    assert main(["conform", "--predict=9", path, "--json"]) == 0
    later = json.loads(capsys.readouterr().out)

    assert [answer["told_by_flags"] for answer in (replayed, predicted, later)] == [8, 0, 7]
    assert replayed["matched"] == predicted["matched"] == predicted["observations"] == 1670
    assert main(["conform", "--predict=0", path]) == 2
    assert "--predict" in capsys.readouterr().err


def test_what_nobody_can_know_is_said_and_counted(capsys: pytest.CaptureFixture[str]) -> None:
    """Allocated memmap lies somewhere in the zone: from the offline on that drains the lists, nobody knows where."""
    path = recording("ppc64el-6.12-random-8")
    assert main(["conform", "--predict", path, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["undetermined"] == 330
    assert main(["conform", path, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["undetermined"] == 8


def test_a_bad_recording_is_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit status 2 and one line on stderr; with --json the error object too."""
    path = tmp_path / "other.json"
    path.write_text('{"a": 1}')

    assert main(["conform", str(path)]) == 2
    text = f"{path}: got another JSON document, expected a recording: an object with 'meta' and 'steps'"
    assert capsys.readouterr() == ("", f"mhp: {text}\n")
    assert main(["conform", str(path), "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["error"]["file"] == str(path)


def test_a_bad_recording_does_not_hide_the_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every good one is replayed, every bad one has its line, and the exit status is that of bad input."""
    good, bad, absent = recording("s390x-6.12-movablecore"), tmp_path / "other.json", tmp_path / "absent.json"
    bad.write_text('{"a": 1}')
    lines = [
        f"{bad}: got another JSON document, expected a recording: an object with 'meta' and 'steps'",
        f"{absent}: got No such file or directory, expected a readable file",
    ]

    assert main(["conform", str(bad), good, str(absent)]) == 2
    shown = capsys.readouterr()
    assert shown.out == (
        f"{good}: 271 of 271 observations match (linux-6.12 on s390, 7 steps)\n"
        "1 file: 271 of 271 observations match (2 within the tolerance of 128"
        " pages a kernel zone and node with CPUs,"
        " 0 left out (the guest's processes, a block still going offline), 0 undetermined, "
        "3 told by flags read before the step); 2 files cannot be used\n"
    )
    assert shown.err == "".join(f"mhp: {line}\n" for line in lines)

    assert main(["conform", str(bad), good, str(absent), "--json"]) == 2
    answer = json.loads(capsys.readouterr().out)
    assert (answer["ok"], answer["error"]) == (False, answer["errors"][0])
    assert [error["file"] for error in answer["errors"]] == [str(bad), str(absent)]
    assert [one["file"] for one in answer["files"]] == [good]
    assert answer["observations"] == answer["matched"] == 271


def test_no_recording_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    """There is nothing to replay."""
    assert main(["conform"]) == 2
    assert "missing argument 'RECORDING...'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("op", "text"),
    [
        (RecordedOp(kind="boot"), "boot"),
        (RecordedOp(kind="add", device="d0", size=1 << 30, address=4 << 30), "add d0, 1G at 0x100000000"),
        (RecordedOp(kind="remove", device="d0"), "remove d0"),
        (RecordedOp(kind="offline", blocks=(35, 33, 32)), "offline blocks 32-33,35"),
        (RecordedOp(kind="online", blocks=(32,), type="online"), "online block 32"),
        (RecordedOp(kind="resize", device="vm0", size=1 << 30), "resize vm0 to 1G"),
        (RecordedOp(kind="hog", size=500 << 20), "hog of 500M"),
        (RecordedOp(kind="write", path="sys/x", value="offline\n"), "write 'offline' to sys/x"),
    ],
)
def test_operations_in_words(op: RecordedOp, text: str) -> None:
    """As the heading of a step's differences has them."""
    assert describe_op(op) == text
