"""Reading a recording of a real kernel: what was done, what it answered, and its files after each step."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from memhotplug.errors import EHWPOISON, errno_name, nearest
from memhotplug.formats.snapshot.bootlog import early_ranges
from memhotplug.formats.snapshot.flagruns import FlagRuns, flag_word
from memhotplug.formats.snapshot.jsondoc import JsonObject, as_array, as_count, load_json
from memhotplug.formats.snapshot.layout import MAX_PFN, MEMORY
from memhotplug.formats.snapshot.source import LIMITS, Limits, SnapshotFiles, SnapshotMeta, Source
from memhotplug.units import div_round_up, is_power_of_two

__all__ = ["KPageFlags", "RecordedOp", "RecordedStep", "Recording", "read_recording", "read_step"]

_KINDS = ("boot", "add", "online", "offline", "remove", "write", "resize", "hog")
_ONLINE_TYPES = ("online", "online_kernel", "online_movable")
_ERRNOS = frozenset((*errno.errorcode.values(), errno_name(EHWPOISON)))
_BLOCK_ID = re.compile(r"\d{1,9}")
_BLOCK_SIZE = f"{MEMORY}/block_size_bytes"

Ranges = tuple[tuple[int, int], ...]


class RecordedOp(NamedTuple):
    """What was asked of the kernel.

    Attributes:
        kind: boot, add, online, offline, remove (an eject of the whole device), write, resize (a device's requested
            size) or hog (init takes, touches and locks anonymous memory).
        device, size, address, node: of add and remove (size and address in bytes; the node is the firmware's
            proximity domain); device and size of resize; size of hog.
        blocks: memory block ids, in the order written.
        type: what online writes: ``online``, ``online_kernel`` or ``online_movable``.
        path, value: of write; the path without a leading slash.
    """

    kind: str
    device: str | None = None
    size: int | None = None
    address: int | None = None
    node: int | None = None
    blocks: tuple[int, ...] = ()
    type: str | None = None
    path: str | None = None
    value: str | None = None


class KPageFlags(NamedTuple):
    """Runs of equal /proc/kpageflags; pfns half-open and ascending.

    Attributes:
        ranges: each with its flags.
        covered: what was read.
        past_end: covered pfns that lie beyond the end of the file.
    """

    ranges: FlagRuns
    covered: Ranges
    past_end: Ranges


class RecordedStep(NamedTuple):
    """One step. ``result`` is None and ``files`` is None where only the operation was recorded.

    Attributes:
        result: ``ok``, the first error (``EBUSY: Device or resource busy``), or ``failed: ...``.
        results: the same by block, in the order written.
        files: path -> text after the step.
        blocks_left: blocks of a removed device that are still there.
        seconds: time in the guest.
        dmesg: the kernel's new lines.
    """

    index: int  # type: ignore[assignment]
    op: RecordedOp
    result: str | None
    results: Mapping[int, str]
    files: Mapping[str, str] | None
    kpageflags: KPageFlags | None
    blocks_left: tuple[int, ...] | None
    seconds: float | None
    dmesg: tuple[str, ...]

    @property
    def ok(self) -> bool | None:
        """Whether the kernel did it; None when the result was not recorded."""
        return None if self.result is None else self.result == "ok"

    @property
    def errno(self) -> str | None:
        """The errno's symbol of a failed step, None where there is none."""
        return _errno(self.result)


@dataclass(frozen=True, kw_only=True, slots=True)
class Recording:
    """A whole recording.

    Attributes:
        name, what: the recording's own title and description.
        host_seconds: what recording it took.
    """

    file: str
    name: str | None
    what: str | None
    recorded_on: str | None
    host_seconds: float | None
    meta: SnapshotMeta
    steps: tuple[RecordedStep, ...]

    def snapshot(self, step: int) -> SnapshotFiles:
        """Return the machine's files after a step.

        Raises:
            InputError: there is no such step, or it has no files.
        """
        source = Source(file=self.file)
        if not 0 <= step < len(self.steps):
            raise source.error(f"a step from 0 to {len(self.steps) - 1}", got=step)
        files = self.steps[step].files
        if not files:
            raise source.at(f"steps[{step}]").error("a step with files", got="one without")
        return SnapshotFiles(source=source, kind="recording", step=step, meta=self.meta, files=files)


def read_recording(path: str | os.PathLike[str], *, limits: Limits = LIMITS) -> Recording:
    """Read and validate a recording (JSON, plain or compressed with xz, gzip or bzip2).

    Raises:
        InputError: broken, truncated, foreign, or contradicting itself; names the file and the step.
    """
    source = Source(file=os.fspath(path))
    document = _document(source, limits)
    meta = document.member("meta")
    steps = document.array("steps")
    facts = _meta(meta, steps)
    at = source.at("steps")
    return Recording(
        file=source.file,
        name=meta.text_or_none("scenario"),
        what=meta.text_or_none("what"),
        recorded_on=meta.text_or_none("recorded_on"),
        host_seconds=meta.number_or_none("host_seconds"),
        meta=facts,
        steps=tuple(_step(JsonObject(step, at, i), i, facts) for i, step in enumerate(steps)),
    )


