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
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import yaml
from tools.record.arch import ARCHITECTURES
from tools.record.keys import Keys

from memhotplug.errors import InputError

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
    top = Keys(document, "", file, _KEYS)
    arch = top.one_of("arch", tuple(ARCHITECTURES))
    numa = tuple(_node(Keys(item, f"numa[{i}]", file, ("memory", "cpus"))) for i, item in enumerate(top.list("numa")))
    devices = tuple(
        _virtio_mem(Keys(item, f"virtio_mem[{i}]", file, ("device", "size", "block_size", "node")))
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


def _node(node: Keys) -> NumaNode:
    return NumaNode(memory=node.size("memory", 0), cpus=node.count("cpus", 0))


def _virtio_mem(device: Keys) -> VirtioMem:
    return VirtioMem(
        device=device.name("device"),
        size=device.size("size"),
        block_size=device.size("block_size", 2 << 20),
        node=device.count("node") if "node" in device.value else None,
    )


def _step(item: object, path: str, file: str | None) -> Step:
    step = Keys(item, path, file, ("add", "online", "offline", "remove", "resize", "hog", "write"))
    if len(step.value) != 1:
        expected = "one operation: add, online, offline, remove, resize, hog or write"
        raise step.error("", expected, len(step.value))
    kind, value = next(iter(step.value.items()))
    match kind:
        case "add":
            add = Keys(value, f"{path}.add", file, ("dimm", "size", "node", "address"))
            return Add(
                dimm=add.name("dimm"),
                size=add.size("size"),
                node=add.count("node") if "node" in add.value else None,
                address=add.size("address") if "address" in add.value else None,
            )
        case "online" | "offline":
            return _change(str(kind), Keys(value, f"{path}.{kind}", file, ("blocks", "type", "each")))
        case "remove":
            return Remove(dimm=step.name("remove"))
        case "resize":
            resize = Keys(value, f"{path}.resize", file, ("device", "size"))
            return Resize(device=resize.name("device"), size=resize.size("size"))
        case "hog":
            return Hog(size=step.size("hog"))
        case _:
            write = Keys(value, f"{path}.write", file, ("path", "value"))
            return Write(path=write.path_of_guest("path"), value=write.text("value"))


def _change(kind: str, change: Keys) -> Change:
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


def _ref(change: Keys, item: object) -> BlockRef:
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
