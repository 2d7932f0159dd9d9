"""Reading what daxctl and cxl list: ranges that could become memory, in the words of /proc/iomem.

Models: ndctl's cxl/json.c and daxctl/json.c (v76 to v80): ``cxl list -D``, ``-R``, ``daxctl list -M``, nested or not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from memhotplug.formats.jsonread import parse_json
from memhotplug.formats.snapshot.source import LIMITS, Source

__all__ = ["ListedRange", "is_device_list", "listed_ranges", "listed_sizes"]

_HUMAN: Final = re.compile(r"(\d+)(?:\.(\d+))? (B|[KMGT]iB)(?: \(.*\))?")
_UNITS: Final = {"B": 0, "KiB": 10, "MiB": 20, "GiB": 30, "TiB": 40}
_KEYS: Final = ("decoder", "region", "chardev")
_MOST_DEPTH: Final = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class ListedRange:
    """One range that a tool lists.

    Attributes:
        name: as /proc/iomem has it: ``CXL Window 0``, ``region0``, ``dax0.0``.
        start: first byte, None where the tool does not print it. size: bytes.
        node: the target node of a device, -1 if it has none; None where it is not listed.
        kind: ``window`` (a root decoder), ``region`` or ``device``.
    """

    name: str
    start: int | None
    size: int
    kind: str
    node: int | None = None


def is_device_list(text: str) -> bool:
    """Return whether a text may be what ``daxctl list`` or ``cxl list`` print: JSON."""
    return text.lstrip("\ufeff \t\r\n")[:1] in ("[", "{")


def listed_ranges(text: str, source: Source) -> list[ListedRange]:
    """Return the ranges of windows, regions and devices, in the order of the list.

    Raises:
        InputError: it is no such list, lists nothing, or a size or an address in it is none.
    """
    if sum(map(text.count, ",[{")) > LIMITS.json_values:
        raise source.error(f"at most {LIMITS.json_values} values in a JSON document", got="more")
    try:
        tree = parse_json(text)
    except ValueError as problem:
        raise source.error("what daxctl list or cxl list print, complete", got=str(problem)[:80]) from None
    found = list(_ranges(tree, source, 0))
    if not found:
        raise source.error("decoders, regions or devices, as cxl list -DR and daxctl list print them", got="none")
    return found


def listed_sizes(text: str, source: Source) -> list[int]:
    """Return the size of each device, else of each region; in bytes.

    Raises:
        InputError: as :func:`listed_ranges`.
    """
    found = listed_ranges(text, source)
    kinds = {one.kind for one in found}
    kind = next(kind for kind in ("device", "region", "window") if kind in kinds)
    sizes: dict[str, int] = {}
    for one in found:
        if one.kind == kind:
            sizes[one.name] = sizes.get(one.name, 0) + one.size
    return list(sizes.values())


def _ranges(node: object, source: Source, depth: int) -> Iterator[ListedRange]:
    if depth > _MOST_DEPTH:
        raise source.error(f"at most {_MOST_DEPTH} levels", got="more")
    if isinstance(node, list):
        for index, item in enumerate(node):
            yield from _ranges(item, source.key(index), depth + 1)
    if not isinstance(node, dict):
        return
    key = next((key for key in _KEYS if isinstance(node.get(key), str)), None)
    if key is not None:
        yield from _entry(key, node, source)
    for name, item in node.items():
        if isinstance(item, (list, dict)) and name != "mappings":
            yield from _ranges(item, source.key(str(name)), depth + 1)


def _entry(key: str, node: Mapping[str, object], source: Source) -> Iterator[ListedRange]:
    name = str(node[key])
    if key == "chardev":
        yield from _device(name, node, source)
        return
    if node.get("size") is None or node.get("resource") is None:
        return  # not set up
    start = _number(node["resource"], source.key("resource"))
    size = _number(node["size"], source.key("size"))
    if not size:
        return
    root = re.fullmatch(r"decoder0\.(\d+)", name)
    if key == "decoder" and root is not None:
        yield ListedRange(name=f"CXL Window {root[1]}", start=start, size=size, kind="window")
    elif key == "region":
        yield ListedRange(name=name, start=start, size=size, kind="region")


def _device(name: str, node: Mapping[str, object], source: Source) -> Iterator[ListedRange]:
    target = node.get("target_node")
    if target is not None and (isinstance(target, bool) or not isinstance(target, int)):
        raise source.key("target_node").error("a node", got=str(target)[:60])
    mappings = node.get("mappings")
    if not isinstance(mappings, list) or not mappings:
        size = _number(node.get("size"), source.key("size"))
        if size:
            yield ListedRange(name=name, start=None, size=size, kind="device", node=target)
        return
    for index, one in enumerate(mappings):
        place = source.key("mappings").key(index)
        if not isinstance(one, dict):
            raise place.error("an object with start and end", got=str(one)[:60])
        start, end = _number(one.get("start"), place.key("start")), _number(one.get("end"), place.key("end"))
        if end < start:
            raise place.error("an end after its start", got=f"{start:#x}-{end:#x}")
        yield ListedRange(name=name, start=start, size=end + 1 - start, kind="device", node=target)


def _number(value: object, source: Source) -> int:
    """Return a number of bytes, as the tools print it plain, in hexadecimal, or (with -u) for people."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 64:
        return value
    if isinstance(value, str):
        if re.fullmatch(r"0x[0-9a-fA-F]{1,16}", value):
            return int(value, 16)
        human = _HUMAN.fullmatch(value)
        if human is not None and not int(human[2] or 0):
            return int(human[1]) << _UNITS[human[3]]
        if human is not None:
            raise source.error("an exact number of bytes (list it without --human)", got=value)
    raise source.error("a number of bytes", got=str(value)[:60])
