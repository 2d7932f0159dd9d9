"""Measure what the project promises to be fast, and print it as figures and ratios.

    python bench/run.py            everything, a few seconds
    python bench/run.py life       one part: small, searches, life, huge, start, conform, fragments, many
    python bench/run.py --json     the small operations as one JSON object, a figure each

Nothing here is asserted: how fast a machine is is not a property of the code. Each timing is the
best of several runs in a fresh process.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
GIB = 1 << 30


def best(action: Callable[[], object], runs: int) -> float:
    """Return the shortest of several timings of an action, in seconds."""
    timings = []
    for _ in range(runs):
        begin = time.perf_counter()
        action()
        timings.append(time.perf_counter() - begin)
    return min(timings)


def zeroing_16_gib() -> float:
    """Return the seconds that zeroing 16 GiB takes here: the memmap of 1 TiB, 64 bytes a page.

    A quarter of a GiB that is already mapped is zeroed 64 times, which flatters the kernel.
    """
    import numpy as np

    buffer = np.ones(GIB // 4, dtype=np.uint8)

    def zero() -> None:
        for _ in range(64):
            buffer.fill(0)

    return best(zero, 3)


def life_cycle(size: str, boot: str, flag: str, block: str) -> dict[str, float]:
    """Play add, online, offline and remove of one range in this process; return seconds by step."""
    from memhotplug import Machine

    fastest: dict[str, float] = {}
    for _ in range(5):
        machine = Machine.boot(arch="x86_64", kernel="v2-2019", memory=boot, memory_block_size=block)
        steps: dict[str, Callable[[], object]] = {
            "add": partial(machine.add_memory, driver="acpi", name="d", size=size, mhp_flags=flag),
            "online": partial(machine.online, "d", zone="movable"),
            "offline": partial(machine.offline, "d"),
            "remove": partial(machine.remove, "d"),
        }
        for name, step in steps.items():
            begin = time.perf_counter()
            step()
            fastest[name] = min(fastest.get(name, 1e9), time.perf_counter() - begin)
    fastest["peak_mb"] = peak_mb()
    return fastest


def peak_mb() -> float:
    """Return this process's largest resident set in MB (ru_maxrss would count the parent's as well)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


def in_process(*arguments: str) -> dict[str, float]:
    """Run :func:`life_cycle` in a fresh interpreter."""
    done = subprocess.run([sys.executable, __file__, "--life", *arguments], check=True, capture_output=True, text=True)
    answer: dict[str, float] = json.loads(done.stdout)
    return answer


def show_steps(title: str, seconds: dict[str, float]) -> float:
    """Print one life cycle; return the seconds of all its steps."""
    steps = {name: value for name, value in seconds.items() if name != "peak_mb"}
    total = sum(steps.values())
    parts = "  ".join(f"{name} {value * 1e3:7.1f}" for name, value in steps.items())
    print(f"  {title:<28} {parts}   all {total * 1e3:7.1f} ms")
    return total


def report_life() -> None:
    """1 TiB in 128 MiB blocks under each flag, against zeroing its memmap; growth from 64 GiB."""
    zero = zeroing_16_gib()
    print(f"1 TiB on x86_64 in 8192 blocks of 128M; zeroing its 16 GiB of memmap takes {zero * 1e3:.0f} ms here")
    for flag in ("device", "memblock", "none"):
        small = in_process("64G", "2G", flag, "128M")
        large = in_process("1T", "32G", flag, "128M")
        show_steps(f"64 GiB, {flag}", small)
        show_steps(f"1 TiB, {flag}", large)
        plug, small_plug = large["add"] + large["online"], small["add"] + small["online"]
        print(f"    add + online is 1/{zero / plug:.0f} of the zeroing; {plug / small_plug:.1f} times that of 64 GiB")


def report_huge() -> None:
    """64 TiB in 2 GiB blocks: time, memory, and growth from 4 TiB."""
    interpreter = in_process("nothing")["peak_mb"]
    print("64 TiB on x86_64 in 32768 blocks of 2G, 52 address bits")
    for flag in ("device", "memblock"):
        total_small = show_steps(f"4 TiB, {flag}", in_process("4T", "64G", flag, "2G"))
        large = in_process("64T", "64G", flag, "2G")
        total = show_steps(f"64 TiB, {flag}", large)
        above = large["peak_mb"] - interpreter
        print(f"    {total / total_small:.1f} times that of 4 TiB; {above:.0f} MB above the bare interpreter")


