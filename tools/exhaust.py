"""Say how far machines are exhausted: every installed mainline kernel, architecture and driver, as a table.

    python tools/exhaust.py -o exhausted.jsonl                          everything, some hours
    python tools/exhaust.py -o exhausted.jsonl --depth 4 --everything --operations 50000
    python tools/exhaust.py -o exhausted.jsonl --only x86_64:acpi --kernels linux-6.12,linux-7.2
    python tools/exhaust.py --table exhausted.jsonl                     the table of docs/checking.md

Machines have up to four hot-added blocks, in up to two devices of two blocks each or, of a driver that adds one at a
time, in four of one; memory is added, goes online in kernel and movable zones, offline, is removed in every piece,
ejected and resized, and everything that can fail on the way does; with --everything attributes and parameters are
written and workloads come and go, too. Rows are appended as they come, and the same command goes on where it was
stopped.

Releases that answer every question alike that an exploration asked (``kernel.has()``) would be explored alike,
transition by transition: one of them stands for all.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Container, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from memhotplug import Machine, features
from memhotplug.catalog import Installed
from memhotplug.commands.check.answer import Answer, check
from memhotplug.commands.check.question import Question
from memhotplug.engine.memory_hotplug.presence import absence
from memhotplug.errors import InputError, MemoryHotplugError
from memhotplug.formats.scenario import loads_scenario
from memhotplug.manager import names
from memhotplug.naming import kernels
from memhotplug.plugin import profile_of
from memhotplug.units import format_size

_OPERATIONS: Final = ("add", "online", "offline", "remove", "eject", "resize")
_MORE: Final = ("write", "allocate", "release")
_SCENARIO: Final = """\
schema: 1
machine: {{arch: {arch}, kernel: {kernel}, memory: {memory}, cmdline: {cmdline}}}
explore: {{drivers: {driver}, blocks: 4, sizes: {size}, zones: [kernel, movable], operations: [{operations}]}}
"""
_CMDLINE: Final = "memory_hotplug.memmap_on_memory=1"
_MEMORY: Final = "2G"


class Questions:
    """What an exploration asks about the release."""

    def __init__(self) -> None:
        self.asked: set[str] = set()

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Note all questions meanwhile."""
        ask = features.has

        def has(feature: str, version: features.Version) -> bool:
            self.asked.add(feature)
            return ask(feature, version)

        features.has = has  # type: ignore[assignment]
        try:
            yield
        finally:
            features.has = ask

    def answers(self, kernel: str) -> dict[str, bool]:
        """Return what a release answers to all that was asked."""
        version = profile_of(kernel).version
        return {feature: features.has(feature, version) for feature in sorted(self.asked)}


def machine_of(arch: str, kernel: str, driver: str) -> Machine | None:
    """Return a small machine that has the driver, None if there is none."""
    try:
        machine = Machine.boot(arch=arch, kernel=kernel, memory=_MEMORY, cmdline=_CMDLINE)
    except InputError:
        return None
    return None if absence(machine.kernel, driver) is not None else machine


def size_of(machine: Machine, driver: str) -> int:
    """Return the bytes of two blocks, of one where the driver adds no more at a time."""
    block = machine.kernel.geometry.memory_block_size
    try:
        machine.copy().add_memory(driver=driver, name="m", size=2 * block)
    except MemoryHotplugError:
        return block
    return 2 * block


def explored(arch: str, kernel: str, driver: str, question: Question, operations: Sequence[str]) -> Answer:
    """Explore one kind of machine by some operations."""
    machine = machine_of(arch, kernel, driver)
    assert machine is not None
    text = _SCENARIO.format(
        arch=arch, kernel=kernel, memory=_MEMORY, cmdline=_CMDLINE, driver=driver,
        size=format_size(size_of(machine, driver)), operations=", ".join(operations),
    )  # fmt: skip
    return check(loads_scenario(text, catalog=Installed()), question, catalog=Installed())


def rows(
    pairs: Iterable[tuple[str, str]],
    chosen: Sequence[str],
    question: Question,
    operations: Sequence[str],
    known: Container[tuple[str, str, str]] = (),
) -> Iterator[dict[str, Any]]:
    """Yield a row for each class of releases of each architecture and driver, without those that are known."""
    for arch, driver in pairs:
        wanted = [kernel for kernel in chosen if (arch, driver, kernel) not in known]
        left = [kernel for kernel in wanted if machine_of(arch, kernel, driver) is not None]
        while left:
            yield _row(arch, driver, left, question, operations)


