"""Bad input: one clear line, exit status 2, and the error object with --json."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest
from tests.kernels import MAINLINE_LIST
from tests.registered import ARCHES, DRIVERS
from tests.unit.commands.plan.conftest import Plan, capacity_table, write_snapshot

ADD = "see 'mhp plan --help'"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            "--boot 1G --add 12",
            f"invalid value for '--add': got '12', expected a size with a unit; did you mean 12M or 12G?; {ADD}",
        ),
        ("--boot 1G --add 0G", f"invalid value for '--add': got '0G', expected a size greater than 0; {ADD}"),
        ("--boot 1G --boot 2G --add 1G", f"--boot is given twice; only one would count; {ADD}"),
        ("--boot 1G --add 1G --kernel 6.1 --kernel 6.12", f"--kernel is given twice; only one would count; {ADD}"),
        ("--add 1G", f"give one of --boot, --from, --live and --oom-log; {ADD}"),
        ("--boot 1G --live --add 1G", f"give one of --boot, --from, --live and --oom-log; {ADD}"),
        ("--boot 1G --add 1G --step 3", f"--step belongs to --from; {ADD}"),
        ("--live --add 1G --boot-profile distro", f"--boot-profile belongs to --boot; {ADD}"),
        ("--live --add 1G --page-size 4K", f"--page-size belongs to --boot; {ADD}"),
        (
            "--boot 1G --add 1G --address zz",
            f"invalid value for '--address': got 'zz', expected an address such as 0x100000000; {ADD}",
        ),
        (
            "--boot 1G --add 1G --address 0x100000001",
            "--address: got 0x100000001, expected an address that begins a page of 4K",
        ),
        (
            "--boot 1G --add 1G --address 0x10000000000000",
            "--address: got 0x10000000000000, expected an address within 52 physical address bits",
        ),
        ("--boot 1G --add 1G --node 5000", "--node: got 5000, expected a node below 1024"),
        ("--boot 1G --add 1G --driver acp", f"--driver: got acp, expected one of {DRIVERS}; did you mean 'acpi'?"),
        ("--boot 1G --add 1G --arch x86-65", f"--arch: got x86-65, expected one of {ARCHES}; did you mean 'x86_64'?"),
        (
            "--boot 1G --add 1G --kernel v2",
            f"--kernel: got v2, expected one of {MAINLINE_LIST}, v2-2019; did you mean 'v2-2019'?",
        ),
        (
            "--boot 1G --add 1G --kernel 4.18.0",
            f"--kernel: got 4.18.0, expected a kernel release that a profile covers ({MAINLINE_LIST})",
        ),
        ("--boot 64M --add 1G", "--boot: got 64M, expected at least 128M of boot memory"),
        ("--boot 5P --add 1G", "--boot: got 5P, expected boot memory within 52 physical address bits"),
        ("--boot 4G --cmdline mem=64M --add 1G", "--cmdline: got 64M, expected at least 128M of boot memory"),
        (
            "--boot 4G --cmdline crashkernel=8G --add 1G",
            "--boot: got 4G, expected boot memory that holds the kernel, what it reserves and the memmap",
        ),
        (
            "--boot 4G --memory-block-size 3M --add 1G",
            "--memory-block-size: got 3M, expected a power of two from 128M to 64G",
        ),
        ("--boot 4G --page-size 64K --add 1G", "--page-size: got 64K, expected 4K, the only page size of x86_64"),
        (
            "--boot 4G --add 0",
            "invalid value for '--add': got '0', expected a size greater than 0; see 'mhp plan --help'",
        ),
        (
            "--from /nowhere --add 1G",
            "/nowhere: got no such file, expected a snapshot directory, a tar archive or a recording",
        ),
        ("--boot 1G --steps /nowhere", "/nowhere: got No such file or directory, expected a readable text file"),
    ],
)
def test_one_line_and_exit_status_2(arguments: str, message: str, plan: Plan) -> None:
    """The whole message; nothing on stdout."""
    assert plan(*arguments.split()) == (2, "", f"mhp: {message}\n")


def test_with_json_the_error_is_an_object_too(plan: Plan) -> None:
    """On stdout, in one line, with the nearest name."""
    status, out, _ = plan("--boot", "1G", "--add", "1G", "--driver", "virtio-men", "--json")

    error = json.loads(out)["error"]
    assert (status, error["path"], error["got"], error["nearest"]) == (2, "--driver", "virtio-men", "virtio_mem")


@pytest.mark.parametrize(
    ("arguments", "path", "got", "expected"),
    [
        ("--add 12", "--add", "12", "a size with a unit; did you mean 12M or 12G?"),
        ("--add 1G --address zz", "--address", "zz", "an address such as 0x100000000"),
        ("--add 1G --slots 0", "--slots", None, "invalid value for '--slots': 0 is not in the range x>=1"),
    ],
)
def test_the_object_of_an_error_says_which_option_got_what(
    arguments: str, path: str, got: str | None, expected: str, plan: Plan
) -> None:
    """A program that calls this need not take a sentence apart; words of the command line's parser stay whole."""
    error = json.loads(plan("--boot", "1G", *arguments.split(), "--json")[1])["error"]

    assert (error["path"], error["got"], error["expected"]) == (path, got, expected)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1G\n12\n", ":2: got 12, expected a size with a unit; did you mean 12M or 12G?"),
        ("# nothing\n\n", ": got no size, expected one size a line"),
        ("1G\n0M\n", ":2: got 0M, expected a size greater than 0"),
    ],
)
def test_a_file_of_steps_is_read_with_line_numbers(text: str, message: str, tmp_path: Path, plan: Plan) -> None:
    """File and line, as for everything that is read."""
    path = tmp_path / "steps"
    path.write_text(text)

    assert plan("--boot", "1G", "--steps", path) == (2, "", f"mhp: {path}{message}\n")


