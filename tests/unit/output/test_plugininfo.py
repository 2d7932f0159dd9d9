"""All about one plugin, as data and as people read it."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from memhotplug.errors import InputError
from memhotplug.manager import GROUPS, using
from memhotplug.output.plugininfo import _written, about, about_lines
from memhotplug.plugin_file import load


def test_a_driver_is_told_with_its_keys_and_where_it_exists() -> None:
    """The data has every key for every kind."""
    (told,) = about("virtio_mem")

    assert (told["kind"], told["name"], told["distribution"]) == ("drivers", "virtio_mem", "memhotplug")
    assert told["group"] == GROUPS["drivers"]
    assert told["hooks"][:4] == ["driver_traits", "driver_keys", "driver_ranges", "mhp_flags"]
    assert told["keys_of"] == "add"
    assert [key for key in told["keys"] if not key["help"]] == []
    assert told["exists_on"] == {"arm64": "5.18", "s390": "6.14", "x86_64": "5.8"}
    assert {frozenset(entry) for kind in ("acpi", "s390", "linux-6.12") for entry in about(kind)} == {frozenset(told)}


def test_an_architecture_has_keys_of_the_machine_and_other_names() -> None:
    """And exists on nothing but itself."""
    (told,) = about("s390")

    assert (told["keys_of"], [key["key"] for key in told["keys"]]) == ("machine", ["rzm"])
    assert "s390x" in told["aliases"]
    assert told["exists_on"] is None


def test_a_profile_has_no_keys() -> None:
    """Nor does a policy, so that nothing is printed of them."""
    (told,) = about("linux-6.12")

    assert (told["keys_of"], told["keys"], told["aliases"], told["exists_on"]) == (None, [], [], None)
    assert [line for line in about_lines([told]) if "keys of" in line or "exists" in line] == []


def test_a_name_that_nobody_has_is_refused_with_the_nearest() -> None:
    """As everywhere."""
    with pytest.raises(InputError) as caught:
        about("virtio-mam")
    assert str(caught.value) == ("got virtio-mam, expected the name of an installed plugin; did you mean 'virtio_mem'?")


def test_the_text_has_one_line_a_fact() -> None:
    """A driver that exists everywhere says so, and a plugin from a file comes from a file."""
    entry: Any = {
        "kind": "drivers", "name": "mine", "distribution": None, "version": "1", "group": "memhotplug.drivers",
        "target": "mine", "file": None, "says": None, "hooks": [], "keys_of": "add",
        "keys": [{"key": "wait", "kind": "bool", "help": "whether it waits"}], "aliases": ["my"], "exists_on": None,
    }  # fmt: skip
    assert list(about_lines([entry])) == [
        "mine: memhotplug.drivers",
        "  from    a file, mine",
        "  file    -",
        "  hooks   -",
        "  also    my",
        "  exists  everywhere",
        "  keys of add:",
        "    KEY  KIND MEANING",
        "    wait bool whether it waits",
    ]
    entry |= {"exists_on": {"x86_64": "every modelled kernel", "s390": "6.13"}, "keys": []}
    assert list(about_lines([entry]))[-1] == "  exists  x86_64, s390 since 6.13"


def test_a_plugin_from_a_file_is_told_while_it_counts(tmp_path: Path) -> None:
    """With its path."""
    path = tmp_path / "mine.py"
    path.write_text(
        '"""Says yes.\n\nMore."""\nfrom memhotplug.plugin import hookimpl\n\n\n@hookimpl\n'
        "def policy_mhp_flags(kernel, request, phys_range, driver_flags):\n    return driver_flags\n",
        encoding="utf-8",
    )
    with using([load(str(path))]):
        (told,) = about("mine")

    assert (told["kind"], told["distribution"], told["file"], told["says"]) == (
        "policies",
        None,
        str(path),
        "Says yes.",
    )


# ---- what it says without docstrings ----


class Described:
    """A class of its own.

    More of it.
    """


class Silent:
    x = 1


def test_a_docstring_that_was_dropped_is_read_from_the_source(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the module, or of the class of an object, as the interpreter would have kept it."""
    assert _written(sys.modules[__name__]) == "All about one plugin, as data and as people read it."
    assert _written(Described()) == "A class of its own.\n\nMore of it."
    assert _written(Silent()) is None

    import memhotplug_drivers.acpi

    says = about("acpi")[0]["says"]
    monkeypatch.setattr(memhotplug_drivers.acpi, "__doc__", None)
    assert about("acpi")[0]["says"] == says


def test_without_source_there_is_nothing_to_say() -> None:
    """A module that was made by hand, a builtin, and one that is no Python."""
    assert _written(ModuleType("made_by_hand")) is None
    assert _written(1) is None
    assert _written(sys) is None
