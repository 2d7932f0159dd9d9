"""docs/model.md says what the code does: names of invariants, boot figures, profiles."""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from pathlib import Path

from memhotplug.engine.views import invariants, undone
from memhotplug.manager import candidates
from memhotplug.reserves import RESERVES

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "model.md").read_text(encoding="utf-8")


def row(first: str) -> list[str]:
    """Return the cells of the table row that begins with a cell."""
    line = next(line for line in TEXT.splitlines() if line.startswith(f"| {first}"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_every_invariant_is_named() -> None:
    """The tables have the invariants that are checked, and no other."""
    checked = {
        name
        for module in (invariants, undone, import_module("memhotplug_profiles.mainline.invariants"))
        for name in re.findall(r'"(I\d+):', inspect.getsource(module))
    }
    assert set(re.findall(r"^\| (I\d+) \|", TEXT, re.MULTILINE)) == checked


def test_every_profile_is_listed() -> None:
    """The table has the profiles of this project."""
    ours = {found.name for found in candidates("profiles") if found.distribution == "memhotplug"}
    section = TEXT.split("## Profiles")[1].split("## ")[0]
    assert set(re.findall(r"^\| `([\w.-]+)` \|", section, re.MULTILINE)) == ours


def test_boot_figures_are_those_of_the_code() -> None:
    """Image, early allocations and shares of both boot profiles."""
    reserves = [RESERVES[name.strip("`")] for name in row("| `lean`")[1:]]
    assert row("kernel image")[1:] == [f"{reserve.image >> 20} MiB" for reserve in reserves]
    shares = row("allocated when boot is over")[1:]
    for reserve, text in zip(reserves, shares, strict=True):
        assert f"1/{reserve.early_share} of each node" in text
        assert (f"{reserve.early >> 20} MiB" in text) == bool(reserve.early)
