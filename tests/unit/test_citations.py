"""Citations are values: they survive -OO, and what is written wrong is refused where it is written."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from memhotplug.citations import citation_of, models
from memhotplug.commands.explain.answer import explain
from memhotplug.commands.explain.question import Question
from memhotplug.manager import candidates
from memhotplug.plugin import KernelProfile, hookimpl, profile_of

FORMS = {
    "mm/a.c:f() (v5.13 to v6.12)": "mm/a.c:f() (v5.13 to v6.12)",
    "mm/a.c:f() (v5.2, v6.12)": "mm/a.c:f() (v5.2, v6.12)",
    "mm/a.c:f()": "mm/a.c:f() (v6.12)",
    "drivers/x/Kconfig:X_Y": "drivers/x/Kconfig:X_Y (v6.12)",
    "drivers/x/y.c (v5.8)": "drivers/x/y.c (v5.8)",
    "arch/x/include/asm/y.h:z() (v6.6)": "arch/x/include/asm/y.h:z() (v6.6)",
}


@pytest.mark.parametrize("text", FORMS)
def test_a_citation_has_a_version(text: str) -> None:
    """Its own, or that of the kernel in question; above hookimpl or below it."""

    @models(text)
    @hookimpl
    def above() -> None: ...

    @hookimpl
    @models(text)
    def below() -> None: ...

    assert {citation_of(above, (6, 12)), citation_of(below, (6, 12))} == {FORMS[text]}


def test_what_says_nothing_has_none() -> None:
    """A function without the decorator, whatever its docstring says, and what is no function."""

    def plain() -> None:
        """Models: mm/a.c:f() (v6.1)."""

    assert [citation_of(one, (6, 12)) for one in (plain, None)] == [None, None]


@pytest.mark.parametrize("text", ["", "f()", "mm/a.c:f", "mm/a.c:f() v6.1", "mm/a.c:f(), g() (v6.1)", None])
def test_another_form_is_refused(text: str) -> None:
    """With the form that is wanted."""
    with pytest.raises(ValueError, match="a citation is written") as caught:
        models(text)
    assert str(caught.value) == f"a citation is written path/file.c:function() (v6.1 to v6.12), not {text!r}"


def test_a_profile_on_top_of_another_one_cites_its_function() -> None:
    """A step that is overridden without a citation follows the same function of the kernel."""
    base: type[KernelProfile] = profile_of("linux-6.12")
    assert citation_of(base.memmap_on_memory_refusal, (0, 0)) == (
        "mm/memory_hotplug.c:mhp_supports_memmap_on_memory() (v5.13 to v6.12)"
    )


def test_every_built_in_driver_has_a_source_for_its_answer() -> None:
    """Whatever the answer is."""
    drivers = [one for one in candidates("drivers") if one.distribution == "memhotplug"]
    hooks = [getattr(one.load(), hook) for one in drivers for hook in ("mhp_flags", "driver_traits")]
    assert [hook for hook in hooks if citation_of(hook, (6, 12)) is None] == []
    document = explain(Question(kernel="linux-6.12"))
    rows: list[dict[str, list[dict[str, object]]]] = document["drivers"]  # type: ignore[assignment]  # plain JSON
    settings = [setting for row in rows for setting in row["settings"]]
    assert [one for one in settings if one["rule"] is not None and one["source"] is None] == []


_ALL_SCHEMAS = (
    "import json; from memhotplug.documents.schema import TYPES, output_schema; "
    "print(json.dumps([output_schema(name) for name in TYPES]))"
)

_ALL_HELPS = """
import click
from memhotplug.cli.group import mhp

def tell(command, path):
    context = click.Context(command, info_name=path)
    print(command.get_help(context))
    for name in command.list_commands(context) if isinstance(command, click.Group) else ():
        tell(command.get_command(context, name), f"{path} {name}")

tell(mhp, "mhp")
"""


@pytest.mark.parametrize(
    "words",
    [
        ["-m", "memhotplug", "explain"],
        ["-m", "memhotplug", "explain", "--driver", "xen", "--json"],
        ["-m", "memhotplug", "schema"],
        ["-m", "memhotplug", "plugins", "virtio_mem", "--json"],
        ["-c", _ALL_SCHEMAS],
        ["-c", _ALL_HELPS],
    ],
)
def test_nothing_is_lost_without_docstrings(words: list[str]) -> None:
    """PYTHONOPTIMIZE=2 drops them, and not one byte of the answer changes."""
    plain, optimized = (
        subprocess.run(
            [sys.executable, *words],
            env={**os.environ, "PYTHONOPTIMIZE": level},
            capture_output=True,
            check=True,
        ).stdout
        for level in ("0", "2")
    )
    assert plain == optimized
    assert len(plain) > 1000
