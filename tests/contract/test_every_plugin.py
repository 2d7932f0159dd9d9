"""Every plugin of this project is held to the contract of its kind: none is in the wheel untried."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from tests.registered import built_in

TESTS: Final = Path(__file__).resolve().parents[1]
CONTRACTS: Final = {"ArchContract": "arch", "DriverContract": "drivers"}


def contracts(source: str) -> Iterator[tuple[str, str]]:
    """Yield kind and name of each plugin that a module holds to the contract of its kind, on some machine."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.ClassDef):
            continue
        kinds = [CONTRACTS[base.id] for base in node.bases if isinstance(base, ast.Name) and base.id in CONTRACTS]
        says = {
            target.id: item.value
            for item in node.body
            if isinstance(item, (ast.Assign, ast.AnnAssign))
            for target in (item.targets if isinstance(item, ast.Assign) else [item.target])
            if isinstance(target, ast.Name)
        }
        name = says.get("name")
        if kinds and isinstance(name, ast.Constant) and isinstance(name.value, str) and "machines" in says:
            yield kinds[0], name.value


@pytest.mark.parametrize("kind", CONTRACTS.values())
def test_every_plugin_keeps_its_contract(kind: str) -> None:
    """Some test has its name, and machines to try it on."""
    tried = {found for path in TESTS.rglob("test_*.py") for found in contracts(path.read_text(encoding="utf-8"))}
    assert [name for name in built_in(kind) if (kind, name) not in tried] == []


def test_only_a_contract_with_a_name_and_machines_counts() -> None:
    """Neither a mention nor an empty class."""
    source = 'class A(DriverContract):\n    name = "a"\n{}class B:\n    name = "b"\n    machines = ()\n'
    assert list(contracts(source.format(""))) == []
    assert list(contracts(source.format("    machines = ({},)\n"))) == [("drivers", "a")]
