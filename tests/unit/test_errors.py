"""The error tree: what each error says and carries."""

from __future__ import annotations

import errno

import pytest

from memhotplug.errors import InputError, MemoryHotplugError, PluginError, errno_name, errno_number, nearest


def test_errno_names_and_numbers_are_inverse() -> None:
    """EBUSY is 16 and back; an unknown number still prints."""
    assert errno_name(errno.EBUSY) == "EBUSY"
    assert errno_number("EBUSY") == errno.EBUSY
    assert errno_name(123456) == "errno 123456"


@pytest.mark.parametrize("name", ["EBUZY", "ebusy", "errorcode", "16", "", "E"])
def test_errno_number_refuses_what_is_no_errno(name: str) -> None:
    """Attributes of the errno module that are no errno do not count."""
    with pytest.raises(ValueError, match=r"\Aan errno name such as EBUSY, not "):
        errno_number(name)


@pytest.mark.parametrize(
    ("word", "found"),
    [("x86-64", "x86_64"), ("X86_64", "x86_64"), ("amr64", "arm64"), ("zzz", None), (64, "arm64"), (None, None)],
)
def test_nearest_finds_what_was_probably_meant(word: object, found: str | None) -> None:
    """Case, dashes and slips do not matter; something else altogether has no neighbour."""
    assert nearest(word, ["x86_64", "arm64", "s390"]) == found


def test_memory_hotplug_error_is_an_os_error_with_errno() -> None:
    """It can be caught as OSError and tells errno, reason, leaks and the blocks done."""
    problem = MemoryHotplugError(errno.ENOMEM, "no page", leaks=["8 sections"], blocks_done=[32, 33])

    assert isinstance(problem, OSError)
    assert problem.errno == errno.ENOMEM
    assert problem.name == "ENOMEM"
    assert str(problem) == "ENOMEM: no page"
    assert problem.reason == "no page"
    assert problem.leaks == ("8 sections",)
    assert problem.blocks_done == (32, 33)
    assert problem.driver_result is None


def test_memory_hotplug_error_without_details_has_empty_ones() -> None:
    """Leaks and blocks_done are never None."""
    problem = MemoryHotplugError(errno.EBUSY, "busy")

    assert (problem.leaks, problem.blocks_done) == ((), ())


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (InputError("a size"), "expected a size"),
        (InputError("a size", got="x"), "got x, expected a size"),
        (InputError("a size", got=0), "got 0, expected a size"),
        (
            InputError("a step", got="ad", file="a.yaml", line=3, column=5, path="steps[0]", nearest="add"),
            "a.yaml:3:5: steps[0]: got ad, expected a step; did you mean 'add'?",
        ),
        (InputError("a step", path="steps[0]"), "steps[0]: expected a step"),
    ],
)
def test_input_error_says_place_got_and_expected(problem: InputError, text: str) -> None:
    """Place first, then what was there, what was expected, and the nearest name."""
    assert str(problem) == text
    assert problem.args == (text,)


def test_input_error_to_dict_has_every_key() -> None:
    """The JSON object has all keys, null where they do not apply, and text for what was got."""
    assert InputError("a node", got=7, path="machine").to_dict() == {
        "file": None,
        "line": None,
        "column": None,
        "path": "machine",
        "got": "7",
        "expected": "a node",
        "nearest": None,
    }


def test_plugin_error_names_the_plugin() -> None:
    """It is an input error whose message names the plugin and what is wrong with it."""
    problem = PluginError("acpy", "not installed", nearest="acpi")

    assert isinstance(problem, InputError)
    assert str(problem) == "plugin acpy: not installed; did you mean 'acpi'?"
    assert str(PluginError("acpi", "broken")) == "plugin acpi: broken"
    assert (problem.plugin, problem.problem) == ("acpy", "not installed")


def test_a_complaint_about_another_place_is_the_same_complaint() -> None:
    """What is not given is not known of the other place, and the first one stays as it was."""
    problem = InputError("a step", got="ad", file="a.yaml", line=3, column=5, path="steps[0]", nearest="add")

    moved = problem.at(path="RANGE")

    assert str(moved) == "RANGE: got ad, expected a step; did you mean 'add'?"
    assert moved.to_dict() == dict.fromkeys(problem.to_dict()) | {
        "path": "RANGE",
        "got": "ad",
        "expected": "a step",
        "nearest": "add",
    }
    assert str(problem).startswith("a.yaml:3:5: steps[0]: ")
    assert str(problem.at(file="b.yaml", line=1, column=2)).startswith("b.yaml:1:2: got ad")


def test_a_plugins_fault_is_its_fault_elsewhere_too() -> None:
    """With what caused it."""
    problem = PluginError("acpy", "not installed", nearest="acpi")
    problem.__cause__ = RuntimeError("no")

    moved = problem.at(file="a.yaml", line=3, column=5, path="steps[0]")

    assert isinstance(moved, PluginError)
    assert str(moved) == str(problem)
    assert (moved.file, moved.line, moved.column, moved.path) == ("a.yaml", 3, 5, "steps[0]")
    assert (moved.plugin, moved.problem, moved.nearest) == ("acpy", "not installed", "acpi")
    assert moved.__cause__ is problem.__cause__
    assert (problem.file, problem.path) == (None, None)
