"""docs/plugin-reference.md has every attribute of the contract kit, and nothing else."""

from __future__ import annotations

import re

from tests.docs.examples import ROOT

from memhotplug import testing
from memhotplug.testing import Contract

TEXT = (ROOT / "docs" / "plugin-reference.md").read_text(encoding="utf-8")


def cells(section: str) -> set[str]:
    """Return what the first cells of a section's table name."""
    return {
        name for cell in re.findall(r"^\| (`.+?) \|", section, re.MULTILINE) for name in re.findall(r"`(\w+)`", cell)
    }


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
