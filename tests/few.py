"""Where few runs end and many begin: laws of sets and tables are held against both representations."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

__all__ = ["few_is"]


@contextmanager
def few_is(limit: int) -> Iterator[None]:
    """Have sets and tables keep plain integers up to ``limit`` runs and arrays beyond, 0 for arrays only."""
    ours = [module for name, module in sys.modules.items() if name.startswith("memhotplug.")]
    modules = [module for module in ours if hasattr(module, "FEW")]
    assert len(modules) > 1
    with pytest.MonkeyPatch.context() as patch:
        for module in modules:
            patch.setattr(module, "FEW", limit)
        yield
