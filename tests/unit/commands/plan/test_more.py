"""How much could be added, in brief, what would help, and answers that are typed back."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from tests.unit.commands.plan.conftest import CAPACITY, Ask, Plan

from memhotplug.cli import main
from memhotplug.commands.plan.question import Question
from memhotplug.commands.plan.sizes import typed_size
from memhotplug.commands.plan.sources import from_boot
from memhotplug.commands.plan.trial import attempt
from memhotplug.units import parse_size

GIB = 1 << 30
MIB = 1 << 20


def _json(plan: Plan, *arguments: object) -> tuple[int, dict[str, Any]]:
    status, out, _ = plan(*arguments, "--json")
    return status, json.loads(out)


def test_memory_that_was_hot_added_before_costs_the_question_nothing(plan: Plan, tmp_path: Path) -> None:
    """A machine that has a DIMM already: of 2 GiB more, 32 MiB are memmap, under each policy that hosts none."""
    scenario, snapshot = tmp_path / "one.yaml", tmp_path / "snapshot"
    scenario.write_text(
        "schema: 1\nmachine: {arch: x86_64, kernel: linux-6.12, memory: 4G}\n"
        "steps: [{add: {driver: acpi, name: d0, size: 1G}}, {online: {range: d0}}]\n"
    )
    assert main(["export", str(scenario), "-o", str(snapshot)]) == 0

    _, document = _json(plan, "--from", snapshot, "--kernel", "6.12", "--add", "2G")

    costs = {one["name"]: one["memmap"] for one in document["policies"] if one["kind"] == "memmap"}
    assert document["memmap"]["by_node"] == {"0": 8192}
    assert {name: cost["allocated_pages"] for name, cost in costs.items()} == {
        "memmap_on_memory=N": 8192,
        "memmap_on_memory=Y": 0,
        "memmap_on_memory=force": 0,
    }
    assert costs["memmap_on_memory=Y"]["self_hosted_pages"] == 8192
    assert all(cost["by_node"] == {"0": 8192} for cost in costs.values())


# ---- how much ----


@pytest.mark.parametrize("boot", ["256M", "1G", "4G"])
def test_without_an_add_the_largest_one_is_the_answer(boot: str, plan: Plan) -> None:
    """Verdict null, exit 0; what is answered fits, and one memory block more does not without a risk."""
    status, document = _json(plan, "--boot", boot)
    largest = document["largest_single_add"]["clean_bytes"]

    assert (status, document["verdict"], document["question"]["sizes"], document["remedies"]) == (0, None, [], [])
    assert document["reason"] == document["largest_single_add"]["limit"]
    assert document["sizes"]["added_bytes"] == largest
    assert plan("--boot", boot, "--add", typed_size(largest))[0] == 0
    assert plan("--boot", boot, "--add", typed_size(largest + 128 * MIB))[0] in (3, 4)


def test_how_much_in_words_first_and_last(plan: Plan) -> None:
    """A size that can be typed, visible on a small terminal, and nothing that reads as a verdict."""
    lines = plan("--boot", "256M")[1].splitlines()

    assert lines[0] == lines[-1]
    assert lines[0] == "a fresh 256M guest (lean), x86_64, linux-6.12: up to 12544M by acpi at once"
    assert plan("--boot", "256M", "--add", "12544M")[0] == 0


def test_how_much_may_be_nothing(plan: Plan) -> None:
    """A driver that does not exist there adds nothing."""
    status, out, _ = plan("--boot", "1G", "--driver", "sclp", "--brief")

    assert status == 0
    assert out.splitlines()[0] == "a fresh 1G guest (lean), x86_64, linux-6.12: nothing by sclp at once"


# ---- in brief ----


@pytest.mark.parametrize("arguments", [("--add", "12G"), ("--add", "15G"), ("--add", "8G", "--online", "movable"), ()])
def test_brief_is_three_lines_at_most(arguments: tuple[str, ...], plan: Plan) -> None:
    """The first is the verdict of the whole answer."""
    status, out, _ = plan("--boot", "256M", *arguments, "--brief")
    lines = out.splitlines()

    assert 2 <= len(lines) <= 3
    assert (status, lines[0]) == (plan("--boot", "256M", *arguments)[0], lines[0])


def test_brief_ends_in_the_best_remedy(plan: Plan) -> None:
    """Fits without a risk, and is the smallest change."""
    assert plan("--boot", "256M", "--add", "15G", "--brief")[1].splitlines()[2] == (
        "it would fit with memory_hotplug.memmap_on_memory=Y"
    )


# ---- remedies ----


@pytest.mark.parametrize(("boot", "add"), [("256M", "15G"), ("1G", "128G"), ("512M", "60G")])
def test_every_remedy_helps_when_it_is_typed(boot: str, add: str, plan: Plan) -> None:
    """The verdict that is told is the one that comes out."""
    status, document = _json(plan, "--boot", boot, "--add", add)
    remedies = document["remedies"]

    assert status == 4
    assert {"parameter", "boot-memory"} <= {one["kind"] for one in remedies}
    assert not any(left["verdict"] == "risky" and right["verdict"] == "fits" for left, right in pairwise(remedies))
    for remedy in remedies:
        value = remedy["value"]
        adds = [part for size in value.split() for part in ("--add", size)]
        arguments = {
            "parameter": ["--boot", boot, "--add", add, "--cmdline", value],
            "split": ["--boot", boot, *adds],
            "driver": ["--boot", boot, "--add", add, "--driver", value],
            "boot-memory": ["--boot", value, "--add", add],
        }[remedy["kind"]]
        assert plan(*arguments)[0] == {"fits": 0, "risky": 3}[remedy["verdict"]]


def test_what_fits_needs_no_remedy(ask: Ask) -> None:
    """Nor does what fits at a risk."""
    assert ask(256 * MIB, 12 * GIB)["remedies"] == []
    assert ask(GIB, 8 * GIB, online="movable")["remedies"] == []


# ---- a living guest ----


@pytest.mark.parametrize("boot", [256, 512, 1024, 3072])
def test_the_largest_add_leaves_the_high_watermarks_alone(boot: int, ask: Ask) -> None:
    """And is as large as that allows."""
    size = ask(boot * MIB, GIB)["largest_single_add"]["clean_bytes"]
    subject = from_boot(boot * MIB, arch="x86_64", kernel=None, profile="lean", cmdline="")
    machine, question = subject.boot(), Question(sizes=(GIB,), driver="acpi", online="none")

    assert attempt(machine, question, (size,)).safe
    assert not attempt(machine, question, (size + 128 * MIB,)).safe


# ---- onlining as asked ----


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            "--online movable --cmdline memhp_default_state=online_kernel",
            "8 of 8 new blocks are not online as movable memory: the kernel does so itself (online_kernel), "
            "before anybody else can",
        ),
        (
            "--online kernel --cmdline memhp_default_state=online_movable",
            "8 of 8 new blocks are not online as kernel memory: the kernel does so itself (online_movable), "
            "before anybody else can",
        ),
        (
            "--online none --cmdline memhp_default_state=online",
            "8 of 8 new blocks are online: the kernel does so itself (online), before anybody else can",
        ),
        (
            "--online movable --arch powerpc",
            "4 of 4 new blocks are not online as movable memory: pseries onlines them itself, before anybody else can",
        ),
    ],
)
def test_blocks_that_go_elsewhere_are_no_fit(arguments: str, text: str, plan: Plan) -> None:
    """Whoever is quicker is named."""
    status, document = _json(plan, "--boot", "4G", "--add", "1G", *arguments.split())

    assert (status, document["reason"]["rule"]) == (4, "onlining")
    assert document["reason"]["text"].partition(" of ")[2].partition(" new ")[2] == text.partition(" new ")[2]


def test_blocks_that_go_where_they_were_asked_to_go_fit(plan: Plan) -> None:
    """The kernel was quicker, and did the same."""
    arguments = ("--boot", "4G", "--add", "1G", "--cmdline", "memhp_default_state=online_movable")

    assert plan(*arguments, "--online", "movable")[0] == 0


# ---- command lines and sizes ----


def test_repeated_command_lines_are_joined(plan: Plan) -> None:
    """None of them is dropped."""
    lines = ("memory_hotplug.memmap_on_memory=1", "memhp_default_state=online_movable")
    separate = [part for line in lines for part in ("--cmdline", line)]
    question = ("--boot", "4G", "--add", "1G")

    assert plan(*question, *separate)[1] == plan(*question, "--cmdline", " ".join(lines))[1]


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        (
            "memory_hotplug.online_polcy=auto-movable",
            "memory_hotplug.online_polcy= on the command line is none of linux-6.12's parameters: it changes nothing",
        ),
        ("movablenode", "movablenode on the command line is no parameter of memory hotplug, and changes nothing; "
         "movable_node is one"),
        ("movablecor=1G", "movablecor on the command line is no parameter of memory hotplug, and changes nothing; "
         "movablecore is one"),
        ("acpi_no_memhotplg", "acpi_no_memhotplg on the command line is no parameter of memory hotplug, and changes "
         "nothing; acpi_no_memhotplug is one"),
        ("memhp_default=online", "memhp_default= on the command line is none of linux-6.12's parameters: "
         "it changes nothing"),
        (
            "online_policy=auto-movable",
            "online_policy= on the command line changes nothing: the parameter is called memory_hotplug.online_policy=",
        ),
    ],
)  # fmt: skip
def test_parameters_that_mean_nothing_are_named(word: str, sentence: str, plan: Plan) -> None:
    """Under the assumptions, with the whole name."""
    assert sentence in _json(plan, "--boot", "1G", "--add", "1G", "--cmdline", word)[1]["assumptions"]
    assert sentence not in _json(plan, "--boot", "1G", "--add", "1G")[1]["assumptions"]


def test_words_are_those_of_the_driver_and_of_the_architecture(plan: Plan) -> None:
    """Another driver reads no word of acpi's; an MMU is asked for by a word of its architecture's."""
    power = ("--arch", "powerpc", "--boot", "4G", "--add", "1G")
    told = _json(plan, *power, "--cmdline", "disable_radx acpi_no_memhotplg")[1]["assumptions"]
    near = [sentence for sentence in told if "is no parameter of memory hotplug" in sentence]

    assert near == [
        "disable_radx on the command line is no parameter of memory hotplug, and changes nothing; disable_radix is one"
    ]


@pytest.mark.parametrize("size", [128 * MIB, 12544 * MIB, 8064 * MIB, 3 << 40, 250112 * MIB, 64 << 10, (1 << 40) + GIB])
def test_a_size_that_is_an_answer_can_be_typed_back(size: int) -> None:
    """Exact, whatever it is."""
    assert parse_size(typed_size(size), bare=False) == size


def test_watermarks_after_the_add_are_told(ask: Ask) -> None:
    """Each zone's three, and vm.min_free_kbytes before and after: more kernel memory keeps more."""
    document = ask(2 * GIB, 8 * GIB)
    normal = next(zone for zone in document["zones"] if zone["zone"] == "Normal")

    assert 0 < normal["min_bytes"] < normal["low_bytes"] < normal["high_bytes"]
    assert document["min_free_kbytes"]["before"] < document["min_free_kbytes"]["after"]


