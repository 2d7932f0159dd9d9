"""`mhp mount` from its first line to its end: below a folder, until a signal or an unmount."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.live.scenarios import PINNED

from memhotplug.live.requirements import missing

_MHP = [sys.executable, "-m", "memhotplug"]


class Mount:
    """A machine with eight blocks whose pages are pinned, mounted below a folder."""

    def __init__(self, folder: Path) -> None:
        self.left = folder / "left"
        self._place = folder / "tree"
        self._place.mkdir()
        (folder / "pinned.yaml").write_text(PINNED)
        words = [*_MHP, "mount", "-o", str(self.left), str(folder / "pinned.yaml"), str(self._place)]
        words = ["env", "--default-signal", *words]  # who runs the suite under nohup ignores some
        self.process = subprocess.Popen(
            words, stderr=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": str(folder)}
        )
        assert self.process.stderr is not None
        assert self.process.stderr.readline().startswith("mhp: control socket: ")
        while not self.state(32).exists():
            if self.process.poll() is not None:
                pytest.skip(self.end()[1])

    def state(self, block: int) -> Path:
        """Return the file of a block's state."""
        return self._place / f"sys/devices/system/memory/memory{block}/state"

    def end(self) -> tuple[int, str]:
        """Wait until it is over; return its status and what else it said."""
        assert self.process.stderr is not None
        with self.process.stderr as words:
            return self.process.wait(), words.read()

    @property
    def is_there(self) -> bool:
        """Whether the host knows of it."""
        return str(self._place) in Path("/proc/self/mounts").read_text()


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mount]:
    """Return a mounted machine."""
    if missing() is not None or shutil.which("fusermount3") is None:
        pytest.skip(missing() or "fusermount3 is not installed")
    mounted = Mount(tmp_path)
    yield mounted
    if mounted.process.poll() is None:
        mounted.process.kill()
        mounted.end()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_its_end_and_no_failure(mount: Mount, number: signal.Signals) -> None:
    """Nothing stays mounted, and what was done to it is left."""
    mount.process.send_signal(number)
    assert mount.end() == (0, "")
    assert not mount.is_there
    assert json.loads((mount.left / "result.json").read_text())["ok"] is True


def test_an_unmount_is_its_end_too(mount: Mount) -> None:
    """As by whoever unmounts all there is."""
    subprocess.run(["fusermount3", "-u", str(mount.state(32).parents[5])], check=True)
    assert mount.end() == (0, "")


def test_a_write_that_would_wait_for_ever_does_not_keep_it_from_its_end(mount: Mount) -> None:
    """Whoever waits is told that he is interrupted."""
    writer = subprocess.Popen(["sh", "-c", f"trap '' INT; echo offline > {mount.state(39)}"], stderr=subprocess.DEVNULL)
    while mount.state(39).read_text() != "going-offline\n":
        pass
    mount.process.send_signal(signal.SIGINT)
    assert mount.end() == (0, "")
    assert writer.wait() != 0
    assert "fails: EINTR" in (mount.left / "steps.yaml").read_text()
