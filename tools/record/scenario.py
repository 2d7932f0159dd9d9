"""What to record: which guest, and what is done to its memory. Read from YAML or a plain mapping.

name: x86_64-6.1-two-dimms
what: boot 1G, add two DIMMs, online the first movable
arch: x86_64
memory: 1G
cmdline: memhp_default_state=offline memory_hotplug.memmap_on_memory=1
steps:
  - add: {dimm: d0, size: 256M}
  - online: {blocks: d0, type: online_movable, each: true}
  - offline: {blocks: "d0[1]"}
  - write: {path: /sys/devices/system/memory/auto_online_blocks, value: online}
  - remove: d0
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import yaml
from tools.record.arch import ARCHITECTURES

from memhotplug.errors import InputError, nearest
from memhotplug.units import parse_size

__all__ = [
    "Add",
    "BlockRef",
    "Change",
    "Hog",
    "NumaNode",
    "Remove",
    "Resize",
    "Scenario",
    "Step",
    "VirtioMem",
    "Write",
    "load",
    "parse",
]

_KEYS = (
    "name",
    "what",
    "arch",
    "memory",
    "maxmem",
    "cpu",
    "cpus",
    "cmdline",
    "numa",
    "virtio_mem",
    "watch_boot_blocks",
    "timeout",
    "steps",
)
_ONLINE_TYPES = ("online", "online_kernel", "online_movable")
_MIB = 1 << 20
_REF = re.compile(r"([A-Za-z][\w-]*)(?:\[(-?\d{1,6})\])?")
_CPU = re.compile(r"[A-Za-z0-9][\w.,=+-]{0,80}")
_NAME = re.compile(r"[A-Za-z][\w-]{0,30}")


@dataclass(frozen=True, kw_only=True, slots=True)
class NumaNode:
    """One node at boot: its memory in bytes (0: none) and how many processors it has."""

    memory: int
    cpus: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Add:
    """Hot-add one DIMM; ``size`` and ``address`` in bytes, without address QEMU chooses."""

    dimm: str
    size: int
    node: int | None = None
    address: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class BlockRef:
    """Memory blocks: by id (``base`` None), or of a DIMM or of ``boot`` memory: all of them, or the index-th."""

    base: str | None
    index: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """Write ``type`` (offline, online, online_kernel, online_movable) to blocks, in this order.

    Attributes:
        each: whether each block is a step of its own, with its own snapshot.
    """

    type: str
    blocks: tuple[BlockRef, ...]
    each: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Remove:
    """Eject a whole DIMM."""

    dimm: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Resize:
    """Ask a virtio-mem device for another size, in bytes."""

    device: str
    size: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Hog:
    """Init maps, touches and locks ``size`` bytes of anonymous memory."""

    size: int


@dataclass(frozen=True, kw_only=True, slots=True)
class VirtioMem:
    """A virtio-mem device: the most that it can have, its unit, and its node; bytes."""

    device: str
    size: int
    block_size: int = 2 << 20
    node: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Write:
    """Write a value to a file of the guest; ``path`` without the leading slash."""

    path: str
    value: str


Step: TypeAlias = Add | Change | Remove | Resize | Hog | Write


@dataclass(frozen=True, kw_only=True, slots=True)
class Scenario:
    """One recording to be made.

    Attributes:
        memory, maxmem: boot memory and the limit with DIMMs, in bytes; whole MiB.
        cpu: QEMU's ``-cpu``, None for the one that this architecture is recorded with.
        cmdline: the kernel's, without console, panic and loglevel.
        numa: nodes at boot; empty for one node without NUMA.
        virtio_mem: devices that are there at boot, and have no memory yet.
        watch_boot_blocks: how many of the highest boot blocks have their page flags recorded.
        timeout: seconds that the whole guest may take.
    """

    name: str
    what: str
    arch: str
    memory: int
    maxmem: int = 1 << 36
    cpu: str | None = None
    cpus: int = 1
    cmdline: str = ""
    numa: tuple[NumaNode, ...] = ()
    virtio_mem: tuple[VirtioMem, ...] = ()
    watch_boot_blocks: int = 0
    timeout: float = 300.0
    steps: tuple[Step, ...] = ()


def load(path: Path) -> Scenario:
    """Return the scenario in a YAML file.

    Raises:
        InputError: the file cannot be read, or is no scenario.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) else "not UTF-8 text"
        raise InputError("a readable scenario", got=reason, file=str(path)) from None
    except yaml.YAMLError as problem:
        mark = getattr(problem, "problem_mark", None)
        line, column = (mark.line + 1, mark.column + 1) if mark is not None else (None, None)
        raise InputError(
            "YAML", got=getattr(problem, "problem", None) or "something else", file=str(path), line=line, column=column
        ) from None
    return parse(document, file=str(path))


