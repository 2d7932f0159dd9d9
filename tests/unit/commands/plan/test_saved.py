"""``--scenario``: what is written, and what cannot be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypeAlias

import pytest
from tests.unit.commands.plan.conftest import Plan, capacity_table, write_snapshot

from memhotplug.cli import main

Capture: TypeAlias = pytest.CaptureFixture[str]
LOG = Path(__file__).parents[3] / "data" / "oomlogs"


def test_a_fresh_guest_is_told_by_its_boot_profile(plan: Plan, tmp_path: Path) -> None:
    """The reason is a comment, and every option a key."""
    file = tmp_path / "q.yaml"
    options = ["--boot", "1G", "--add", "2G", "--add", "1G", "--online", "movable", "--cmdline", "quiet"]

    status, _, error = plan(*options, "--slots", 4, "--boot-profile", "distro", "--scenario", file, "--brief")

    assert (status, error) == (0, "")
    head, *body = file.read_text().splitlines()
    assert head.startswith("# fits: every block appears; kernel zones keep ")
    assert body == [
        "schema: 1",
        "machine: {arch: x86_64, kernel: linux-6.12, memory: 1G, boot_profile: distro, cmdline: quiet, slots: 4}",
        "steps:",
        "- add: {driver: acpi, name: plan0, size: 2G}",
        "- online: {range: plan0, zone: movable}",
        "- add: {driver: acpi, name: plan1, size: 1G}",
        "- online: {range: plan1, zone: movable}",
    ]


@pytest.mark.parametrize(
    ("options", "last", "message"),
    [
        (["--boot", "256M", "--add", "64G"], "add", "ENOMEM: vmemmap alloc failure"),
        (["--boot", "1G", "--add", "1G", "--add", "1G", "--slots", "1"], "add",
         "ENOSPC: no slot is left: 1 of 1 are taken"),
        (["--boot", "1G", "--add", "1G", "--online", "movable", "--cmdline", "memhp_default_state=online_kernel"],
         "expect", "memory block 32: zone is Normal, expected Movable"),
        (["--boot", "1G", "--add", "130M"], "add", "EINVAL: Block size [0x8000000] unaligned hotplug range"),
    ],
)  # fmt: skip
def test_what_does_not_fit_fails_at_the_last_step(
    options: list[str], last: str, message: str, plan: Plan, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Refused by the kernel, by the machine, or not where it was asked to go."""
    file = tmp_path / "q.yaml"
    assert plan(*options, "--scenario", file)[0] == 4

    assert main(["run", str(file), "--json"]) == 1

    steps = json.loads(capsys.readouterr().out)["steps"]
    assert [step["ok"] for step in steps] == [True] * (len(steps) - 1) + [False]
    told = ": ".join(text for text in (steps[-1]["errno"], steps[-1]["message"]) if text)
    assert (steps[-1]["op"], told[: len(message)]) == (last, message)


def test_a_snapshot_is_named_from_where_the_scenario_is(plan: Plan, tmp_path: Path) -> None:
    """Its own command line stays; with another one a copy is saved beside the scenario."""
    snapshot = write_snapshot(tmp_path / "machine", capacity_table()[0])
    folder = tmp_path / "questions"
    folder.mkdir()

    for name, extra in (("same", []), ("other", ["--cmdline", "memory_hotplug.memmap_on_memory=1"])):
        asked = ["--from", snapshot, "--kernel", "6.12", "--add", "1G", *extra]
        status, _, _ = plan(*asked, "--scenario", folder / f"{name}.yaml", "--json")
        assert (status, main(["run", str(folder / f"{name}.yaml")])) == (0, 0)

    assert "snapshot: ../machine" in (folder / "same.yaml").read_text()
    assert "snapshot: other-snapshot, cmdline: memory_hotplug.memmap_on_memory=1" in (folder / "other.yaml").read_text()
    assert not (folder / "other-snapshot" / "proc" / "cmdline").exists()
    assert (folder / "other-snapshot" / "proc" / "zoneinfo").is_file()


