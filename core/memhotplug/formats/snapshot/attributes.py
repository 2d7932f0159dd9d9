"""Parsing the small files: meminfo, id lists, single values, the attributes of memory blocks, the kernel's version."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from memhotplug.errors import nearest
from memhotplug.formats.snapshot.arches import Architectures
from memhotplug.formats.snapshot.layout import MEMORY, PARAMETERS, SYSCTL_LIST, SYSCTLS, THP, VM
from memhotplug.formats.snapshot.source import SnapshotFiles, Source

__all__ = [
    "BlockFiles",
    "BlockPaths",
    "block_files",
    "huge_pages",
    "kernel_arch",
    "kernel_release",
    "module_parameters",
    "parse_hex",
    "parse_ids",
    "parse_mem_total",
    "parse_meminfo",
    "pick_meminfo",
    "vm_sysctls",
]

_MEMINFO = re.compile(r"(?:Node\s+\d+\s+)?([^:\s][^:]*):\s+(\d{1,20})( kB)?")
_PLAIN_MEMINFO = re.compile(r"(?:[A-Za-z0-9_()]++: ++[0-9]{1,20}+(?: kB)?+\n)++")
_PLAIN_NODE = re.compile(r"(?:Node [0-9]++ [A-Za-z0-9_()]++: ++[0-9]{1,20}+(?: kB)?+\n)++")
_OF_BLOCK = f"{MEMORY}/memory"
_NO_BLOCK = -1, "", ""
_ID = re.compile("0|[1-9][0-9]{0,30}")  # a block has one name, so that no two paths are the same file
_WORD = re.compile(r"\w+")
_STATES = ("online", "offline", "going-offline")
_HEX = re.compile(r"(0x)?[0-9a-fA-F]{1,16}")
_NUMBER = re.compile(r"\d{1,9}")
_GOOD = {
    "state": (re.compile("|".join(_STATES)), f"one of {', '.join(_STATES)}"),
    "valid_zones": (re.compile(r"[A-Za-z0-9]+( [A-Za-z0-9]+)*"), "zone names or 'none'"),
    "removable": (re.compile("[01]"), "0 or 1"),
    "phys_index": (_HEX, "a hexadecimal number"),
    "phys_device": (_NUMBER, "a number"),
    "node": (_NUMBER, "a number"),
}  # what each attribute of a block is, and in words
_MAX_IDS = 1 << 16
_CHOSEN = re.compile(r"\[(always|madvise|never)\]")
_SYSCTL = re.compile(r"\d{1,10}(\s+\d{1,10})*")
_SYSCTL_LINE = re.compile(rf"^vm\.({'|'.join(SYSCTLS)}) = (.*)$", re.MULTILINE)


def parse_meminfo(text: str, source: Source) -> dict[str, int]:
    """Return the values of a meminfo, a node's too: bytes where the file says kB, else counts.

    Raises:
        InputError: there is no value in it, or a line that is not one.
    """
    values: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        match = _MEMINFO.fullmatch(line.strip())
        if match is None:
            raise source.error("a line such as 'MemTotal: 924276 kB'", got=repr(line[:80]), line=number)
        values[match[1]] = int(match[2]) * (1024 if match[3] else 1)
    if "MemTotal" not in values:
        raise source.error("a line 'MemTotal: N kB'", got="none")
    return values


def pick_meminfo(text: str, source: Source, *names: str) -> dict[str, int]:
    """Return those of the values of :func:`parse_meminfo` that have some names; that makes a value of each line.

    Raises:
        InputError: as there.
    """
    plain = _PLAIN_NODE if text.startswith("Node ") else _PLAIN_MEMINFO
    found = _picked(text, names) if plain.fullmatch(text) else None
    if found is None or "MemTotal" not in found:
        values = parse_meminfo(text, source)
        return {name: values[name] for name in names if name in values}
    return found


def _picked(text: str, names: Sequence[str]) -> dict[str, int] | None:
    """Return the values of some names where each line is plain, None if a name ends as one of them does."""
    found = {}
    for name in names:
        before, colon, behind = text.rpartition(f"{name}:")  # the last one counts
        if before and before[-1] not in "\n ":
            return None
        if colon:
            number, *unit = behind[: behind.index("\n")].split()
            found[name] = int(number) * (1024 if unit else 1)
    return found


def parse_mem_total(text: str, source: Source) -> int:
    """Return MemTotal in bytes; raises InputError as :func:`parse_meminfo`."""
    return pick_meminfo(text, source, "MemTotal")["MemTotal"]


def parse_ids(text: str, source: Source) -> tuple[int, ...]:
    """Return the ids of a list such as ``0-3,8``, ascending; an empty list is empty.

    Raises:
        InputError: not such a list, or one of more than 65536 ids.
    """
    ids: list[int] = []
    for part in text.strip().split(",") if text.strip() else []:
        match = re.fullmatch(r"(\d{1,9})(?:-(\d{1,9}))?", part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if first > last or last - first >= _MAX_IDS or (ids and first <= ids[-1]):
            raise source.error("ascending ids such as '0-3,8'", got=repr(text.strip()[:80]))
        ids.extend(range(first, last + 1))
    return tuple(ids)


def parse_hex(text: str, source: Source) -> int:
    """Return a hexadecimal attribute's value (``block_size_bytes``, ``phys_index``).

    Raises:
        InputError: not one hexadecimal number.
    """
    if not _HEX.fullmatch(text.strip()):
        raise source.error("a hexadecimal number", got=repr(text.strip()[:80]))
    return int(text.strip(), 16)


class BlockFiles(NamedTuple):
    """The attributes of one memory block as sysfs shows them; None where one was not recorded.

    Models: drivers/base/memory.c (v5.2) and Documentation/admin-guide/mm/memory-hotplug.rst

    Attributes:
        valid_zones: zone names; empty when the kernel shows ``none``.
    """

    id: int
    state: str | None
    valid_zones: tuple[str, ...] | None
    removable: bool | None
    phys_index: int | None
    phys_device: int | None
    node: int | None


class BlockPaths(dict[str, tuple[int, str, str]]):
    """Which block each path is about, found when first asked for: its id, its file, and its number as it is written.

    The id is -1 where the number is not written as the kernel does; of any other path file and number are empty.
    """

    def __init__(self) -> None:
        super().__init__()
        self._ids: dict[str, int] = {}  # by their numbers

    def __missing__(self, path: str) -> tuple[int, str, str]:
        found = _NO_BLOCK
        if path.startswith(_OF_BLOCK):
            number, _, name = path[len(_OF_BLOCK) :].partition("/")
            block = self._ids.get(number)
            if block is None:
                block = self._ids[number] = int(number) if _ID.fullmatch(number) else -1
            found = block, name, number
        self[path] = found
        return found


def block_files(snapshot: SnapshotFiles, paths: BlockPaths | None = None) -> tuple[BlockFiles, ...]:
    """Return the recorded memory blocks, ascending by id.

    Args:
        paths: those that were met already; those of this snapshot are added.

    Raises:
        InputError: an attribute whose value cannot be read, or the same block twice (``memory7``, ``memory07``).
    """
    texts: dict[str, dict[str, str]] = {}
    names: dict[int, str] = {}
    paths = BlockPaths() if paths is None else paths
    for path, text in snapshot.files.items():
        _, attribute, number = paths[path]
        if not number:
            continue
        read = texts.get(number)
        if read is None:
            if not _NUMBER.fullmatch(number) or not _WORD.fullmatch(attribute):
                continue
            if names.setdefault(int(number), number) != number:
                place = snapshot.at(f"{MEMORY}/memory{number}")
                raise place.error(f"block {int(number)} once", got=f"also memory{names[int(number)]}")
            read = texts[number] = {}
        if attribute in _GOOD or _WORD.fullmatch(attribute):
            read[attribute] = text.strip()
    met: set[tuple[str, str]] = set()
    return tuple(_block(snapshot, block, names[block], texts[names[block]], met) for block in sorted(names))


def _block(
    snapshot: SnapshotFiles, block: int, number: str, texts: Mapping[str, str], met: set[tuple[str, str]]
) -> BlockFiles:
    """Return one block's attributes.

    Args:
        met: those of other blocks that are as they should be, by name and text; this block's are added.
    """
    for name, (good, expected) in _GOOD.items():
        text = texts.get(name)
        if text is None or (name, text) in met:
            continue
        if not good.fullmatch(text):
            raise snapshot.at(f"{MEMORY}/memory{number}/{name}").error(expected, got=repr(text[:80]))
        met.add((name, text))
    zones, removable, index = texts.get("valid_zones"), texts.get("removable"), texts.get("phys_index")
    device, node = texts.get("phys_device"), texts.get("node")
    return BlockFiles(
        id=block,
        state=texts.get("state"),
        valid_zones=None if zones is None else tuple(zone for zone in zones.split() if zone != "none"),
        removable=None if removable is None else removable == "1",
        phys_index=None if index is None else int(index, 16),
        phys_device=None if device is None else int(device),
        node=None if node is None else int(node),
    )


def module_parameters(snapshot: SnapshotFiles) -> dict[str, str]:
    """Return the memory_hotplug module's parameters as sysfs shows them, by name."""
    below = f"{PARAMETERS}/"
    found = {path.rsplit("/", 1)[1]: text.strip() for path, text in snapshot.files.items() if path.startswith(below)}
    return dict(sorted({**snapshot.meta.parameters, **found}.items()))