def parse(document: object, file: str | None = None) -> Scenario:
    """Return the scenario that a plain mapping describes; ``file`` is what errors call it.

    Raises:
        InputError: an unknown key, a wrong type or a value that cannot be.
    """
    top = _Mapping(document, "", file, _KEYS)
    arch = top.one_of("arch", tuple(ARCHITECTURES))
    numa = tuple(
        _node(_Mapping(item, f"numa[{i}]", file, ("memory", "cpus"))) for i, item in enumerate(top.list("numa"))
    )
    devices = tuple(
        _virtio_mem(_Mapping(item, f"virtio_mem[{i}]", file, ("device", "size", "block_size", "node")))
        for i, item in enumerate(top.list("virtio_mem"))
    )
    steps = tuple(_step(item, f"steps[{i}]", file) for i, item in enumerate(top.list("steps")))
    scenario = Scenario(
        name=top.text("name"),
        what=top.text("what"),
        arch=arch,
        memory=top.size("memory"),
        maxmem=top.size("maxmem", 1 << 36),
        cpu=top.cpu_model("cpu") if "cpu" in top.value else None,
        cpus=top.count("cpus", max(1, sum(node.cpus for node in numa))),
        cmdline=top.text("cmdline", ""),
        numa=numa,
        virtio_mem=devices,
        watch_boot_blocks=top.count("watch_boot_blocks", 0 if devices or any(isinstance(s, Add) for s in steps) else 4),
        timeout=float(top.count("timeout", 300)),
        steps=steps,
    )
    _check(scenario, file)
    return scenario


def _node(node: _Mapping) -> NumaNode:
    return NumaNode(memory=node.size("memory", 0), cpus=node.count("cpus", 0))


def _virtio_mem(device: _Mapping) -> VirtioMem:
    return VirtioMem(
        device=device.name("device"),
        size=device.size("size"),
        block_size=device.size("block_size", 2 << 20),
        node=device.count("node") if "node" in device.value else None,
    )


def _step(item: object, path: str, file: str | None) -> Step:
    step = _Mapping(item, path, file, ("add", "online", "offline", "remove", "resize", "hog", "write"))
    if len(step.value) != 1:
        expected = "one operation: add, online, offline, remove, resize, hog or write"
        raise step.error("", expected, len(step.value))
    kind, value = next(iter(step.value.items()))
    match kind:
        case "add":
            add = _Mapping(value, f"{path}.add", file, ("dimm", "size", "node", "address"))
            return Add(
                dimm=add.name("dimm"),
                size=add.size("size"),
                node=add.count("node") if "node" in add.value else None,
                address=add.size("address") if "address" in add.value else None,
            )
        case "online" | "offline":
            return _change(str(kind), _Mapping(value, f"{path}.{kind}", file, ("blocks", "type", "each")))
        case "remove":
            return Remove(dimm=step.name("remove"))
        case "resize":
            resize = _Mapping(value, f"{path}.resize", file, ("device", "size"))
            return Resize(device=resize.name("device"), size=resize.size("size"))
        case "hog":
            return Hog(size=step.size("hog"))
        case _:
            write = _Mapping(value, f"{path}.write", file, ("path", "value"))
            return Write(path=write.path_of_guest("path"), value=write.text("value"))


def _change(kind: str, change: _Mapping) -> Change:
    if kind == "offline" and "type" in change.value:
        raise change.error("type", "no type, which is online's", repr(change.value["type"]))
    value = change.value.get("blocks")
    items = value if isinstance(value, list) else [value]
    if not items:
        raise change.error("blocks", "at least one block", "none")
    each = change.value.get("each", False)
    if not isinstance(each, bool):
        raise change.error("each", "true or false", repr(each))
    word = "offline" if kind == "offline" else change.one_of("type", _ONLINE_TYPES, "online")
    return Change(type=word, blocks=tuple(_ref(change, item) for item in items), each=each)


def _ref(change: _Mapping, item: object) -> BlockRef:
    if isinstance(item, int) and not isinstance(item, bool) and item >= 0:
        return BlockRef(base=None, index=item)
    match = _REF.fullmatch(item) if isinstance(item, str) else None
    if match is None:
        raise change.error("blocks", "block ids, a DIMM's name, d0[1], or boot[-1]", repr(item))
    return BlockRef(base=match[1], index=None if match[2] is None else int(match[2]))