def report_start() -> None:
    """Start-up: the command's help, the smallest example and plans, against an empty interpreter."""
    import small

    small.compile_sources(ROOT)
    mhp = str(Path(sys.executable).with_name("mhp"))
    example = ROOT / "scenarios" / "cover-letter-device.yaml"
    commands = {
        "mhp --help": ["--help"],
        "mhp run (1 GiB)": ["run", str(example)],
        "mhp plan --boot 256M --add 12G": ["plan", "--boot", "256M", "--add", "12G"],
        "mhp plan --live --add 8G": ["plan", "--live", "--add", "8G"],
    }

    def run(*command: str) -> Callable[[], object]:
        return partial(subprocess.run, command, check=False, capture_output=True)  # a plan's verdict is an exit status

    empty = best(run(sys.executable, "-c", "pass"), 7)
    print(f"start-up; python -c pass takes {empty * 1e3:.0f} ms")
    for title, arguments in commands.items():
        taken = best(run(mhp, *arguments), 7)
        print(f"  {title:<30} {taken * 1e3:5.0f} ms, {taken / empty:.1f} times")


def report_conform() -> None:
    """Replays of the recordings that come with the project, against what recording them took."""
    from memhotplug.commands.conform.worlds import replay_file
    from memhotplug.formats.snapshot import read_recording

    print("replays, file parsing included, against the time that the recording took")
    for path in sorted((ROOT / "tests" / "data" / "recordings").glob("*.json.xz")):
        recorded = read_recording(path).host_seconds or 0.0
        taken = best(partial(replay_file, path), 7)
        name = path.name.removesuffix(".json.xz")
        print(f"  {name:<28} {taken * 1e3:7.1f} ms, 1/{recorded / taken:.0f} of {recorded:.1f} s")


def fragmented_log(singles: int) -> str:
    """Return a kernel log of a server whose free memory is in so many chunks, nearly all of them small."""
    counts = (singles * 6 // 10, singles * 3 // 10, singles // 10, 9, 8, 7, 6, 5, 4, 50, 50)
    free = sum(count << order for order, count in enumerate(counts)) * 4
    chunks = " ".join(f"{count}*{4 << order}kB (UME)" for order, count in enumerate(counts))
    present = 16 * singles + (8 << 20)
    none = " ".join(f"0*{4 << order}kB" for order in range(11)) + " = 0kB"
    zones = (("DMA", 0, 15996), ("DMA32", 0, 3 << 20), ("Normal", free, present))
    lines = ["kworker/0:1: page allocation failure: order:9, mode:0x4cc0(GFP_KERNEL)", "Mem-Info:"]
    lines += [
        f"Node 0 {name} free:{held}kB min:0kB low:0kB high:0kB present:{size}kB managed:{size // 32 * 28}kB"
        for name, held, size in zones
    ]
    return "\n".join(
        [*lines, f"Node 0 DMA: {none}", f"Node 0 DMA32: {none}", f"Node 0 Normal: {chunks} = {free}kB", ""]
    )


def report_fragments() -> None:
    """A plan on a machine that ran for weeks: free memory in 10^4 to 10^6 chunks, and the growth."""
    mhp, before = str(Path(sys.executable).with_name("mhp")), 0.0
    print("mhp plan --oom-log, free memory in many chunks")
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "dmesg")
        for singles in (10_000, 100_000, 1_000_000):
            log.write_text(fragmented_log(singles))
            arguments = [mhp, "plan", "--oom-log", str(log), "--add", "8G", "--online", "movable"]
            taken = best(partial(subprocess.run, arguments, check=False, capture_output=True), 2)
            growth = f", {taken / before:.1f} times that of a tenth" if before else ""
            print(f"  {singles:>9} chunks {taken:6.2f} s{growth}")
            before = taken


def report_small() -> None:
    """Small operations and start-up in units of an interpreter's start, each with its goal."""
    import small

    found = small.measure(ROOT)
    base = found.pop("base") * 1e3
    print(f"small operations, in CPU time over that of an interpreter's start ({base:.0f} ms); commands, in wall time")
    for name, value in found.items():
        print(f"  {name:<44} {value:8.3f}  goal {small.GOALS[name]:g}")


def report_searches() -> None:
    """Transitions of mhp check and cases of mhp sweep, a second and core."""
    import searches

    searches.report_searches()


def report_many() -> None:
    """A million transitions and a hundred thousand cases."""
    import searches

    searches.report_many()


def report_live() -> None:
    """Live machines: lsmem against plain files, and the start of a command."""
    import live

    live.report()


PARTS = {
    "small": report_small,
    "searches": report_searches,
    "life": report_life,
    "fragments": report_fragments,
    "huge": report_huge,
    "start": report_start,
    "conform": report_conform,
    "live": report_live,
}
LONG = {"many": report_many}
"""Parts that take many minutes, and are played only if they are named."""


def main(arguments: list[str]) -> None:
    """Run the parts that are named, or all."""
    if arguments[:1] == ["--life"]:
        nothing = arguments[1:] == ["nothing"]
        print(json.dumps({"peak_mb": peak_mb()} if nothing else life_cycle(*arguments[1:])))
        return
    if arguments == ["--json"]:
        import small

        print(json.dumps(small.measure(ROOT), indent=1))
        return
    for name in arguments or PARTS:
        (PARTS | LONG)[name]()


if __name__ == "__main__":
    main(sys.argv[1:])
