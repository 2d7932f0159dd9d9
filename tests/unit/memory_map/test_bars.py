"""Drawings: where things lie, and that they can be read without seeing them."""

from __future__ import annotations

from itertools import pairwise
from xml.etree import ElementTree

import pytest

from memhotplug.memory_map.bars import WIDTH, bars_of, bars_svg, label, scales
from memhotplug.memory_map.runs import MapRun

GIB = 1 << 30
BOOT = MapRun(0, 0, 2 * GIB, "kernel", None, 32 << 20, (0, 15))
DIMM = MapRun(0, 4 * GIB, 5 * GIB, "movable", "dimm0", GIB >> 6, (32, 39))
FAR = MapRun(1, 64 * GIB, 65 * GIB, "offline", "dimm1", 0, (512, 519))


def shapes(svg: str) -> list[ElementTree.Element]:
    """Return what is drawn; it must be well-formed."""
    return list(ElementTree.fromstring(svg))


def test_a_scale_fills_the_width_with_holes_left_out() -> None:
    """2 GiB and 1 GiB with a hole between: three parts of what room there is, and a gap."""
    scale = scales([(BOOT, DIMM)])[0]
    assert scale.place(0) == 0
    assert scale.place(5 * GIB - 1) == pytest.approx(WIDTH)
    assert scale.left[1] == pytest.approx(scale.left[0] + scale.width[0] + 6)
    assert scale.place(GIB) == pytest.approx(scale.width[0] / 2)
    assert scale.place(3 * GIB) == pytest.approx(scale.width[0])


def test_a_scale_is_the_same_for_all_moments() -> None:
    """Memory that is gone keeps its place."""
    assert scales([(BOOT, DIMM), (BOOT,)]) == scales([(BOOT,), (BOOT, DIMM)])


def test_what_is_small_beside_the_rest_is_still_seen() -> None:
    """128 MiB beside 64 TiB have 14 units."""
    small = MapRun(0, 0, 1 << 27, "kernel", None, 0, (0, 0))
    large = MapRun(0, 1 << 30, (1 << 46) + (1 << 30), "offline", "d", 0, (8, 9))
    frame = (small, large)
    bars = bars_of(frame, scales([frame])[0], 0)
    assert bars[0].width >= 13.9
    assert bars[1].x + bars[1].width <= WIDTH + 0.01


def test_nodes_have_scales_of_their_own() -> None:
    """And only the bars of their own memory."""
    frame = (BOOT, FAR)
    found = scales([frame])
    assert sorted(found) == [0, 1]
    assert [bar.run for bar in bars_of(frame, found[1], 1)] == [FAR]


def test_very_many_pieces_do_not_outgrow_the_width() -> None:
    """200 pieces in holes are one piece rather than 200 that are each too wide."""
    runs = [MapRun(0, 2 * n << 27, (2 * n + 1) << 27, "offline", f"d{n}", 0, (2 * n, 2 * n)) for n in range(200)]
    frame = tuple(runs)
    bars = bars_of(frame, scales([frame])[0], 0)
    assert all(one.x < other.x for one, other in pairwise(bars))
    assert 0 <= bars[0].x <= bars[-1].x + bars[-1].width <= WIDTH + 0.51


def test_every_bar_says_what_it_is() -> None:
    """One can be reached with Tab, the memmap below is left out for readers: the label has it."""
    frame = (BOOT, DIMM)
    found = shapes(bars_svg(bars_of(frame, scales([frame])[0], 0), "memory of node 0"))
    labelled = [shape for shape in found if shape.get("role") == "img"]
    assert [shape.get("aria-label") for shape in labelled] == [label(BOOT), label(DIMM)]
    assert [shape.get("tabindex") for shape in labelled] == ["0", "-1"]
    assert [shape.get("class") for shape in found] == ["kernel", "memmap", "movable", "memmap"]


def test_a_label_is_a_sentence() -> None:
    """Addresses, size, state, blocks, origin, memmap."""
    assert label(DIMM) == ("0x100000000-0x13fffffff, 1G, Movable, blocks 32-39, dimm0, memmap 16M in it")
    assert label(FAR).endswith("offline, blocks 512-519, dimm1")


def test_names_cannot_break_out() -> None:
    """What stands in an attribute is escaped."""
    evil = MapRun(0, 0, GIB, "kernel", '"><script>', 0, (0, 7))
    svg = bars_svg(bars_of((evil,), scales([(evil,)])[0], 0), '"<')
    assert "<script>" not in svg
    shapes(svg)