@pytest.mark.parametrize("add", ["128M", "1G", "40G"])
@pytest.mark.parametrize("name", ["x86_64-6.12-1G-add-52G.log", "x86_64-6.12-256M-add-9G.log"])
def test_a_kernel_log_is_played_as_it_is(name: str, add: str, plan: Plan, tmp_path: Path, capsys: Capture) -> None:
    """The scenario names the log, and run comes out as the verdict says, to the page."""
    file = tmp_path / "q.yaml"
    status, out, _ = plan("--oom-log", LOG / name, "--add", add, "--scenario", file, "--json")
    planned = json.loads(out)

    ran = main(["run", str(file), "--json"])

    result = json.loads(capsys.readouterr().out)
    assert ran == (1 if status == 4 else 0)
    free = sum(zone["free"] for zone in result["zones"]) * result["machine"]["page_size"]
    assert free == planned["free"]["after_bytes"]
    assert list(tmp_path.iterdir()) == [file]


def test_a_log_under_another_command_line_is_saved_beside(plan: Plan, tmp_path: Path, capsys: Capture) -> None:
    """Its own would come first, so it is left out of the copy."""
    log, file = tmp_path / "dmesg", tmp_path / "q.yaml"
    text = (LOG / "x86_64-6.12-1G-add-52G.log").read_text(encoding="utf-8")
    log.write_text(f"Kernel command line: memory_hotplug.memmap_on_memory=1\n{text}", encoding="utf-8")
    asked = ["--oom-log", log, "--add", "40G", "--online", "movable", "--json"]
    hosted = json.loads(plan(*asked)[1])["memmap"]["source"]
    _, out, _ = plan(*asked, "--cmdline", "quiet", "--scenario", file)
    assert (hosted, json.loads(out)["memmap"]["source"]) == ("self-hosted", "page allocator")
    assert "command line" not in (tmp_path / "q-log.txt").read_text(encoding="utf-8")
    assert "snapshot: q-log.txt, cmdline: quiet" in file.read_text(encoding="utf-8")

    main(["run", str(file), "--json"])

    assert json.loads(capsys.readouterr().out)["memmap"]["self_hosted_pages"] == 0


