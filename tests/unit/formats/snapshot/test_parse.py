"""Parsing single files: what each one means, and what is not one."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memhotplug.errors import InputError
from memhotplug.formats.snapshot import Source, zoneinfo
from memhotplug.formats.snapshot.attributes import (
    block_files,
    kernel_arch,
    kernel_release,
    module_parameters,
    parse_hex,
    parse_ids,
    parse_mem_total,
    parse_meminfo,
    pick_meminfo,
)
from memhotplug.formats.snapshot.buddyinfo import parse_buddyinfo, parse_pagetypeinfo
from memhotplug.formats.snapshot.iomem import is_hidden, parse_iomem, system_ram
from memhotplug.formats.snapshot.zoneinfo import Pageset, parse_zoneinfo
from memhotplug.naming import architectures

HERE = Source(file="snap", place="here")
MEMORY = "sys/devices/system/memory"

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


def test_buddyinfo_gives_chunks_by_order() -> None:
    """Trailing blanks and an empty last line are the kernel's."""
    zones = parse_buddyinfo("Node 0, zone      DMA      1      0      3 \nNode 2, zone   Normal 0 5 0 \n\n", HERE)

    assert [(zone.node, zone.zone, zone.by_order, zone.pages) for zone in zones] == [
        (0, "DMA", (1, 0, 3), 13),
        (2, "Normal", (0, 5, 0), 10),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "snap: here: got none, expected free chunks by order, one line a zone"),
        ("Node 0, zone DMA\n", "snap: here line 1: got 'Node 0, zone DMA', expected 'Node N, zone NAME' and free"),
        ("Node 0, zone DMA 1 -2\n", "snap: here line 1: got 'Node 0, zone DMA 1 -2', expected 'Node N, zone NAME'"),
        ("Node 0, zone A 1 2 3\nNode 0, zone B 1 2\n", "snap: here line 2: got 2, expected 3 orders"),
        ("Node 0, zone A 1 2\nNode 0, zone A 1 2\n", "snap: here line 2: got node 0 zone A again, expected each zone"),
        ("Node 0, zone A" + " 1" * 99, "snap: here line 1: got 99, expected 24 orders"),
    ],
)
def test_broken_buddyinfo_is_refused(text: str, message: str) -> None:
    """Cut off, foreign, or contradicting itself."""
    assert _message(parse_buddyinfo, text, HERE).startswith(message)


def test_pagetypeinfo_gives_order_counts_and_blocks() -> None:
    """Counts that the kernel gave up on are lower bounds."""
    types = parse_pagetypeinfo(
        "Page block order: 9\nPages per block:  512\n\n"
        "Free pages count per migrate type at order       0      1 \n"
        "Node    0, zone      DMA, type    Unmovable      4 >100000 \n\n"
        "Number of blocks type     Unmovable      Movable \n"
        "Node 0, zone      DMA            1            7 \n",
        HERE,
    )

    assert types.pageblock_order == 9
    assert types.free == {(0, "DMA", "Unmovable"): (4, 100000)}
    assert types.blocks == {(0, "DMA", "Unmovable"): 1, (0, "DMA", "Movable"): 7}


def test_broken_pagetypeinfo_is_refused() -> None:
    """No order, or a row that does not fit the heading."""
    head = "Page block order: 9\nNumber of blocks type     Unmovable      Movable \n"

    assert _message(parse_pagetypeinfo, "x", HERE) == (
        "snap: here: got none, expected a line such as 'Page block order: 9'"
    )
    assert _message(parse_pagetypeinfo, head + "Node 0, zone DMA 1\n", HERE) == (
        "snap: here line 3: got 1, expected 2 numbers of pageblocks"
    )


