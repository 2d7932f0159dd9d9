"""The examples in docstrings of the product do what they show."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path
from typing import Final

import pytest

import memhotplug

CORE: Final = Path(memhotplug.__file__).parent
EXAMPLES: Final = [
    ".".join(path.relative_to(CORE.parent).with_suffix("").parts)
    for path in sorted(CORE.rglob("*.py"))
    if ">>> " in path.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("name", EXAMPLES)
def test_docstrings_do_what_they_show(name: str) -> None:
    """Each in the module that it stands in."""
    out: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    for test in doctest.DocTestFinder(exclude_empty=True).find(importlib.import_module(name.removesuffix(".__init__"))):
        runner.run(test, out=out.append)
    assert runner.summarize(verbose=False).failed == 0, "".join(out)


def test_the_parts_that_are_hard_to_picture_have_an_example() -> None:
    """What is laid behind what, where an altmap takes its pages, and where free chunks are put."""
    for module in ("engine.sparse_vmemmap", "model.altmap", "formats.snapshot.placement"):
        assert f"memhotplug.{module}" in EXAMPLES
