"""What an architecture answers at boot is checked, and blamed on it."""

from __future__ import annotations

from typing import Any

import pytest

from memhotplug import Machine, PluginError
from memhotplug.contracts import SizingRequest, ZoneLimit
from memhotplug.engine.boot.answers import boot_base, page_sizing, zone_limits
from memhotplug.manager import Plugins
from memhotplug.model.geometry import Geometry
from memhotplug.model.zones import ZoneKind

DMA, NORMAL, MOVABLE = ZoneKind.DMA, ZoneKind.NORMAL, ZoneKind.MOVABLE


@pytest.fixture
def plugins() -> Plugins:
    """The plugins of a machine."""
    return Machine.boot(arch="x86_64", kernel="linux-6.12", memory="4G").kernel.plugins


@pytest.fixture
def geometry() -> Geometry:
    """The sizes of a machine."""
    return Machine.boot(arch="x86_64", kernel="linux-6.12", memory="4G").kernel.geometry


def answering(plugins: Plugins, monkeypatch: pytest.MonkeyPatch, answer: object) -> Plugins:
    """Have every hook answer the same."""
    monkeypatch.setattr(plugins, "call", lambda key, hook, **arguments: answer)
    return plugins


@pytest.mark.parametrize(
    ("limits", "text"),
    [
        ([], "answered nothing: zones whose last zone is not Normal"),
        ([(DMA, 16)], "answered DMA to pfn 0x10: zones whose last zone is not Normal"),
        ([(NORMAL, 16), (DMA, 32)], "zones whose last zone is not Normal"),
        ([(NORMAL, 16), (MOVABLE, 32)], "zones whose last zone is not Normal"),
        ([(DMA, 16), (DMA, 32), (NORMAL, 64)], "zones which do not ascend"),
        ([(DMA, 64), (NORMAL, 32)], "DMA to pfn 0x40, Normal to pfn 0x20: zones whose ends do not ascend"),
        ([(DMA, -1), (NORMAL, 32)], "zones whose ends do not ascend"),
    ],
)
def test_zones_that_cannot_be_are_blamed(
    limits: list[tuple[ZoneKind, int]], text: str, plugins: Plugins, geometry: Geometry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of them are shown."""
    answer = [ZoneLimit(kind=kind, end_pfn=end) for kind, end in limits]
    with pytest.raises(PluginError) as caught:
        zone_limits(answering(plugins, monkeypatch, answer), geometry)
    assert str(caught.value).startswith("plugin x86_64 (memhotplug ")
    assert text in str(caught.value)


@pytest.mark.parametrize(
    "answer",
    [
        [(NORMAL, 16)],
        ["Normal"],
        [ZoneLimit(kind=NORMAL, end_pfn=16.0)],  # type: ignore[arg-type]  # what is wrong with it
        [ZoneLimit(kind="Normal", end_pfn=16)],  # type: ignore[arg-type]
        [ZoneLimit(kind=NORMAL, end_pfn=True)],
    ],
)
def test_what_is_no_limit_is_blamed(
    answer: list[Any], plugins: Plugins, geometry: Geometry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tuples, words, floats and truth values."""
    with pytest.raises(PluginError, match="which is no ZoneLimit"):
        zone_limits(answering(plugins, monkeypatch, answer), geometry)


def test_zones_that_can_be_are_taken(plugins: Plugins, geometry: Geometry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ends may be alike: a machine without memory in one of them."""
    answer = [ZoneLimit(kind=DMA, end_pfn=16), ZoneLimit(kind=NORMAL, end_pfn=16)]
    assert zone_limits(answering(plugins, monkeypatch, answer), geometry) == answer


@pytest.mark.parametrize("base", [-(128 << 20), 1, 64 << 20])
def test_boot_memory_begins_where_a_block_does(
    base: int, plugins: Plugins, geometry: Geometry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never below 0."""
    with pytest.raises(PluginError) as caught:
        boot_base(answering(plugins, monkeypatch, base), geometry)
    assert str(caught.value).endswith(
        f"hook boot_base answered {base:#x}, which is not where a memory block of 128M begins"
    )


@pytest.mark.parametrize("base", [None, "0", 0.0, True])
def test_a_base_that_is_no_number_is_blamed(
    base: object, plugins: Plugins, geometry: Geometry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """True is none, either."""
    with pytest.raises(PluginError, match="which is no int"):
        boot_base(answering(plugins, monkeypatch, base), geometry)


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ({"page_size": 64 << 10}, "asked for a page_size of 65536 and answered 4096"),
        ({"memory_block_size": 1 << 30}, "asked for a memory_block_size of 1073741824 and answered 134217728"),
        ({"physical_address_bits": 40}, "asked for a physical_address_bits of 40 and answered"),
    ],
)
def test_a_size_that_was_asked_for_is_answered_or_refused(
    asked: dict[str, int], text: str, plugins: Plugins, geometry: Geometry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An architecture that ignores it is blamed."""
    request = SizingRequest(version=(6, 12), memory=((0, 4 << 30),), **asked)  # type: ignore[arg-type]  # by name
    with pytest.raises(PluginError) as caught:
        page_sizing(answering(plugins, monkeypatch, geometry), request)
    assert text in str(caught.value)


def test_nothing_asked_for_is_any_answer(plugins: Plugins, geometry: Geometry, monkeypatch: pytest.MonkeyPatch) -> None:
    """The architecture's own sizes."""
    request = SizingRequest(version=(6, 12), memory=((0, 4 << 30),))
    assert page_sizing(answering(plugins, monkeypatch, geometry), request) is geometry
