"""What daxctl and cxl list, as ranges."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memhotplug import InputError
from memhotplug.formats.snapshot.devices import ListedRange, listed_ranges, listed_sizes
from memhotplug.formats.snapshot.source import Source

SOURCE = Source(file="list.json")
CXL = """
[{"bus": "root3", "decoders:root3": [
  {"decoder": "decoder0.0", "resource": 70061654016, "size": 4563402752, "interleave_ways": 1,
   "regions:decoder0.0": [{"region": "region0", "resource": 70061654016, "size": 2147483648, "type": "ram"}]},
  {"decoder": "decoder0.1", "size": 268435456, "interleave_ways": 1},
  {"decoder": "decoder1.0", "resource": 70061654016, "size": 4563402752}]}]
"""
DAX = """
[{"chardev": "dax0.0", "size": 4294967296, "target_node": 1, "align": 2097152, "mode": "system-ram", "mappings": [
  {"page_offset": 0, "start": 70061654016, "end": 72209137663, "size": 2147483648},
  {"page_offset": 524288, "start": 74356621312, "end": 76504104959, "size": 2147483648}]}]
"""


def test_root_decoders_are_windows_and_regions_are_in_them() -> None:
    """What is not set up, and decoders of ports, are nothing."""
    assert listed_ranges(CXL, SOURCE) == [
        ListedRange(name="CXL Window 0", start=0x1050000000, size=4352 << 20, kind="window"),
        ListedRange(name="region0", start=0x1050000000, size=2 << 30, kind="region"),
    ]


def test_a_device_has_its_mappings_and_its_node() -> None:
    """daxctl list -M; without the option there are sizes, and no addresses."""
    assert listed_ranges(DAX, SOURCE) == [
        ListedRange(name="dax0.0", start=0x1050000000, size=2 << 30, kind="device", node=1),
        ListedRange(name="dax0.0", start=0x1150000000, size=2 << 30, kind="device", node=1),
    ]
    plain = '{"chardev": "dax0.0", "size": 4225761280, "target_node": -1}'
    assert listed_ranges(plain, SOURCE) == [
        ListedRange(name="dax0.0", start=None, size=4225761280, kind="device", node=-1)
    ]


def test_sizes_are_those_of_devices_else_of_regions_else_of_windows() -> None:
    """The ranges of a device add up."""
    assert listed_sizes(DAX, SOURCE) == [4 << 30]
    assert listed_sizes(CXL, SOURCE) == [2 << 30]
    assert listed_sizes('[{"region": "r0", "resource": "0x1050000000", "size": "2.00 GiB (2.15 GB)"}]', SOURCE) == [
        2 << 30
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[{", "list.json: got Expecting property name enclosed in double quotes: line 1 column 3 (char 2), expected "
               "what daxctl list or cxl list print, complete"),
        ("[]",
         "list.json: got none, expected decoders, regions or devices, as cxl list -DR and daxctl list print them"),
        ('[{"memdev": "mem0", "ram_size": 268435456}]',
         "list.json: got none, expected decoders, regions or devices, as cxl list -DR and daxctl list print them"),
        ('{"chardev": "dax0.0", "size": "3.94 GiB (4.23 GB)"}',
         "list.json: size: got 3.94 GiB (4.23 GB), expected an exact number of bytes (list it without --human)"),
        ('{"chardev": "dax0.0", "size": -5}', "list.json: size: got -5, expected a number of bytes"),
        ('{"chardev": "dax0.0", "size": 1, "target_node": "x"}', "list.json: target_node: got x, expected a node"),
        ('{"chardev": "dax0.0", "mappings": [{"start": 8, "end": 4}]}',
         "list.json: mappings[0]: got 0x8-0x4, expected an end after its start"),
        ("[" * 5000,
         "list.json: got more than 64 levels, expected what daxctl list or cxl list print, complete"),
    ],
)  # fmt: skip
def test_what_is_no_such_list_is_refused(text: str, message: str) -> None:
    """One line, with the place."""
    with pytest.raises(InputError) as caught:
        listed_ranges(text, SOURCE)
    assert str(caught.value) == message


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 70), 1 << 70) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["chardev", "decoder", "region", "size", "resource", "mappings", "start", "end", "target_node"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(_JSON)
def test_any_json_is_read_or_refused(tree: object) -> None:
    """One InputError or ranges."""
    found = _outcome(json.dumps(tree))
    assert "\n" not in str(found) if isinstance(found, InputError) else all(one.size > 0 for one in found)


def _outcome(text: str) -> list[ListedRange] | InputError:
    try:
        return listed_ranges(text, SOURCE)
    except InputError as problem:
        return problem
