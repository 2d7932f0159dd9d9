"""docs/start-to-finish.md: each place in the code that it names is there, and models the kernel function beside it."""

from __future__ import annotations

import re

import pytest
from tests.docs.examples import ROOT

TEXT = (ROOT / "docs" / "start-to-finish.md").read_text(encoding="utf-8")
ROWS = [
    (cells[0], cells[-1])
    for line in TEXT.splitlines()
    if line.startswith("| `") and len(cells := [cell.strip() for cell in line.strip("|").split("|")]) == 4
]
_PLACE = re.compile(r"\[`[\w.]+`\]\(\.\./([\w./]+\.py)\)((?:,? `\w+`)*)")


def places(cell: str) -> list[tuple[str, list[str]]]:
    """Return the files that a cell links to, each with the names behind it."""
    return [(path, re.findall(r"`(\w+)`", names)) for path, names in _PLACE.findall(cell)]


def test_every_step_has_a_place() -> None:
    """Three tables: add, online, and the way back."""
    assert len(ROWS) == 14 + 8 + 6
    assert [kernel for kernel, place in ROWS if not places(place)] == []


@pytest.mark.parametrize(("kernel", "place"), ROWS, ids=[kernel for kernel, _ in ROWS])
def test_names_are_defined_where_the_page_says(kernel: str, place: str) -> None:
    """As functions or methods."""
    for path, names in places(place):
        text = (ROOT / path).read_text(encoding="utf-8")
        assert [name for name in names if not re.search(rf"^ *(?:async )?def {name}\(", text, re.MULTILINE)] == []


@pytest.mark.parametrize("kernel", sorted(set(re.findall(r"`(\w+)\(", " ".join(kernel for kernel, _ in ROWS)))))
def test_kernel_functions_are_cited_by_the_code(kernel: str) -> None:
    """Whatever the page calls a kernel function is named in the code that follows it."""
    sources = (path for folder in ("core", "plugins", "drivers") for path in (ROOT / folder).rglob("*.py"))
    assert any(kernel in path.read_text(encoding="utf-8") for path in sources)