def test_steps_of_a_file_come_after_those_of_the_command_line(tmp_path: Path, plan: Plan) -> None:
    """Comments and empty lines are skipped."""
    path = tmp_path / "steps"
    path.write_text("1G   # first\n\n2G\n")

    out = plan("--boot", "1G", "--add", "128M", "--steps", path, "--json")[1]
    assert json.loads(out)["question"]["sizes"] == [128 << 20, 1 << 30, 2 << 30]


def test_small_contradictions_are_an_assumption(tmp_path: Path, plan: Plan) -> None:
    """A live machine's files are read one after the other: said, and by how much."""
    root = write_snapshot(tmp_path / "guest", capacity_table()[0])
    buddyinfo = root / "proc/buddyinfo"
    buddyinfo.write_text(buddyinfo.read_text().replace("24 \n", "23 \n"))

    status, out, _ = plan("--from", root, "--add", "1G", "--json")

    assert status == 0
    assert (
        "inconsistent: node 0 zone DMA32: zoneinfo shows 29456 free pages, buddyinfo 28432 (difference +1024)"
        in json.loads(out)["assumptions"]
    )


@pytest.mark.parametrize(
    ("name", "old", "new", "wrong"),
    [
        (
            "buddyinfo",
            "24 \n",
            "240 \n",
            "zoneinfo shows 29456 free pages, buddyinfo 250640 (difference -221184); node 0 zone DMA32: 250949 free "
            "pages (per-cpu lists included) are more than the 33981 managed",
        ),
        ("buddyinfo", "24 \n", "14 \n", "zoneinfo shows 29456 free pages, buddyinfo 19216 (difference +10240)"),
        ("zoneinfo", "managed  33981", "managed  99999", "99999 managed pages are more than the 61408 present"),
        ("zoneinfo", "spanned  61408", "spanned  50000", "61408 present pages are more than the 50000 spanned"),
    ],
    ids=["more chunks than pages", "other chunks", "managed", "present"],
)
def test_contradictions_that_no_machine_can_have_are_refused(
    name: str, old: str, new: str, wrong: str, tmp_path: Path, plan: Plan
) -> None:
    """Which numbers, and by how much; nothing that happens between two reads explains them."""
    root = write_snapshot(tmp_path / "guest", capacity_table()[0])
    path = root / "proc" / name
    path.write_text(path.read_text().replace(old, new))

    assert plan("--from", root, "--add", "1G") == (
        2,
        "",
        f"mhp: {root}: got a contradiction, expected zones whose numbers agree (node 0 zone DMA32: {wrong})\n",
    )


