"""Where the machine of a plan comes from: a fresh guest, a snapshot, this machine, an error report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from memhotplug.engine.boot import RESERVES, BootConfig, boot_kernel
from memhotplug.engine.machine import Machine
from memhotplug.errors import InputError
from memhotplug.plan.question import Subject
from memhotplug.units import format_size, parse_size

if TYPE_CHECKING:
    from memhotplug.snapshot import RecordedMachine

__all__ = ["NEWEST", "from_boot", "from_oom_log", "from_recorded", "from_snapshot", "read_steps"]

NEWEST = "linux-6.12"
"""The profile that a plan assumes when nothing says which kernel it is."""

_ALWAYS = (
    "nothing else allocates or frees memory meanwhile, and nothing is reclaimed or compacted",
)


def from_boot(
    size: int, *, arch: str, kernel: str | None, profile: str, cmdline: str, block_size: int | None = None,
    page_size: int | None = None,
) -> Subject:  # fmt: skip
    """Return a modelled fresh guest.

    Args:
        profile: name of the boot reserve that is assumed, ``lean`` or ``distro``.
    """
    chosen = kernel or NEWEST
    reserve = RESERVES[profile]
    other = next(name for name in RESERVES if name != profile)

    def booter(name: str, boot_size: int = size) -> Callable[[str], Machine]:
        def boot(extra: str) -> Machine:
            config = BootConfig(
                arch=arch, profile=chosen, memory=((0, boot_size),), cmdline=f"{cmdline} {extra}".strip(),
                reserve=RESERVES[name], memory_block_size=block_size, page_size=page_size,
            )  # fmt: skip
            return Machine(boot_kernel(config))

        return boot

    takes = format_size(reserve.image)
    assumed = (
        f"boot profile {profile}: the kernel keeps {takes} and the memmap of boot memory for itself, and has "
        f"allocated {format_size(reserve.early)} and 1/{reserve.early_share} of memory when boot is over",
        *(() if kernel else (f"kernel {chosen}, since none was named",)),
        *_ALWAYS,
    )
    return Subject(
        boot=booter(profile), arch=arch, kernel=chosen, assumptions=assumed, other=(other, booter(other)),
        source=f"a fresh {format_size(size)} guest ({profile})", boot_bytes=size,
        resized=lambda boot_size: booter(profile, boot_size)(""),
    )  # fmt: skip


def from_snapshot(
    path: str | Path, *, step: int | None, arch: str | None, kernel: str | None, cmdline: str | None
) -> Subject:
    """Return a recorded machine: a directory, an archive, an sos report, or a recording."""
    from memhotplug.snapshot import open_snapshot, read_machine

    machine = read_machine(open_snapshot(path, step))
    return from_recorded(machine, arch=arch, kernel=kernel, cmdline=cmdline, source=str(path))


def from_recorded(
    machine: RecordedMachine, *, arch: str | None, kernel: str | None, cmdline: str | None, source: str
) -> Subject:
    """Return a machine that was recorded.

    Raises:
        InputError: it does not say its architecture or kernel and nobody else does.
    """
    from memhotplug.engine.recorded import kernel_from_machine
    from memhotplug.engine.releases import choose_profile

    which = arch or machine.arch
    if which is None:
        raise InputError("--arch, since nothing recorded tells the architecture", file=machine.file)
    chosen = kernel or (choose_profile(machine.kernel_release) if machine.kernel_release else NEWEST)
    line = machine.cmdline or "" if cmdline is None else cmdline
    assumed = list(_ALWAYS)
    if kernel is None:
        told = f"the recorded kernel is {machine.kernel_release}" if machine.kernel_release else "none was recorded"
        assumed.append(f"kernel {chosen}: {told}")

    def boot(extra: str) -> Machine:
        return Machine(kernel_from_machine(machine, which, chosen, f"{line} {extra}".strip()))

    notes = tuple(f"{note.kind}: {note.text}" for note in machine.notes)
    return Subject(boot=boot, arch=which, kernel=chosen, assumptions=(*assumed, *notes), source=source)


def from_oom_log(path: str, *, arch: str | None, kernel: str | None, cmdline: str | None) -> Subject:
    """Return the machine that a page allocation failure describes."""
    from memhotplug.plan.oomlog import read_oom_log

    report = read_oom_log(path)
    return from_recorded(report.machine, arch=arch or "x86_64", kernel=kernel, cmdline=cmdline, source=path)


def read_steps(path: str) -> list[int]:
    """Return the sizes of a file with one size a line; empty lines and # comments are skipped.

    Raises:
        InputError: the file cannot be read, or a line is no size.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as problem:
        raise InputError("a readable text file", got=str(problem), file=path) from None
    sizes = []
    for number, line in enumerate(lines, 1):
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
    return sizes
