"""What is published: the same bytes each time it is built, complete, and with a description that an index can show."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from tests.packaging.conftest import ROOT, environment

import memhotplug

EPOCH = "1735689600"


def built(folder: Path) -> dict[str, Path]:
    """Build sdist and wheel with ``python -m build`` and return them by kind."""
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    env = {**environment(), "SOURCE_DATE_EPOCH": EPOCH}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return {"sdist": next(folder.glob("*.tar.gz")), "wheel": next(folder.glob("*.whl"))}


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return one release."""
    pytest.importorskip("build")
    return built(tmp_path_factory.mktemp("release"))


def test_built_twice_it_is_the_same(release: dict[str, Path], tmp_path: Path) -> None:
    """Byte by byte, sdist and wheel, with SOURCE_DATE_EPOCH."""
    again = built(tmp_path)
    for kind, path in release.items():
        assert path.name == again[kind].name
        digests = [hashlib.sha256(one.read_bytes()).hexdigest() for one in (path, again[kind])]
        assert digests[0] == digests[1], kind


def test_names_and_times(release: dict[str, Path]) -> None:
    """The version is the source's own, the time is the one that was asked for."""
    assert release["sdist"].name == f"memhotplug-{memhotplug.__version__}.tar.gz"
    with tarfile.open(release["sdist"]) as archive:
        assert {member.mtime for member in archive.getmembers()} == {int(EPOCH)}
    with zipfile.ZipFile(release["wheel"]) as archive:
        assert {member.date_time[:3] for member in archive.infolist()} == {(2025, 1, 1)}


def test_the_sdist_has_what_the_tests_need(release: dict[str, Path]) -> None:
    """Everything that git has, but for what concerns the repository itself."""
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if tracked.returncode:
        pytest.skip("no git repository")
    with tarfile.open(release["sdist"]) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    apart = (".", "changelog.d/")
    missing = [name for name in tracked.stdout.splitlines() if name not in inside and not name.startswith(apart)]
    assert missing == []


def test_an_index_takes_it(release: dict[str, Path]) -> None:
    """twine finds nothing wrong with the metadata, and can show the README."""
    pytest.importorskip("twine")
    command = [sys.executable, "-m", "twine", "check", "--strict", *map(str, release.values())]
    done = subprocess.run(command, env={**os.environ, "NO_COLOR": "1"}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("PASSED") == 2
