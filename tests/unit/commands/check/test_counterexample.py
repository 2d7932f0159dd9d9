"""Counterexamples are scenarios that run to the same violation."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.plugins.rig import plugged
from tests.unit.commands.check.conftest import explored, scenario
from tests.unit.commands.check.test_planted import first_block_goes_elsewhere, rule

from memhotplug.catalog import Installed
from memhotplug.commands.check.answer import Answer
from memhotplug.commands.check.counterexample import write_counterexamples
from memhotplug.commands.check.laws import Broken
from memhotplug.commands.check.moves import Move
from memhotplug.commands.check.search import Finding, Step
from memhotplug.commands.run.runner import run_scenario
from memhotplug.formats.scenario import load_scenario, loads_scenario

DEVICE = "drivers: {acpi: {mhp_flags: device}}\n"


def repeated(path: Path) -> str:
    """Return why a run with its invariants checked stops."""
    result = run_scenario(load_scenario(path, Installed()), check=True)
    assert result.failure is not None
    return result.failure


def test_every_counterexample_repeats_its_violation(device: Answer, tmp_path: Path) -> None:
    """One file each; the run stops with the sentence that the search found."""
    found = [finding for finding in device.findings if finding.broken.invariant != "order"]
    paths = write_counterexamples(scenario(rest=DEVICE), found, tmp_path)
    assert len(paths) == len(found) > 2
    for finding, path in zip(found, paths, strict=True):
        assert finding.broken.text in repeated(path)


def test_a_counterexample_is_small_and_says_what_broke(device: Answer, tmp_path: Path) -> None:
    """The scenario's own keys as they stood, without what narrowed the search."""
    path, *_ = write_counterexamples(scenario(rest=DEVICE), device.findings[:1], tmp_path)
    assert path.name == "00-I11.yaml"
    assert path.read_text(encoding="utf-8") == (
        "# I11: the memmap of blocks 33 lies in removed memory (1024 pages)\n"
        "# In the kernel: mm/sparse-vmemmap.c:vmemmap_populate(), vmemmap_free()\n"
        "schema: 1\n"
        "machine: {arch: x86_64, kernel: v2-2019, memory: 1G}\n"
        "drivers:\n"
        "  acpi: {mhp_flags: device}\n"
        "steps:\n"
        "- add: {driver: acpi, name: m0, size: 256M}\n"
        "- remove: {range: block 32}\n"
    )


def test_what_a_run_does_not_check_by_itself_is_expected(tmp_path: Path) -> None:
    """The span of the series' zone grows; the refused step says with what, and the last one fails."""
    narrow = "{drivers: acpi, blocks: 1, operations: [add, online], zones: kernel}"
    given = scenario(explore=narrow, rest=DEVICE)
    answer = explored(given, depth=2, faults=True)
    found = [finding for finding in answer.findings if finding.broken.invariant == "I17"]
    path, *_ = write_counterexamples(given, found, tmp_path)
    text = path.read_text(encoding="utf-8")
    assert "fails: ENOMEM" in text
    assert text.endswith("- expect: {zone: Normal, node: 0, spanned: 0}\n")
    assert repeated(path).endswith("steps[2].expect: zone Normal of node 0: spanned is 32768, expected 0")


def test_plugin_files_that_were_given_beside_it_are_named(tmp_path: Path) -> None:
    """As by --plugin: the counterexample alone says what it takes; what the scenario names is not named twice."""
    source = "from memhotplug.plugin import hookimpl\n@hookimpl\ndef policy_mhp_flags(): return 0\n"
    for name in ("inside", "beside"):
        (tmp_path / f"{name}.py").write_text(source, encoding="utf-8")
    (tmp_path / "made").mkdir()
    rest = f"plugins: [{tmp_path}/inside.py]\ndrivers: {{acpi: {{policy: beside}}}}\n"
    with Installed().using([str(tmp_path / "beside.py"), str(tmp_path / "inside.py")]):
        given = scenario(rest=rest)
        finding = explored(scenario(rest=DEVICE), depth=2).findings[0]
        path, *_ = write_counterexamples(given, [finding], tmp_path / "made")
    again = load_scenario(path, Installed())
    assert [os.path.normpath(tmp_path / "made" / name) for name in again.plugins] == [
        f"{tmp_path}/inside.py",
        f"{tmp_path}/beside.py",
    ]


def test_an_order_that_matters_is_repeated(tmp_path: Path) -> None:
    """The last step says how it is the other way round."""
    with plugged("profiles", rule(online=first_block_goes_elsewhere)()) as name:
        given = scenario(
            f"{{arch: x86_64, kernel: {name}, memory: 1G}}",
            "{drivers: acpi, blocks: 2, sizes: 256M, zones: movable, operations: [add, online]}",
        )
        answer = explored(given, depth=3)
        found = [finding for finding in answer.findings if finding.broken.invariant == "order"]
        path, *_ = write_counterexamples(given, found, tmp_path)
        assert found[0].broken.text == (
            "order: 'online block 32 zone movable' and 'online block 33 zone movable' leave memory block 32 otherwise "
            "if done the other way round (online in node 0 zone Normal, not online in node 0 zone Movable)"
        )
        assert repeated(path).endswith("expect: memory block 32: zone is Normal, expected Movable")


def test_what_no_operation_broke_has_the_way_there(tmp_path: Path) -> None:
    """As of a machine that the same operations do not lead to again."""
    finding = Finding(Broken("repeat", "repeat: …"), (Step(Move("add", (("driver", "acpi"), ("size", "128M"))), None),))
    path, *_ = write_counterexamples(scenario(), [finding], tmp_path)
    assert run_scenario(load_scenario(path, Installed()), check=True).failure is None


def test_words_stay_as_they_stood(tmp_path: Path) -> None:
    """Numbers stay numbers, quoted text stays text, and words that YAML knows are no surprise."""
    machine = '{arch: x86_64, kernel: v2-2019, memory: "1G", page_size: 0x1000, sparsemem_vmemmap: true, cmdline: "on"}'
    given = scenario(machine, rest="drivers: {acpi: {mhp_flags: none}}\n")
    finding = explored(scenario(rest=DEVICE), depth=2).findings[0]
    path, *_ = write_counterexamples(given, [finding], tmp_path)
    again = load_scenario(path, Installed())
    assert again.machine == given.machine
    assert again.drivers == given.drivers


@pytest.mark.parametrize("form", ["snapshot: {path: here.json.xz, step: 1}", "snapshot: here.json.xz"])
def test_paths_lead_to_the_same_files(form: str, tmp_path: Path) -> None:
    """They are relative to the scenario, which now stands elsewhere."""
    (tmp_path / "made").mkdir()
    text = f"schema: 1\nmachine: {{arch: x86_64, kernel: v2-2019, {form}}}\n"
    given = loads_scenario(text, catalog=Installed(), file=str(tmp_path / "given.yaml"))
    finding = explored(scenario(rest=DEVICE), depth=2).findings[0]
    path, *_ = write_counterexamples(given, [finding], tmp_path / "made")
    again = load_scenario(path, Installed())
    assert again.machine.snapshot is not None
    assert again.machine.snapshot.path == "../here.json.xz"
