"""One table of what came with which release: it agrees with the profiles, and nothing else goes by version."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.kernels import MAINLINE, version_of

import memhotplug_drivers
from memhotplug import Machine, features, manager
from memhotplug.contracts import SizingRequest

UNCHANGED = {"linux-6.1", "linux-6.12"}
"""Profiles that change nothing: the long-term releases, which people name."""

PRINTED = {"promo_watermark", "memmap_counted", "pcp_bounds_printed", "dax_types"}
"""Features that change which lines a file has, or how a device is listed: no release has a profile for their sake."""

BY_VERSION = re.compile(r"\bversion\s*[<>]=?|[<>]=?\s*(?:\w+\.)?version\b|kernel\.version ==")


def _gates() -> set[tuple[int, int]]:
    """Return every release with which a feature comes or goes, or a driver comes to an architecture."""
    found = {
        version
        for name, one in features.FEATURES.items()
        if name not in PRINTED
        for version in (one.since, one.until)
        if version
    }
    for name in manager.names("drivers"):
        found |= set((manager.driver_traits(name).arches or {}).values())
    return found


def test_every_gate_has_a_release_and_every_release_a_gate() -> None:
    """Else a kernel would be played by a profile that gets something wrong, or one that differs from none."""
    known = {version_of(kernel) for kernel in MAINLINE}
    oldest = min(known)
    assert {gate for gate in _gates() if gate > oldest} <= known
    assert known - _gates() == {version_of(kernel) for kernel in UNCHANGED}


@pytest.mark.parametrize("kernel", MAINLINE)
def test_a_profile_models_the_release_that_it_is_named_after(kernel: str) -> None:
    """Its version decides what it does, in the one table."""
    assert Machine.boot(arch="x86_64", kernel=kernel, memory="1G").kernel.version == version_of(kernel)


@pytest.mark.parametrize(
    ("version", "holds"),
    [((6, 7), False), ((6, 8), True), ((6, 18), True), ((6, 19), False), ((7, 0), False)],
)
def test_a_feature_holds_from_its_release_to_its_end(version: tuple[int, int], holds: bool) -> None:
    """The first release has it, the last named has it no longer."""
    assert features.has("prepare_online", version) is holds


def test_everybody_is_answered_alike() -> None:
    """The kernel, its profile, and the request for sizes."""
    kernel = Machine.boot(arch="x86_64", kernel="linux-6.12", memory="1G").kernel
    request = SizingRequest(version=(6, 12), memory=((0, 1 << 30),))
    for feature in features.FEATURES:
        assert kernel.has(feature) is kernel.profile.has(feature) is request.has(feature)
    asked = SizingRequest(version=(6, 12), memory=(), asks=lambda feature: feature == "made_up")
    assert asked.has("made_up")
    assert not asked.has("memory_groups")


def test_a_feature_that_does_not_exist_is_an_error() -> None:
    """A misspelt question would be answered with no, for ever."""
    with pytest.raises(ValueError, match="no feature 'memory_group'; did you mean 'memory_groups'"):
        features.has("memory_group", (6, 12))


def test_nothing_in_the_core_goes_by_version() -> None:
    """Beside the table there are tables of lines that files have, and where drivers exist: a version for each."""
    core = Path(features.__file__).parent
    tables = {"features.py", "naming.py", "engine/procfs/items.py", "engine/memory_hotplug/presence.py"}
    found = [
        f"{path.relative_to(core)}: {line.strip()}"
        for path in sorted(core.rglob("*.py"))
        if path.relative_to(core).as_posix() not in tables
        for line in path.read_text(encoding="utf-8").splitlines()
        if BY_VERSION.search(line)
    ]
    assert found == []


def test_no_driver_and_no_architecture_goes_by_version() -> None:
    """They ask for features: a number says nothing, and is forgotten when a release is added."""
    drivers = Path(memhotplug_drivers.__file__).parent
    modules = {candidate.target.partition(".")[0] for candidate in manager.candidates("arch")}
    folders = [drivers, *(Path(__import__(module).__file__ or "").parent for module in sorted(modules))]
    found = [
        f"{path.name}: {line.strip()}"
        for folder in folders
        for path in sorted(folder.glob("*.py"))
        for line in path.read_text(encoding="utf-8").splitlines()
        if BY_VERSION.search(line)
    ]
    assert found == []
