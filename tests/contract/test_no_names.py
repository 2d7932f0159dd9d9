"""The core knows no built-in plugin by name: what it needs to know of one, the plugin says itself."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path
from typing import Final

import pytest

import memhotplug
from memhotplug.manager import GROUPS, arch_traits, driver_traits

CORE: Final = Path(memhotplug.__file__).parent

EXAMPLES: Final = {
    "cli/align.py": (
        "such as acpi or dax",
        "A DIMM (acpi)",
        "persistent memory and dax devices",
        "default x86_64",
        "cxl list",
    ),
    "cli/check.py": ("--against linux-6.1",),
    "cli/compare.py": ("machine.kernel=v2-2019",),
    "cli/ctl.py": ("--driver virtio_mem",),
    "cli/explain.py": ("--driver acpi", "radix or hash on powerpc"),
    "cli/group.py": ("--driver acpi",),
    "cli/livesource.py": ("else x86_64",),
    "cli/plan.py": ("--driver acpi", "Who adds: acpi, dax", "default x86_64"),
    "cli/run.py": ("driver: acpi",),
    "commands/compare/question.py": ("such as machine.kernel=v2-2019",),
    "commands/plan/rules_of_thumb.py": ("virtio-mem user guide",),
    "engine/base_memory/__init__.py": ("memory/probe",),
    "engine/base_memory/memory.py": ("memory/probe", "/probe", "probe takes an address"),
    "formats/scenario/check.py": ("such as {acpi: ",),
    "formats/scenario/loader.py": ("such as {arch: x86_64", "driver: acpi"),
    "formats/scenario/override.py": ("such as machine.kernel, drivers.acpi.mhp_flags",),
    "formats/snapshot/devices.py": ("cxl list",),
    "formats/scenario/schema.py": ("x86_64", "v2-2019", "acpi"),
    "live/commands.py": ("virtio-mem",),
}
"""Examples in help texts, in messages and in the JSON Schema, a file of sysfs, the title of a guide, a tool, and
what QEMU calls a kind of device in QMP: by module, a part of each text."""


def built_in() -> set[str]:
    """Return every name under which the project registers a plugin, and every alias that one of them declares."""
    entries = [entry for entry in distribution("memhotplug").entry_points if entry.group in GROUPS.values()]
    found = {entry.name for entry in entries}
    for entry in entries:
        if entry.group in (GROUPS["arch"], GROUPS["drivers"]):
            traits = arch_traits(entry.name) if entry.group == GROUPS["arch"] else driver_traits(entry.name)
            found |= set(traits.aliases)
    return found


def words_of(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and text of every identifier, attribute and string, docstrings apart."""
    tree = ast.parse(source)
    told = {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute):
            yield node.lineno, node.attr
        elif isinstance(node, (ast.arg, ast.keyword)):
            yield node.lineno, node.arg or ""
        elif isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.lineno, node.name
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in told:
            yield node.lineno, node.value


def named(text: str, names: set[str]) -> set[str]:
    """Return the names that stand in a text as words of their own."""
    return {name for name in names if re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w-]|\.\d)", text)}


def offences(module: str, source: str) -> list[str]:
    """Return where a module names a built-in plugin although it is no example."""
    allowed = EXAMPLES.get(module, ())
    names = built_in()
    return [
        f"{module}:{line}: {', '.join(sorted(found))} in {text[:60]!r}"
        for line, text in words_of(source)
        if (found := named(text, names)) and not any(part in text for part in allowed)
    ]


def test_core_names_no_built_in_plugin() -> None:
    """Not in code, in no table and in no message: help examples are listed, and nothing else may be."""
    found = [
        offence
        for path in sorted(CORE.rglob("*.py"))
        for offence in offences(path.relative_to(CORE).as_posix(), path.read_text(encoding="utf-8"))
    ]
    assert found == []


def test_every_listed_example_is_there() -> None:
    """The list does not outlive what it excuses."""
    for module, parts in EXAMPLES.items():
        texts = [text for _, text in words_of((CORE / module).read_text(encoding="utf-8"))]
        assert [part for part in parts if not any(part in text for text in texts)] == [], module


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('DRIVERS = {"powerpc": "pseries"}', ["powerpc", "pseries"]),
        ('if kernel.arch == "x86_64":\n    pass', ["x86_64"]),
        ('KERNEL = "linux-6.12"', ["linux-6.12"]),
        ("rules.sclp = 1", ["sclp"]),
        ('f"{size} of virtio-mem"', ["virtio-mem"]),
        ("def dax() -> None: ...", ["dax"]),
        ('def add() -> None:\n    """As acpi does."""', []),
        ("# s390 has none\nx = 1", []),
        ('"linux-6.123"', []),
        ('"acpi_no_memhotplug, probed"', []),
    ],
)
def test_names_are_found_wherever_code_may_have_them(source: str, found: list[str]) -> None:
    """Strings, parts of f-strings, identifiers, attributes; docstrings and comments may have examples."""
    assert sorted(name for _, text in words_of(source) for name in named(text, built_in())) == found