@pytest.mark.parametrize("text", ["nothing of memory\n", ""])
def test_a_text_that_is_no_log_is_no_snapshot(text: str, tmp_path: Path, capsys: Capture) -> None:
    """It is refused as any other file is."""
    (tmp_path / "notes.txt").write_text(text, encoding="utf-8")
    file = tmp_path / "q.yaml"
    file.write_text("schema: 1\nmachine: {snapshot: notes.txt, arch: x86_64, kernel: '6.12'}\n", encoding="utf-8")
    assert main(["run", str(file)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_file_that_cannot_be_written(plan: Plan, tmp_path: Path) -> None:
    """Refused in one line, with the reason."""
    status, _, error = plan("--boot", "1G", "--add", "1G", "--scenario", tmp_path / "none" / "q.yaml")

    assert status == 2
    assert error == f"mhp: {tmp_path}/none/q.yaml: got No such file or directory, expected a file that can be written\n"


def test_a_boot_profile_of_ones_own(plan: Plan, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From a file: it is assumed, named, and told by the scenario; 16 MiB more in the image are 16 MiB less free."""
    free = []
    for image in ("48M", "64M"):
        profile, file = tmp_path / "own.yaml", tmp_path / "q.yaml"
        profile.write_text(f"name: mine\nimage: {image}\nearly_share: 128\n")
        asked = ("--boot", "1G", "--boot-profile", profile, "--add", "1G", "--scenario", file, "--json")
        document = json.loads(plan(*asked)[1])
        free.append(document["free"]["before_bytes"])
        assert document["assumptions"][0].startswith(f"boot profile mine: the kernel keeps {image} ")
        assert "boot_profile: {name: mine, image: " in file.read_text()
        assert main(["run", str(file)]) == 0
        capsys.readouterr()

    assert free[0] - free[1] == 16 << 20
    assert free[0] == json.loads(plan("--boot", "1G", "--add", "1G", "--json")[1])["free"]["before_bytes"]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "own.yaml:1:1: got nothing, expected the keys of a scenario's boot_profile"),
        ("- image\n", "own.yaml:1:1: got a list, expected the keys of a scenario's boot_profile"),
        ("image: 60M\n", "own.yaml:1:1: early_share: expected one part in so many, at least 1; the key is missing"),
        (
            "image: 60M\nearly_share: 9\nimg: 1\n",
            "own.yaml:3:1: img: got img, expected one of the keys: name, image, early, early_share; "
            "did you mean 'image'?",
        ),
    ],
)
def test_a_boot_profile_that_is_none(text: str, error: str, plan: Plan, tmp_path: Path) -> None:
    """One line with the place, or the names that there are."""
    file = tmp_path / "own.yaml"
    file.write_text(text)

    assert plan("--boot", "1G", "--boot-profile", file) == (2, "", f"mhp: {tmp_path}/{error}\n")
    assert plan("--boot", "1G", "--boot-profile", "lea") == (
        2,
        "",
        "mhp: --boot-profile: got lea, expected lean, distro, or a file with what a kernel keeps at boot; "
        "did you mean 'lean'?\n",
    )


def test_a_policy_from_a_file_is_named_with_its_file(plan: Plan, tmp_path: Path, capsys: Capture) -> None:
    """Else run would play the driver's own."""
    (tmp_path / "never.py").write_text(
        "from memhotplug.plugin import hookimpl\n\n\n@hookimpl\ndef policy_mhp_flags(kernel, request, phys_range, "
        "driver_flags):\n    return 0\n",
        encoding="utf-8",
    )
    file = tmp_path / "q.yaml"
    asked = ["--boot", "2G", "--add", "4G", "--cmdline", "memory_hotplug.memmap_on_memory=1", "--json"]
    asked += ["--plugin", str(tmp_path / "never.py"), "--policy", "never", "--scenario", str(file)]
    assert main(["plan", *asked]) == 0
    planned = json.loads(capsys.readouterr().out)
    assert planned["memmap"]["source"] == "page allocator"
    assert "plugins: [never.py]" in file.read_text(encoding="utf-8")

    assert main(["run", str(file), "--json"]) == 0

    result = json.loads(capsys.readouterr().out)
    assert result["memmap"]["allocated_pages"] == planned["memmap"]["allocated_pages"]


def test_slots_that_are_left_are_left_beside_those_that_are_taken(plan: Plan, tmp_path: Path) -> None:
    """--slots is what there is still room for; the scenario's are all."""
    recording = Path(__file__).parents[3] / "data" / "recordings" / "ppc64el-6.12-mom-1-r.json.xz"
    file = tmp_path / "q.yaml"
    status, _, _ = plan("--from", recording, "--step", 1, "--add", "256M", "--slots", 2, "--scenario", file, "--brief")
    taken = 2
    assert status == 0
    assert f"slots: {2 + taken}" in file.read_text(encoding="utf-8")
    assert main(["run", str(file)]) == 0


def test_a_copy_of_a_recording_keeps_what_its_boot_log_tells(plan: Plan, tmp_path: Path) -> None:
    """DIMMs that stand side by side take two slots of four in the copy as well: a third device finds none."""
    recording = Path(__file__).parents[3] / "data" / "recordings" / "x86_64-6.1-numa-auto.json.xz"
    file, adds = tmp_path / "q.yaml", ("--add", "1G", "--add", "1G", "--add", "1G", "--driver", "virtio_mem")
    line = "memory_hotplug.auto_movable_numa_aware=0"

    status, _, _ = plan(
        "--from", recording, "--step", 2, *adds, "--slots", 2, "--cmdline", line, "--scenario", file, "--brief"
    )

    assert status == 4
    assert "slots: 4" in file.read_text(encoding="utf-8")
    assert main(["run", str(file)]) == 1


def test_another_command_line_stands_for_the_parameters_too(plan: Plan, tmp_path: Path, capsys: Capture) -> None:
    """What was written to the module's files is gone with the boot that the question is about; run goes by the same."""
    line = "memory_hotplug.online_policy=auto-movable memory_hotplug.memmap_on_memory=1"
    assert main(["export", "--boot", "2G", "--cmdline", line, "-o", str(tmp_path / "machine")]) == 0
    file = tmp_path / "q.yaml"

    status, out, _ = plan(
        "--from", tmp_path / "machine", "--add", "1G", "--cmdline", "quiet", "--json", "--scenario", file
    )
    planned = json.loads(out)

    assert status == 0
    assert [row["name"] for row in planned["policies"] if row["current"]] == ["memmap_on_memory=N", "auto"]
    assert main(["run", str(file), "--json"]) == 0
    zones = {zone["zone"]: zone["present"] << 12 for zone in json.loads(capsys.readouterr().out)["zones"]}
    assert {zone["zone"]: zone["present_bytes"] for zone in planned["zones"] if zone["present_bytes"]} == zones
    assert zones["Normal"] == 1 << 30
