"""Print how much guests really took, how much is predicted, and the margin between; exit status 1 if one is unsafe.

    python tools/capacity.py            the table of docs/planning.md
    python tools/capacity.py --json

What is measured is the largest DIMM, in whole GiB, that a guest takes without a failed allocation, offline and with its
memmap in boot memory. It is predicted from the guest's recorded boot state alone; where only the guest's size is known,
its kernel is taken to keep what the next smaller and the next larger recorded guest keep, by size in between. A margin
below zero is GiB that are not promised though they are there. Above zero would be promised and kill the guest.
"""

from __future__ import annotations

import argparse
import json
import lzma
import sys
import tempfile
from bisect import bisect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from memhotplug.commands.plan.question import Question, Subject
from memhotplug.commands.plan.search import largest_add
from memhotplug.commands.plan.sources import from_boot, from_snapshot
from memhotplug.output.tables import table
from memhotplug.units import typed_size

GIB: Final = 1 << 30
DATA: Final = Path(__file__).resolve().parents[1] / "tests" / "data" / "capacity"
_IMAGE: Final = 104 << 20
_NO_SHARE: Final = 1 << 30  # one part in so many is nothing
_ENDS: Final = {"failed": "fails", "degraded": "needs fallbacks", "died": "kills the guest"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One size of guest.

    Attributes:
        boot: its memory in bytes.
        measured: the largest DIMMs that it took in each series of probes, GiB, ascending.
        next_gib: the smallest that did not come clean, and ``ends`` how that ended; None if none was tried.
        predicted: whole GiB. recorded: whether from its own boot state.
    """

    boot: int
    measured: tuple[int, ...]
    next_gib: int | None
    ends: str | None
    predicted: int
    recorded: bool

    @property
    def margin(self) -> int:
        """GiB that are predicted beyond the least that was measured."""
        return self.predicted - self.measured[0]


def rows() -> Iterator[Row]:
    """Yield the guests that host no memmap in what they add, by size."""
    known = _tables()
    taken = {size: size // 64 * 63 - one["memfree_at_boot_kb"] * 1024 for size, (one, *_) in known.items() if one}
    for size, (recorded, *more) in sorted(known.items()):
        found = [one for one in (recorded, *more) if one]
        tried = min((one for one in found if _next(one)), key=lambda one: _next(one) or 0, default={})
        yield Row(
            boot=size,
            measured=tuple(sorted(one["largest_clean_gib"] for one in found)),
            next_gib=_next(tried),
            ends=_end(tried) if tried else None,
            predicted=_recorded(recorded) if recorded else _between(size, taken),
            recorded=bool(recorded),
        )


def _next(one: Mapping[str, Any]) -> int | None:
    """Return the smallest DIMM that was tried and did not come clean, in GiB."""
    if one.get("largest_present_gib", 0) > one.get("largest_clean_gib", 0):
        return int(one["largest_clean_gib"]) + 1
    value = one.get("next_gib", one.get("smallest_failing_gib"))
    return None if value is None else int(value)


def _end(one: Mapping[str, Any]) -> str:
    """Return in words how that one ended."""
    fell_back = one.get("largest_present_gib", 0) > one["largest_clean_gib"]
    return _ENDS["degraded" if fell_back else one.get("next_result", "failed")]


def _tables() -> dict[int, list[Mapping[str, Any]]]:
    """Return by size what is known of each guest, its recording first, which is empty if there is none."""
    found: dict[int, list[Mapping[str, Any]]] = {}
    for name in ("capacity.json.xz", "more-boot-sizes.json.xz"):
        with lzma.open(DATA / name) as handle:
            for row in json.load(handle)["table"]:
                if "capped_at_gib" not in row:
                    found.setdefault(row["boot_memory_bytes"], [row])
    for row in json.loads((DATA / "probed-again.json").read_text(encoding="utf-8"))["table"]:
        found.setdefault(row["boot_memory_bytes"], [{}]).append(row)
    return found


def _recorded(row: Mapping[str, Any]) -> int:
    with tempfile.TemporaryDirectory() as folder:
        for name, text in row["boot_step"]["files"].items():
            path = Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        line = f"memory_hotplug.memmap_on_memory={row['memmap_on_memory']}"
        return _largest(from_snapshot(folder, step=None, arch=None, kernel="linux-6.12", cmdline=line))


def _between(size: int, taken: Mapping[int, int]) -> int:
    """Predict a guest of which the size is known: what its kernel keeps lies between what two others keep."""
    sizes = sorted(taken)
    low, high = sizes[bisect(sizes, size) - 1], sizes[bisect(sizes, size)]
    kept = taken[low] + (taken[high] - taken[low]) * (size - low) // (high - low)
    with tempfile.TemporaryDirectory() as folder:
        profile = Path(folder, "profile.yaml")
        profile.write_text(f"{{name: between, image: {_IMAGE}, early: {kept - _IMAGE}, early_share: {_NO_SHARE}}}\n")
        return _largest(from_boot(size, arch="x86_64", kernel="linux-6.12", profile=str(profile), cmdline=""))


def _largest(subject: Subject) -> int:
    question = Question(driver="acpi", sizes=(GIB,), online="none")
    return largest_add(subject.boot(), question, lambda tried: tried.safe).size // GIB


def _print(found: Sequence[Row]) -> None:
    lines = []
    for row in found:
        source = "its boot state" if row.recorded else "its neighbours"
        ends = "-" if row.next_gib is None else f"{row.next_gib} {row.ends}"
        measured = "-".join(map(str, sorted({row.measured[0], row.measured[-1]})))
        lines.append([typed_size(row.boot), measured, str(row.predicted), str(row.margin), source, ends])
    print(*table(("BOOT", "MEASURED", "PREDICTED", "MARGIN", "FROM", "NEXT"), lines, ("FROM", "NEXT")), sep="\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; return 1 if more is predicted than a guest took, else 0."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    as_json = parser.parse_args(arguments).json
    found = list(rows())
    unsafe = [row for row in found if row.margin > 0]
    if as_json:
        guests = [asdict(row) | {"margin": row.margin} for row in found]
        print(json.dumps({"schema": 1, "ok": not unsafe, "guests": guests}))
    else:
        _print(found)
    return 1 if unsafe else 0


if __name__ == "__main__":
    sys.exit(main())
