"""``mhp snapshot``: records this machine."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import click

from memhotplug.cli.exits import ExitCode, say
from memhotplug.cli.options import Once, Target

if TYPE_CHECKING:
    from memhotplug.documents.small import SnapshotDocument, SnapshotMachineDocument
    from memhotplug.formats.snapshot.capture import Collected, Skipped

__all__ = ["command"]

_HELP: Final = """Record this machine's memory, for 'mhp plan --from' and for a scenario's 'machine.snapshot'.

It reads files of /proc and /sys about memory and changes nothing. Without root some cannot be read
(pagetypeinfo) or show only zeros (the addresses in iomem); they are named, and whoever reads the snapshot infers
what they would have said. The snapshot holds the kernel's command line and, as root, physical addresses.

\b
  mhp snapshot -o machine
  sudo mhp snapshot -o machine.tar.gz
  mhp plan --from machine.tar.gz --add 16G

\b
Exit status:
  0  recorded, and it can be read back
  1  recorded, but not enough of it could be read for a plan
  2  wrong usage, the output exists, or there is nothing to record
"""
_MANY: Final = 20


@click.command(cls=Once, help=_HELP, short_help="Record this machine's memory.")
@click.option("-o", "--output", type=Target(), metavar="DIR", default="mhp-snapshot", show_default=True,
              help="Where to; a name with .tar.gz, .tar.xz, .tgz or .tar becomes an archive.")  # fmt: skip
@click.option("--root", metavar="DIR", default="/", show_default=True, help="The machine's root directory.")
@click.option("--force", is_flag=True, help="Replace an earlier snapshot of that name.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(output: str, root: str, force: bool, as_json: bool) -> int:
    """Record and return the exit status."""
    from memhotplug.formats.snapshot.capture import collect, is_archive_name, write_snapshot

    collected = collect(root)
    write_snapshot(collected, output, force=force, root=root)
    problem, notes, machine = _read_back(output)
    if as_json:
        from memhotplug.output.jsontext import render

        document: SnapshotDocument = {
            "schema": 1,
            "ok": problem is None,
            "output": output,
            "kind": "archive" if is_archive_name(output) else "directory",
            "files": len(collected.files),
            "skipped": [{"path": found.path, "reason": found.reason} for found in collected.skipped],
            "machine": machine,
            "notes": notes,
            "problem": problem,
        }
        sys.stdout.write(render(document))
    else:
        from memhotplug.cli.terminal import show

        show(_lines(output, collected, notes, machine))
    if problem is not None:
        say(f"recorded, but it cannot be used: {problem}")
        return ExitCode.FAILURE
    return ExitCode.OK


def _read_back(output: str) -> tuple[str | None, list[str], SnapshotMachineDocument | None]:
    """Return what is wrong with the snapshot, what a reader notes of it, and what machine it shows."""
    from memhotplug.errors import InputError
    from memhotplug.formats.snapshot import open_snapshot
    from memhotplug.naming import read_machine

    try:
        machine = read_machine(open_snapshot(output))
    except InputError as problem:
        return str(problem), [], None
    shown: SnapshotMachineDocument = {
        "arch": machine.arch,
        "kernel_release": machine.kernel_release,
        "page_size": machine.page_size,
        "memory_block_size": machine.block_size,
        "blocks": len(machine.blocks),
        "nodes": len(machine.nodes),
        "managed_bytes": sum(zone.managed for zone in machine.zones) * machine.page_size,
        "free_bytes": sum(zone.free for zone in machine.zones) * machine.page_size,
    }
    return None, [f"{note.kind}: {note.text}" for note in machine.notes], shown


def _lines(
    output: str, collected: Collected, notes: Sequence[str], machine: SnapshotMachineDocument | None
) -> list[str]:
    lines = [f"{output}: {len(collected.files)} files"]
    if machine is not None:
        from memhotplug.units import format_size

        size = machine["memory_block_size"]
        blocks = f"{machine['blocks']} blocks of {format_size(size)}" if size is not None else "no blocks"
        total, free = format_size(machine["managed_bytes"]), format_size(machine["free_bytes"])
        lines.append(
            f"{machine['arch'] or 'unknown architecture'}, kernel {machine['kernel_release'] or 'unknown'}, "
            f"{blocks}, {total} managed, {free} free"
        )
    lines += _skipped(collected.skipped)
    return lines + [f"note: {note}" for note in notes]


def _skipped(skipped: Sequence[Skipped]) -> list[str]:
    lines = [f"not recorded: {found.path} ({found.reason})" for found in skipped[:_MANY]]
    if len(skipped) > _MANY:
        lines.append(f"not recorded: {len(skipped) - _MANY} more files; --json lists them all")
    return lines
