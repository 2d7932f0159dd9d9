"""One engine, one truth: the scenario that ``plan`` writes comes out in ``run`` as the verdict says."""

from __future__ import annotations

import contextlib
import io
import json
import random
import tempfile
from pathlib import Path

import pytest

from memhotplug.cli import main
from memhotplug.engine.memory_hotplug.presence import drivers_of
from memhotplug.manager import names
from memhotplug.naming import kernels

_WORDS = (
    "memory_hotplug.memmap_on_memory=1",
    "memhp_default_state=online_kernel",
    "memhp_default_state=online_movable",
    "memhp_default_state=online",
    "movable_node",
    "cma=64M",
)


def _main(arguments: list[str]) -> tuple[int, str]:
    """Return exit status and stdout of one command."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
        status = main(arguments)
    return status, out.getvalue()


def _question(arch: str, seed: int) -> list[str]:
    """Return plan's options for one random question."""
    rng = random.Random(f"{arch} {seed}")
    driver = rng.choice(drivers_of(arch))
    return [
        "--boot", rng.choice(("1G", "2G", "4G")), "--arch", arch, "--kernel", rng.choice(list(kernels())),
        "--driver", driver, "--add", rng.choice(("128M", "256M", "1G", "2G", "16G", "130M", "96G")),
        "--online", rng.choice(("movable", "kernel", "auto", "none")),
        "--cmdline", " ".join(rng.sample(_WORDS, rng.randrange(3))),
    ]  # fmt: skip


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("arch", sorted(names("arch")))
def test_a_scenario_that_plan_writes_ends_as_the_verdict_says(arch: str, seed: int) -> None:
    """What fits runs to its end; what does not fails, and at its last step."""
    question = _question(arch, seed)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "question.yaml"
        status = _main(["plan", *question, "--scenario", str(file), "--brief"])[0]
        ran, out = _main(["run", str(file), "--json"])
    assert status in (0, 3, 4), question
    assert ran == (1 if status == 4 else 0), question
    steps = [step["ok"] for step in json.loads(out)["steps"]]
    assert steps == [True] * (len(steps) - 1) + [ran == 0], question
