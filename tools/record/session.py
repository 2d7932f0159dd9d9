"""Makes one recording from end to end: QEMU, guest, steps, and the file that ``mhp conform`` reads."""

from __future__ import annotations

import asyncio
import json
import lzma
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tools.record.arch import ARCHITECTURES
from tools.record.errors import RecordError
from tools.record.guest import Guest
from tools.record.initramfs import build_initramfs, read_module
from tools.record.qemu import Qemu, command_line, kernel_cmdline, shown_command, version
from tools.record.recorder import Recorder
from tools.record.scenario import Scenario
from tools.record.snapshot import MEMORY

__all__ = ["Host", "record", "write_recording"]

_NOTE = (
    "memoryN/node holds the number of the node link; removable etc. as sysfs shows them; unreadable attributes left "
    "out; proc/vmstat only nr_*; /proc/sys/vm/stat_refresh is read before every snapshot; compare free pages as "
    "zoneinfo free + pagesets count (freed pages may sit on per-cpu lists)"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Host:
    """What this machine offers for a recording.

    Attributes:
        qemu: QEMU's program.
        kernel: the guest's kernel image.
        init: the guest's init, already linked.
        modules: kernel modules that it loads first, in this order (virtio-mem's, where they are not built in).
        recorded_on: the date that the recording bears, as YYYY-MM-DD.
        quiet_seconds: how long the guest is left alone before a snapshot.
    """

    qemu: str
    kernel: Path
    init: Path
    recorded_on: str
    modules: tuple[Path, ...] = ()
    quiet_seconds: float = 0.1


async def record(scenario: Scenario, host: Host, say: Callable[[str], None] = lambda line: None) -> dict[str, object]:
    """Boot the guest, do the scenario, and return the recording.

    The guest is killed at the end, and after ``scenario.timeout`` seconds in any case. Where it dies or hangs on the
    way, the recording has the steps until then, and its key ``ended`` says what came to an end, and why.

    Raises:
        RecordError: QEMU or the guest did not do its part before there was anything to record.
    """
    for file in (host.kernel, host.init):
        if not file.is_file():
            raise RecordError(f"there is no file {file}")
    return await _record(scenario, host, say)


def write_recording(document: dict[str, object], path: Path) -> None:
    """Write a recording as JSON, compressed with xz; all of it, or nothing.

    Raises:
        OSError: it cannot be written.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        with lzma.open(partial, "wt", encoding="utf-8", preset=9) as file:
            json.dump(document, file)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


async def _record(scenario: Scenario, host: Host, say: Callable[[str], None]) -> dict[str, object]:
    begin = time.monotonic()
    program = await version(host.qemu)
    with tempfile.TemporaryDirectory(prefix="mhp-initrd-") as directory:
        initrd = Path(directory) / f"initrd-{scenario.arch}.gz"
        modules = [read_module(path) for path in host.modules]
        initrd.write_bytes(build_initramfs(host.init.read_bytes(), modules))
        command = command_line(scenario, binary=host.qemu, kernel=str(host.kernel), initrd=str(initrd))
        async with Qemu.run(command) as qemu:
            guest = Guest(qemu.reader, qemu.writer)
            recorder = Recorder(scenario, guest, qemu.monitor, say=say, quiet_seconds=host.quiet_seconds)
            await _run(recorder, scenario.timeout - (time.monotonic() - begin))
            peak = qemu.peak_memory()
    meta = _meta(scenario, recorder) | {
        "qemu": f"{program} | {shown_command(command)}",
        "recorded_on": host.recorded_on,
        "note_files": _NOTE,
        "host_seconds": round(time.monotonic() - begin, 1),
        "qemu_peak_rss_bytes": peak,
    }
    document: dict[str, object] = {"meta": meta, "steps": recorder.steps}
    document |= {"refused": recorder.refused} if recorder.refused else {}
    return document | ({"ended": recorder.ended} if recorder.ended else {})


async def _run(recorder: Recorder, limit: float) -> None:
    """Let a recorder do its steps within a time; what it has by then is kept.

    Raises:
        RecordError: it has nothing by then, or the guest did not come up.
    """
    try:
        async with asyncio.timeout(limit):
            await recorder.run()
    except TimeoutError:
        why = f"the recording did not end within {recorder.scenario.timeout:g} seconds"
        if not recorder.steps:
            raise RecordError(why) from None
        recorder.ended = {"op": f"step {len(recorder.steps)}", "why": why}


def _meta(scenario: Scenario, recorder: Recorder) -> dict[str, object]:
    """Return what a recording says about its guest, as it was after boot."""
    facts, parameters = recorder.facts, recorder.parameters
    files = recorder.steps[0]["files"]
    assert isinstance(files, dict)
    page_size = int(facts["page_size"])
    section_size = ARCHITECTURES[scenario.arch].section_bytes(page_size, facts["release"])
    if section_size is None:
        raise RecordError(f"the section size of {scenario.arch} with pages of {page_size} bytes is not known")
    return {
        "scenario": scenario.name,
        "what": scenario.what,
        "arch": scenario.arch,
        "kernel_release": facts["release"],
        "kernel_version": facts["version"],
        "machine": facts["machine"],
        "page_size": page_size,
        "section_size_bytes": section_size,
        "memory_block_size_bytes": int(files[f"{MEMORY}/block_size_bytes"], 16),
        "cmdline": kernel_cmdline(scenario),
        "boot_memory_bytes": scenario.memory,
        "cpus": scenario.cpus,
        "memmap_on_memory": parameters.get("memmap_on_memory"),
        "online_policy": parameters.get("online_policy"),
        "memory_hotplug_parameters": parameters,
        "auto_online_blocks": files.get(f"{MEMORY}/auto_online_blocks", "").strip(),
    }
