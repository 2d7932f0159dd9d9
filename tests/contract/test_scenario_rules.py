"""What a scenario may rely on under every kernel: defaults, ranges, failures, and how a run ends."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from memhotplug.cli import main
from memhotplug.manager import candidates

GIB = 1 << 30
KERNELS = sorted(found.name for found in candidates("profiles") if found.distribution == "memhotplug")
OFFLINE = "cmdline: memhp_default_state=offline"
X86 = "{{arch: x86_64, kernel: {kernel}, memory: {memory}}}"

Answer: TypeAlias = tuple[int, dict[str, Any], str]
Play: TypeAlias = Callable[..., Answer]

each_kernel = pytest.mark.parametrize("kernel", KERNELS)


@pytest.fixture
def play(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Play:
    """Return a function that runs steps on a machine: exit status, the JSON object, stderr."""

    def call(*steps: str, machine: str, options: tuple[str, ...] = ()) -> Answer:
        path = tmp_path / "s.yaml"
        path.write_text(f"schema: 1\nmachine: {machine}\nsteps:\n" + "".join(f"  - {step}\n" for step in steps))
        status = main(["run", str(path), "--json", *options])
        out, err = capsys.readouterr()
        return status, json.loads(out), err

    return call


def states(answer: Answer) -> dict[int, str]:
    """Return the state of each hot-added block."""
    return {block["id"]: block["state"] for block in answer[1]["blocks"] if block["device"]}


# ---- defaults, the same everywhere ----


@each_kernel
@pytest.mark.parametrize(("memory", "first"), [("1G", 32), ("4G", 32), ("6G", 48)])
def test_memory_is_added_above_all_there_is_and_never_below_4g(
    kernel: str, memory: str, first: int, play: Play
) -> None:
    """x86_64: 1G and 4G of boot memory end below 4 GiB or there; 6G end behind it."""
    answer = play("add: {driver: acpi, size: 256M}", machine=X86.format(kernel=kernel, memory=memory))

    assert answer[1]["steps"][0]["blocks"] == [first, first + 1]
    assert answer[1]["steps"][0]["start"] == first * (128 << 20)


@each_kernel
def test_added_blocks_stay_offline_unless_asked(kernel: str, play: Play) -> None:
    """memhp_default_state and auto_online_blocks are what asks."""
    machine = X86.format(kernel=kernel, memory="4G")
    asked = machine[:-1] + ", cmdline: memhp_default_state=online}"

    assert states(play("add: {driver: acpi, size: 128M}", machine=machine)) == {32: "offline"}
    assert states(play("add: {driver: acpi, size: 128M}", machine=asked)) == {32: "online"}
    written = play(
        "write: {path: memory/auto_online_blocks, value: online}", "add: {driver: acpi, size: 128M}", machine=machine
    )
    assert states(written) == {32: "online"}


@each_kernel
def test_pseries_always_onlines(kernel: str, play: Play) -> None:
    """Whatever memhp_default_state says."""
    machine = f"{{arch: powerpc, kernel: {kernel}, memory: 4G, memory_block_size: 256M, {OFFLINE}}}"
    answer = play("add: {driver: pseries, size: 512M}", machine=machine)

    assert set(states(answer).values()) == {"online"}


@pytest.mark.parametrize(("arch", "base"), [("x86_64", 0), ("arm64", 0x40000000), ("powerpc", 0), ("s390", 0)])
@each_kernel
def test_boot_memory_begins_at_the_base_without_a_hole(kernel: str, arch: str, base: int, play: Play) -> None:
    """One System RAM from the architecture's base; the first block cannot go offline."""
    machine = f"{{arch: {arch}, kernel: {kernel}, memory: 4G}}"
    answer = play("allocate: {name: a, size: 1M}", machine=machine)
    first = answer[1]["blocks"][0]
    refused = play(f"offline: {{range: block {first['id']}}}", machine=machine)

    assert [(e["start"], e["end"]) for e in answer[1]["iomem"]] == [(base, base + 4 * GIB - 1)]
    assert first["start"] == base
    assert refused[1]["steps"][0]["errno"] in ("EBUSY", "EINVAL")


@each_kernel
def test_standby_memory_needs_its_size_and_nothing_else(kernel: str, play: Play) -> None:
    """s390: above boot memory, block by block."""
    answer = play("add: {driver: sclp, size: 1G}", machine=f"{{arch: s390, kernel: {kernel}, memory: 4G}}")

    record = answer[1]["steps"][0]
    assert (answer[0], record["start"], record["size"]) == (0, 4 * GIB, GIB)


