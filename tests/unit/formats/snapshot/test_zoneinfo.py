"""/proc/zoneinfo: every number of a zone, whatever stands between them, and what is none."""

from __future__ import annotations

import re
from collections.abc import Callable
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memhotplug.errors import InputError
from memhotplug.formats.snapshot import Source, zoneinfo
from memhotplug.formats.snapshot.zoneinfo import Pageset, parse_zoneinfo

HERE = Source(file="snap", place="here")

ZONEINFO = """\
Node 1, zone   Normal
  per-node stats
      nr_inactive_anon 7
      workingset_nodes 3
  pages free     1000
        boost    1
        min      10
        low      20
        high     30
        promo    40
        spanned  4096
        present  4000
        managed  3000
        cma      5
        protection: (0, 881, 99)
      nr_free_pages 1000
      high 12345
  pagesets
    cpu: 0
              count: 11
              high:  60
              batch: 15
              high_min: 60
    cpu: 1
              count: 22
              high:  61
              batch: 16
  vm stats threshold: 2
  node_unreclaimable:  0
  start_pfn:           512
Node 1, zone  Movable
  pages free     0
        min      0
        low      0
        high     0
        spanned  0
        present  0
        managed  0
        protection: (0, 0, 0)
"""


def _message(function: Callable[..., object], *arguments: object) -> str:
    with pytest.raises(InputError) as caught:
        function(*arguments)
    return str(caught.value)


def test_zoneinfo_gives_every_number_of_a_populated_zone() -> None:
    """Node statistics of the same names as watermarks do not get in the way."""
    zone = parse_zoneinfo(ZONEINFO, HERE)[0]

    assert (zone.node, zone.name, zone.start_pfn) == (1, "Normal", 512)
    assert (zone.free, zone.boost, zone.min, zone.low, zone.high, zone.promo) == (1000, 1, 10, 20, 30, 40)
    assert (zone.spanned, zone.present, zone.managed, zone.cma) == (4096, 4000, 3000, 5)
    assert zone.protection == (0, 881, 99)
    assert zone.pagesets == (Pageset(cpu=0, count=11, high=60, batch=15), Pageset(cpu=1, count=22, high=61, batch=16))


def test_zoneinfo_of_an_empty_zone_has_no_start() -> None:
    """Kernels before boost, promo and cma print fewer lines; absent ones are 0."""
    zone = parse_zoneinfo(ZONEINFO, HERE)[1]

    assert (zone.name, zone.start_pfn, zone.pagesets) == ("Movable", None, ())
    assert (zone.boost, zone.promo, zone.cma, zone.present) == (0, 0, 0, 0)


@pytest.mark.parametrize("line", ["pages free", "min ", "low ", "high ", "spanned", "present", "managed", "start_pfn"])
def test_zoneinfo_without_a_needed_line_names_the_line_and_the_zone(line: str) -> None:
    """As a truncated file has it."""
    text = "".join(part for part in ZONEINFO.splitlines(keepends=True) if not part.strip().startswith(line))
    first = {"pages free": "free"}.get(line, line.strip())

    message = _message(parse_zoneinfo, text, HERE)

    assert message == f"snap: here line 1: got none, expected the line {first!r} of node 1 zone Normal"


@pytest.mark.parametrize("value", ["-5", "many", "1e9", "99999999999999999999", "0x10", "٣"])
def test_zoneinfo_with_an_unreadable_number_names_the_line(value: str) -> None:
    """Negative counts make a machine unusable."""
    text = ZONEINFO.replace("min      10", f"min      {value}")

    assert _message(parse_zoneinfo, text, HERE) == f"snap: here line 7: got {value!r}, expected a number of pages"


def test_zoneinfo_with_a_zone_twice_is_refused() -> None:
    """Two files pasted together."""
    message = _message(parse_zoneinfo, ZONEINFO + ZONEINFO, HERE)

    assert message == "snap: here line 40: got node 1 zone Normal again, expected each zone once"


@pytest.mark.parametrize("text", ["", "\n", "MemTotal: 1 kB\n", "  pages free 3\n"])
def test_foreign_zoneinfo_is_refused(text: str) -> None:
    """No zone in it."""
    message = _message(parse_zoneinfo, text, HERE)

    assert message == "snap: here: got none, expected zones, each after a line such as 'Node 0, zone   Normal'"


def test_zoneinfo_pageset_cut_off_is_refused() -> None:
    """A cpu without its count, and numbers without a cpu."""
    without = ZONEINFO.replace("              count: 22\n", "")
    before = ZONEINFO.replace("    cpu: 0\n", "")

    assert _message(parse_zoneinfo, without, HERE) == (
        "snap: here line 1: got none, expected the pageset count of cpu 1 in node 1 zone Normal"
    )
    assert _message(parse_zoneinfo, before, HERE) == (
        "snap: here line 19: got 'count', expected 'cpu:' before the numbers of a pageset"
    )


@pytest.mark.parametrize("indent", ["", "  "])
def test_zones_are_found_wherever_their_headers_stand(indent: str) -> None:
    """Indented, and beside other lines that name a node."""
    zone = "  pages free     1\n  min 1\n  low 1\n  high 1\n  spanned 1\n  present 1\n  managed 1\n  start_pfn: 1\n"
    text = f"{indent}Node 0, zone DMA\n{zone}{indent}Node 1, zone Normal\n{zone}  Nodeless: 5\nNode 2 is none\n"
    assert [(one.node, one.name) for one in parse_zoneinfo(text, Source(file="z"))] == [(0, "DMA"), (1, "Normal")]


_ZONE_DAMAGE = st.lists(
    st.tuples(
        st.integers(0, 60),
        st.sampled_from(
            [
                "", "        low      7", "        low      x", "  pages free     5", "        protection: (1, 2)",
                "        protection: ()", "      nr_free_cma  9", "    cpu: 1", "              count: 3",
                "  start_pfn:   77",
                "              high_min: 4", "        promo    12", "        cma      1", "  start_pfn:   1 ", "junk",
                "        spanned  0", "        present  0", "        managed  9999999999999999",
            ]
        ),
        st.booleans(),
    ),
    max_size=4,
)  # fmt: skip


@given(_ZONE_DAMAGE)
def test_plain_lines_of_zones_are_what_each_of_them_is(damage: list[tuple[int, str, bool]]) -> None:
    """Whatever lines are missing, are there twice, or stand elsewhere."""
    lines = [line for line in ZONEINFO.splitlines() if "high_min" not in line]
    lines[lines.index("      high 12345")] = "      nr_free_cma  3"
    for at, line, replaces in damage:
        lines[at : at + replaces] = [line]

    def read() -> object:
        try:
            return parse_zoneinfo("\n".join(lines), HERE)
        except InputError as problem:
            return str(problem)

    found = read()
    with mock.patch.object(zoneinfo, "_PLAIN", re.compile("(?!)")):
        assert read() == found
