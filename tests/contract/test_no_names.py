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
        "as it does of CXL windows",
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
    "cli/plan.py": ("--driver acpi", "such as acpi, dax or virtio_mem", "default x86_64"),
    "cli/run.py": ("driver: acpi",),
    "cli/help.txt": ("mhp explain --driver acpi ",),
    "commands/align/windows.py": ("such as a CXL window",),
    "commands/compare/question.py": ("such as machine.kernel=v2-2019",),
    "commands/plan/rules_of_thumb.py": ("virtio-mem user guide",),
    "engine/base_memory/__init__.py": ("memory/probe",),
    "engine/base_memory/memory.py": ("memory/probe", "/probe", "probe takes an address"),
    "features.py": ("acpi_parse_cfmws()", "dax_match_type()", "dax_types"),
    "formats/scenario/check.py": ("such as {acpi: ",),
    "formats/scenario/loader.py": ("such as {arch: x86_64", "driver: acpi"),
    "formats/scenario/override.py": ("such as machine.kernel, drivers.acpi.mhp_flags",),
    "formats/scenario/models.py": ("as for CXL windows",),
    "formats/scenario/schema.py": ("x86_64", "v2-2019", "acpi"),
    "formats/snapshot/devices.py": ("cxl list", "CXL Window "),
    "formats/snapshot/files.py": ("cxl list",),
    "live/commands.py": ("virtio-mem", "ACPI_DEVICE_OST"),
}
"""Examples in help texts, in messages and in the JSON Schema, a file of sysfs, functions of the kernel, the title of a
guide, a tool, what /proc/iomem calls a range, and what QEMU calls a device and an event in QMP: by file, a part of
each text."""

STARTS: Final = "templates"
"""The folder of packages to start from, which are examples as a whole."""
GENERAL: Final = {"probe"}
"""What is an English word, too, counts only where it stands alone and in small letters."""


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
    """Return the names that stand in a text as words of their own, or in an identifier as parts of it."""
    found = {name for name in names & GENERAL if re.search(rf"(?<![\w.-]){name}(?![\w-]|\.\d)", text)}
    for name in names - GENERAL:
        if text.isidentifier():
            is_there = f"_{re.sub('[-.]', '_', name)}_" in f"_{text.lower()}_"
        else:
            is_there = bool(re.search(rf"(?i)(?<![\w.-]){re.escape(name)}(?![\w-]|\.\d)", text))
        found |= {name} if is_there else set()
    return found


def offences(file: str, source: str) -> list[str]:
    """Return where a file names a built-in plugin although it is no example; of Python what runs, else every line."""
    allowed, names = EXAMPLES.get(file, ()), built_in()
    words = words_of(source) if file.endswith(".py") else enumerate(source.splitlines(), 1)
    return [
        f"{file}:{line}: {', '.join(sorted(found))} in {text[:60]!r}"
        for line, text in words
        if (found := named(text, names)) and not any(part in text for part in allowed)
    ]


def files() -> Iterator[tuple[str, str]]:
    """Yield name and text of every file of the core."""
    for path in sorted(CORE.rglob("*")):
        name = path.relative_to(CORE)
        if path.is_file() and not {"__pycache__", STARTS} & {*name.parts}:
            yield name.as_posix(), path.read_text(encoding="utf-8")


def test_core_names_no_built_in_plugin() -> None:
    """Not in code, in no table and in no message: help examples are listed, and nothing else may be."""
    assert [offence for name, text in files() for offence in offences(name, text)] == []


def test_every_listed_example_is_there() -> None:
    """The list does not outlive what it excuses."""
    for name, parts in EXAMPLES.items():
        source = (CORE / name).read_text(encoding="utf-8")
        texts = [text for _, text in words_of(source)] if name.endswith(".py") else source.splitlines()
        assert [part for part in parts if not any(part in text for text in texts)] == [], name


def test_every_kind_of_file_is_looked_at() -> None:
    """Whatever the wheel brings; templates are examples."""
    kinds = {Path(name).suffix for name, _ in files()}
    assert kinds == {".py", ".txt", ".css", ".js", ".html", ".typed"}
    assert {path.name for path in CORE.iterdir() if path.is_dir()} >= {STARTS}


@pytest.mark.parametrize(
    ("file", "text", "found"),
    [
        ("engine/x.py", "NODES = {'ppc64le': 1}", "engine/x.py:1: ppc64le in 'ppc64le'"),
        ("cli/x.txt", "two lines\nof amd64 only", "cli/x.txt:2: amd64 in 'of amd64 only'"),
        (
            "commands/report/x.js",
            'if (driver === "xen") {',
            "commands/report/x.js:1: xen in 'if (driver === \"xen\") {'",
        ),
        ("data/x.json", '{"Hyper-V": 1}', "data/x.json:1: hyper-v in '{\"Hyper-V\": 1}'"),
        ("cli/help.txt", "mhp explain --driver dax", "cli/help.txt:1: dax in 'mhp explain --driver dax'"),
    ],
)
def test_a_planted_name_is_found_in_any_file(file: str, text: str, found: str) -> None:
    """With its line; where one example is allowed, another is not."""
    assert offences(file, text) == [found]


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('DRIVERS = {"powerpc": "pseries"}', ["powerpc", "pseries"]),
        ('if kernel.arch == "x86_64":\n    pass', ["x86-64", "x86_64"]),
        ('KERNEL = "linux-6.12"', ["linux-6.12"]),
        ("rules.sclp = 1", ["sclp"]),
        ('f"{size} of virtio-mem"', ["virtio-mem"]),
        ("def dax() -> None: ...", ["dax"]),
        ('def add() -> None:\n    """As acpi does."""', []),
        ("# s390 has none\nx = 1", []),
        ('"linux-6.123"', []),
        ('"acpi_no_memhotplug, probed"', []),
        ("_XEN_CREDIT = 1", ["xen"]),
        ("def is_virtio_mem_device() -> bool: ...", ["virtio-mem", "virtio_mem"]),
        ('text = "for ACPI only"', ["acpi"]),
        ("linux_6_12 = 1", ["linux-6.12"]),
        ("relaxed = probed = probe_all = 1", []),
    ],
)
def test_names_are_found_wherever_code_may_have_them(source: str, found: list[str]) -> None:
    """Strings, parts of f-strings, identifiers, attributes; docstrings and comments may have examples."""
    assert sorted(name for _, text in words_of(source) for name in named(text, built_in())) == found