def vm_sysctls(snapshot: SnapshotFiles) -> dict[str, tuple[int, ...]]:
    """Return what /proc/sys/vm shows of watermarks and reserves, or what ``sysctl -a`` printed, numbers by name.

    Raises:
        InputError: a file that shows no numbers.
    """
    found = {}
    for name, text in _SYSCTL_LINE.findall(snapshot.get(SYSCTL_LIST) or ""):
        found[name] = _sysctl(text, snapshot.at(SYSCTL_LIST))
    for name in SYSCTLS:
        shown = snapshot.get(f"{VM}/{name}")
        if shown is not None:
            found[name] = _sysctl(shown, snapshot.at(f"{VM}/{name}"))
    return found


def _sysctl(text: str, source: Source) -> tuple[int, ...]:
    if not _SYSCTL.fullmatch(text.strip()):
        raise source.error("numbers", got=repr(text.strip()[:80]))
    return tuple(map(int, text.split()))


def huge_pages(snapshot: SnapshotFiles) -> str | None:
    """Return the word that transparent_hugepage/enabled shows in brackets, None where that was not recorded.

    Raises:
        InputError: it shows none of the kernel's words so.
    """
    text = snapshot.get(f"{THP}/enabled")
    if text is None:
        return None
    found = _CHOSEN.search(text)
    if found is None:
        raise snapshot.at(f"{THP}/enabled").error("[always], [madvise] or [never]", got=repr(text.strip()[:80]))
    return found[1]


