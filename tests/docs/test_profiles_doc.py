"""docs/profiles.md lists every step of a profile, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from memhotplug.engine.profile import STEPS, KernelProfile

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "profiles.md").read_text(encoding="utf-8")


def test_every_step_is_listed() -> None:
    """Once, with a link to its specification; required is what the class itself cannot answer."""
    rows = re.findall(r"^\| \[`(\w+)`\]\(reference/hooks\.md#(\w+)\) \| (yes)? ?\|", TEXT, re.MULTILINE)
    assert sorted(name for name, _, _ in rows) == sorted(STEPS)
    assert all(name == anchor for name, anchor, _ in rows)
    names = {step for step in STEPS if getattr(KernelProfile, step).__code__.co_names == ("NotImplementedError",)}
    assert {name for name, _, required in rows if required} == names


def test_every_attribute_is_documented() -> None:
    """The table has what the class declares, its name apart, which the machine fills in."""
    table = TEXT.split("## Attributes")[1].split("## Steps")[0]
    assert set(re.findall(r"^\| `(\w+)`", table, re.MULTILINE)) == set(KernelProfile.__annotations__) - {"name"}


@pytest.mark.parametrize("name", ["large_only", "far_movable"])
def test_the_example_is_short_and_the_one_that_is_shipped(name: str) -> None:
    """Fewer than 15 lines of code change a rule."""
    source = (ROOT / "examples" / "profiles" / f"{name}.py").read_text(encoding="utf-8")
    code = [line for line in source.splitlines() if line.strip() and not line.startswith('"""')]
    assert len(code) < 15
    shown = TEXT.split(f"# from profiles/{name}.py\n")[1].split("```")[0]
    assert [line for line in shown.splitlines() if line.strip()] == code
