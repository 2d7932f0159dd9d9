"""What a recording's texts say is looked at once, by whoever asks first; and never longer than for one recording."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from memhotplug.commands.conform.replay import Replay
from memhotplug.errors import InputError
from memhotplug.formats.snapshot import iomem, read_recording, zoneinfo
from memhotplug.formats.snapshot.iomem import parse_iomem
from memhotplug.formats.snapshot.known import Known
from memhotplug.formats.snapshot.source import Source

FILE = Path(__file__).parents[3] / "data" / "recordings" / "x86_64-6.12-mom-1-b.json.xz"


def _lookers(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count the lines of iomem and of zones that are really looked at."""
    counts: Counter[str] = Counter()

    def count(name: str, look: Callable[[str], object]) -> Callable[[str], object]:
        def looking(lines: str) -> object:
            counts[name] += 1
            return look(lines)

        return looking

    monkeypatch.setattr(iomem, "_entry", count("iomem", iomem._entry))
    monkeypatch.setattr(zoneinfo, "_good_zone", count("zone", zoneinfo._good_zone))
    return counts


def test_a_replay_looks_at_each_text_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Booting a machine and comparing it read the same files; a second replay begins anew."""
    recording = read_recording(FILE)
    files = [step.files or {} for step in recording.steps]
    ranges = {line for one in files for line in one["proc/iomem"].splitlines()}
    zones = {lines for one in files for lines in one["proc/zoneinfo"].removeprefix("Node ").split("\nNode ")}
    counts = _lookers(monkeypatch)
    for _ in range(2):
        counts.clear()
        for facts, _outcome in Replay(recording).run():
            assert facts.zones is not None
            assert facts.ram is not None
        assert counts == {"iomem": len(ranges), "zone": len(zones)}


def test_what_is_wrong_is_wrong_each_time() -> None:
    """It is told with the place of whoever asks."""
    known = Known()
    for place in ("steps[0]", "steps[1]"):
        with pytest.raises(InputError) as caught:
            parse_iomem("nonsense\n", Source(file="r.json", place=place), known.ranges)
        assert (caught.value.file, caught.value.path) == ("r.json", f"{place} line 1")
