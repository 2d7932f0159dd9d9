"""Which cases a sweep has, and what tells one from another."""

from __future__ import annotations

import hashlib
import json
import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.commands.sweep.conftest import TEXT, VARY, asked

from memhotplug import InputError
from memhotplug.commands.sweep.question import MAX_CASES, Question
from memhotplug.commands.sweep.values import parse_axis


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("a.b=1G..4G/1G", ["1G", "2G", "3G", "4G"]),
        ("a.b=1..3", ["1", "2", "3"]),
        ("a.b=512M..1536M/512M", ["512M", "1G", "1536M"]),
        ("a.b=0..128M/64M,default", ["0", "64M", "128M", "default"]),
        ("a.b=1G..2560M/1G", ["1G", "2G"]),
        ("a.b=0x10..0x12", ["16", "17", "18"]),
        ("a.b=none,[device, memblock]", ["none", "[device, memblock]"]),
        ("a.b=linux-6.1,linux-6.12", ["linux-6.1", "linux-6.12"]),
        ("a.b=,x", ["", "x"]),
    ],
)
def test_values_and_ranges(text: str, values: list[str]) -> None:
    """Both ends of a range are in it, and every size can be typed back."""
    assert [override.text for override in parse_axis(text).values] == values


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a.b", "got a.b, expected KEY=VALUE,VALUE… or KEY=FIRST..LAST/STEP, such as steps.0.add.size=1G..64G/1G"),
        ("a.b=4..1", "got 4..1, expected a range that ascends, FIRST..LAST/STEP with a step above 0"),
        ("a.b=1..4/0", "got 1..4/0, expected a range that ascends, FIRST..LAST/STEP with a step above 0"),
        ("a.b=0..9999999", "got 0..9999999, expected a range of at most 1000000 values"),
        ("a.b=x,x", "got x, expected each value once"),
        ("nowhere=1", "expected a path such as"),
    ],
)
def test_bad_axes_are_refused(text: str, problem: str) -> None:
    """With what would do."""
    with pytest.raises(InputError) as caught:
        parse_axis(text)
    assert problem in str(caught.value)


def test_the_last_axis_changes_fastest() -> None:
    """As in compare."""
    question = asked()
    assert question.product == 6
    assert [question.texts(number) for number in question.numbers][:3] == [
        ["1G", "none"],
        ["1G", "device"],
        ["2G", "none"],
    ]


@given(sample=st.integers(1, 6), seed=st.integers(0, 1000))
def test_a_sample_is_drawn_without_repetition(sample: int, seed: int) -> None:
    """Ascending, the same for the same seed."""
    numbers = list(asked(sample=sample, seed=seed).numbers)
    assert len(set(numbers)) == sample
    assert numbers == sorted(numbers) == list(asked(sample=sample, seed=seed).numbers)


def test_a_product_beyond_the_limit_has_to_be_sampled() -> None:
    """The limit is stated; a sample of it is fine."""
    vary = ("steps.0.add.size=1..1000", "machine.memory=1..1001")
    with pytest.raises(InputError) as caught:
        _ = asked(vary=vary).numbers
    assert str(caught.value) == f"got 1001000, expected at most {MAX_CASES} cases; draw some of them with --sample"
    assert len(asked(vary=vary, sample=5).numbers) == 5


@pytest.mark.parametrize(
    "change",
    [
        {"text": TEXT.replace("memory: 1G", "memory: 2G")},
        {"plugins": (("p.py", b"X = 1"),)},
        {"version": "9.9"},
        {"steps": True},
    ],
)
def test_everything_that_decides_is_in_the_digest(change: dict[str, object]) -> None:
    """Another scenario, another plugin, another version: another case."""
    assert asked(**change).digest(0) != asked().digest(0)


def test_what_decides_nothing_is_not_in_the_digest() -> None:
    """A comment, the place of the file, and how many other cases there are."""
    same = asked(text="# a comment\n" + TEXT, file="elsewhere/grow.yaml", vary=(VARY[0] + ",96G", VARY[1]))
    assert same.digest(0) == asked().digest(0)


def test_a_snapshot_is_in_the_digest(tmp_path: Path) -> None:
    """Its content, not its time."""
    text = "schema: 1\nmachine: {arch: x86_64, kernel: v2-2019, snapshot: here}\nsteps: []\n"
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "meminfo").write_text("a")
    file = str(tmp_path / "s.yaml")
    first = asked(text=text, file=file).digest(0)
    assert asked(text=text, file=file).digest(0) == first
    (tmp_path / "here" / "meminfo").write_text("b")
    assert asked(text=text, file=file).digest(0) != first


def test_a_key_given_twice_is_refused() -> None:
    """Nobody could say which counts."""
    with pytest.raises(InputError, match="each key once"):
        _ = asked(vary=("a.b=1", "a.b=2")).axes


def test_what_travels_is_what_was_asked() -> None:
    """A range may mean a million values; each worker makes them of the text that means them."""
    question = Question(file="s.yaml", text=TEXT, vary=("steps.0.add.size=1G..50000G/1G",))
    before = len(pickle.dumps(question))
    assert (len(question.axes[0].values), question.product, len(question.numbers)) == (50_000, 50_000, 50_000)
    twin = pickle.loads(pickle.dumps(question))
    assert len(pickle.dumps(question)) == before
    assert (twin.texts(49_999), twin.digest(7)) == (["50000G"], question.digest(7))


def test_a_case_keeps_its_digest() -> None:
    """Results that are there are still those of the same cases."""
    question = Question(file="x.yaml", text=TEXT, vary=VARY, version="1.0")
    base = json.dumps([question.identity, "1.0"], sort_keys=True).encode()
    values = json.dumps([["steps.0.add.size", "drivers.acpi.mhp_flags"], ["2G", "device"]]).encode()
    assert question.digest(3) == hashlib.sha256(base + b"\0" + values).hexdigest()[:32]


def test_a_changed_snapshot_that_a_key_names_is_another_question(tmp_path: Path) -> None:
    """As one that the scenario names; where no key names any, nothing is said of it."""
    text = TEXT.replace("memory: 1G", "snapshot: one")
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "lsmem").write_text(name, encoding="utf-8")
    file = str(tmp_path / "grow.yaml")
    found = []
    for content in ("two", "changed"):
        (tmp_path / "two" / "lsmem").write_text(content, encoding="utf-8")
        for vary in (("machine.snapshot=one,two",), ("machine.snapshot.path=two",), ("machine.slots=1,2",)):
            found.append(asked(text=text, file=file, vary=vary).identity)
    assert found[0] != found[3]
    assert found[2] == found[5]
    assert "snapshots" not in found[2]
    assert isinstance(found[0]["snapshots"], dict)
    assert sorted(found[0]["snapshots"]) == ["one", "two"]
