"""Carries a scenario out in a running guest, and writes down what every step did."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Protocol

from tools.record.arch import ARCHITECTURES
from tools.record.errors import MonitorRefusedError, RecordError
from tools.record.guest import Guest, Waited, errno_text
from tools.record.scenario import Add, BlockRef, Change, Hog, Remove, Resize, Scenario, Step, Write
from tools.record.snapshot import (
    MEMORY,
    PARAMETERS,
    covered_ranges,
    left_out_ranges,
    read_block_ids,
    read_page_flags,
    take_files,
)

__all__ = ["DimmPlace", "DimmSlots", "Recorder"]

_ADD_SECONDS = 60.0
_UNACKNOWLEDGED_ADD_SECONDS = 20.0
_REMOVE_SECONDS = 60.0
_BLOCKED_SECONDS = 30.0  # then a write to a block's state is interrupted: its pages cannot move
_RESIZE_QUIET_SECONDS = 2.0  # after the last news of a device's size
_RESIZE_SECONDS = 60.0
_AFTER_EVENT_SECONDS = 0.5
_BOOT_QUIET_SECONDS = 1.0
_QUIET_SECONDS = 0.1
_SAME_READS = 3
_EJECT_SOURCE, _ADD_SOURCE = 3, 1  # ACPI 6.5, table 6.19: _OST source events of eject request and device check
_SIZE_CHANGE = "MEMORY_DEVICE_SIZE_CHANGE"
_OST_SUCCESS, _OST_IN_PROGRESS = 0, 0x84
_PARAMETER_NAMES = ("online_policy", "memmap_on_memory", "auto_movable_numa_aware", "auto_movable_ratio")

JsonStep = dict[str, object]
Event = dict[str, object]


class DimmPlace(Protocol):
    """Where a DIMM was plugged, in bytes."""

    @property
    def address(self) -> int: ...
    @property
    def size(self) -> int: ...


class DimmSlots(Protocol):
    """The machine's side of memory hotplug: QEMU's monitor."""

    async def add_dimm(
        self, name: str, size: int, *, node: int | None = None, address: int | None = None
    ) -> DimmPlace: ...
    async def remove_dimm(self, name: str) -> None: ...
    async def forget_dimm(self, name: str) -> None: ...
    async def place_of(self, device: str) -> DimmPlace: ...
    async def resize(self, device: str, size: int) -> None: ...
    async def actual_size(self, device: str) -> int: ...
    async def wait_event(self, limit: float) -> Event | None: ...
    def take_events(self) -> list[Event]: ...


@dataclass(slots=True)
class _Watch:
    """What is known of the guest's memory: boot blocks, DIMMs, and the address ranges whose page flags are kept."""

    page_size: int = 4096
    block_size: int = 1 << 27
    boot_blocks: list[int] = field(default_factory=list)
    places: dict[str, DimmPlace] = field(default_factory=dict)
    blocks: dict[str, list[int]] = field(default_factory=dict)
    ranges: list[tuple[int, int]] = field(default_factory=list)