def test_iomem_is_a_tree_with_inclusive_ends() -> None:
    """Names may hold colons; memory of any driver is System RAM, at any depth."""
    entries = parse_iomem(
        "00001000-0009fbff : System RAM\n"
        "000a0000-000bffff : PCI Bus 0000:00\n"
        "00100000-3ffdffff : System RAM\n"
        "  01000000-01ffffff : Kernel code\n"
        "100000000-1ffffffff : Persistent Memory\n"
        "  100000000-1ffffffff : dax0.0\n"
        "    108000000-1ffffffff : System RAM (kmem)\n",
        HERE,
    )

    assert [(entry.name, entry.depth) for entry in entries[1:4]] == [
        ("PCI Bus 0000:00", 0),
        ("System RAM", 0),
        ("Kernel code", 1),
    ]
    assert (entries[3].start, entries[3].end) == (0x1000000, 0x1FFFFFF)
    assert system_ram(entries) == [(0x1000, 0x9FC00), (0x100000, 0x3FFE0000), (0x108000000, 0x200000000)]
    assert not is_hidden(entries)


_IOMEM_LINES = st.lists(
    st.sampled_from(
        [
            "00000000-00000fff : System RAM", "00001000-00001fff : PCI Bus", "  00001000-000017ff : Kernel code", "",
            "00000000-00000000 : System RAM", "00002000-00001fff : odd", " 00003000-00003fff : odd", "junk",
            "00003000-00003fff : System RAM ", "    00001000-00001010 : deep",
        ]
    )
)  # fmt: skip


@given(st.lists(_IOMEM_LINES, max_size=4))
def test_lines_of_iomem_that_were_met_already_say_the_same(files: list[list[str]]) -> None:
    """Good ones, and those with which something is wrong, wherever they stand."""
    known: dict[str, Any] = {}
    for lines in files:
        told: list[object] = []
        for met in (known, None):
            try:
                told.append(parse_iomem("\n".join(lines), HERE, met))
            except InputError as problem:
                told.append(str(problem))
        assert told[0] == told[1]


def test_iomem_of_an_unprivileged_reader_is_hidden() -> None:
    """All addresses are zero; that is no contradiction."""
    entries = parse_iomem("00000000-00000000 : System RAM\n  00000000-00000000 : Kernel code\n" * 3, HERE)

    assert is_hidden(entries)
    assert not is_hidden(())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Node 0\n", "line 1: got 'Node 0', expected a line such as '00100000-3ffdffff : System RAM'"),
        ("00001000-00000fff : A\n", "line 1: got '00001000-00000fff : A', expected a range that ends after its start"),
        (
            "00001000-00002fff : A\n00002000-00003fff : B\n",
            "line 2: got '00002000-00003fff : B', expected a range after that of 'A', not overlapping",
        ),
        (
            "00001000-00002fff : A\n  00002000-00003fff : B\n",
            "line 2: got '00002000-00003fff : B', expected a range inside that of 'A'",
        ),
        (
            "00001000-00002fff : A\n    00002000-00002fff : B\n",
            "line 2: got '00002000-00002fff : B', expected a range below its parent, two spaces deeper",
        ),
    ],
)
def test_broken_iomem_is_refused(text: str, message: str) -> None:
    """Overlapping memory cannot be modelled."""
    assert _message(parse_iomem, text, HERE) == f"snap: here {message}"


def test_meminfo_is_in_bytes_and_counts() -> None:
    """A node's meminfo has a prefix; HugePages are counts."""
    text = "Node 0 MemTotal:  10 kB\nNode 0 Active(anon):  3 kB\nNode 0 HugePages_Total:     4\n"

    assert parse_meminfo(text, HERE) == {"MemTotal": 10240, "Active(anon)": 3072, "HugePages_Total": 4}


_MEMINFO_LINES = st.tuples(
    st.sampled_from(["", "Node 0 ", "Node  1 ", " "]),
    st.sampled_from(["MemTotal", "MemFree", "XMemFree", "Active(anon)", "Node 0 MemTotal", "\u00e4", "a b"]),
    st.sampled_from([":  ", ": ", ":", ":\t"]),
    st.sampled_from(["0", "17", "\u0663", "9" * 20, "9" * 21, "x"]),
    st.sampled_from(["", " kB", " kB ", "kB", "\r", "\x85MemFree: 2"]),
).map("".join)


