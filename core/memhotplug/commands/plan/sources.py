"""Where the machine of a plan comes from: a fresh guest, a snapshot, this machine, an error report."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from memhotplug.commands.plan.bootline import not_counted
from memhotplug.commands.plan.question import FailedRequest, Subject
from memhotplug.commands.plan.saved import logged_keys, recorded_keys
from memhotplug.commands.plan.sizes import typed_size
from memhotplug.engine.boot.guest import boot_guest, contiguous_area, crash_kernel
from memhotplug.engine.boot.recognise import Recognised, recognise_arch, recognise_kernel
from memhotplug.engine.boot.sizes import BootConfig
from memhotplug.errors import InputError, nearest, words_of
from memhotplug.machine import Machine
from memhotplug.manager import arch_traits
from memhotplug.naming import (
    assumed_kernel,
    is_mainline,
    resolve,
)
from memhotplug.reserves import RESERVES, Reserve
from memhotplug.units import format_size, parse_size

if TYPE_CHECKING:
    from pathlib import Path

    from memhotplug.formats.snapshot import RecordedMachine, SnapshotFiles
    from memhotplug.formats.snapshot.source import Note

__all__ = [
    "from_boot",
    "from_oom_log",
    "from_recorded",
    "from_snapshot",
    "read_steps",
]

_QUIET: Final = "nothing else allocates or frees memory meanwhile, and nothing is reclaimed or compacted"
PARTIAL: Final = "only a part of the machine"
_OPTIONS: Final = {
    "machine.cmdline": "--cmdline",
    "machine.memory": "--boot",
    "machine.hole": "--hole",
    "machine.memory_block_size": "--memory-block-size",
    "machine.page_size": "--page-size",
}
_NOT_SELF_HOSTED: Final = "memory_hotplug.memmap_on_memory=N"


def from_boot(
    size: int, *, arch: str, kernel: str | None, profile: str, cmdline: str, block_size: int | None = None,
    page_size: int | None = None, hole: int = 0,
) -> Subject:  # fmt: skip
    """Return a modelled fresh guest.

    Args:
        hole: bytes below 4 GiB that are no memory.
        profile: the boot reserve that is assumed: ``lean``, ``distro``, or a YAML file with another.
    """
    arch = resolve("arch", arch)
    chosen = resolve("profiles", kernel) if kernel else assumed_kernel()
    config = partial(
        BootConfig, arch=arch, profile=chosen, memory_block_size=block_size, page_size=page_size, hole=hole
    )

    def boot(reserve: Reserve, boot_size: int) -> Machine:
        try:
            return Machine(boot_guest(config(memory=((0, boot_size),), cmdline=cmdline, reserve=reserve)))
        except InputError as problem:
            problem.path = _OPTIONS.get(problem.path or "", problem.path)
            raise

    reserve = RESERVES.get(profile) or _read_reserve(profile)
    other = next(one for one in RESERVES.values() if one is not reserve)
    told = reserve.name if profile in RESERVES else reserve._asdict()
    return Subject(
        boot=partial(boot, reserve, size), arch=arch, kernel=chosen,
        assumptions=tuple(_boot_assumptions(reserve, arch, None if kernel else chosen, cmdline, size, hole)),
        other=(other.name, partial(boot, other, size)), source=f"a fresh {typed_size(size)} guest ({reserve.name})",
        boot_bytes=size, resized=partial(boot, reserve), machine_keys=lambda _: {name: value for name, value in (
            ("arch", arch), ("kernel", chosen), ("memory", typed_size(size)), ("boot_profile", told),
            ("page_size", page_size), ("memory_block_size", block_size), ("hole", hole),
            ("cmdline", cmdline),
        ) if value},
    )  # fmt: skip


def _read_reserve(path: str) -> Reserve:
    """Return the boot reserve in a file with the keys of a scenario's ``boot_profile``.

    Raises:
        InputError: it cannot be read, or is none.
    """
    from memhotplug.formats.scenario.check import check_record
    from memhotplug.formats.scenario.models import BootProfile
    from memhotplug.formats.scenario.problems import Problem, first_error
    from memhotplug.formats.scenario.yamltree import read_tree

    if not os.path.isfile(path):
        expected = f"{', '.join(RESERVES)}, or a file with what a kernel keeps at boot"
        raise InputError(expected, got=path, path="--boot-profile", nearest=nearest(path, list(RESERVES)))
    tree, problems = read_tree(path, wanted="the keys of a scenario's boot_profile"), list[Problem]()
    own = check_record(BootProfile, tree, problems)
    first_error(tree, problems, file=path)
    assert own is not None
    return Reserve(name=own.name, image=own.image, early=own.early, early_share=own.early_share)


def _boot_assumptions(
    reserve: Reserve, arch: str, assumed_kernel: str | None, cmdline: str, size: int, hole: int
) -> Iterator[str]:
    early = f"{format_size(reserve.early)} and " if reserve.early else ""
    yield (
        f"boot profile {reserve.name}: the kernel keeps {format_size(reserve.image)} and the memmap of boot memory "
        f"for itself, and has allocated {early}1/{reserve.early_share} of memory when boot is over"
    )
    crash = crash_kernel(cmdline, size, path="--cmdline")
    kept = f"no SWIOTLB, {f'{format_size(crash)} for a crash kernel' if crash else 'no crashkernel'}"
    holes = " and ".join(
        f"from {format_size(low)} to {format_size(high)}" for low, high in arch_traits(arch).boot_holes
    )
    own = f", and {format_size(hole)} below 4G" if hole else ""
    yield f"boot memory has no holes{f' but the one of every {arch} machine, {holes}' if holes else ''}{own}; {kept}"
    contiguous = contiguous_area(cmdline, path="--cmdline")
    if contiguous:
        yield (
            f"cma={format_size(contiguous)}: as much of boot memory is free for movable pages alone; a kernel without "
            "DMA_CMA ignores it and has that much more for memmap"
        )
    for parameter in not_counted(cmdline):
        yield f"what {parameter} takes of boot memory is not counted"
    if assumed_kernel:
        yield f"kernel {assumed_kernel}, since none was named"
    yield _QUIET


def from_snapshot(
    path: str | Path, *, step: int | None, arch: str | None, kernel: str | None, cmdline: str | None
) -> Subject:
    """Return a recorded machine: a directory, archive, sos report, recording, or kernel log; ``/`` is this machine."""
    from memhotplug.formats.snapshot import is_prose, open_snapshot
    from memhotplug.naming import read_machine

    if step is None and is_prose(path) and _is_log(str(path)):
        return from_oom_log(str(path), arch=arch, kernel=kernel, cmdline=cmdline)
    opened = open_snapshot(path, step)
    machine = read_machine(opened, resolve("arch", arch) if arch else None)
    source = "this machine" if str(path) == "/" else str(path)
    subject = from_recorded(machine, arch=arch, kernel=kernel, cmdline=cmdline, source=source)
    line = _added_line(machine, cmdline, older=kernel is None and recognise_kernel(machine).older)
    ref: dict[str, object] = {"path": str(path)} | ({} if step is None else {"step": step})
    own = opened.kind != "lsmem"  # which knows of no command line, so that there is nothing to leave out
    copied = _copy(opened) if own and (cmdline is not None or source != str(path)) else None
    keys = {"arch": subject.arch, "kernel": subject.kernel}
    return subject._replace(machine_keys=partial(recorded_keys, keys, ref, line, copied))


def _copy(opened: SnapshotFiles) -> dict[str, str]:
    """Return the files of a machine, with what its recording alone knows of the memory that was there at boot."""
    from memhotplug.formats.snapshot.bootlog import BOOT_LOG, early_log

    known = {BOOT_LOG: early_log(opened.meta.early)} if opened.meta.early else {}
    return known | dict(opened.files)


def _is_log(path: str) -> bool:
    """Return whether a text is a kernel log with a report of memory."""
    from memhotplug.engine.boot.kernel_log.log import is_kernel_log
    from memhotplug.formats.snapshot.source import Source
    from memhotplug.formats.textfile import read_text

    return is_kernel_log(read_text(Source(file=path)))


def from_recorded(
    machine: RecordedMachine, *, arch: str | None, kernel: str | None, cmdline: str | None, source: str
) -> Subject:
    """Return a machine that was recorded.

    Raises:
        InputError: it contradicts itself, or is of another architecture, or does not say its own and nobody else
            does, or there is no such plugin.
    """
    from memhotplug.engine.boot.recorded import kernel_from_machine
    from memhotplug.formats.snapshot.disagree import contradictions

    wrong = "; ".join(contradictions(machine))
    if wrong:
        raise InputError(f"zones whose numbers agree ({wrong})", got="a contradiction", file=machine.file)
    which = arch or recognise_arch(machine)
    if which is None:
        raise InputError("--arch, since nothing recorded tells the architecture", file=machine.file)
    which = resolve("arch", which)
    if machine.arch not in (None, which):
        raise InputError(f"a machine of architecture {which}", got=machine.arch, file=machine.file)
    found = None if kernel else recognise_kernel(machine)
    older = found is not None and found.older
    chosen = resolve("profiles", kernel) if kernel else recognise_kernel(machine).profile
    added = _added_line(machine, cmdline, older=older)
    if cmdline is not None:
        machine = replace(machine, parameters_now=frozenset())
    line = " ".join(part for part in (machine.cmdline if cmdline is None else None, added) if part)

    def boot() -> Machine:
        try:
            return Machine(kernel_from_machine(machine, which, chosen, line))
        except InputError as problem:
            raise _impossible(machine, problem) from None

    return Subject(
        boot=boot,
        arch=which,
        kernel=chosen,
        assumptions=(
            *_recorded_assumptions(machine, found, None if arch or machine.arch else which),
            *_default_parameters(machine, chosen, line),
        ),
        source=f"{source} ({PARTIAL})" if _partial_notes(machine) else source,
        possible_nodes=machine.possible_nodes,
        self_hosts=not older,
        boot_bytes=machine.boot_memory or 0,
    )


def _impossible(machine: RecordedMachine, problem: InputError) -> InputError:
    """Return the refusal with the file, and with what in it contradicts what."""
    if problem.file is not None or problem.path is not None:
        return problem
    wrong = "; ".join(note.text for note in machine.notes if note.kind == "inconsistent")
    expected = f"{problem.expected} ({wrong})" if wrong else problem.expected
    return InputError(expected, got=problem.got, file=machine.file)


def _added_line(machine: RecordedMachine, cmdline: str | None, *, older: bool) -> str:
    """Return what goes behind the recorded command line: what the module's parameters are by now.

    Args:
        cmdline: what stands in for the recorded one and its parameters. older: whether its kernel hosts no memmap.
    """
    now = [f"memory_hotplug.{name}={value.strip()}" for name, value in sorted(machine.parameters.items())]
    words = now if cmdline is None else [cmdline]
    return " ".join([*words, *([_NOT_SELF_HOSTED] if older else [])])


def _partial_notes(machine: RecordedMachine) -> list[Note]:
    return [note for note in machine.notes if note.text.startswith(PARTIAL)]


def _recorded_assumptions(
    machine: RecordedMachine, kernel: Recognised | None, guessed_arch: str | None
) -> Iterator[str]:
    partial = _partial_notes(machine)
    for note in partial:
        yield note.text  # everything else hangs on it
    yield _QUIET
    if guessed_arch:
        end = next(high for zone, _, high in arch_traits(guessed_arch).zones if zone == "DMA")
        yield f"architecture {guessed_arch}, since the DMA zone ends at {format_size(end)}; nothing else tells"
    if kernel is not None:
        yield kernel.text
    for note in machine.notes:
        if note in partial:
            continue
        yield f"{note.kind}: {note.text}"


def _default_parameters(machine: RecordedMachine, chosen: str, line: str) -> Iterator[str]:
    """Yield what the module's parameters are taken to be where neither their files nor a command line tell."""
    if machine.parameters or "memory_hotplug." in line or not is_mainline(chosen):
        return
    told = "the recorded command line sets none" if machine.cmdline else "nothing recorded tells"
    yield f"memory_hotplug.memmap_on_memory=N and its other parameters as a kernel has them by default: {told}"


