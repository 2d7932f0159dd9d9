"""The largest add of recorded guests, from their boot state alone, against what the real kernel did."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.unit.commands.plan.conftest import Plan, capacity_table, write_snapshot

GIB = 1 << 30
MORE = "more-boot-sizes.json.xz"


@pytest.mark.parametrize("row", range(len(capacity_table())))
def test_the_largest_add_is_the_recorded_one(row: int, tmp_path: Path, plan: Plan) -> None:
    """In whole GiB: exactly for clean adds and adds with fallbacks, unless the recording was capped."""
    recorded = capacity_table()[row]
    root = write_snapshot(tmp_path / "guest", recorded)

    _, out, _ = plan("--from", root, "--add", "1G", "--driver", "acpi", "--online", "none", "--json")
    largest = json.loads(out)["largest_single_add"]

    clean, present = largest["clean_bytes"] // GIB, largest["with_fallback_bytes"] // GIB
    if "capped_at_gib" in recorded:
        assert clean >= recorded["capped_at_gib"]
    else:
        assert (clean, present) == (recorded["largest_clean_gib"], recorded["largest_present_gib"])


@pytest.mark.parametrize("row", range(len(capacity_table(MORE))))
def test_no_other_boot_size_is_off_by_more_than_one_gib(row: int, tmp_path: Path, plan: Plan) -> None:
    """384 MiB to 4 GiB, and never above: the boots that were probed differ by up to 6 MiB of free memory."""
    recorded = capacity_table(MORE)[row]
    root = write_snapshot(tmp_path / "guest", recorded)

    _, out, _ = plan("--from", root, "--add", "1G", "--driver", "acpi", "--online", "none", "--json")
    clean = json.loads(out)["largest_single_add"]["clean_bytes"] // GIB

    if "capped_at_gib" in recorded:
        assert clean >= recorded["capped_at_gib"]
    else:
        assert recorded["largest_clean_gib"] - 1 <= clean <= recorded["largest_clean_gib"]


@pytest.mark.parametrize(("add", "status"), [("7G", 0), ("8G", 3), ("9G", 4), ("12G", 4)])
def test_the_verdict_at_each_boundary_of_256_mib(add: str, status: int, tmp_path: Path, plan: Plan) -> None:
    """Clean, with fallbacks, not at all."""
    root = write_snapshot(tmp_path / "guest", capacity_table()[0])

    assert plan("--from", root, "--add", add, "--online", "none")[0] == status


def test_a_recording_of_the_boot_step_answers_like_a_directory(tmp_path: Path, plan: Plan) -> None:
    """Same files, other container; the recording also names its kernel."""
    row = capacity_table()[1]
    meta = {
        "arch": "x86_64", "kernel_release": row["kernel"], "page_size": 4096, "section_size_bytes": 128 << 20,
        "memory_block_size_bytes": 128 << 20, "cmdline": "quiet", "boot_memory_bytes": row["boot_memory_bytes"],
    }  # fmt: skip
    recording = tmp_path / "boot.json"
    recording.write_text(json.dumps({"meta": meta, "steps": [row["boot_step"]]}))
    root = write_snapshot(tmp_path / "guest", row)

    answers = [
        json.loads(plan("--from", path, "--add", "1G", "--online", "none", "--json")[1]) for path in (recording, root)
    ]

    assert answers[0]["largest_single_add"] == answers[1]["largest_single_add"]
    assert "kernel linux-6.12: the recorded kernel is 6.12.107+deb13-amd64" in answers[0]["assumptions"]


def test_recorded_module_parameters_count_without_a_command_line(tmp_path: Path, plan: Plan) -> None:
    """memmap_on_memory may have been set by modprobe: sysfs shows what holds."""
    root = write_snapshot(tmp_path / "guest", capacity_table()[0], cmdline="quiet")
    parameter = root / "sys/module/memory_hotplug/parameters/memmap_on_memory"
    parameter.parent.mkdir(parents=True)
    parameter.write_text("Y\n")

    document = json.loads(plan("--from", root, "--add", "12G", "--json")[1])

    assert document["memmap"]["source"] == "self-hosted"
    assert document["verdict"] == "fits"


def test_the_command_line_option_overrides_what_was_recorded(tmp_path: Path, plan: Plan) -> None:
    """--cmdline stands for the whole command line."""
    root = write_snapshot(tmp_path / "guest", capacity_table()[0])

    assert plan("--from", root, "--add", "12G")[0] == 4
    assert plan("--from", root, "--add", "12G", "--cmdline", "memory_hotplug.memmap_on_memory=1")[0] == 0