@given(st.lists(_MEMINFO_LINES, max_size=4), st.booleans())
def test_some_values_of_a_meminfo_are_those_of_the_whole_file(lines: list[str], mended: bool) -> None:
    """The last of several, and whatever is wrong is refused in the same words."""
    names = ("MemTotal", "MemFree", "Active(anon)", "HugePages_Total")
    text = "".join(f"{line}\n" for line in (["MemTotal: 5 kB", *lines] if mended else lines))
    told: list[object] = []
    for read in (parse_meminfo, lambda text, source: pick_meminfo(text, source, *names)):
        try:
            told.append({name: value for name, value in read(text, HERE).items() if name in names})
        except InputError as problem:
            told.append(str(problem))

    assert told[0] == told[1]


def test_some_values_of_a_nodes_meminfo() -> None:
    """Its lines have a prefix, and names that are not there are left out."""
    text = "Node 1 MemTotal:  10 kB\nNode 1 XMemFree: 2 kB\nNode 1 HugePages_Total:     4\n"

    assert pick_meminfo(text, HERE, "MemTotal", "HugePages_Total", "Active") == {
        "MemTotal": 10240,
        "HugePages_Total": 4,
    }
    assert pick_meminfo(text, HERE, "MemTotal", "MemFree") == {"MemTotal": 10240}


def test_broken_meminfo_is_refused() -> None:
    """Without MemTotal it is none."""
    assert _message(parse_meminfo, "MemFree: 1 kB\n", HERE) == "snap: here: got none, expected a line 'MemTotal: N kB'"
    assert _message(parse_meminfo, "MemTotal: 1 kB\nx\n", HERE) == (
        "snap: here line 2: got 'x', expected a line such as 'MemTotal: 924276 kB'"
    )


@pytest.mark.parametrize(("text", "ids"), [("0\n", (0,)), ("0-2,5\n", (0, 1, 2, 5)), ("\n", ()), ("", ())])
def test_id_lists(text: str, ids: tuple[int, ...]) -> None:
    """An empty list is empty, as has_generic_initiator mostly is."""
    assert parse_ids(text, HERE) == ids


@pytest.mark.parametrize("text", ["a", "3-1", "1,1", "5,2", "0-999999999", "0-3-5", "-1", "1,"])
def test_broken_id_lists_are_refused(text: str) -> None:
    """Including one that would fill the memory."""
    assert _message(parse_ids, text, HERE) == f"snap: here: got {text!r}, expected ascending ids such as '0-3,8'"


def test_hexadecimal_attributes() -> None:
    """sysfs prints them without 0x."""
    assert (parse_hex("8000000\n", HERE), parse_hex("0x10", HERE)) == (1 << 27, 16)
    assert _message(parse_hex, "8M", HERE) == "snap: here: got '8M', expected a hexadecimal number"


def test_blocks_ascend_with_what_sysfs_shows(snapshot: Callable[..., Any]) -> None:
    """Attributes that were not recorded are None; 'none' is no zone."""
    files = {f"{MEMORY}/memory10/state": "offline\n", f"{MEMORY}/memory10/valid_zones": "Normal Movable\n"}
    files |= {f"{MEMORY}/memory9/valid_zones": "none\n", f"{MEMORY}/memory9/phys_index": "00000009\n"}
    files |= {f"{MEMORY}/memory9/removable": "1\n", f"{MEMORY}/memory9/node": "2"}

    nine, ten = block_files(snapshot(files))

    assert (nine.id, nine.state, nine.valid_zones, nine.phys_index) == (9, None, (), 9)
    assert (nine.removable, nine.node) == (True, 2)
    assert (ten.id, ten.state, ten.valid_zones, ten.node) == (10, "offline", ("Normal", "Movable"), None)


