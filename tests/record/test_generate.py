"""Random scenarios for the recorder: the same by seed, possible, and between them everything that can be done."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import yaml
from tools.record.arch import ARCHITECTURES
from tools.record.generate import generate, main
from tools.record.scenario import load, parse

SEEDS = range(150)


@pytest.mark.parametrize("arch", sorted(ARCHITECTURES))
def test_every_scenario_can_be_recorded_and_is_the_same_by_its_seed(arch: str) -> None:
    """Read as a file is, and no two seeds give the same steps."""
    seen = set()
    for seed in SEEDS:
        document = generate(arch, seed)
        assert document == generate(arch, seed)
        assert (document["name"], document["arch"]) == (f"{arch}-random-{seed}", arch)
        scenario = parse(yaml.safe_load(yaml.safe_dump(document)))
        assert 6 <= len(scenario.steps) <= 30
        seen.add(repr(scenario.steps))
    assert len(seen) == len(SEEDS)


@pytest.mark.parametrize(
    ("arch", "kinds"),
    [
        ("x86_64", {"add", "online", "offline", "remove", "write", "hog", "resize"}),
        ("ppc64el", {"add", "online", "offline", "remove", "write", "hog"}),
        ("arm64", {"online", "offline", "write"}),
        ("s390x", {"online", "offline", "write"}),
    ],
)
def test_between_them_they_do_everything(arch: str, kinds: set[str]) -> None:
    """Each operation that the architecture has, and none that it does not have; command lines of all kinds."""
    documents = [generate(arch, seed) for seed in SEEDS]
    counts = Counter(next(iter(step)) for document in documents for step in document["steps"])
    assert set(counts) == kinds
    assert min(counts.values()) >= 20
    words = {word for document in documents for word in document["cmdline"].split()}
    assert {"memory_hotplug.memmap_on_memory=1", "memory_hotplug.online_policy=auto-movable"} <= words


def test_a_scenario_is_this_one() -> None:
    """The seed is the whole of it: what changes here changes every name that recordings bear."""
    document = generate("s390x", 3)
    assert document["name"] == "s390x-random-3"
    assert list(document) == ["name", "what", "arch", "memory", "cmdline", "watch_boot_blocks", "timeout", "steps"]


def test_scenarios_are_files_in_a_folder_or_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One file a seed, which the recorder reads."""
    assert main(["--arch", "x86_64", "--seed", "7", "--count", "3", "-o", str(tmp_path / "new")]) == 0
    names = sorted(path.name for path in (tmp_path / "new").iterdir())
    assert names == [f"x86_64-random-{seed}.yaml" for seed in (7, 8, 9)]
    assert load(tmp_path / "new" / names[0]).name == "x86_64-random-7"
    assert main(["--arch", "arm64"]) == 0
    assert yaml.safe_load(capsys.readouterr().out) == generate("arm64", 0)
