"""Makes what the guest boots into: the init program, and the initramfs that holds it and nothing else."""

from __future__ import annotations

import lzma
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tools.record.cpio import CpioEntry, compress, pack
from tools.record.errors import RecordError

__all__ = ["INIT_SOURCE", "build_init", "build_initramfs", "read_module"]

INIT_SOURCE = Path(__file__).with_name("init.c")
_COMPILE_SECONDS = 60


def build_init(compiler: str, target: Path) -> Path:
    """Compile the guest's init as one static program.

    Raises:
        RecordError: there is no such compiler, or it fails.
    """
    command = [compiler, "-static", "-O2", "-Wall", "-Wextra", "-o", str(target), str(INIT_SOURCE)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_COMPILE_SECONDS, check=False)
    except FileNotFoundError:
        raise RecordError(f"there is no {compiler}; docs/recording.md lists the packages") from None
    except subprocess.TimeoutExpired:
        raise RecordError(f"{compiler} did not end within {_COMPILE_SECONDS} seconds") from None
    if done.returncode != 0:
        raise RecordError(f"{compiler} failed:\n{done.stderr.rstrip()}")
    return target


def read_module(path: Path) -> bytes:
    """Return a kernel module, unpacked if it is compressed (.xz).

    Raises:
        RecordError: it cannot be read.
    """
    try:
        data = path.read_bytes()
        return lzma.decompress(data) if path.suffix == ".xz" else data
    except (OSError, lzma.LZMAError) as problem:
        raise RecordError(f"the module {path} cannot be read: {problem}") from None


def build_initramfs(init: bytes, modules: Sequence[bytes] = ()) -> bytes:
    """Return the compressed initramfs around an init program, which loads the modules in this order."""
    directories = [CpioEntry.directory(name) for name in ("dev", "proc", "sys")]
    console = CpioEntry.character_device("dev/console", 5, 1)
    loaded = [CpioEntry.program(f"modules/{number:02}.ko", module) for number, module in enumerate(modules)]
    loaded = [CpioEntry.directory("modules"), *loaded] if loaded else []
    return compress(pack([*directories, console, CpioEntry.program("init", init), *loaded]))