def read_step(source: Source, step: int, limits: Limits) -> SnapshotFiles:
    """Return the files of one step, without judging the other steps.

    Raises:
        InputError: not a recording, no such step, or one without files.
    """
    document = _document(source, limits)
    steps = document.array("steps")
    meta = _meta(document.member("meta"), steps)
    if not 0 <= step < len(steps):
        raise source.error(f"a step from 0 to {len(steps) - 1}", got=step)
    place = JsonObject(steps[step], source.at("steps"), step)
    files = place.texts("files")
    if not files:
        raise place.source.error("a step with files", got="one without")
    snapshot = SnapshotFiles(source=source, kind="recording", step=step, meta=meta, files=files)
    _same_block_size(snapshot)
    return snapshot


def _document(source: Source, limits: Limits) -> JsonObject:
    value = load_json(source, limits)
    if not isinstance(value, dict) or "meta" not in value or "steps" not in value:
        raise source.error("a recording: an object with 'meta' and 'steps'", got="another JSON document")
    document = JsonObject(value, source)
    if not document.array("steps"):
        raise source.at("steps").error("at least one step", got="none")
    return document


def _meta(meta: JsonObject, steps: Sequence[object]) -> SnapshotMeta:
    sizes = {}
    for key in ("page_size", "section_size_bytes", "memory_block_size_bytes"):
        sizes[key] = meta.count_or_none(key)
        if sizes[key] is not None and not is_power_of_two(sizes[key] or 0):
            raise meta.source.key(key).error("a power of two, in bytes", got=sizes[key])
    page, section, block = sizes.values()
    if (page or 0) > (section or block or 1 << 64) or (section or 0) > (block or 1 << 64):
        raise meta.source.error("page <= section <= memory block size", got=f"{page}, {section}, {block}")
    return SnapshotMeta(
        arch=meta.text("arch"),
        kernel_release=meta.text_or_none("kernel_release"),
        cmdline=meta.text_or_none("cmdline"),
        page_size=page,
        section_size=section,
        block_size=block,
        boot_memory=meta.count_or_none("boot_memory_bytes"),
        auto_online_blocks=meta.text_or_none("auto_online_blocks"),
        parameters=meta.texts("memory_hotplug_parameters"),
        early=early_ranges(_boot_log(steps[0])),
    )


def _boot_log(boot: object) -> Iterator[str]:
    """Yield the lines that the kernel logged before the first step; nothing where they are no list."""
    lines = boot.get("dmesg") if isinstance(boot, dict) else None
    yield from map(str, lines if isinstance(lines, list) else ())


def _step(step: JsonObject, index: int, meta: SnapshotMeta) -> RecordedStep:
    op = _op(step.member("op"), meta)
    result = step.text_or_none("result")
    if result is not None and result != "ok" and not result.startswith("failed: ") and _errno(result) is None:
        raise step.source.key("result").error("'ok', an errno such as 'EBUSY: ...', or 'failed: ...'", got=repr(result))
    results = _results(step, op, result)
    left = step.counts("blocks_left") if step.has("blocks_left") else None
    if left is not None and not set(left) <= set(op.blocks):
        raise step.source.key("blocks_left").error(
            "blocks of the removed device", got=sorted(set(left) - set(op.blocks))
        )
    files = step.texts("files") if step.has("files") else None
    recorded = RecordedStep(
        index=index,
        op=op,
        result=result,
        results=results,
        files=files,
        kpageflags=_kpageflags(step) if step.has("kpageflags") else None,
        blocks_left=left,
        seconds=step.number_or_none("guest_seconds"),
        dmesg=tuple(map(str, step.array("dmesg"))) if step.has("dmesg") else (),
    )
    if files and not _tells_block_size(files, meta):
        _same_block_size(
            SnapshotFiles(source=Source(file=step.source.file), kind="recording", step=index, meta=meta, files=files)
        )
    return recorded


def _op(op: JsonObject, meta: SnapshotMeta) -> RecordedOp:
    kind = op.text("kind")
    match kind:
        case "boot":
            return RecordedOp(kind=kind)
        case "add" | "remove":
            return _device_op(op, kind, meta)
        case "online" | "offline":
            blocks = op.counts("blocks")
            if len(set(blocks)) != len(blocks):
                raise op.source.key("blocks").error("each block once", got=list(blocks))
            return RecordedOp(kind=kind, blocks=blocks, type=_online_type(op) if kind == "online" else None)
        case "resize":
            return RecordedOp(kind=kind, device=op.text("device"), size=op.count("size"))
        case "hog":
            return RecordedOp(kind=kind, size=op.count("size"))
        case "write":
            return RecordedOp(kind=kind, path=op.text("path").lstrip("/"), value=op.text("value"))
    error = op.source.key("kind").error(f"one of {', '.join(_KINDS)}", got=repr(kind))
    error.nearest = nearest(kind, _KINDS)
    raise error


