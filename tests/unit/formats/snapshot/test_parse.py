"""Parsing single files: what each one means, and what is not one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memhotplug.errors import InputError
from memhotplug.formats.snapshot import Source
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
from memhotplug.naming import architectures

HERE = Source(file="snap", place="here")
MEMORY = "sys/devices/system/memory"


def _message(function: Callable[..., object], *arguments: object) -> str:
    with pytest.raises(InputError) as caught:
        function(*arguments)
    return str(caught.value)


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
