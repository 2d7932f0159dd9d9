"""What is installed, read off folders: the same as the standard library finds."""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Sequence
from importlib.metadata import Distribution, DistributionFinder
from pathlib import Path

import pytest

from memhotplug.distributions import Entry, entries, entries_by_the_book, load

PREFIX = "memhotplug."
HEADERS = "Metadata-Version: 2.1\nName: Acme.Hotplug\nVersion: 1.2\n\nName: not this one\n"
POINTS = """# comment
[console_scripts]
acme = acme:main
no equals sign outside of what is asked for = 1

[memhotplug.drivers]
  acme = acme.driver : plugin [extra]
; other = acme.other
[memhotplug.profiles]
acme-1.0=acme.kernel
"""
READ = [
    Entry("Acme.Hotplug", "1.2", "memhotplug.drivers", "acme", "acme.driver : plugin [extra]"),
    Entry("Acme.Hotplug", "1.2", "memhotplug.drivers", "; other", "acme.other"),
    Entry("Acme.Hotplug", "1.2", "memhotplug.profiles", "acme-1.0", "acme.kernel"),
]


@pytest.fixture(autouse=True)
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, the only one in which distributions are."""
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    return tmp_path


def install(path: Path, folder: str, points: str | bytes = POINTS, headers: str | None = HEADERS) -> Path:
    """Write what pip writes of a distribution."""
    info = path / folder
    info.mkdir(parents=True)
    (info / "entry_points.txt").write_bytes(points.encode() if isinstance(points, str) else points)
    if headers is not None:
        (info / ("PKG-INFO" if folder.endswith(".egg-info") else "METADATA")).write_text(headers)
    return info


@pytest.mark.parametrize("folder", ["acme_hotplug-1.2.dist-info", "acme.egg-info", "Acme.DIST-INFO"])
def test_entry_points_are_read_as_the_standard_library_reads_them(folder: str, path: Path) -> None:
    """Comments, spaces, extras and odd names included; the metadata's headers end at the first empty line."""
    install(path, folder)
    (path / "other.dist-info").mkdir()
    (path / "a.py").write_text("")

    assert entries(PREFIX) == (READ, [])
    assert entries_by_the_book(PREFIX) == (READ, [])


def test_the_environment_of_these_tests_reads_the_same_both_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    """All plugins that are installed."""
    monkeypatch.undo()
    found, unreadable = entries(PREFIX)

    assert (sorted(found), unreadable) == (sorted(entries_by_the_book(PREFIX)[0]), [])
    assert {"acpi", "x86_64"} <= {entry.name for entry in found}


def test_headers_may_be_missing(path: Path) -> None:
    """The package has no name then, and its plugins are there."""
    install(path, "acme.dist-info", "[memhotplug.arch]\na = b\n", headers=None)

    assert entries(PREFIX) == ([Entry("unknown", "?", "memhotplug.arch", "a", "b")], [])
    assert entries_by_the_book(PREFIX) == entries(PREFIX)
    assert entries_by_the_book(PREFIX) == entries(PREFIX)


@pytest.mark.parametrize(
    ("points", "problem"),
    [
        (b"[memhotplug.arch]\na = \xff\n", "'utf-8' codec can't decode byte 0xff in position 22: invalid start byte"),
        ("[memhotplug.arch]\nname = \n", "entry_points.txt: 'name =' is no NAME = MODULE"),
        ("[memhotplug.arch]\n = module\n", "entry_points.txt: '= module' is no NAME = MODULE"),
        ("[memhotplug.arch]\nno sign\n", "entry_points.txt: 'no sign' is no NAME = MODULE"),
    ],
)
def test_what_cannot_be_read_is_named_and_harms_nothing(points: str | bytes, problem: str, path: Path) -> None:
    """Whatever else is installed is found."""
    broken = install(path, "broken.dist-info", points)
    install(path, "acme.dist-info")

    assert entries(PREFIX) == (READ, [f"{broken}: {problem}"])
    assert entries_by_the_book(PREFIX) == (READ, [f"{broken}: {problem}"])


def test_paths_that_are_not_there_hold_nothing(path: Path) -> None:
    """As after an uninstallation."""
    sys.path.append(str(path / "gone"))

    assert entries(PREFIX) == ([], [])


def test_archives_are_read_by_the_standard_library(path: Path) -> None:
    """A wheel on the path counts as installed."""
    wheel = path / "acme.zip"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("acme.dist-info/entry_points.txt", POINTS)
        archive.writestr("acme.dist-info/METADATA", HEADERS)
    sys.path.append(str(wheel))

    assert entries(PREFIX) == (READ, [])


def test_other_finders_are_asked_by_the_standard_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as those of programs that are frozen into one file."""

    class Frozen(Distribution):
        def read_text(self, filename: str) -> str | None:
            return {"entry_points.txt": POINTS, "METADATA": HEADERS}.get(filename)

        def locate_file(self, path: object) -> Path:
            return Path(str(path))

    class Finder(DistributionFinder):
        def find_distributions(
            self,
            context: DistributionFinder.Context = DistributionFinder.Context(),  # noqa: B008
        ) -> Sequence[Distribution]:
            return [Frozen()]

    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder()])

    assert entries(PREFIX) == (READ, [])


def test_what_an_entry_point_names_is_imported() -> None:
    """The module, or an attribute in it; extras are no matter of the import."""
    import os.path

    assert load("os.path") is os.path
    assert load("os : path.join [extra]") is os.path.join
    with pytest.raises(AttributeError):
        load("os:nothing")
