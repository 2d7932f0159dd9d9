"""Citations, as plugins write them."""

from __future__ import annotations

import pytest

from memhotplug.commands.explain.reasons import citation

CASES = {
    "Does it.\n\n    Models: mm/a.c:f() (v5.13 to v6.12).\n    ": "mm/a.c:f() (v5.13 to v6.12)",
    "Models: mm/a.c:f(), g() (v6.1); mm/b.c:h() (v6.2)": "mm/a.c:f() (v6.1)",
    "Models: mm/a.c:f(), for kernels that have it.": "mm/a.c:f() (v6.12)",
    "Models: drivers/x/y.c (v5.8)": "drivers/x/y.c (v5.8)",
    "Models: mm/a.c:f(),\n    g() (v5.2\n    to v6.1). Simplified: all.": "mm/a.c:f() (v5.2 to v6.1)",
    "Nothing to see.": None,
    "": None,
}


@pytest.mark.parametrize("text", CASES)
def test_first_citation(text: str) -> None:
    """The first function with a version: its own, or that of the kernel in question."""

    def plugin() -> None: ...

    plugin.__doc__ = text

    assert citation(plugin, (6, 12)) == CASES[text]