def _device_op(op: JsonObject, kind: str, meta: SnapshotMeta) -> RecordedOp:
    if kind == "remove" and not op.has("address"):
        return RecordedOp(kind=kind, device=op.text("dimm"), blocks=op.counts("blocks") if op.has("blocks") else ())
    address, size = op.count("address"), op.count("size")
    if size == 0:
        raise op.source.key("size").error("a size above zero, in bytes", got=size)
    blocks = op.counts("blocks") if op.has("blocks") else ()
    if blocks and meta.block_size:
        covered = range(address // meta.block_size, div_round_up(address + size, meta.block_size))
        wrong = sorted(block for block in set(blocks) if block not in covered)
        if wrong:
            raise op.source.key("blocks").error(f"blocks {covered.start}-{covered.stop - 1} of the device", got=wrong)
    return RecordedOp(
        kind=kind,
        device=op.text("dimm"),
        size=size,
        address=address,
        node=op.count_or_none("node"),
        blocks=blocks,
    )


def _online_type(op: JsonObject) -> str:
    value = op.text_or_none("type") or "online"
    if value not in _ONLINE_TYPES:
        raise op.source.key("type").error(f"one of {', '.join(_ONLINE_TYPES)}", got=repr(value))
    return value


def _results(step: JsonObject, op: RecordedOp, result: str | None) -> dict[int, str]:
    results: dict[int, str] = {}
    for key, value in step.texts("results").items():
        if not _BLOCK_ID.fullmatch(key) or int(key) not in op.blocks:
            raise step.source.key("results").error("results of the blocks of the operation", got=repr(key))
        if value != "ok" and _errno(value) is None:
            place = step.source.key("results").key(key)
            raise place.error("'ok' or an errno such as 'EBUSY: ...'", got=repr(value))
        results[int(key)] = value
    first = next((value for value in results.values() if value != "ok"), "ok")
    if results and result is not None and result != first:
        raise step.source.error(f"a result that agrees with its blocks' ({first!r})", got=repr(result))
    return results


def _kpageflags(step: JsonObject) -> KPageFlags:
    flags = step.member("kpageflags")
    runs = flags.value.get("ranges")
    if not isinstance(runs, FlagRuns):
        runs = _judged(flags.array("ranges"), flags)
    elif not runs.are_ascending:
        runs = _judged([[start, end, hex(word)] for start, end, word in runs], flags)
    return KPageFlags(
        ranges=runs,
        covered=_ranges(flags, "covered"),
        past_end=_ranges(flags, "past_end_of_file") if flags.has("past_end_of_file") else (),
    )


def _judged(items: Sequence[object], flags: JsonObject) -> FlagRuns:
    """Return runs that are looked at one by one, to say which of them is wrong."""
    runs: list[tuple[int, int, int]] = []
    last = 0
    place = flags.source.key("ranges")
    for index, item in enumerate(items):
        run = item if isinstance(item, list) else as_array(item, place.key(index))
        word = flag_word(run[2]) if len(run) == 3 else None
        if word is None:
            raise place.key(index).error("[start_pfn, end_pfn, '0x...']", got=str(item)[:60])
        start, end = _range(run[:2], flags, "ranges", index, last)
        runs.append((start, end, word))
        last = end
    return FlagRuns.of(runs)


def _ranges(flags: JsonObject, key: str) -> Ranges:
    found: list[tuple[int, int]] = []
    for index, item in enumerate(flags.array(key)):
        pair = item if isinstance(item, list) else as_array(item, flags.source.key(key).key(index))
        found.append(_range(pair, flags, key, index, found[-1][1] if found else 0))
    return tuple(found)


def _range(pair: list[object], flags: JsonObject, key: str, index: int, last: int) -> tuple[int, int]:
    if len(pair) == 2:
        start, end = pair
        if type(start) is int and type(end) is int and last <= start < end < MAX_PFN:
            return start, end
    source = flags.source.key(key).key(index)
    if len(pair) != 2:
        raise source.error("[start_pfn, end_pfn]", got=str(pair)[:60])
    start, end = as_count(pair[0], source), as_count(pair[1], source)
    raise source.error(f"an ascending range of pfns from {last} on", got=f"[{start}, {end}]")


def _same_block_size(snapshot: SnapshotFiles) -> None:
    text, size = snapshot.get(_BLOCK_SIZE), snapshot.meta.block_size
    if text is None or size is None or _tells_block_size(snapshot.files, snapshot.meta):
        return
    raise snapshot.at(_BLOCK_SIZE).error(f"{size:x}, the meta's memory_block_size_bytes", got=repr(text.strip()[:80]))


def _tells_block_size(files: Mapping[str, str], meta: SnapshotMeta) -> bool:
    text = files.get(_BLOCK_SIZE, "")
    return meta.block_size is not None and (
        text.strip().lower().removeprefix("0x").lstrip("0") == f"{meta.block_size:x}"
    )


def _errno(result: str | None) -> str | None:
    name = (result or "").split(":", 1)[0]
    return name if name in _ERRNOS else None
