"""The supervisor of ``mhp exec``, where what it needs does not do what it should."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from memhotplug.live.requirements import missing

pytestmark = pytest.mark.skipif(missing() is not None, reason=str(missing()))

FAILING = """
import sys
import memhotplug.live.filesystem as filesystem
from memhotplug.cli import main

def serve(live, place, **options):
    raise RuntimeError(1)

filesystem.serve = serve
sys.exit(main(["exec", "--boot", "1G", "--", "echo", "ran"]))
"""


def test_a_file_system_that_cannot_be_served_is_said_and_nothing_waits() -> None:
    """The command does not run; the namespace that it would have had is gone."""
    done = subprocess.run([sys.executable, "-c", FAILING], capture_output=True, text=True, timeout=120, check=False)

    assert done.stdout == ""
    assert done.returncode == 125
    assert done.stderr.startswith("mhp: ")
    assert len(done.stderr.splitlines()) == 1


LATE = """
import sys, time
import memhotplug.live.filesystem as filesystem
from memhotplug.cli import main

serve = filesystem.serve

def late(live, place, **options):
    serve(live, place, **options)
    time.sleep(0.3)
    print("served to the end", flush=True)

filesystem.serve = late
sys.exit(main(["exec", "--boot", "1G", "--", "sh", "-c", "sleep 60 & exit 3"]))
"""


def test_the_file_system_is_waited_for_at_the_end() -> None:
    """It takes leave of an interpreter that is still there, also where the command leaves somebody behind."""
    done = subprocess.run([sys.executable, "-c", LATE], capture_output=True, text=True, timeout=50, check=False)

    assert (done.returncode, done.stdout, done.stderr) == (3, "served to the end\n", "")


ENDED = """
import os, sys
from pathlib import Path
import memhotplug.live.namespace as namespace
from memhotplug.cli import main

kill_all = namespace.kill_all

def noted(name):
    held = [os.readlink(f"/proc/self/fd/{entry.name}") for entry in os.scandir("/proc/self/fd") if entry.is_symlink()]
    with open(Path(sys.argv[1]), "a") as notes:
        print(name.startswith("mnt:"), name in held, file=notes)
    kill_all(name)

namespace.kill_all = noted
sys.exit(main(["exec", "--boot", "1G", "--", "sh", "-c", "exit 3"]))
"""


def test_a_namespace_is_emptied_once_and_held_until_then(tmp_path: Path) -> None:
    """The kernel gives the name of one that is gone to the next: another exec that has it by then is left alone."""
    notes = tmp_path / "notes"
    done = subprocess.run([sys.executable, "-c", ENDED, notes], capture_output=True, text=True, timeout=50, check=False)

    assert (done.returncode, done.stdout, done.stderr) == (3, "", "")
    assert notes.read_text() == "True True\n"
