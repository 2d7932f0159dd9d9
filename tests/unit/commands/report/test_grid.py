"""Variants and sweeps as grids."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.cli.conftest import HEAD

from memhotplug.catalog import Installed
from memhotplug.cli import main
from memhotplug.commands.compare.answer import compare
from memhotplug.commands.compare.question import parse_axis, variants
from memhotplug.commands.report.grid import Grid, of_store, of_variants
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
        return of_store(store, measure)


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
    with open_store(str(path)) as store:
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