def _row(arch: str, driver: str, left: list[str], question: Question, tried: Sequence[str]) -> dict[str, Any]:
    """Explore the first of some releases, and take out all that are like it."""
    kernel, questions = left[0], Questions()
    with questions.listening():
        answer = explored(arch, kernel, driver, question, tried)
    mine = questions.answers(kernel)
    alike = [other for other in left if questions.answers(other) == mine]
    left[:] = [other for other in left if other not in alike]
    progress = answer.progress
    return {
        "arch": arch, "driver": driver, "kernels": alike, "tried": list(tried),
        "asked_depth": question.depth, "operations": question.operations,
        "depth": question.depth if progress.exhausted else progress.depth, "closed": progress.closed,
        "states": progress.states, "transitions": progress.transitions, "lives": progress.lives > 0,
        "found": [
            {"text": finding.broken.text, "steps": [step.move.text for step in finding.steps]}
            for finding in answer.findings
        ],
    }  # fmt: skip


def table(found: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield the table, one line an architecture and driver, in Markdown."""
    yield "| architecture | driver | releases explored | depth | with writes and workloads | transitions | found |"
    yield "|---|---|---|---|---|---|---|"
    for arch, driver in sorted({(row["arch"], row["driver"]) for row in found}):
        mine = [row for row in found if (row["arch"], row["driver"]) == (arch, driver)]
        depths = [_depths([row for row in mine if ("write" in row["tried"]) == more]) for more in (False, True)]
        plain = [row for row in mine if "write" not in row["tried"]]
        classes = {tuple(row["kernels"]) for row in plain or mine}
        releases = {kernel for kernels in classes for kernel in kernels}
        broken, tried = sum(len(row["found"]) for row in mine), sum(row["transitions"] for row in mine)
        kinds = f"{len(releases)} in {len({_first(kernels) for kernels in classes})} classes"
        yield f"| {arch} | {driver} | {kinds} | {depths[0]} | {depths[1]} | {tried:,} | {broken or '-'} |"


def _first(kernels: Sequence[str]) -> tuple[int, ...]:
    """Return the earliest release of a class, which names it in whatever order the releases were explored."""
    return min(tuple(int(part) for part in re.findall(r"\d+", kernel)) for kernel in kernels)


def _depths(mine: Sequence[dict[str, Any]]) -> str:
    best: dict[tuple[int, ...], int] = {}
    for row in mine:
        first = _first(row["kernels"])
        best[first] = max(best.get(first, 0), row["depth"])
    depths = sorted(set(best.values()))
    if not depths:
        return "-"
    return str(depths[0]) if len(depths) == 1 else f"{depths[0]} to {depths[-1]}"


def main(arguments: Sequence[str]) -> int:
    """Explore, or print the table of what was explored."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("--table", type=Path)
    parser.add_argument("--depth", type=int, default=6)
    parser.add_argument("--operations", type=int, default=1_000_000)
    parser.add_argument("--everything", action="store_true", help="also writes of attributes and parameters, workloads")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--kernels", type=lambda text: text.split(","))
    parser.add_argument("--only", action="append", metavar="ARCH:DRIVER")
    options = parser.parse_args(arguments)
    if options.table is not None:
        print(*table([json.loads(line) for line in options.table.read_text().splitlines()]), sep="\n")
        return 0
    if options.output is None:
        parser.error("say where the rows go: -o FILE")
    question = Question(depth=options.depth, operations=options.operations, faults=True, jobs=options.jobs)
    chosen = options.kernels or [kernel for kernel in kernels() if is_release(kernel)]
    only = options.only or [f"{arch}:{driver}" for arch in names("arch") for driver in names("drivers")]
    tried = (*_OPERATIONS, *_MORE) if options.everything else _OPERATIONS
    known = _known(options.output, question, tried)
    pairs = [(arch, driver) for arch, _, driver in (word.partition(":") for word in only)]
    for row in rows(pairs, chosen, question, tried, known):
        with options.output.open("a") as stream:
            stream.write(json.dumps(row) + "\n")
        print(row["arch"], row["driver"], row["kernels"][0], "depth", row["depth"], "transitions", row["transitions"],
              "found", len(row["found"]), flush=True)  # fmt: skip
    return 0


def is_release(kernel: str) -> bool:
    """Return whether a profile is one of mainline's releases."""
    machine = Machine.boot(arch=names("arch")[-1], kernel=kernel, memory=_MEMORY)
    return hasattr(machine.kernel.profile, "rules")


def _known(output: Path, question: Question, tried: Sequence[str]) -> set[tuple[str, str, str]]:
    """Return the architectures, drivers and releases that the same question has been answered for."""
    if not output.exists():
        return set()
    asked = question.depth, question.operations, list(tried)
    found = [json.loads(line) for line in output.read_text().splitlines()]
    return {
        (row["arch"], row["driver"], kernel)
        for row in found
        if (row["asked_depth"], row["operations"], row["tried"]) == asked
        for kernel in row["kernels"]
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
