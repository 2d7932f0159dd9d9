"""docs/profiles.md has every step of a profile with its exact signature, and nothing else."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

from memhotplug.engine import profile
from memhotplug.engine.profile import STEPS, KernelProfile

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "profiles.md").read_text(encoding="utf-8")


def specified() -> dict[str, str]:
    """Return every step's signature as the class has it, ``self`` apart."""
    found = {}
    for node in ast.walk(ast.parse(inspect.getsource(profile))):
        if isinstance(node, ast.ClassDef) and node.name == "KernelProfile":
            for function in node.body:
                if isinstance(function, ast.FunctionDef) and function.returns is not None:
                    arguments = re.sub(r"^self(, )?", "", ast.unparse(function.args))
                    found[function.name] = f"{function.name}({arguments}) -> {ast.unparse(function.returns)}"
    return found


def test_every_step_is_documented_with_its_signature() -> None:
    """Names, arguments, types and order are those of the class."""
    assert dict(re.findall(r"^### `(\w+)`\n\n```text\n(.+)\n```$", TEXT, re.MULTILINE)) == specified()
    assert frozenset(specified()) == STEPS


def test_required_steps_are_those_without_an_answer() -> None:
    """What the class itself cannot answer says Required, and nothing else does."""
    sections = re.split(r"^### `(\w+)`$", TEXT, flags=re.MULTILINE)
    said = {name for name, text in zip(sections[1::2], sections[2::2], strict=True) if "Required." in text}
    names = {step for step in STEPS if getattr(KernelProfile, step).__code__.co_names == ("NotImplementedError",)}
    assert said == names


def test_every_attribute_is_documented() -> None:
    """The table has what the class declares, its name apart, which the machine fills in."""
    table = TEXT.split("## Attributes")[1].split("## Steps")[0]
    assert set(re.findall(r"^\| `(\w+)`", table, re.MULTILINE)) == set(KernelProfile.__annotations__) - {"name"}


def test_the_example_is_short_and_the_one_that_is_shipped() -> None:
    """Fewer than 15 lines of code change a rule."""
    source = (ROOT / "examples" / "profiles" / "large_only.py").read_text(encoding="utf-8")
    code = [line for line in source.splitlines() if line.strip() and not line.startswith('"""')]
    assert len(code) < 15
    shown = TEXT.split("# from profiles/large_only.py\n")[1].split("```")[0]
    assert [line for line in shown.splitlines() if line.strip()] == code
