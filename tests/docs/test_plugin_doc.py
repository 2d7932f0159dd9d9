"""The code in docs/writing-a-plugin.md is that of the plugins that the tests install."""

from __future__ import annotations

import ast
import re

import pytest
from tests.docs.examples import ROOT, Block, blocks_of

from memhotplug import testing
from memhotplug.manager import GROUPS

DOCUMENT = ROOT / "docs" / "writing-a-plugin.md"
PLUGINS = ROOT / "tests" / "data" / "plugins"
EXCERPTS = [block for block in blocks_of(DOCUMENT, "python") if block.text.startswith("# from ")]


@pytest.mark.parametrize("block", EXCERPTS, ids=lambda block: block.label)
def test_excerpt_is_the_real_code(block: Block) -> None:
    """Each function of an excerpt stands in the file that it is from, letter by letter."""
    source = (PLUGINS / block.text.splitlines()[0].removeprefix("# from ")).read_text(encoding="utf-8")
    functions = [node for node in ast.parse(block.text).body if isinstance(node, ast.FunctionDef)]
    assert functions
    for function in functions:
        assert (ast.get_source_segment(block.text, function) or "?") in source


def test_package_file_is_the_real_one() -> None:
    """Every line of the shown pyproject.toml is in the package's own."""
    shown = next(block.text for block in blocks_of(DOCUMENT, "toml"))
    real = (PLUGINS / "acme_driver" / "pyproject.toml").read_text(encoding="utf-8").splitlines()
    assert [line for line in shown.splitlines()[1:] if line and line not in real] == []


def test_contracts_of_the_page_are_the_tests_of_the_packages() -> None:
    """The test classes that are shown are those that run where the packages are installed."""
    shown = [block.text for block in blocks_of(DOCUMENT, "python") if "Contract)" in block.text]
    assert len(shown) == 2
    for text, package in zip(shown, ("acme_driver", "acme_arch"), strict=True):
        real = (PLUGINS / package / "tests" / "test_contract.py").read_text(encoding="utf-8")
        assert text.split("\n\n\n")[1].strip() in real


def test_groups_and_contracts_exist() -> None:
    """Entry point groups and names of the contract kit are the real ones."""
    text = DOCUMENT.read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(memhotplug\.\w+)` \|", text, re.MULTILINE)) == set(GROUPS.values())
    assert set(re.findall(r"\b(\w+Contract)\b", text)) <= set(testing.__all__)