def kernel_release(snapshot: SnapshotFiles) -> str | None:
    """Return the kernel's release verbatim (``uname -r``), None when nothing recorded tells."""
    release = (snapshot.get("proc/sys/kernel/osrelease") or "").strip()
    if release or snapshot.meta.kernel_release:
        return release or snapshot.meta.kernel_release
    version = re.match(r"Linux version (\S+)", snapshot.get("proc/version") or "")
    if version:
        return version[1]
    uname = re.match(r"Linux \S+ (\S+)", _uname(snapshot))
    return uname[1] if uname else None


def kernel_arch(snapshot: SnapshotFiles, arches: Architectures) -> str | None:
    """Return the architecture plugin's name, None when nothing recorded tells.

    Raises:
        InputError: a recording says one that is not known.
    """
    said = snapshot.meta.arch
    if said is not None:
        return _said_arch(said, snapshot, arches)
    words = [(snapshot.get("proc/sys/kernel/arch") or "").strip(), *reversed(_uname(snapshot).split())]
    words += re.split(r"[-.+_ ]", kernel_release(snapshot) or "")
    words += [word for word in arches.words if (kernel_release(snapshot) or "").endswith(word)]
    return next((arch for word in words if (arch := arches.named(word)) is not None), None)


def _said_arch(word: str, snapshot: SnapshotFiles, arches: Architectures) -> str:
    arch = arches.named(word)
    if arch is None:
        error = snapshot.source.key("meta").key("arch").error(f"one of {', '.join(arches.words)}", got=repr(word))
        error.nearest = nearest(word, arches.words)
        raise error
    return arch


def _uname(snapshot: SnapshotFiles) -> str:
    texts = (snapshot.get(f"sos_commands/{plugin}/uname_-a") for plugin in ("kernel", "host"))
    return next((text.strip() for text in texts if text), "")