def _check(scenario: Scenario, file: str | None) -> None:
    """Refuse what no guest could do."""
    problem = None
    dimms: set[str] = {"boot"}
    devices = [device.device for device in scenario.virtio_mem]
    if devices and not ARCHITECTURES[scenario.arch].has_virtio_mem:
        raise InputError("no virtio-mem device", got=scenario.arch, path="virtio_mem", file=file)
    if len(set(devices)) != len(devices):
        raise InputError("a name of its own for each device", got=", ".join(devices), path="virtio_mem", file=file)
    for index, step in enumerate(scenario.steps):
        place = f"steps[{index}]"
        if isinstance(step, Add):
            if not ARCHITECTURES[scenario.arch].has_dimms:
                problem = (f"{place}.add", "only boot memory's blocks", f"a DIMM on {scenario.arch}")
            elif step.dimm in dimms:
                problem = (f"{place}.add.dimm", "a name of its own", repr(step.dimm))
            dimms.add(step.dimm)
        elif isinstance(step, Remove) and step.dimm not in dimms - {"boot"}:
            problem = (f"{place}.remove", "a DIMM added before", repr(step.dimm))
        elif isinstance(step, Resize) and step.device not in devices:
            problem = (f"{place}.resize.device", "a virtio_mem device", repr(step.device))
        elif isinstance(step, Change):
            unknown = [ref.base for ref in step.blocks if ref.base is not None and ref.base not in dimms]
            if unknown:
                problem = (f"{place}.blocks", "boot or a DIMM added before", repr(unknown[0]))
        if problem:
            raise InputError(problem[1], got=problem[2], path=problem[0], file=file)
    for path, size in (
        ("memory", scenario.memory),
        *((f"numa[{i}]", node.memory) for i, node in enumerate(scenario.numa)),
    ):
        if size % _MIB:
            raise InputError("whole MiB", got=f"{size} bytes", path=path, file=file)
    if scenario.numa and sum(node.memory for node in scenario.numa) != scenario.memory:
        raise InputError("nodes whose memory adds up to memory", got="other sizes", path="numa", file=file)
    if scenario.numa and sum(node.cpus for node in scenario.numa) != scenario.cpus:
        raise InputError("nodes whose cpus add up to cpus", got="other counts", path="numa", file=file)


class _Mapping:
    """A YAML mapping with known keys, whose values are asked for by type."""

    def __init__(self, value: object, path: str, file: str | None, keys: tuple[str, ...]) -> None:
        self.path, self.file = path, file
        if not isinstance(value, Mapping):
            raise self.error("", "a mapping", type(value).__name__)
        self.value: Mapping[object, object] = value
        for key in value:
            if key not in keys:
                raise InputError(
                    f"one of {', '.join(keys)}", got=repr(key), path=path or None, file=file, nearest=nearest(key, keys)
                )

    def error(self, key: str, expected: str, got: object) -> InputError:
        place = ".".join(part for part in (self.path, key) if part)
        return InputError(expected, got=got, path=place or None, file=self.file)

    def text(self, key: str, default: str | None = None) -> str:
        value = self.value.get(key, default)
        if not isinstance(value, str) or "\n" in value or not value.isprintable():
            raise self.error(key, "one line of text", repr(value)[:60])
        return value

    def name(self, key: str) -> str:
        value = self.text(key)
        if not _NAME.fullmatch(value) or value == "boot":
            raise self.error(key, "a name such as d0", repr(value)[:60])
        return value

    def cpu_model(self, key: str) -> str:
        value = self.text(key)
        if not _CPU.fullmatch(value):
            raise self.error(key, "a model of QEMU's, such as neoverse-n1", repr(value)[:60])
        return value

    def path_of_guest(self, key: str) -> str:
        value = self.text(key).lstrip("/")
        if not value or " " in value or len(value) > 200:
            raise self.error(key, "a path without spaces", repr(value)[:60])
        return value

    def one_of(self, key: str, words: tuple[str, ...], default: str | None = None) -> str:
        value = self.value.get(key, default)
        if not isinstance(value, str) or value not in words:
            error = self.error(key, f"one of {', '.join(words)}", repr(value)[:60])
            error.nearest = nearest(value, words)
            raise error
        return value

    def list(self, key: str) -> list[object]:
        value = self.value.get(key, [])
        if not isinstance(value, list):
            raise self.error(key, "a list", type(value).__name__)
        return value

    def size(self, key: str, default: int | None = None) -> int:
        value = self.value.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | str) or (isinstance(value, int) and value < 0):
            raise self.error(key, "a size such as 256M", repr(value)[:60])
        try:
            return parse_size(str(value))
        except ValueError as problem:
            raise self.error(key, str(problem), repr(value)[:60]) from None

    def count(self, key: str, default: int | None = None) -> int:
        value = self.value.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 1 << 20:
            raise self.error(key, "a number", repr(value)[:60])
        return value
