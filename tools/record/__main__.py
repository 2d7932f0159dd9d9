"""The recorder's command: ``python -m tools.record SCENARIO -o FILE --kernel VMLINUZ``."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

if not __package__:  # run as "python tools/record": the directory would hide the package qemu behind qemu.py
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from tools.record.arch import ARCHITECTURES
from tools.record.errors import RecordError
from tools.record.initramfs import build_init
from tools.record.scenario import Scenario, load

from memhotplug.errors import InputError

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Make one recording; return the exit status: 0, 1 if it cannot be made or ends early, 2 for wrong input."""
    options = _parser().parse_args(arguments)
    try:
        ended = _record(load(options.scenario), options)
    except InputError as problem:
        print(f"record: {problem}", file=sys.stderr)
        return 2
    except (RecordError, OSError) as problem:
        print(f"record: {problem}", file=sys.stderr)
        return 1
    if ended:
        print(f"record: {options.output} ends early: {ended}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="record", description="Record a real kernel under memory hotplug.")
    parser.add_argument("scenario", type=Path, metavar="SCENARIO", help="what to record (YAML)")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="the recording (.json.xz)")
    parser.add_argument("--kernel", type=Path, required=True, metavar="IMAGE", help="the guest's kernel (vmlinuz)")
    parser.add_argument("--qemu", metavar="PROGRAM", help="QEMU; qemu-system-<arch> by default")
    parser.add_argument(
        "--cc", metavar="PROGRAM", help="the compiler for the guest's init; <arch>-linux-gnu-gcc by default"
    )
    parser.add_argument(
        "--module",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="a kernel module that the guest loads first (.ko, .ko.xz); repeatable, in this order",
    )
    parser.add_argument("--init", type=Path, metavar="FILE", help="a guest init that is already linked")
    return parser


def _record(scenario: Scenario, options: argparse.Namespace) -> str:
    """Record and write; return why the recording ends early, nothing if it does not."""
    try:
        from tools.record.session import Host, record, write_recording
    except ModuleNotFoundError as missing:
        if missing.name not in ("qemu", "qemu.qmp"):
            raise
        raise RecordError("the library qemu.qmp is missing: pip install 'memhotplug[record]'") from None
    if not os.access(options.output.parent, os.W_OK | os.X_OK):  # told before a guest has lived in vain
        raise RecordError(f"no recording can be written to the folder {options.output.parent}")
    arch = ARCHITECTURES[scenario.arch]
    with tempfile.TemporaryDirectory(prefix="mhp-init-") as directory:
        init = options.init or build_init(options.cc or arch.compiler, Path(directory) / "init")
        host = Host(
            qemu=options.qemu or arch.binary,
            kernel=options.kernel,
            init=init,
            recorded_on=datetime.now(UTC).date().isoformat(),
            modules=tuple(options.module),
        )
        document = asyncio.run(record(scenario, host, lambda line: print(line, file=sys.stderr)))
    write_recording(document, options.output)
    ended = document.get("ended")
    return str(ended["why"]) if isinstance(ended, dict) else ""


if __name__ == "__main__":
    sys.exit(main())
