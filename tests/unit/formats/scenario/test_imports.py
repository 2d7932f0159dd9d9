"""What importing the format costs."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("module", ["memhotplug.formats.scenario", "memhotplug.formats.scenario.schema"])
def test_the_format_imports_neither_numpy_nor_plugins(module: str) -> None:
    """Commands that only read or describe scenarios answer at once."""
    heavy = ("numpy", "pluggy", "structlog", "click", "rich", "jsonschema")
    code = f"import {module}, sys; print([name for name in {heavy} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"


def test_the_public_names_are_there() -> None:
    """Everything in __all__ can be imported."""
    import memhotplug.formats.scenario as package

    assert [name for name in package.__all__ if not hasattr(package, name)] == []
