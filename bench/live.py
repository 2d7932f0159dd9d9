"""What a live machine costs: lsmem on one against lsmem on plain files of it, and the start of a command.

CPU time of all processes together, which a busy machine does not change much: what ``mhp exec`` takes with lsmem, less
what it takes with true.
"""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

__all__ = ["report"]

MACHINES = {
    "24 GiB, 192 blocks": ("--boot", "24G"),
    "4 TiB, 2048 blocks": ("--boot", "4T", "--memory-block-size", "2G"),
    "64 TiB, 32768 blocks": ("--boot", "64T", "--memory-block-size", "2G"),
}


def cpu(*command: str) -> float:
    """Return the CPU seconds of a command and all that it has waited for."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def report() -> None:
    """Print CPU seconds and ratios; nothing where lsmem or FUSE is missing."""
    from memhotplug.live.requirements import missing

    lacking = missing() or (None if shutil.which("lsmem") else "lsmem is not installed")
    if lacking is not None:
        print(f"live machines are not measured: {lacking}")
        return
    mhp = str(Path(sys.executable).with_name("mhp"))
    empty = min(cpu(sys.executable, "-S", "-c", "pass") for _ in range(5))
    start = min(cpu(mhp, "exec", "--boot", "1G", "--", "true") for _ in range(5))
    print(f"CPU seconds; python -S -c pass takes {empty:.3f}")
    print(f"  mhp exec --boot 1G -- true: {start:.3f}, {start / empty:.1f} times that")
    print("  lsmem on a live machine, once more on it, and on plain files of it")
    for title, source in MACHINES.items():
        runs = 1 if "64" in title else 3
        begun, once, twice = (
            min(
                cpu(mhp, "exec", *source, "--", "sh", "-c", "; ".join(["lsmem"] * times or ["true"]))
                for _ in range(runs)
            )
            for times in range(3)
        )
        with tempfile.TemporaryDirectory() as folder:
            tree = f"{folder}/tree"
            subprocess.run([mhp, "export", *source, "-o", tree], check=True)
            plain = min(cpu("lsmem", "--sysroot", tree) for _ in range(3))
        first, again = once - begun, twice - once
        ratios = f"{first / plain:.1f}, {again / plain:.1f} times"
        print(f"  {title:<22} {first:7.3f}, then {again:7.3f}; {plain:.3f}: {ratios}")
