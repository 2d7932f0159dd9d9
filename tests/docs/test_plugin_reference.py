"""docs/plugin-reference.md has every field of every record, and every attribute of the kit, and nothing else."""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass

import pytest
from tests.docs.examples import ROOT

from memhotplug import plugin, testing
from memhotplug.testing import Contract

TEXT = (ROOT / "docs" / "plugin-reference.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^### `(\w+)`\n(.+?)(?=^###? )", TEXT, re.MULTILINE | re.DOTALL))


def cells(section: str) -> set[str]:
    """Return what the first cells of a section's table name."""
    return {
        name for cell in re.findall(r"^\| (`.+?) \|", section, re.MULTILINE) for name in re.findall(r"`(\w+)`", cell)
    }


@pytest.mark.parametrize("name", [name for name in SECTIONS if is_dataclass(getattr(plugin, name))])
def test_every_field_is_documented(name: str) -> None:
    """The table is the record."""
    assert cells(SECTIONS[name]) == {field.name for field in fields(getattr(plugin, name))}


@pytest.mark.parametrize("name", ["Altmap", "MachineState"])
def test_every_attribute_is_documented(name: str) -> None:
    """Those with a line of their own, and those that it mentions."""
    known = set(getattr(plugin, name).__slots__)
    assert cells(SECTIONS[name]) <= known
    assert known <= set(re.findall(r"`(\w+)`", SECTIONS[name]))


def test_records_that_hooks_get_are_all_here() -> None:
    """No record of the border is left out, those apart that hooks.md has."""
    records = {name for name in plugin.__all__ if is_dataclass(getattr(plugin, name))}
    elsewhere = {"ArchTraits", "DriverTraits", "BootRange", "ZoneLimit", "RecordedDevice", "SysfsFile", "Write"}
    assert records - elsewhere <= set(SECTIONS)


def test_attributes_of_the_kit_are_documented() -> None:
    """What an author can set on a contract."""
    table = TEXT.split("## The contract kit")[1]
    named = {name for name in cells(table) if not name.endswith("Contract")}
    contracts = [kind for kind in vars(testing).values() if isinstance(kind, type) and issubclass(kind, Contract)]
    own = {
        name
        for kind in contracts
        for parent in kind.__mro__
        for name in getattr(parent, "__annotations__", {})
        if not name.startswith("_")
    }
    assert named == own


def test_helpers_of_the_kit_exist() -> None:
    """Whatever the page says is in memhotplug.testing is there."""
    sentence = TEXT.split("Beside the contracts there are")[1].split("\n\n")[0]
    named = set(re.findall(r"`(\w+)", sentence))
    assert named
    assert named <= set(testing.__all__)
