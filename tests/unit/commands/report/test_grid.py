"""Variants and sweeps as grids."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.cli.conftest import HEAD

from memhotplug.catalog import Installed
from memhotplug.cli import main
from memhotplug.commands.compare.answer import compare
from memhotplug.commands.compare.question import parse_axis, variants
from memhotplug.commands.report.grid import Grid, maps_of, of_results, of_variants
from memhotplug.commands.sweep.store import open_store
from memhotplug.errors import InputError
from memhotplug.formats.scenario.yamltree import read_tree

STEPS = "  - add: {driver: acpi, name: d, size: 1G, mhp_flags: none}\n  - online: {range: d}\n"
FLAGS = "steps.0.add.mhp_flags=none,device"
SIZE = "steps.0.add.size=1G,2G,3G"


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    """Return a scenario in a file."""
    path = tmp_path / "s.yaml"
    path.write_text(HEAD + STEPS, encoding="utf-8")
    return path


def swept(scenario: Path, *axes: str) -> Path:
    """Return the results of a sweep."""
    path = scenario.with_name("r.sqlite")
    words = [word for axis in axes for word in ("--vary", axis)]
    assert main(["sweep", str(scenario), *words, "-o", str(path), "--jobs", "1"]) == 0
    return path


def grid_of(path: Path, measure: str | None = None) -> Grid:
    """Return the grid of some results."""
    with open_store(str(path)) as store:
        return of_results(store, measure)[0]


def texts(grid: Grid) -> list[list[str]]:
    """Return what stands in the fields."""
    return [[cell.text for cell in row] for row in grid.cells]


def test_variants_are_rows_and_measures_are_columns(scenario: Path) -> None:
    """The larger of two is warm, equal ones are not."""
    found = variants(read_tree(str(scenario)), [parse_axis(FLAGS)], catalog=Installed(), file=str(scenario))
    grid = of_variants(compare(found))
    assert (grid.rows, grid.corner) == (("none", "device"), "steps.0.add.mhp_flags")
    assert grid.columns[:4] == ("outcome", "memmap in itself", "memmap elsewhere", "page tables")
    assert [row[:3] for row in texts(grid)] == [["ok", "0B", "16M"], ["ok", "16M", "0B"]]
    assert [[cell.heat for cell in row[1:3]] for row in grid.cells] == [[0.0, 1.0], [1.0, 0.0]]
    assert grid.lines == ()


def test_a_sweep_is_the_first_key_down_and_the_second_across(scenario: Path) -> None:
    """Warm where the memmap costs most."""
    grid = grid_of(swept(scenario, FLAGS, SIZE))
    assert (grid.rows, grid.columns) == (("none", "device"), ("1G", "2G", "3G"))
    assert texts(grid) == [["16M", "32M", "48M"]] * 2
    assert [cell.heat for cell in grid.cells[0]] == [0.0, 0.5, 1.0]
    assert grid.lines == ("1G", "2G", "3G")


def test_a_sweep_of_one_key_is_one_column(scenario: Path) -> None:
    """Its heading is the measure."""
    grid = grid_of(swept(scenario, SIZE), "self_hosted_bytes")
    assert (grid.columns, texts(grid)) == (("self_hosted_bytes",), [["0B"], ["0B"], ["0B"]])


def test_what_was_refused_says_so(scenario: Path) -> None:
    """In place of a number."""
    grid = grid_of(swept(scenario, "steps.0.add.size=1G,1000K"))
    assert texts(grid)[0] == ["16M"]
    assert texts(grid)[1] in (["EINVAL"], ["refused"], ["failed"])
    assert grid.cells[1][0].heat is None


def test_results_of_another_version_are_refused(scenario: Path) -> None:
    """A number may mean something else there."""
    path = swept(scenario, SIZE)
    with open_store(str(path)) as store, store.locked():
        store.set_meta(version="0.0.1")
    with pytest.raises(InputError) as caught:
        grid_of(path)
    assert str(caught.value).endswith("got results of version 0.0.1, expected results of version 0.1.0")


def test_a_measure_that_is_not_there(scenario: Path) -> None:
    """The nearest is named."""
    with pytest.raises(InputError) as caught:
        grid_of(swept(scenario, SIZE), "self_hosted_byte")
    assert str(caught.value) == (
        "--measure: got self_hosted_byte, expected a measure that the results have; did you mean 'self_hosted_bytes'?"
    )


def test_without_a_name_every_measure_that_differs_is_shown(scenario: Path) -> None:
    """What is the same in all cases would be a table of one number."""
    with open_store(str(swept(scenario, FLAGS, SIZE))) as store:
        titles = [grid.title for grid in of_results(store)]
    assert titles[:3] == ["memmap_bytes", "self_hosted_bytes", "allocated_bytes"]
    assert "page_table_bytes" not in titles


def test_results_of_a_trace_alone_are_refused(scenario: Path, tmp_path: Path) -> None:
    """There is nothing to put side by side."""
    (tmp_path / "t.csv").write_text("time,size\n0,1G\n", encoding="utf-8")
    path = tmp_path / "t.sqlite"
    assert main(["sweep", str(scenario), "--trace", str(tmp_path / "t.csv"), "-o", str(path), "--jobs", "1"]) == 0
    with pytest.raises(InputError) as caught:
        grid_of(path)
    assert str(caught.value) == f"{path}: got one case, expected results with a key that was varied"


def test_variants_have_maps(scenario: Path) -> None:
    """At the moment at which they are compared; one that cannot run has none."""
    axes = [parse_axis("machine.kernel=v2-2019,linux-6.12"), parse_axis(FLAGS)]
    done = compare(variants(read_tree(str(scenario)), axes, catalog=Installed(), file=str(scenario)))
    maps = maps_of(done)
    assert [entry.label for entry in maps] == ["v2-2019, none", "v2-2019, device", "linux-6.12, none"]
    assert next(run.memmap for run in maps[1].runs if run.device == "d") == 16 << 20


def test_lines_are_for_variants_on_a_scale(scenario: Path) -> None:
    """From size to size, not from kernel to kernel."""
    for axis, expected in ((SIZE, 3), (FLAGS, 0), ("steps.0.add.size=3G,1G", 0)):
        found = variants(read_tree(str(scenario)), [parse_axis(axis)], catalog=Installed(), file=str(scenario))
        assert len(of_variants(compare(found)).lines) == expected