# ---- asked in public, answered by nobody ----


@pytest.mark.parametrize(("boot", "add"), [("4G", "8G"), ("2G", "16G"), ("3G", "5G")])
def test_the_ratio_that_is_told_is_the_smallest(boot: str, add: str, plan: Plan) -> None:
    """One percent less, and some of it goes to a kernel zone."""
    ratio = _json(plan, "--boot", boot, "--add", add)[1]["auto_movable_ratio"]
    gained = {}
    for tried in (ratio, ratio - 1):
        line = f"memory_hotplug.online_policy=auto-movable memory_hotplug.auto_movable_ratio={tried}"
        zones = _json(plan, "--boot", boot, "--add", add, "--cmdline", line)[1]["zones"]
        gained[tried] = {zone["zone"] for zone in zones if zone["gained_bytes"]}

    assert gained[ratio] == {"Movable"}
    assert gained[ratio - 1] != {"Movable"}


def test_a_request_that_failed_is_tried_again(plan: Plan) -> None:
    """Order 9 for the kernel: a kernel zone that grew serves it, a Movable one does not."""
    log = CAPACITY.parents[1] / "oomlogs" / "x86_64-6.12-256M-add-9G.log"
    served = {}
    for online in ("kernel", "movable"):
        document = _json(plan, "--oom-log", str(log), "--add", "128M", "--online", online)[1]
        served[online] = document["failed_request"]

    assert (served["kernel"]["order"], served["kernel"]["movable"]) == (9, False)
    assert [(one["zone_before"], one["zone_after"]) for one in served.values()] == [(None, "0 Normal"), (None, None)]


