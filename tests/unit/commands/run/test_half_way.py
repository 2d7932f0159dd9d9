"""A device that stops half-way tells what came, and breaks no law by it, however the step is spelled."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from memhotplug.cli import main

SCENARIO = """\
schema: 1
machine: {{arch: x86_64, kernel: linux-6.12, memory: 256M, cmdline: "memhp_default_state=offline"}}
steps:
  - add: {{driver: virtio_mem, name: v0, size: 128M, device_size: 4G}}
  - {step}
"""


@pytest.mark.parametrize(
    "step",
    [
        "resize: {range: v0, size: 4G, fails: ENOSPC}",
        "add: {driver: virtio_mem, name: r0, resize: v0, size: 4G, fails: ENOSPC}",
    ],
)
def test_a_resize_that_stops_half_way_is_told_as_such(
    step: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The driver keeps what it has and waits for memory to be onlined."""
    path = tmp_path / "half.yaml"
    path.write_text(SCENARIO.format(step=step))

    assert main(["run", str(path), "--check", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["violations"] == []
    assert document["steps"][1]["errno"] == "ENOSPC"
    assert document["steps"][1]["blocks_done"] == list(range(33, 40))
