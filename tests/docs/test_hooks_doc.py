"""docs/hooks.md lists every hook and every service, and nothing else."""

from __future__ import annotations

import inspect
import operator
import re
from pathlib import Path

from memhotplug import Machine, hookspecs, plugin
from memhotplug.manager.loading import REQUIRED

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "hooks.md").read_text(encoding="utf-8")
SPECS = (
    hookspecs.ArchSpec,
    hookspecs.ProfileSpec,
    hookspecs.DriverSpec,
    hookspecs.PolicySpec,
    hookspecs.NotifierSpec,
)


def specified() -> dict[str, bool]:
    """Return every hook with whether its kind of plugin requires it."""
    required = {name for names in REQUIRED.values() for name in names}
    hooks = [name for spec in SPECS for name, value in vars(spec).items() if inspect.isfunction(value)]
    return {name: name in required for name in hooks}


def test_every_hook_is_listed() -> None:
    """Once, with a link to its specification, and whether it is required."""
    rows = re.findall(r"^\| \[`(\w+)`\]\(reference/hooks\.md#(\w+)\) \| (yes)? ?\|", TEXT, re.MULTILINE)
    assert len(rows) == len(specified())
    assert {name: required == "yes" for name, _, required in rows} == specified()
    assert all(name == anchor for name, anchor, _ in rows)


def test_services_that_are_named_exist() -> None:
    """The table is a choice; the reference has all of them."""
    table = TEXT.split("## Services of `Kernel`")[1]
    cells = re.findall(r"^\| (.+?) \|", table, re.MULTILINE)
    named = {name for cell in cells for name in re.findall(r"`([\w.]+)", cell)}
    assert len(named) > 20
    kernel = Machine.boot(arch="x86_64", kernel="v2-2019", memory="1G").kernel
    for name in sorted(named):
        operator.attrgetter(name)(kernel)


def test_names_that_a_plugin_is_told_to_import_exist() -> None:
    """Whatever the page says is in memhotplug.plugin is there."""
    sentence = TEXT.split("Beside it `memhotplug.plugin` has")[1]
    assert set(re.findall(r"`(\w+)`", sentence)) <= set(plugin.__all__)
