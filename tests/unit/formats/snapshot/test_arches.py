"""What reading a snapshot knows of architectures: their names, and which one some zones belong to."""

from __future__ import annotations

import pytest

from memhotplug.formats.snapshot.arches import ArchFacts, Architectures

_GIB = 1 << 30
VAX = ArchFacts(
    name="vax",
    aliases=("vax780", "dec"),
    page_sizes=(512,),
    zones=(("DMA", 0, 16 << 20), ("DMA32", 16 << 20, 4 * _GIB), ("Normal", 4 * _GIB, 1 << 64)),
)
ALPHA = ArchFacts(name="alpha", page_sizes=(8192, 65536), zones=(("DMA", 0, 2 * _GIB), ("Normal", 2 * _GIB, 1 << 64)))
ITANIUM = ArchFacts(
    name="ia64",
    aliases=("itanium",),
    zones=(("DMA32", 0, 4 * _GIB), ("Normal", 4 * _GIB, 1 << 64)),
)
PLAIN = ArchFacts(name="plain", aliases=("simple",))


@pytest.fixture
def arches() -> Architectures:
    """Three with zones at fixed addresses, and one without."""
    return Architectures([VAX, ALPHA, ITANIUM, PLAIN])


def test_an_architecture_goes_by_its_name_and_its_aliases(arches: Architectures) -> None:
    """Exactly as they are written."""
    words = {word: arches.named(word) for word in ("vax", "vax780", "dec", "alpha", "itanium", "ia64", "simple")}
    assert words == {
        "vax": "vax", "vax780": "vax", "dec": "vax", "alpha": "alpha", "itanium": "ia64", "ia64": "ia64",
        "simple": "plain",
    }  # fmt: skip
    assert [arches.named(word) for word in ("VAX", "", "pdp11")] == [None, None, None]


def test_all_words_ascend(arches: Architectures) -> None:
    """Names and aliases alike."""
    assert arches.words == ["alpha", "dec", "ia64", "itanium", "plain", "simple", "vax", "vax780"]


def test_a_name_counts_more_than_an_alias_of_another() -> None:
    """An architecture cannot take another one's name from it."""
    both = Architectures([ArchFacts(name="a", aliases=("b",)), ArchFacts(name="b")])
    assert (both.named("a"), both.named("b")) == ("a", "b")


def test_pages_and_zones_of_an_architecture_that_nobody_knows_are_none(arches: Architectures) -> None:
    """As of one that says nothing of them; an alias is no name here."""
    assert arches.page_sizes("alpha") == (8192, 65536)
    assert [arches.page_sizes(name) for name in ("plain", "vax780", "pdp11", None)] == [(), (), (), ()]
    assert arches.zones("vax") == VAX.zones
    assert [arches.zones(name) for name in ("plain", "dec", None)] == [(), (), ()]


@pytest.mark.parametrize(
    ("zone", "end", "arch"),
    [
        ("DMA", 16 << 20, "vax"),
        ("DMA", 2 * _GIB, "alpha"),
        ("DMA", 4 * _GIB, None),
        ("DMA32", 4 * _GIB, None),
        ("DMA32", 16 << 20, None),
        ("Normal", 1 << 64, None),
        ("Movable", 16 << 20, None),
    ],
)
def test_where_a_zone_ends_tells_one_architecture_or_none(
    arches: Architectures, zone: str, end: int, arch: str | None
) -> None:
    """Both its name and its end count, and two architectures that have it are none."""
    assert arches.by_zone_end(zone, end) == arch


@pytest.mark.parametrize(
    ("zones", "arch"),
    [
        (["DMA", "DMA32", "Normal"], None),
        (["DMA", "Normal"], "alpha"),
        (["DMA"], "alpha"),
        (["DMA32"], "ia64"),
        (["DMA32", "Movable"], "ia64"),
        (["Normal", "Movable"], None),
        ([], None),
    ],
)
def test_zones_that_are_there_tell_one_architecture_or_none(
    arches: Architectures, zones: list[str], arch: str | None
) -> None:
    """One that has all of its lower zones among them; the highest says nothing, and neither does having none."""
    assert arches.by_zones(zones) == arch
    assert arches.by_zones(reversed(zones)) == arch


def test_without_architectures_nothing_is_told() -> None:
    """There may be none installed."""
    none = Architectures([])
    assert (none.words, none.named("vax"), none.by_zones(["DMA"]), none.by_zone_end("DMA", 1)) == ([], None, None, None)