@pytest.mark.parametrize("driver", ["acpi", "virtio_mem", "dax", "hv_balloon", "xen"])
def test_what_can_be_nowhere_is_refused_at_once(driver: str, plan: Plan) -> None:
    """No driver cuts 4 PiB into pieces first."""
    status, document = _json(plan, "--boot", "4G", "--add", "4P", "--driver", driver)

    assert (status, document["reason"]["rule"], document["sizes"]["added_bytes"]) == (4, "address-space", 0)


def test_the_ratio_is_that_of_what_was_asked_where_it_does_not_fit(plan: Plan) -> None:
    """Of what does not appear nothing has to be Movable; the question was about all of it: 12G to 256M less 2M."""
    status, document = _json(plan, "--boot", "256M", "--boot-profile", "distro", "--add", "12G")
    kernel = sum(zone["present_bytes"] for zone in document["zones"])
    assert (status, document["sizes"]["added_bytes"]) == (4, 0)
    assert document["auto_movable_ratio"] == -(-100 * (12 << 30) // kernel) == 4808


def test_what_was_read_off_a_recorded_machine_is_listed_once(plan: Plan) -> None:
    """Which memory was hot-added, and what hosts its own memmap, beside what the files did not say."""
    recording = Path(__file__).parents[3] / "data" / "recordings" / "x86_64-6.12-mom-1-a.json.xz"
    assumptions = _json(plan, "--from", recording, "--step", "3", "--add", "1G")[1]["assumptions"]

    assert "inferred: memory blocks 32-39 were hot-added: the log of the boot does not list them" in assumptions
    places = "inferred: which pages are free, hold memmap or are in use; how many is as recorded"
    assert assumptions.count(places) == 1
    assert len(assumptions) == len(set(assumptions))
    assert not [text for text in assumptions if text.startswith("the kernel warns: inferred")]
