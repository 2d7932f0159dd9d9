"""``mhp snapshot``: records a machine, says what it could not read, and reads it back."""

from __future__ import annotations

import json
import lzma
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Mhp = Callable[..., Any]

RECORDING = Path(__file__).parents[2] / "data" / "recordings" / "x86_64-6.12-mom-1-b.json.xz"

LOG = Path(__file__).parents[2] / "data" / "oomlogs" / "x86_64-6.12-1G-add-52G.log"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the root of a machine that was recorded once."""
    monkeypatch.chdir(tmp_path)
    step = json.loads(lzma.decompress(RECORDING.read_bytes()))["steps"][0]
    for name, text in step["files"].items():
        path = tmp_path / "root" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "root" / "proc" / "sys" / "kernel").mkdir(parents=True)
    (tmp_path / "root" / "proc" / "sys" / "kernel" / "osrelease").write_text("6.12.107+deb13-amd64\n")
    return tmp_path / "root"


def test_a_machine_is_recorded_and_described(mhp: Mhp, root: Path) -> None:
    """What there is, what is missing, and what a reader will have to infer."""
    done = mhp("snapshot", "--root", root, "-o", "out")
    lines = done.out.splitlines()

    assert (done.status, done.err) == (0, "")
    assert lines[0].startswith("out: ")
    assert lines[1].startswith("x86_64, kernel 6.12.107+deb13-amd64, 8 blocks of 128M, ")
    assert "not recorded: proc/cmdline (missing)" in lines
    assert "note: inferred: kernel command line unknown: nothing recorded tells" in lines
    assert (Path("out") / "proc" / "zoneinfo").read_text() == (root / "proc" / "zoneinfo").read_text()


def test_json_lists_what_was_skipped(mhp: Mhp, root: Path) -> None:
    """An archive, by its name."""
    done = mhp("snapshot", "--root", root, "-o", "out.tar.gz", "--json")
    document = json.loads(done.out)

    assert done.status == 0
    assert list(document) == [
        "schema", "ok", "output", "kind", "files", "skipped", "machine", "notes", "problem",
    ]  # fmt: skip
    assert (document["kind"], document["problem"]) == ("archive", None)
    assert {"path": "proc/cmdline", "reason": "missing"} in document["skipped"]
    assert document["machine"]["memory_block_size"] == 128 << 20


def test_a_scenario_and_a_plan_can_use_it(mhp: Mhp, root: Path) -> None:
    """That is what it is for."""
    mhp("snapshot", "--root", root, "-o", "out")
    Path("s.yaml").write_text(
        "schema: 1\nmachine: {arch: x86_64, kernel: linux-6.12, snapshot: out}\n"
        "steps:\n  - add: {driver: acpi, name: dimm0, size: 1G}\n"
    )

    assert mhp("run", "s.yaml").status == 0
    assert mhp("plan", "--from", "out", "--add", "1G").status == 0


def test_blocks_that_were_not_recorded_are_inferred_at_the_size_of_the_architecture(mhp: Mhp, root: Path) -> None:
    """Nothing below sys/devices/system/memory: the machine has blocks all the same, and no broken invariant."""
    shutil.rmtree(root / "sys" / "devices" / "system" / "memory")
    Path("s.yaml").write_text(
        "schema: 1\nmachine: {arch: x86_64, kernel: linux-6.12, snapshot: root}\nsteps: [expect: {violations: 0}]\n"
    )
    result = json.loads(mhp("run", "s.yaml", "--json").out)

    assert result["violations"] == []
    assert [(block["id"], block["state"], block["zone"]) for block in result["blocks"]] == [
        (0, "online", None),
        *((block, "online", "DMA32") for block in range(1, 8)),
    ]
    assert "inferred: memory blocks online wherever zones have pages: none recorded" in result["warnings"]


def test_the_default_name_and_force(mhp: Mhp, root: Path) -> None:
    """A second time only by force."""
    assert mhp("snapshot", "--root", root).status == 0
    done = mhp("snapshot", "--root", root)

    assert (done.status, done.out) == (2, "")
    assert done.err == (
        "mhp: mhp-snapshot: got one that is there already, expected a name that does not exist, or --force\n"
    )
    assert mhp("snapshot", "--root", root, "--force").status == 0


def test_a_snapshot_of_too_little_ends_with_status_1(mhp: Mhp, tmp_path: Path) -> None:
    """Memory blocks alone tell nothing of free memory; they are recorded all the same."""
    block = tmp_path / "root" / "sys" / "devices" / "system" / "memory" / "memory0"
    block.mkdir(parents=True)
    (block / "state").write_text("online\n")
    done = mhp("snapshot", "--root", tmp_path / "root", "-o", tmp_path / "out")

    assert done.status == 1
    assert done.err == (
        f"mhp: recorded, but it cannot be used: {tmp_path}/out: got neither, expected proc/zoneinfo or proc/buddyinfo\n"
    )


def test_a_root_without_a_machine_is_refused(mhp: Mhp, tmp_path: Path) -> None:
    """And nothing is written."""
    done = mhp("snapshot", "--root", tmp_path, "-o", tmp_path / "out")

    assert (done.status, done.out) == (2, "")
    assert not (tmp_path / "out").exists()


def test_many_missing_files_are_counted(mhp: Mhp, root: Path) -> None:
    """Twenty by name."""
    for number in range(40):
        (root / "sys" / "devices" / "system" / "memory" / f"memory{900 + number}").mkdir()
    done = mhp("snapshot", "--root", root, "-o", "out")

    assert done.status == 0
    assert sum(line.startswith("not recorded: ") for line in done.out.splitlines()) <= 21


@pytest.mark.parametrize("machine", ["root", str(LOG)])
def test_a_scenario_needs_neither_architecture_nor_kernel_where_the_machine_tells_them(
    machine: str, mhp: Mhp, root: Path
) -> None:
    """A snapshot and a kernel log; what is recorded is what runs."""
    Path("own.yaml").write_text(f"schema: 1\nmachine: {{snapshot: '{machine}'}}\nsteps: [expect: {{violations: 0}}]\n")
    done = mhp("run", "own.yaml", "--json")
    told = json.loads(done.out)["machine"]

    assert (done.status, told["arch"], told["kernel"]) == (0, "x86_64", "linux-6.12")
