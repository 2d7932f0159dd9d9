"""The reference is made from the code, and the pages in the tree are what would be made now."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import pytest
from tools.reference import __main__ as tool
from tools.reference.api import signature
from tools.reference.docstrings import attributes_of, render
from tools.reference.markdown import prose, table
from tools.reference.schemas import kind

import memhotplug
from memhotplug import hookspecs, plugin
from memhotplug.catalog import Installed
from memhotplug.cli.group import COMMANDS, mhp
from memhotplug.documents import OUTPUTS
from memhotplug.engine.profile import STEPS
from memhotplug.formats.scenario import OPERATIONS

WRITTEN_WITH = (8, 5)
"""The click whose help the pages show."""


def page(name: str) -> str:
    """Return a page as it would be written."""
    return tool.PAGES[name]()


@pytest.mark.parametrize("name", tool.PAGES)
def test_the_page_in_the_tree_is_up_to_date(name: str) -> None:
    """Otherwise: python -m tools.reference."""
    if name == "commands.md" and tuple(map(int, version("click").split(".")[:2])) < WRITTEN_WITH:
        pytest.skip("older versions of click list no arguments and put optional ones into brackets twice")
    assert (tool.DEFAULT / name).read_text(encoding="utf-8") == page(name)


def test_check_names_old_pages_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One that is missing, one that differs; what is right stays as it is."""
    assert tool.main(["-o", str(tmp_path)]) == 0
    assert tool.main(["-o", str(tmp_path), "--check"]) == 0
    (tmp_path / "json.md").write_text("old", encoding="utf-8")
    (tmp_path / "hooks.md").unlink()
    assert tool.main(["-o", str(tmp_path), "--check"]) == 1
    said = capsys.readouterr().err.splitlines()
    assert said == [
        f"{tmp_path / name} is not up to date: run python -m tools.reference" for name in ("json.md", "hooks.md")
    ]
    assert (tmp_path / "json.md").read_text(encoding="utf-8") == "old"


def test_every_command_has_its_options() -> None:
    """All of them, by their names."""
    text = page("commands.md")
    context = click.Context(mhp, info_name="mhp")
    for name in COMMANDS:
        section = text.split(f"## `mhp {name}`\n")[1].split("\n## ")[0]
        command = mhp.get_command(context, name)
        assert command is not None
        options = [option for parameter in command.params for option in parameter.opts if option.startswith("--")]
        assert [option for option in options if option not in section] == []
        assert "Exit status:" in section


def test_every_operation_and_key_of_a_plugin_is_there() -> None:
    """Keys of drivers and architectures stand apart from those of all."""
    text = page("scenario.md")
    for op in OPERATIONS:
        assert f"\n### {op}\n" in text
    acpi = text.split("\n#### add by acpi\n")[1].split("\n#")[0]
    assert "| `resources` |" in acpi
    assert "| `size` |" not in acpi


def test_plugins_of_others_are_not(tmp_path: Path) -> None:
    """Whatever is installed where the page is written."""
    (tmp_path / "my_driver.py").write_text(
        "from memhotplug.plugin import hookimpl\n\n\n"
        "@hookimpl\ndef driver_keys():\n    return {}\n\n\n"
        "@hookimpl\ndef driver_ranges():\n    return []\n\n\n"
        "@hookimpl\ndef mhp_flags():\n    return 0\n"
    )
    with Installed().using([str(tmp_path / "my_driver.py")]):
        assert "my_driver" in Installed().names("drivers")
        assert page("scenario.md") == (tool.DEFAULT / "scenario.md").read_text(encoding="utf-8")


def test_every_output_is_there() -> None:
    """With every object in it, and links that lead to them."""
    text = page("json.md")
    for name in OUTPUTS:
        assert f"\n## {name}\n" in text
    assert "| `blocks` | list of [block](#run-block) | All memory blocks, ascending. |" in text
    assert "\n### run: block\n" in text


def test_every_hook_and_step_is_there() -> None:
    """Under its name, with its signature."""
    text = page("hooks.md")
    for spec in (hookspecs.ArchSpec, hookspecs.DriverSpec, hookspecs.PolicySpec, hookspecs.NotifierSpec):
        for name in (name for name in vars(spec) if not name.startswith("_")):
            assert f"\n### {name}\n\n```text\n{name}(" in text
    for name in STEPS:
        assert f"\n### {name}\n\n```text\n{name}(" in text