def test_missing_files_are_named(tmp_path: Path, plan: Plan) -> None:
    """What is inferred is an assumption; what cannot be is refused."""
    root = write_snapshot(tmp_path / "guest", capacity_table()[0])
    (root / "proc/buddyinfo").unlink()
    out = plan("--from", root, "--add", "1G", "--json")[1]

    assert any("buddyinfo" in sentence for sentence in json.loads(out)["assumptions"])

    (root / "proc/zoneinfo").unlink()
    assert plan("--from", root, "--add", "1G")[0] == 2


def test_parameters_that_nothing_tells_are_an_assumption(tmp_path: Path, plan: Plan) -> None:
    """Whether the memmap goes into the added memory decides more than all else."""
    root = write_snapshot(tmp_path / "guest", capacity_table()[0], cmdline="quiet")
    assumed = "memory_hotplug.memmap_on_memory=N and its other parameters as a kernel has them by default: "

    def said(*options: str) -> list[str]:
        out = plan("--from", root, "--add", "1G", *options, "--json")[1]
        sentences = json.loads(out)["assumptions"]
        return [sentence for sentence in sentences if sentence.startswith("memory_hotplug.memmap_on_memory")]

    assert said() == [assumed + "the recorded command line sets none"]
    assert said("--cmdline", "memory_hotplug.memmap_on_memory=1") == []
    (root / "proc/cmdline").unlink()
    assert said() == [assumed + "nothing recorded tells"]
    parameters = root / "sys/module/memory_hotplug/parameters"
    parameters.mkdir(parents=True)
    (parameters / "memmap_on_memory").write_text("N\n")
    assert said() == []


def test_an_sos_report_answers_like_the_directory_and_half_of_it_is_refused(tmp_path: Path, plan: Plan) -> None:
    """A tar with one leading directory; a truncated one is not guessed at."""
    root = write_snapshot(tmp_path / "guest", capacity_table()[0])
    report = tmp_path / "sos.tar.xz"
    with tarfile.open(report, "w:xz") as tar:
        tar.add(root, "sosreport-guest")
    cut = tmp_path / "cut.tar.xz"
    cut.write_bytes(report.read_bytes()[: report.stat().st_size // 2])

    by_path = [json.loads(plan("--from", path, "--add", "6G", "--json")[1]) for path in (root, report)]
    assert by_path[0]["largest_single_add"] == by_path[1]["largest_single_add"]
    status, out, err = plan("--from", cut, "--add", "1G")
    assert (status, out) == (2, "")
    assert err.startswith(f"mhp: {cut}: got damaged or truncated data (")


def test_a_node_that_the_machine_cannot_have(tmp_path: Path, plan: Plan) -> None:
    """The recorded mask of possible nodes decides."""
    root = write_snapshot(tmp_path / "guest", capacity_table()[0])

    assert plan("--from", root, "--add", "1G", "--node", "7") == (
        2,
        "",
        "mhp: --node: got 7, expected a node that this machine can have (0)\n",
    )


def test_this_machine_can_be_asked(plan: Plan) -> None:
    """Whatever it is: an answer, or one line that says what is missing."""
    status, out, err = plan("--live", "--add", "1G", "--json")

    assert status in (0, 2, 3, 4)
    assert json.loads(out)["schema"] == 1
    assert err.count("\n") <= 1


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        ("--add 8P", "address-space"),
        ("--add 1G --address 0x0", "occupied"),
        ("--add 1G --add 1G --slots 1", "slots"),
        ("--add 1G --driver sclp", "driver"),
    ],
)
def test_what_the_kernel_would_refuse_is_an_answer_not_an_error(arguments: str, rule: str, plan: Plan) -> None:
    """Exit status 4 and the rule that binds."""
    status, out, _ = plan("--boot", "1G", *arguments.split(), "--json")

    assert (status, json.loads(out)["reason"]["rule"]) == (4, rule)


def test_an_automatic_policy_of_the_kernel_beats_the_option(plan: Plan) -> None:
    """--online movable comes too late where the kernel onlines by itself, and that is said."""
    out = plan(
        "--boot", "4G", "--add", "1G", "--online", "movable", "--cmdline", "memhp_default_state=online", "--json"
    )[1]
    document = json.loads(out)

    assert document["policies"][3]["zones"] == {"0 Normal": 1 << 30}
    assert document["assumptions"][-1] == (
        "the kernel itself brings new blocks online as soon as they are added (online), so --online movable comes too "
        "late for them"
    )