def from_oom_log(path: str, *, arch: str | None, kernel: str | None, cmdline: str | None) -> Subject:
    """Return the machine that a page allocation failure describes."""
    from memhotplug.engine.boot.kernel_log.log import parse_oom_log
    from memhotplug.formats.snapshot.source import Source
    from memhotplug.formats.textfile import read_text

    which = resolve("arch", arch) if arch else None
    text = read_text(Source(file=path))
    report = parse_oom_log(text, Source(file=path), arch=which)
    subject = from_recorded(report.machine, arch=which, kernel=kernel, cmdline=cmdline, source=path)
    older = kernel is None and recognise_kernel(report.machine).older
    line = _added_line(report.machine, cmdline, older=older)
    copied = text if cmdline is not None or not os.path.isfile(path) else None
    keys = {"arch": subject.arch, "kernel": subject.kernel}
    subject = subject._replace(machine_keys=partial(logged_keys, keys, path, line, copied))
    if report.order is None or report.order < 0 or report.mode is None:
        return subject
    failed = FailedRequest(order=report.order, movable="MOVABLE" in report.mode, text=report.text or "")
    return subject._replace(failed=failed)


def read_steps(path: str) -> list[int]:
    """Return the sizes of a file with one size a line; empty lines and # comments are skipped.

    What ``daxctl list`` or ``cxl list`` print is such a file too: the sizes of its devices.

    Raises:
        InputError: the file cannot be read, has no size, or a line is none.
    """
    from pathlib import Path

    from memhotplug.formats.snapshot.devices import is_device_list, listed_sizes
    from memhotplug.formats.snapshot.source import Source

    try:
        content = sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise InputError("a text file", got="something else", file=path) from None
    except OSError as problem:
        raise InputError("a readable text file", got=words_of(problem), file=path) from None
    if is_device_list(content):
        return listed_sizes(content, Source(file=path))
    sizes = []
    for number, line in enumerate(content.splitlines(), 1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        try:
            size = parse_size(text, bare=False)
        except ValueError as problem:
            raise InputError(str(problem), got=text, file=path, line=number) from None
        if not size:
            raise InputError("a size greater than 0", got=text, file=path, line=number)
        sizes.append(size)
    if not sizes:
        raise InputError("one size a line", got="no size", file=path)
    return sizes