@pytest.mark.parametrize(
    ("attribute", "text", "expected"),
    [
        ("state", "sleeping", "one of online, offline, going-offline"),
        ("valid_zones", "Normal,Movable", "zone names or 'none'"),
        ("removable", "yes", "0 or 1"),
        ("phys_index", "zz", "a hexadecimal number"),
        ("phys_device", "-1", "a number"),
        ("node", "", "a number"),
    ],
)
def test_broken_block_attributes_are_refused(
    snapshot: Callable[..., Any], attribute: str, text: str, expected: str
) -> None:
    """The error names the file inside the snapshot."""
    name = f"{MEMORY}/memory3/{attribute}"

    assert _message(block_files, snapshot({name: text})) == f"snap: {name}: got {text!r}, expected {expected}"


def test_one_block_under_two_names_is_refused(snapshot: Callable[..., Any]) -> None:
    """memory7 and memory07 cannot both be block 7."""
    files = {f"{MEMORY}/memory7/state": "online", f"{MEMORY}/memory07/state": "offline"}

    assert _message(block_files, snapshot(files)) == f"snap: {MEMORY}/memory07: got also memory7, expected block 7 once"


@pytest.mark.parametrize(
    ("files", "release", "arch"),
    [
        ({"proc/sys/kernel/osrelease": "6.1.0-56-amd64\n"}, "6.1.0-56-amd64", "x86_64"),
        ({"proc/version": "Linux version 5.14.0-1.el9.aarch64 (x@y) #1"}, "5.14.0-1.el9.aarch64", "arm64"),
        ({"proc/version": "Linux version 6.12.107+deb13-powerpc64le (x"}, "6.12.107+deb13-powerpc64le", "powerpc"),
        ({"proc/version": "Linux version 5.14.0-1.el9.x86_64 (x@y) #1"}, "5.14.0-1.el9.x86_64", "x86_64"),
        ({"sos_commands/kernel/uname_-a": "Linux h 5.2.0 #1 SMP s390x s390x GNU/Linux"}, "5.2.0", "s390"),
        ({"proc/sys/kernel/arch": "ppc64le\n"}, None, "powerpc"),
        ({"proc/sys/kernel/osrelease": "6.12.0-local\n"}, "6.12.0-local", None),
        ({}, None, None),
    ],
)
def test_kernel_release_is_verbatim_and_tells_the_architecture(
    snapshot: Callable[..., Any], files: dict[str, str], release: str | None, arch: str | None
) -> None:
    """Several files tell; the release's own suffix is the last resort."""
    opened = snapshot(files)

    assert (kernel_release(opened), kernel_arch(opened, architectures())) == (release, arch)


def test_recordings_meta_tells_release_and_parameters(snapshot: Callable[..., Any]) -> None:
    """Files win over meta where both are there."""
    name = "sys/module/memory_hotplug/parameters/online_policy"
    opened = snapshot(
        {name: "auto-movable\n"},
        arch="s390",
        kernel_release="6.12",
        parameters={"online_policy": "x", "memmap_on_memory": "Y"},
    )

    assert (kernel_release(opened), kernel_arch(opened, architectures())) == ("6.12", "s390")
    assert module_parameters(opened) == {"memmap_on_memory": "Y", "online_policy": "auto-movable"}


_LINES = st.lists(
    st.sampled_from(
        [
            "MemTotal: 5 kB", "MemTotal:       12345 kB", "MemFree: 1 kB", "HugePages_Total:   0", "Active(anon): 3 kB",
            "", "MemTotal: 7", "junk", "Node 0 MemFree: 4 kB", "MemTotal: 1 kB ",
        ]
    )
)  # fmt: skip


@given(_LINES, st.sampled_from(["", "\n"]))
def test_the_total_alone_is_that_of_the_whole_file(lines: list[str], end: str) -> None:
    """The last of several, and whatever is wrong is refused in the same words."""
    text = "\n".join(lines) + end
    told: list[object] = []
    for read in (parse_mem_total, lambda text, source: parse_meminfo(text, source)["MemTotal"]):
        try:
            told.append(read(text, Source(file="m")))
        except InputError as problem:
            told.append(str(problem))
    assert told[0] == told[1]


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
