"""The examples in README.md and docs/ do what they show."""

from __future__ import annotations

import doctest
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.docs.examples import (
    DOCUMENTS,
    ROOT,
    Block,
    all_blocks,
    blocks_of,
    installs,
    shows_real_output,
    write_files,
)

from memhotplug.catalog import Installed
from memhotplug.cli.group import COMMANDS
from memhotplug.formats.scenario import OPERATIONS, loads_scenario
from memhotplug.formats.scenario.explore import ExploreSpec
from memhotplug.formats.scenario.models import Action, BootMemory, DriverPolicy, MachineSpec, SnapshotRef
from memhotplug.live.requirements import missing

SCENARIOS_DOC = (ROOT / "docs" / "scenarios.md").read_text(encoding="utf-8")
_LIVE = re.compile(r"^\$ mhp (exec|mount)\b", re.MULTILINE)
README = (ROOT / "README.md").read_text(encoding="utf-8")


def each(*languages: str) -> pytest.MarkDecorator:
    """Run a test for each block in one of some languages."""
    blocks = all_blocks(*languages)
    return pytest.mark.parametrize("block", blocks, ids=[block.label for block in blocks])


def runs(block: Block) -> None:
    """Run a block of Python: a session prints what it shows, a program runs."""
    names: dict[str, Any] = {"__name__": "example"}
    if ">>>" not in block.text:
        exec(compile(block.text, block.label, "exec"), names)
        return
    test = doctest.DocTestParser().get_doctest(block.text, names, block.label, str(block.document), block.line)
    out: list[str] = []
    results = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, out=out.append)
    assert results.failed == 0, "".join(out)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_page_does_what_it_shows(document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All blocks of a page, from its top to its end, in one folder, as a reader would type them."""
    write_files(document, tmp_path)
    monkeypatch.chdir(tmp_path)
    for block in blocks_of(document, "console", "python"):
        if block.language == "python":
            runs(block)
        elif not (_LIVE.search(block.text) and missing()):
            shows_real_output(block, tmp_path)


@each("yaml")
def test_yaml_block_can_be_read(block: Block, tmp_path: Path) -> None:
    """A scenario, or a list of its steps, has only keys and values that exist; one shows a mistake on purpose."""
    if block.file == "typo.yaml" or not block.text.lstrip("#").strip():
        return
    text = block.text
    if text.startswith("- "):
        head = "schema: 1\nmachine: {arch: x86_64, kernel: v2-2019, memory: 4G}\nsteps:\n"
        text = head + "".join(f"  {line}\n" for line in text.splitlines())
    if "schema:" in text and "acme" not in text:
        write_files(block.document, tmp_path)
        loads_scenario(text, catalog=Installed(), file=str(tmp_path / block.label))
    assert yaml.safe_load(text)


@each("sh")
def test_only_installing_is_not_run(block: Block) -> None:
    """What can be run is in a console block, and is run; installing is tested with the packages."""
    assert installs(block.text) or "_MHP_COMPLETE" in block.text


def test_there_are_examples_of_each_kind() -> None:
    """The README and the pages about scenarios and plugins show commands, Python and YAML."""
    kinds = {(block.document.name, block.language) for block in all_blocks()}
    assert {("README.md", "console"), ("README.md", "python"), ("scenarios.md", "console")} <= kinds
    assert {("scenarios.md", "yaml"), ("writing-a-plugin.md", "python"), ("hooks.md", "python")} <= kinds


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_only_commands_that_exist_are_named(document: Path) -> None:
    """Every ``mhp WORD`` in a document is a command."""
    for word in re.findall(r"(?:`|^\$ |&& |bin/)mhp ([a-z]+)\b", document.read_text(encoding="utf-8"), re.MULTILINE):
        assert word in COMMANDS, word


def test_readme_lists_every_command() -> None:
    """The table of commands is complete."""
    listed = re.findall(r"^\| `mhp (\w+)[^`]*` \|", README, re.MULTILINE)
    assert sorted(listed) == sorted(COMMANDS)


def test_readme_commands_use_what_is_there() -> None:
    """The one command for the main job and the one for the tests name files and extras that exist."""
    lines = [line for line in README.splitlines() if "python3 -m venv .venv" in line]
    assert len(lines) == 2
    assert all("pip install -q -e '.[test]'" in line for line in lines)
    assert (ROOT / re.findall(r"mhp run (\S+)", lines[0])[0]).is_file()
    assert lines[1].endswith(".venv/bin/python -m pytest -q -n 2")
    assert "\ntest = [" in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def test_every_scenario_is_listed() -> None:
    """The table of examples has each file once, in no other spelling."""
    listed = re.findall(r"^\| \[`([\w.-]+\.yaml)`\]\(\.\./scenarios/\1\) \|", SCENARIOS_DOC, re.MULTILINE)
    assert sorted(listed) == sorted(path.name for path in (ROOT / "scenarios").glob("*.yaml"))


def table_keys(heading: str) -> list[str]:
    """Return the keys in the first table below a heading of docs/scenarios.md."""
    section = SCENARIOS_DOC.split(f"\n{heading}\n")[1]
    table = re.split(r"\n\|[-|]+\|\n", section)[1].split("\n\n")[0]
    return [key for row in table.splitlines() for key in re.findall(r"`(\w+)`", row.split(" | ")[0])]


@pytest.mark.parametrize("op", OPERATIONS)
def test_every_key_of_a_step_is_documented(op: str) -> None:
    """The table of each operation has exactly its keys, those that all steps have apart."""
    common = set(Action.fields)
    assert sorted(table_keys(f"### `{op}`")) == sorted(set(OPERATIONS[op].key_names()) - common)


def test_every_other_key_is_documented() -> None:
    """The machine, the policies of drivers, and the keys of every step."""
    assert sorted(table_keys("### `machine`")) == sorted(MachineSpec.key_names())
    assert table_keys("### `drivers`") == DriverPolicy.key_names()
    assert table_keys("### Keys of every step") == list(Action.fields)
    assert table_keys("### `explore`") == ExploreSpec.key_names()
    assert BootMemory.key_names() == ["node", "size"]
    assert SnapshotRef.key_names() == ["path", "step"]


def test_keys_of_architectures_are_documented() -> None:
    """Each key of `machine` that a built-in architecture declares is named with it."""
    told = re.findall(r"(\w+) has `(\w+)`", SCENARIOS_DOC)
    ours = Installed()
    assert told == [(name, key) for name in ours.names("arch") for key in ours.machine_keys(name)]