# ---- ranges and failures ----


@each_kernel
def test_a_range_is_one_request_a_block_and_the_first_failure_ends_it(kernel: str, play: Play) -> None:
    """Block 34 is online already: 32 and 33 stay online, 35 is not tried."""
    answer = play(
        "add: {driver: acpi, name: d, size: 512M}",
        "online: {range: block 34}",
        "online: {range: d, fails: EINVAL}",
        machine=X86.format(kernel=kernel, memory="4G"),
    )

    assert answer[0] == 0
    assert answer[1]["steps"][2]["blocks_done"] == [32, 33]
    assert states(answer) == {32: "online", 33: "online", 34: "online", 35: "offline"}


@each_kernel
def test_remove_changes_nothing_while_a_block_is_online(kernel: str, play: Play) -> None:
    """EBUSY, whatever the driver; the other blocks stay too."""
    answer = play(
        "add: {driver: acpi, name: d, size: 512M}",
        "online: {range: block 33}",
        "remove: {range: d, fails: EBUSY}",
        machine=X86.format(kernel=kernel, memory="4G"),
    )

    assert (answer[0], sorted(states(answer))) == (0, [32, 33, 34, 35])


@each_kernel
def test_a_pinned_page_in_movable_memory_makes_offline_run_until_interrupted(kernel: str, play: Play) -> None:
    """EINTR, with the words that say what a kernel would do."""
    answer = play(
        "add: {driver: acpi, name: d, size: 128M}",
        "online: {range: d, zone: movable}",
        "allocate: {name: guest, size: 4M, zone: movable, pinned: true}",
        "offline: {range: d, fails: EINTR}",
        machine=X86.format(kernel=kernel, memory="4G"),
    )

    assert answer[0] == 0
    assert "would retry until interrupted" in answer[1]["steps"][3]["message"]
    assert states(answer) == {32: "online"}


@each_kernel
def test_the_errno_is_that_of_the_first_error_and_the_driver_has_its_own_word(kernel: str, play: Play) -> None:
    """acpi tells the firmware what it made of it."""
    answer = play("add: {driver: acpi, size: 100M}", machine=X86.format(kernel=kernel, memory="4G"))

    record = answer[1]["steps"][0]
    assert (answer[0], record["errno"], record["ok"]) == (1, "EINVAL", False)
    assert "firmware" in record["driver_result"]
    assert record["message"].startswith(
        "Block size [0x8000000] unaligned hotplug range: start 0x100000000, size 0x6400000"
    )


# ---- how a run ends ----


@each_kernel
@pytest.mark.parametrize(
    ("step", "errno", "words"),
    [
        ("online: {range: block 99}", "ENOENT", "there is no memory block 99"),
        ("remove: {range: block 32, fails: EINVAL}", None, "succeeded, expected to fail with EINVAL"),
        ("remove: {range: block 99, fails: EBUSY}", "EINVAL", "expected EBUSY"),
        ("expect: {block: 32, state: online}", None, "offline"),
    ],
)
def test_what_the_scenario_did_not_say_ends_the_run(
    kernel: str, step: str, errno: str | None, words: str, play: Play
) -> None:
    """Status 1, the whole object up to there, one line on stderr; a failed expectation has no errno."""
    status, answer, err = play(
        "add: {driver: acpi, size: 128M}",
        step,
        "expect: {block: 32, state: offline}",
        machine=X86.format(kernel=kernel, memory="4G"),
    )

    assert (status, answer["ok"], len(answer["steps"])) == (1, False, 2)
    assert (answer["steps"][1]["ok"], answer["steps"][1]["errno"]) == (False, errno)
    assert words in answer["steps"][1]["message"]
    assert len([line for line in err.splitlines() if line.startswith("mhp: ")]) == 1


@each_kernel
@pytest.mark.parametrize(("size", "errno"), [("8P", "E2BIG"), ("1P", "ENOMEM")])
def test_requests_that_no_machine_could_meet_fail_at_once(kernel: str, size: str, errno: str, play: Play) -> None:
    """Beyond the address bits, or beyond what the memmap can be allocated from."""
    answer = play(
        f"add: {{driver: acpi, size: {size}, mhp_flags: none, fails: {errno}}}",
        machine=X86.format(kernel=kernel, memory="4G"),
    )

    assert (answer[0], answer[1]["steps"][0]["errno"]) == (0, errno)