class Recorder:
    """Does the steps of one scenario, one after the other.

    Args:
        scenario: what to do.
        guest, slots: the guest's console, and where DIMMs are plugged in.
        say: called with one line after each step.
        quiet_seconds: how long the guest is left alone before a snapshot (after boot ten times as long).

    Attributes:
        steps: the recording's steps so far.
        facts, parameters: what the guest is, and the parameters of memory_hotplug, after boot.
        refused: what QEMU did not even ask the guest for: after which step, the operation, and why. Nothing
            happened to the guest, so these are no steps.
        ended: why the recording ends before the scenario does: the operation and the reason; None if it does not.
    """

    def __init__(
        self,
        scenario: Scenario,
        guest: Guest,
        slots: DimmSlots,
        *,
        say: Callable[[str], None] = lambda line: None,
        quiet_seconds: float = _QUIET_SECONDS,
    ) -> None:
        self.scenario = scenario
        self.guest = guest
        self.slots = slots
        self.steps: list[JsonStep] = []
        self.facts: dict[str, str] = {}
        self.parameters: dict[str, str] = {}
        self.refused: list[JsonStep] = []
        self.ended: JsonStep | None = None
        self._say = say
        self._quiet = quiet_seconds
        self._watch = _Watch()

    async def run(self) -> list[JsonStep]:
        """Boot, do every step, and return the recording's ``steps``; what was recorded before an end is kept.

        Raises:
            RecordError: the guest or QEMU did not do its part before there was a step (a refusal is no error).
        """
        await self._boot()
        for step in self.scenario.steps:
            try:
                await self._do(step)
            except MonitorRefusedError as refusal:
                self._refuse(step, str(refusal))
            except RecordError as problem:
                self.ended = {"op": repr(step), "why": str(problem)}
                break
        return self.steps

    async def _do(self, step: Step) -> None:
        gone = self._unknown_dimm(step)
        if gone is not None:
            self._refuse(step, f"there is no DIMM {gone}: it was refused")
            return
        match step:
            case Add():
                await self._add(step)
            case Change():
                await self._change(step)
            case Remove():
                await self._remove(step)
            case Resize():
                await self._resize(step)
            case Hog():
                await self._hog(step)
            case Write():
                await self._write(step)

    def _unknown_dimm(self, step: Step) -> str | None:
        """Return the DIMM that a step names and that never came to be."""
        if isinstance(step, Remove):
            names = [step.dimm]
        else:
            names = (
                [ref.base for ref in step.blocks if ref.base not in (None, "boot")] if isinstance(step, Change) else []
            )
        return next((name for name in names if name not in self._watch.places), None)

    def _refuse(self, step: Step, why: str) -> None:
        self.refused.append({"after_step": len(self.steps) - 1, "op": repr(step), "why": why})
        self._say(f"no step: {step}: {why}")

    async def _boot(self) -> None:
        seconds = await self.guest.boot()
        await self.guest.write("/proc/sys/vm/drop_caches", "3")
        self.facts = await self.guest.facts()
        found = await self.guest.read_files(f"/{PARAMETERS}", _PARAMETER_NAMES)
        self.parameters = {name: text.strip() for name, text in found.items()}
        block_size = await self.guest.read_files(f"/{MEMORY}", ["block_size_bytes"])
        if "block_size_bytes" not in block_size:
            raise RecordError("the guest's kernel knows no memory blocks (CONFIG_MEMORY_HOTPLUG)")
        watch = self._watch
        watch.page_size = int(self.facts["page_size"])
        watch.block_size = int(block_size["block_size_bytes"], 16)
        watch.boot_blocks = await read_block_ids(self.guest)
        if self.scenario.watch_boot_blocks:
            top = watch.boot_blocks[-self.scenario.watch_boot_blocks :]
            watch.ranges.append((top[0] * watch.block_size, (top[-1] + 1) * watch.block_size))
        for device in self.scenario.virtio_mem:
            place = await self.slots.place_of(device.device)
            watch.ranges.append((place.address, place.address + place.size))
        await asyncio.sleep(self._quiet * _BOOT_QUIET_SECONDS / _QUIET_SECONDS)
        await self._finish({"kind": "boot"}, "ok", {"guest_seconds": round(seconds, 3)})

    async def _add(self, step: Add) -> None:
        begin = await self.guest.clock()
        place = await self.slots.add_dimm(step.dimm, step.size, node=step.node, address=step.address)
        size = self._watch.block_size
        whole = place.address % size == 0 and place.size % size == 0
        blocks = list(range(place.address // size, (place.address + place.size) // size)) if whole else []
        self._watch.places[step.dimm] = place
        self._watch.blocks[step.dimm] = blocks
        self._watch.ranges.append((place.address, place.address + place.size))
        if blocks:
            waited = await self._until(blocks, self._add_ends(step.dimm), present=True, limit=_ADD_SECONDS)
            await self._settle(blocks)
        else:
            await self._add_ends(step.dimm)
            waited = Waited(complete=False, present=0, clock=begin)
        result = "ok" if waited.complete else f"failed: {waited.present} of {len(blocks)} blocks appeared"
        seconds = round(waited.clock - begin, 6) if waited.complete else None
        details: JsonStep = {"guest_seconds": seconds} if seconds is not None else {}
        await self._finish(
            {
                "kind": "add",
                "dimm": step.dimm,
                "size": place.size,
                "address": place.address,
                "node": step.node or 0,
                "blocks": blocks,
            },
            result if whole else "failed: not whole memory blocks, none appeared",
            details | {"guest_seconds_blocks_present": seconds},
        )

    async def _add_ends(self, dimm: str) -> None:
        """Wait for the event after which nothing more comes of an add; where there is none, long enough."""
        if ARCHITECTURES[self.scenario.arch].add_is_acknowledged:
            await self._event(lambda event: (_ost(event, dimm) or (None,))[0] == _ADD_SOURCE, _ADD_SECONDS)
        else:
            await asyncio.sleep(_UNACKNOWLEDGED_ADD_SECONDS)

    async def _change(self, step: Change) -> None:
        blocks = [block for ref in step.blocks for block in self._resolve(ref)]
        if len(set(blocks)) != len(blocks):
            raise RecordError(f"step {len(self.steps)} names a block twice: {blocks}")
        for part in [[block] for block in blocks] if step.each else [blocks]:
            await self._change_blocks(step.type, part)

    async def _change_blocks(self, word: str, blocks: list[int]) -> None:
        results: dict[str, str] = {}
        seconds: dict[str, float] = {}
        for block in blocks:
            answer = await self.guest.write(f"/{MEMORY}/memory{block}/state", word, limit=_BLOCKED_SECONDS)
            results[str(block)] = errno_text(answer.errno)
            seconds[str(block)] = round(answer.seconds, 6)
        op: JsonStep = {"kind": "offline" if word == "offline" else "online", "blocks": blocks}
        await self._finish(
            op if word == "offline" else op | {"type": word},
            next((result for result in results.values() if result != "ok"), "ok"),
            {"guest_seconds": round(sum(seconds.values()), 6), "results": results, "results_seconds": seconds},
        )

    async def _remove(self, step: Remove) -> None:
        place, blocks = self._watch.places[step.dimm], self._watch.blocks[step.dimm]
        begin = await self.guest.clock()
        await self.slots.remove_dimm(step.dimm)
        verdict: list[str] = []
        ends = self._remove_ends(step.dimm, verdict)
        details: JsonStep = {}
        if blocks:
            waited = await self._until(blocks, ends, present=False, limit=_REMOVE_SECONDS)
            details["guest_seconds"] = round(waited.clock - begin, 6)
        else:
            await ends
        if verdict[0] == "ok":
            await self.slots.forget_dimm(step.dimm)
        there = await read_block_ids(self.guest)
        details["blocks_left"] = [block for block in blocks if block in there]
        op = {"dimm": step.dimm, "address": place.address, "size": place.size, "blocks": blocks}
        await self._finish({"kind": "remove"} | op, verdict[0], details)

    async def _remove_ends(self, dimm: str, verdict: list[str]) -> None:
        """Wait for the event that says whether a DIMM goes, and for those that follow it; note the result."""
        event = await self._event(lambda event: _ends_remove(event, dimm), _REMOVE_SECONDS)
        if event is None:
            verdict.append(f"failed: no event within {_REMOVE_SECONDS:g} seconds")
            return
        verdict.append("ok" if event["event"] == "DEVICE_DELETED" else f"failed: {event['event']}")
        await self._event(lambda event: False, _AFTER_EVENT_SECONDS)

    async def _resize(self, step: Resize) -> None:
        begin = await self.guest.clock()
        await self.slots.resize(step.device, step.size)
        loop = asyncio.get_running_loop()
        end, before = loop.time() + _RESIZE_SECONDS, ""
        while await self.slots.actual_size(step.device) != step.size and loop.time() < end:
            quiet = min(_RESIZE_QUIET_SECONDS, max(end - loop.time(), 0.0))
            if await self._event(lambda event: event.get("event") == _SIZE_CHANGE, quiet) is not None:
                continue
            now = await self._mem_total()  # it changes long before QEMU hears of a block
            if now == before:
                break
            before = now
        await self._event(lambda event: False, _AFTER_EVENT_SECONDS)  # and what else is told of it
        actual = await self.slots.actual_size(step.device)
        seconds = round(await self.guest.clock() - begin, 6)
        op: JsonStep = {"kind": "resize", "device": step.device, "size": step.size}
        result = "ok" if actual == step.size else f"failed: {actual} of {step.size}"
        await self._finish(op, result, {"actual": actual, "guest_seconds": seconds})

    async def _mem_total(self) -> str:
        """Return what the guest says of its memory in all."""
        text = (await self.guest.read_files("/proc", ["meminfo"])).get("meminfo", "")
        return next((line for line in text.splitlines() if line.startswith("MemTotal")), "")

    async def _hog(self, step: Hog) -> None:
        answer = await self.guest.hog(step.size)
        details: JsonStep = {"guest_seconds": round(answer.seconds, 6)}
        await self._finish({"kind": "hog", "size": step.size}, errno_text(answer.errno), details)

    async def _write(self, step: Write) -> None:
        answer = await self.guest.write(f"/{step.path}", step.value)
        op: JsonStep = {"kind": "write", "path": step.path, "value": step.value}
        await self._finish(op, errno_text(answer.errno), {"guest_seconds": round(answer.seconds, 6)})

    async def _until(
        self, blocks: list[int], ends: Coroutine[Any, Any, None], *, present: bool, limit: float
    ) -> Waited:
        """Wait for the blocks until they are there (gone) and ``ends`` has ended, at most a moment longer than that.

        An add that nobody acknowledges has ended as soon as the blocks are there.
        """
        wait = self.guest.wait_for_blocks(first=blocks[0], last=blocks[-1], present=present, limit=limit)
        waiting, ending = asyncio.create_task(wait), asyncio.create_task(ends)
        blocks_decide = present and not ARCHITECTURES[self.scenario.arch].add_is_acknowledged
        until = asyncio.FIRST_COMPLETED if blocks_decide else asyncio.ALL_COMPLETED
        try:
            await asyncio.wait({waiting, ending} if blocks_decide else {ending}, timeout=limit, return_when=until)
            if ending.done():
                await ending
            await asyncio.wait({waiting}, timeout=_AFTER_EVENT_SECONDS)
            if not waiting.done():
                self.guest.end_wait()
            return await waiting
        finally:
            waiting.cancel()
            ending.cancel()

    async def _event(self, wanted: Callable[[Event], bool], limit: float) -> Event | None:
        loop = asyncio.get_running_loop()
        end = loop.time() + limit
        while (left := end - loop.time()) > 0:
            event = await self.slots.wait_event(left)
            if event is not None and wanted(event):
                return event
        return None

    async def _settle(self, blocks: list[int]) -> None:
        """Wait until the states of blocks stay the same: a driver may still be bringing them online."""
        same, before = 0, None
        while same < _SAME_READS:
            now = await self.guest.read_files(f"/{MEMORY}", [f"memory{blocks[0]}/state", f"memory{blocks[-1]}/state"])
            same, before = (same + 1 if now == before else 0), now
            await asyncio.sleep(self._quiet)

    def _resolve(self, ref: BlockRef) -> list[int]:
        if ref.base is None:
            return [ref.index or 0]
        blocks = self._watch.boot_blocks if ref.base == "boot" else self._watch.blocks[ref.base]
        if ref.index is None:
            return blocks
        if not -len(blocks) <= ref.index < len(blocks):
            raise RecordError(f"step {len(self.steps)}: {ref.base} has {len(blocks)} blocks, there is no [{ref.index}]")
        return [blocks[ref.index]]

    async def _finish(self, op: JsonStep, result: str, details: JsonStep) -> None:
        """Leave the guest alone for a moment, take the snapshot and note the step."""
        await asyncio.sleep(self._quiet)
        log = await self.guest.kernel_log()
        step: JsonStep = {"op": op, "result": result, **details}
        step |= {"dmesg": [line.text for line in log], "dmesg_seconds": [line.seconds for line in log]}
        if events := self.slots.take_events():
            step["qmp_events"] = events
        step["files"] = files = await take_files(self.guest)
        if op["kind"] == "add":
            nodes = {files.get(f"{MEMORY}/memory{block}/node", "").strip() for block in op["blocks"]}  # type: ignore[attr-defined]
            step["linux_nodes"] = sorted(int(node) for node in nodes if node)
        covered = covered_ranges(self._watch.ranges, self._watch.page_size, self._watch.block_size)
        if covered:
            left_out = left_out_ranges(self._watch.ranges, covered, self._watch.page_size)
            step["kpageflags"] = await read_page_flags(self.guest, covered, left_out)
            if left_out:
                pages = sum(end - start for start, end in left_out)
                self._say(
                    f"step {len(self.steps)}: flags of {pages} pages are left out: of more than 4 GiB the ends are read"
                )
        self._say(f"step {len(self.steps)}: {_shown(op)}: {result}")
        self.steps.append(step)


def _ost(event: Event, dimm: str) -> tuple[int, int] | None:
    """Return source and status of an ACPI_DEVICE_OST event of a DIMM."""
    data = event.get("data")
    info = data.get("info") if isinstance(data, dict) and event.get("event") == "ACPI_DEVICE_OST" else None
    if not isinstance(info, dict) or info.get("device") != dimm:
        return None
    return info["source"], info["status"]


def _ends_remove(event: Event, dimm: str) -> bool:
    ost = _ost(event, dimm)
    if ost is not None:
        return ost[0] == _EJECT_SOURCE and ost[1] not in (_OST_SUCCESS, _OST_IN_PROGRESS)
    data = event.get("data")
    return isinstance(data, dict) and data.get("device") == dimm and event.get("event") != "ACPI_DEVICE_OST"


def _shown(op: JsonStep) -> str:
    keys = [key for key in ("type", "dimm", "size", "blocks", "path", "value") if op.get(key) not in (None, [])]
    return " ".join([str(op["kind"]), *(f"{key}={op[key]}" for key in keys)])
