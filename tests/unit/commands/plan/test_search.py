"""Laws of the searches: bigger machines never take less, smaller adds are never worse, all parts of an answer agree."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.commands.plan.conftest import Ask, Plan, ask

from memhotplug.commands.plan.question import Question
from memhotplug.commands.plan.search import Largest, largest_add, safe_steps
from memhotplug.commands.plan.sources import from_boot
from memhotplug.commands.plan.trial import Trial, attempt

BLOCK = 128 << 20
GIB = 1 << 30
BOOTS = st.integers(2, 64).map(lambda count: count * BLOCK)


def clean(trial: Trial) -> bool:
    """Return whether a trial was clean."""
    return trial.clean


@cache
def largest(boot: int, profile: str = "lean", start: int = GIB) -> Largest:
    """Return the largest clean add of a fresh guest, searched for from a question of some size."""
    machine = from_boot(boot, arch="x86_64", kernel="linux-6.12", profile=profile, cmdline="").boot()
    question = Question(driver="acpi", sizes=(start,))
    return largest_add(machine, question, clean, known=attempt(machine, question))


@given(boot=BOOTS, more=st.integers(1, 16), profile=st.sampled_from(["lean", "distro"]))
@settings(max_examples=25)
def test_more_boot_memory_never_lowers_the_largest_add(boot: int, more: int, profile: str) -> None:
    """What a small guest takes, a larger one takes too."""
    if profile == "distro":
        boot = max(boot, 2 * BLOCK)

    assert largest(boot, profile).size <= largest(boot + more * BLOCK, profile).size


@given(boot=BOOTS, share=st.floats(0, 1))
@settings(max_examples=25)
def test_everything_below_the_largest_clean_add_is_clean(boot: int, share: float) -> None:
    """And the next block is not: the search's answer is the border."""
    found = largest(boot)
    machine = from_boot(boot, arch="x86_64", kernel="linux-6.12", profile="lean", cmdline="").boot()
    size = max(int(found.size * share) // BLOCK, 1) * BLOCK

    assert attempt(machine, Question(driver="acpi", sizes=(size,), online="none")).clean
    assert not attempt(machine, Question(driver="acpi", sizes=(found.size + BLOCK,), online="none")).clean


@given(boot=BOOTS, start=st.integers(1, 4000).map(lambda count: count * BLOCK))
@settings(max_examples=25)
def test_the_answer_of_a_search_does_not_depend_on_where_it_starts(boot: int, start: int) -> None:
    """The size that was asked about is only a hint."""
    assert largest(boot, "lean", start).size == largest(boot).size


@given(boot=BOOTS, added=st.integers(1, 1200).map(lambda count: count * BLOCK))
@settings(max_examples=25)
def test_verdict_and_largest_add_agree(boot: int, added: int) -> None:
    """It does not fit exactly if it is more than the largest add of which every block appears."""
    document = ask(boot, added, online="none")
    border = document["largest_single_add"]

    assert (document["verdict"] == "does-not-fit") == (added > border["with_fallback_bytes"])
    assert border["clean_bytes"] <= border["with_fallback_bytes"]
    if document["verdict"] == "fits":
        assert added <= border["clean_bytes"]
        assert document["safe_steps"] == [added]


@given(boot=BOOTS, added=st.integers(1, 1200).map(lambda count: count * BLOCK))
@settings(max_examples=15)
def test_safe_steps_are_safe_when_they_are_taken(boot: int, added: int) -> None:
    """Played as a sequence, they leave the kernel above its watermarks all the way."""
    machine = from_boot(boot, arch="x86_64", kernel="linux-6.12", profile="lean", cmdline="").boot()
    question = Question(driver="acpi", sizes=(added,), online="kernel")
    steps = safe_steps(machine, question)

    assert sum(steps) <= added
    if steps:
        assert attempt(machine, question, steps).clean


@pytest.mark.parametrize(
    ("arch", "driver", "boot", "size"),
    [
        ("x86_64", "acpi", 4, 8),
        ("x86_64", "dax", 4, 8),
        ("x86_64", "virtio_mem", 4, 8),
        ("x86_64", "hv_balloon", 4, 8),
        ("x86_64", "xen", 4, 8),
        ("arm64", "acpi", 4, 8),
        ("arm64", "virtio_mem", 4, 8),
        ("powerpc", "pseries", 4, 8),
        ("s390", "sclp", 4, 8),
    ],
)
def test_every_driver_is_answered_on_the_architectures_that_have_it(
    arch: str, driver: str, boot: int, size: int, ask: Ask
) -> None:
    """8 GiB on 4 GiB fit with each of them."""
    document = ask(boot * GIB, size * GIB, arch=arch, driver=driver)

    assert document["verdict"] == "fits"
    assert document["sizes"]["added_bytes"] == document["sizes"]["online_bytes"] == size * GIB
    assert document["memmap"]["pages"] == document["memmap"]["allocated_bytes"] // document["machine"]["page_size"]


@pytest.mark.parametrize(
    ("arch", "driver", "rule"),
    [("x86_64", "sclp", "driver"), ("x86_64", "pseries", "driver"), ("s390", "acpi", "driver")],
)
def test_a_driver_on_a_foreign_architecture(arch: str, driver: str, rule: str, ask: Ask) -> None:
    """It is refused by the driver itself, or works where the model lets it; never a crash."""
    document: Mapping[str, Any] = ask(4 * GIB, GIB, arch=arch, driver=driver)

    assert document["verdict"] == "fits" or document["reason"]["rule"] == rule


def test_what_stays_offline_is_no_ground_for_a_second_step(ask: Ask) -> None:
    """Steps help since each is onlined before the next; without onlining there is one."""
    ways = {one["name"]: one for one in ask(GIB, 128 * GIB)["policies"] if one["kind"] == "online"}

    assert ways["none"]["safe_steps"] == [56448 << 20]


def test_a_search_goes_to_as_many_blocks_as_sysfs_could_show(ask: Ask, plan: Plan) -> None:
    """A petabyte is answered, and where the search for something larger ended is said."""
    document = ask(256 << 20, 1 << 50)

    assert (document["verdict"], document["reason"]["rule"]) == ("does-not-fit", "memmap")
    assert sum(document["safe_steps"]) == document["largest_single_add"]["searched_bytes"] == 16 << 40
    assert "other policies are not tried for more than 1048576 memory blocks" in document["assumptions"]
    assert "= 16T, where the search ends\n" in plan("--boot", "256M", "--add", "1P")[1]


def test_auto_movable_is_left_out_where_it_would_choose_for_very_many_blocks(ask: Ask) -> None:
    """Drivers that wait have it choose block by block."""
    document = ask(16 * GIB, 4 << 40, driver="virtio_mem", online="kernel")

    assert "auto-movable" not in [one["name"] for one in document["policies"]]
    expected = "auto-movable is not tried for more than 16384 memory blocks that are onlined one by one"
    assert expected in document["assumptions"]


@pytest.mark.parametrize("word", ["online", "online_movable"])
def test_memory_that_comes_online_by_itself_does_not_pay_for_its_own_objects(word: str, ask: Ask) -> None:
    """The kernel makes the devices of all new blocks before it brings the first of them online."""
    later, itself = (ask(GIB, GIB, cmdline=line) for line in ("quiet", f"memhp_default_state={word}"))

    assert itself["sizes"]["online_bytes"] == GIB
    assert itself["largest_single_add"] == later["largest_single_add"]
