"""The records of a scenario: the machine, the drivers' policies, and one model for each operation.

The field names are the scenario's keys, and the keywords of the Python API. Values arrive here as
nodes of the YAML tree or as plain Python values and leave as bytes, numbers, words and records.
What depends on the machine (does the profile know the flag, is the size aligned) is not judged here.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Final, Literal

from memhotplug.formats.scenario.fields import (
    ADDRESS,
    BOOL,
    ERRNO,
    FLAGS,
    NAME,
    NODE,
    PATH,
    PLUGIN,
    POWER_SIZE,
    RANGE,
    SIZE,
    SIZE_OR_NOTHING,
    TEXT,
    Leaf,
    choice,
    integer,
)
from memhotplug.formats.scenario.ranges import RangeSpec
from memhotplug.formats.scenario.record import NO_OPTIONS, Conflict, Inner, Record
from memhotplug.formats.scenario.refusal import RefusedError, suggest
from memhotplug.formats.scenario.values import EXPECTED_SIZE, read_text
from memhotplug.formats.scenario.yamltree import ScalarNode
from memhotplug.reserves import RESERVES

__all__ = [
    "VETOABLE_EVENTS",
    "Action",
    "AddStep",
    "AllocateStep",
    "BootMemory",
    "BootProfile",
    "DriverPolicy",
    "EjectStep",
    "MachineSpec",
    "OfflineStep",
    "OnlineStep",
    "ReleaseStep",
    "RemoveStep",
    "ResizeStep",
    "SnapshotRef",
    "Veto",
    "WriteStep",
]

VETOABLE_EVENTS: Final = ("MEM_PREPARE_ONLINE", "MEM_GOING_ONLINE", "MEM_GOING_OFFLINE")


def _read_event(value: object) -> str:
    expected = f"an event that can be vetoed, one of: {', '.join(VETOABLE_EVENTS)}"
    event = read_text(value, empty=False, expected=expected)
    if event in VETOABLE_EVENTS:
        return event
    raise RefusedError(expected, nearest=suggest(event.replace("CANCEL", "GOING"), VETOABLE_EVENTS))


_EVENT: Final = Leaf(
    _read_event, f"an event that can be vetoed, one of: {', '.join(VETOABLE_EVENTS)}", {"enum": list(VETOABLE_EVENTS)}
)


class Veto(Record, summary="A notifier that refuses one event."):
    event: Annotated[str, _EVENT.says("The notifier event that is refused.")]
    errno: Annotated[str, ERRNO.says("What the notifier answers.")]


class Action(Record, summary="What every operation may carry."):
    fails: Annotated[str | None, ERRNO.says("The errno with which this step must fail.")] = None
    veto: Annotated[Veto | None, Inner(Veto, "A notifier refuses an event during this step.")] = None
    fail_allocation: Annotated[
        int | None,
        integer(0, None, "a number of allocations").says(
            "How many allocations of the kernel succeed in this step; memory runs out for the next."
        ),
    ] = None


class AddStep(Action, summary="A driver hot-adds memory."):
    driver: Annotated[str, PLUGIN.says("The driver that adds the memory.")]
    name: Annotated[str | None, NAME.says("How later steps call this memory.")] = None
    size: Annotated[int, SIZE.says("How much to add.")]
    address: Annotated[
        int | None, ADDRESS.says("Where it begins; without it, the first legal address above all memory.")
    ] = None
    node: Annotated[int | None, NODE.says("The node it belongs to.")] = None
    mhp_flags: Annotated[tuple[str, ...] | None, FLAGS.says("MHP flags for this add, instead of the driver's.")] = None
    options: Mapping[str, object] = NO_OPTIONS


class OnlineStep(Action, summary="Memory blocks go online."):
    range: Annotated[RangeSpec, RANGE.says("Which blocks, one request each, ascending.")]
    zone: Annotated[
        Literal["kernel", "movable", "auto"], choice("kernel", "movable", "auto").says("The zone; default auto.")
    ] = "auto"


class OfflineStep(Action, summary="Memory blocks go offline."):
    range: Annotated[RangeSpec, RANGE.says("Which blocks, one request each, ascending.")]


class RemoveStep(Action, summary="remove_memory(): EBUSY if any block is online."):
    range: Annotated[RangeSpec, RANGE.says("What to remove.")]


class EjectStep(Action, summary="The driver takes its device out, or some blocks of it."):
    range: Annotated[
        RangeSpec, RANGE.says("The device, by the name of the step that added it; or memory blocks of it.")
    ]


class ResizeStep(Action, summary="A device is asked for another size."):
    range: Annotated[RangeSpec, RANGE.says("The device, by the name of the step that added it.")]
    size: Annotated[int, SIZE_OR_NOTHING.says("How large it should be; 0 takes all of it back.")]


class WriteStep(Action, summary="A write to a simulated sysfs attribute."):
    path: Annotated[str, PATH.says("The attribute, below /sys/devices/system unless it begins with /sys/.")]
    value: Annotated[str, TEXT.says("What is written, as it stands here.")]
    capable: Annotated[bool, BOOL.says("Whether the writer has CAP_SYS_ADMIN; default true.")] = True


class AllocateStep(Action, summary="A workload takes pages."):
    name: Annotated[str, NAME.says("How release calls this workload.")]
    size: Annotated[int, SIZE.says("How much memory it takes.")]
    zone: Annotated[
        Literal["kernel", "movable"],
        choice("kernel", "movable").says("Unmovable kernel memory, or movable user memory; default movable."),
    ] = "movable"
    node: Annotated[int, NODE.says("The node to take it from first; default 0.")] = 0
    order: Annotated[int, integer(0, 20, "an order").says("Every chunk has 2^order pages; default 0.")] = 0
    pinned: Annotated[bool, BOOL.says("Whether the pages are pinned and cannot migrate; default false.")] = False
    scatter: Annotated[
        bool, BOOL.says("Take every second chunk, so that no bigger free chunk remains; default false.")
    ] = False


class ReleaseStep(Action, summary="A workload gives its pages back."):
    name: Annotated[str, NAME.says("The workload, by the name of the step that allocated.")]


class BootMemory(Record, summary="The boot memory of one node."):
    node: Annotated[int, NODE.says("The node.")]
    size: Annotated[int, SIZE.says("How much memory it has at boot.")]


_SNAPSHOT: Final = "the path of a snapshot"


def _read_snapshot_path(value: object) -> str:
    return read_text(os.fspath(value) if isinstance(value, os.PathLike) else value, empty=False, expected=_SNAPSHOT)


class BootProfile(Record, summary="What a guest kernel takes for itself while it boots, the boot memmap apart."):
    name: Annotated[str, NAME.says("What it is called.")] = "own"
    image: Annotated[int, SIZE.says("What never reaches the page allocator: text, data, initramfs.")]
    early: Annotated[int, SIZE_OR_NOTHING.says("What is allocated when boot is over, on the first node.")] = 0
    early_share: Annotated[
        int, integer(1, None, "one part in so many").says("The same, as one part in so many of each node's memory.")
    ]


class SnapshotRef(Record, summary="A recorded machine, or one step of a recording."):
    path: Annotated[
        str,
        Leaf(_read_snapshot_path, _SNAPSHOT, {"type": "string", "minLength": 1}).says(
            "The snapshot, relative to the scenario."
        ),
    ]
    step: Annotated[int | None, integer(0, None, "a step of the recording").says("The step of a recording.")] = None


def _memory_list(value: object) -> object:
    expected = f"{EXPECTED_SIZE}, or a list such as [{{node: 0, size: 2G}}]"
    if isinstance(value, (list, tuple)):
        if value:
            return value
        raise RefusedError(expected)
    try:
        return ({"node": 0, "size": SIZE.read(value)},)
    except RefusedError as refusal:
        raise RefusedError(refusal.expected.replace(EXPECTED_SIZE, expected)) from None


_EXPECTED_PROFILE: Final = f"{', '.join(RESERVES)}, or a mapping such as {{image: 60M, early: 8M, early_share: 100}}"


def _boot_profile(value: object) -> object:
    if not isinstance(value, (ScalarNode, str)):
        return value
    try:
        return RESERVES[read_text(value)]._asdict()
    except KeyError:
        raise RefusedError(_EXPECTED_PROFILE, nearest=suggest(read_text(value), list(RESERVES))) from None


def _snapshot_mapping(value: object) -> object:
    if isinstance(value, (ScalarNode, str, os.PathLike)):
        return {"path": value}
    return value


_ONE_SOURCE: Final = "memory or snapshot, and not both"
_AT_BOOT: Final = {"boot_profile": "boot profile", "hole": "hole", "advised_block_size": "advised block size"}


class MachineSpec(Record, summary="The machine before the first step."):
    arch: Annotated[str, PLUGIN.says("The architecture; a snapshot tells its own.")] = ""
    kernel: Annotated[str, PLUGIN.says("The kernel whose rules apply: a profile; a snapshot tells its own.")] = ""
    memory: Annotated[
        tuple[BootMemory, ...],
        Inner(
            BootMemory, "Boot memory: a size, or a list with the size of each node.", prepare=_memory_list, many=True
        ),
    ] = ()
    snapshot: Annotated[
        SnapshotRef | None,
        Inner(SnapshotRef, "A recorded machine, instead of memory.", prepare=_snapshot_mapping),
    ] = None
    boot_profile: Annotated[
        BootProfile | None,
        Inner(
            BootProfile,
            "With memory: boot as a guest does, with this much taken, crashkernel= and the PC's hole.",
            prepare=_boot_profile,
        ),
    ] = None
    slots: Annotated[
        int | None, integer(0, None, "a number of devices").says("How many devices can be plugged in; then ENOSPC.")
    ] = None
    page_size: Annotated[int | None, POWER_SIZE.says("Base page size, where the architecture has a choice.")] = None
    memory_block_size: Annotated[
        int | None, POWER_SIZE.says("Memory block size; without it, the architecture's own rule.")
    ] = None
    physical_address_bits: Annotated[
        int | None, integer(32, 64, "a number of bits").says("Physical address width; memory beyond it is E2BIG.")
    ] = None
    hole: Annotated[
        int | None,
        SIZE.says("With memory: bytes below 4 GiB that are no memory; QEMU's pc has 1G there, its q35 2G."),
    ] = None
    advised_block_size: Annotated[
        int | None, POWER_SIZE.says("The memory block size that firmware's tables advise, as for CXL windows.")
    ] = None
    cmdline: Annotated[str, TEXT.says("The kernel command line.")] = ""
    sparsemem_vmemmap: Annotated[bool, BOOL.says("CONFIG_SPARSEMEM_VMEMMAP; default true.")] = True
    options: Mapping[str, object] = NO_OPTIONS

    @classmethod
    def conflicts(cls, keys: Sequence[str]) -> Iterator[Conflict]:
        """Boot memory and a snapshot exclude each other, and one of them is needed."""
        if "snapshot" not in keys:
            yield from (Conflict(key, "a name", missing=True) for key in ("arch", "kernel") if key not in keys)
        sources = [key for key in keys if key in ("memory", "snapshot")]
        if not sources:
            yield Conflict("", _ONE_SOURCE, missing=True)
        if len(sources) > 1:
            yield Conflict(sources[-1], _ONE_SOURCE)
        if "snapshot" in keys:
            yield from (
                Conflict(key, f"no {word} beside a snapshot, which has booted")
                for key, word in _AT_BOOT.items()
                if key in keys
            )


_ONE_DECISION: Final = "mhp_flags or policy, and not both"


class DriverPolicy(Record, summary="What a scenario decides about a driver, whatever the driver's own policy is."):
    mhp_flags: Annotated[tuple[str, ...] | None, FLAGS.says("The MHP flags that the driver passes.")] = None
    policy: Annotated[
        str | None, PLUGIN.says("The policy plugin that decides them, range by range; default: the driver's own.")
    ] = None

    @classmethod
    def conflicts(cls, keys: Sequence[str]) -> Iterator[Conflict]:
        """Flags and a policy exclude each other, and one of them is needed."""
        given = [key for key in keys if key in ("mhp_flags", "policy")]
        if not given:
            yield Conflict("", _ONE_DECISION, missing=True)
        if len(given) > 1:
            yield Conflict(given[-1], _ONE_DECISION)
