"""Plugins that do not work and that nobody asked for: the others answer as if they were not there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.places import unplaced

from memhotplug import InputError, PluginError
from memhotplug.commands.explain.answer import explain
from memhotplug.commands.explain.question import Question
from memhotplug.manager import using
from memhotplug.output.watchdog import limited
from memhotplug.plugin_file import load
from memhotplug.units import natural_key

COPY = (
    "import {module} as base\n"
    "from memhotplug.plugin import InputError, MemoryHotplugError, hookimpl, profile_of\n"
    "globals().update({{name: value for name, value in vars(base).items() if hasattr(value, 'memhotplug_impl')}})\n"
)
OLD = COPY.format(module="memhotplug_x86_64") + (
    "@hookimpl\ndef page_sizing(request):\n"
    "    if request.version < (6, 11): raise InputError('Linux 6.11 or later', got='an older one')\n"
    "    return base.page_sizing(request)\n"
)
TRAITS = COPY.format(module="memhotplug_x86_64") + "@hookimpl\ndef arch_traits(): raise RuntimeError('no traits')\n"
ADD = COPY.format(module="memhotplug_x86_64") + (
    "@hookimpl\ndef arch_add_memory(kernel, start_pfn, nr_pages, nid, restrictions): raise RuntimeError('no add')\n"
)
DRIVER = COPY.format(module="memhotplug_drivers.acpi") + (
    "@hookimpl\ndef mhp_flags(kernel, request, phys_range): raise RuntimeError('no flags')\n"
)
HANGS = COPY.format(module="memhotplug_drivers.acpi") + (
    "@hookimpl\ndef mhp_flags(kernel, request, phys_range):\n    while True: pass\n"
)
PROFILE = (
    "from memhotplug.plugin import hookimpl, profile_of\n"
    "class Mine(profile_of('linux-6.12')):\n"
    "    def memmap_on_memory_refusal(self, kernel, size=None): raise RuntimeError('no answer')\n"
    "@hookimpl\ndef kernel_profile(): return Mine()\n"
)


def ask(folder: Path, text: str, **question: Any) -> Mapping[str, Any]:
    """Return an answer with one more plugin, called ``mine``."""
    path = folder / "mine.py"
    path.write_text(text, encoding="utf-8")
    with using([load(str(path))]):
        return explain(Question(**question))


@pytest.mark.parametrize("question", [{"driver": "acpi"}, {"kernel": "linux-6.1", "block_size": 128 << 20}])
def test_an_architecture_that_refuses_old_kernels_harms_nobody(question: dict[str, Any], tmp_path: Path) -> None:
    """It is said for each kernel that it refuses, and every other row is there."""
    plain: Mapping[str, Any] = explain(Question(**question))
    found = ask(tmp_path, OLD, **question)
    others = [row for row in found["platforms"] if row["arch"] != "mine"]
    assert others == plain["platforms"]
    assert [row for row in found["drivers"] if row["arch"] != "mine"] == plain["drivers"]
    old = [kernel for kernel in found["kernels"] if natural_key(kernel) < natural_key("linux-6.11") or kernel[0] == "v"]
    assert [line for line in found["left_out"] if line not in plain["left_out"]] == [
        f"mine under {kernel}: got an older one, expected Linux 6.11 or later" for kernel in old
    ]


def test_its_kernels_are_left_out_if_others_are_left(tmp_path: Path) -> None:
    """Whoever names it learns where it exists; whoever also names a kernel that it refuses gets the refusal."""
    found = ask(tmp_path, OLD, arch="mine", driver="probe")
    assert "linux-6.10" not in {row["kernel"] for row in found["drivers"]}
    assert "mine under linux-6.10: got an older one, expected Linux 6.11 or later" in found["left_out"]
    with pytest.raises(InputError) as caught:
        ask(tmp_path, OLD, arch="mine", kernel="linux-6.10")
    assert str(caught.value) == "got an older one, expected Linux 6.11 or later"


@pytest.mark.parametrize(
    ("text", "problem", "named"),
    [
        (TRAITS, "hook arch_traits raised RuntimeError: no traits", {"arch": "mine"}),
        (ADD, "hook arch_add_memory raised RuntimeError: no add", {"arch": "mine"}),
        (DRIVER, "hook mhp_flags raised RuntimeError: no flags", {"driver": "mine"}),
        (PROFILE, "raised RuntimeError: no answer", {"kernel": "mine"}),
    ],
    ids=["traits", "add", "driver", "profile"],
)
def test_what_raises_is_left_out_unless_it_was_asked_for(
    text: str, problem: str, named: dict[str, str], tmp_path: Path
) -> None:
    """By its name; a kernel that nobody names is asked only where all kernels are."""
    question: dict[str, Any] = {"block_size": 128 << 20}
    question |= {"driver": "acpi", "arch": "x86_64"} if "kernel" in named else {"kernel": "linux-6.12"}
    plain: Mapping[str, Any] = explain(Question(**question))
    found = ask(tmp_path, text, **question)
    expected = f"plugin mine ({tmp_path}/mine.py): {problem}"
    assert [unplaced(line) for line in found["left_out"]] == [expected]
    assert (found["platforms"], found["drivers"]) == (plain["platforms"], plain["drivers"])
    with pytest.raises(PluginError) as caught:
        ask(tmp_path, text, **question | named)
    assert unplaced(str(caught.value)) == expected


def test_what_hangs_is_left_out_unless_it_was_asked_for(tmp_path: Path) -> None:
    """As what raises."""
    question: dict[str, Any] = {"kernel": "linux-6.12", "arch": "x86_64", "block_size": 128 << 20}
    plain: Mapping[str, Any] = explain(Question(**question))
    with limited(0.2):
        found = ask(tmp_path, HANGS, **question)
    expected = f"plugin mine ({tmp_path}/mine.py), hook mhp_flags: took longer than 0.2 s"
    assert found["left_out"] == [expected]
    assert found["drivers"] == plain["drivers"]
    with pytest.raises(PluginError) as caught, limited(0.2):
        ask(tmp_path, HANGS, **question, driver="mine")
    assert str(caught.value) == expected