@pytest.mark.parametrize(("name", "names"), [("python.md", memhotplug.__all__), ("plugin.md", plugin.__all__)])
def test_every_public_name_is_there(name: str, names: list[str]) -> None:
    """Once."""
    text = page(name)
    for public in names:
        if not public.startswith("__"):
            assert text.count(f"\n### {public}\n") == 1


@pytest.mark.parametrize("name", ["python.md", "plugin.md"])
def test_every_attribute_of_a_record_is_told(name: str) -> None:
    """The docstring of a record says what each of its fields is."""
    header = "| attribute | type | default |  |\n"
    rows = [row for part in page(name).split(header)[1:] for row in part.split("\n\n")[0].splitlines()[1:]]
    assert rows
    assert [row for row in rows if row.endswith("|  |")] == []


def test_what_the_parts_of_the_kernel_offer_is_told() -> None:
    """Its services for page tables and the memmap, and its own."""
    for service in ("PageTables.ensure", "SparseVmemmap.populate", "Journal.log", "Kernel.unmap"):
        assert f"\n#### {service}\n" in page("plugin.md")


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"type": "integer", "minimum": 0}, "integer from 0 on"),
        ({"type": "integer", "minimum": 1, "maximum": 9}, "integer from 1 to 9"),
        ({"enum": ["a", "b"]}, "`a`, `b`"),
        ({"enum": [f"E{number}" for number in range(40)]}, "an errno's name"),
        ({"const": True}, "`true`"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "text or null"),
        ({"type": ["integer", "string"], "examples": ["1G", 5]}, "a number or text, `1G` or `5`"),
        ({"type": "array", "items": {"$ref": "#/$defs/BlockDocument"}}, "list of [block](#run-block)"),
        ({"type": "array"}, "list"),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, "mapping to integer"),
    ],
)
def test_values_are_told_in_a_few_words(schema: dict[str, Any], said: str) -> None:
    """Each kind of schema that the formats use."""
    assert kind(schema, "run") == said


def test_docstrings_become_markdown() -> None:
    """Paragraphs, sections with and without items, examples, and names that are code."""
    text = """Do it; see :meth:`boot` and ``x``.

        More of memory_hotplug.c:add_memory(), *now*.

        >>> thing()
        1

        Args:
            size: how much,
                in bytes.
            a, b: two.

        Models: mm/x.c:f() (v6.1).
        Raises: OSError: always.
        """
    assert render(text, imports="from here import thing").split("\n\n") == [
        "Do it; see `boot` and `x`.",
        "More of `memory_hotplug.c:add_memory()`, \\*now\\*.",
        "```python\n>>> from here import thing\n>>> thing()\n1\n```",
        "**Args**",
        "- `size`: how much, in bytes.\n- `a, b`: two.",
        "**Models** `mm/x.c:f()` (v6.1).",
        "**Raises**",
        "- `OSError`: always.",
    ]


def test_attributes_may_share_a_line() -> None:
    """What is said is said of each."""
    text = "A record.\n\nAttributes:\n    start, end: bytes,\n        half-open.\n    nid: the node.\n"
    assert attributes_of(text) == {"start": "bytes, half-open.", "end": "bytes, half-open.", "nid": "the node."}


def test_long_signatures_have_an_argument_a_line() -> None:
    """Without self; a bare star where keywords begin."""

    def method(self: object, first: int, *, second: str = "x" * 90, third: None = None) -> bool:
        return not first

    assert signature("call", method) == (
        f"call(\n    first: int,\n    *,\n    second: str = '{'x' * 90}',\n    third: None = None,\n) -> bool"
    )
    assert signature("short", lambda *args, **more: None) == "short(*args, **more)"


def test_bars_do_not_end_a_cell() -> None:
    """In code and outside."""
    assert list(table(("a", "b"), [("`int | None`", "x | y\nz")]))[2] == (
        "| <code>int &#124; None</code> | x &#124; y z |"
    )


def test_marks_are_escaped_and_names_are_code() -> None:
    """Paths too; a full stop behind a name is none of it."""
    assert prose("<a> of mm/sparse.c:f(), and __add_pages().") == "\\<a\\> of `mm/sparse.c:f()`, and `__add_pages()`."
