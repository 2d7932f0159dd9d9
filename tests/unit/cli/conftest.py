"""Running ``mhp`` inside the test's process, or in one of its own with plugins of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import pytest

from memhotplug.cli import main

HEAD = "schema: 1\nmachine: {arch: x86_64, kernel: v2-2019, memory: 4G}\nsteps:\n"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command ended: its exit status and everything that it wrote."""

    status: int
    out: str
    err: str


Mhp: TypeAlias = Callable[..., Outcome]
Write: TypeAlias = Callable[..., Path]


@pytest.fixture
def mhp(capsys: pytest.CaptureFixture[str]) -> Mhp:
    """Return a function that runs ``mhp`` with some arguments in this process."""

    def call(*args: object) -> Outcome:
        status = main([str(arg) for arg in args])
        captured = capsys.readouterr()
        return Outcome(int(status), captured.out, captured.err)

    return call


@pytest.fixture
def scenario(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Return a function that writes steps into s.yaml in the working directory."""
    monkeypatch.chdir(tmp_path)

    def call(*steps: str, head: str = HEAD) -> Path:
        Path("s.yaml").write_text(head + "".join(f"  - {step}\n" for step in steps))
        return Path("s.yaml")

    return call


@pytest.fixture
def process(tmp_path: Path) -> Mhp:
    """Return a function that runs ``mhp`` in a process of its own.

    ``plugins`` maps entry points, ``drivers.acme``, to the source of the module that they name; they
    are installed for that process only, as a package ``acme`` of version 1.0.
    """

    def call(*args: object, plugins: Mapping[str, str] | None = None, stdin: bytes = b"", **env: str) -> Outcome:
        home = tmp_path / "site"
        _install(home, plugins or {})
        done = subprocess.run(
            [sys.executable, "-m", "memhotplug", *map(str, args)],
            input=stdin,
            capture_output=True,
            check=False,
            cwd=tmp_path,
            timeout=60,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(home), *sys.path[1:]]), **env},
        )
        return Outcome(done.returncode, done.stdout.decode(), done.stderr.decode())

    return call


def _install(home: Path, plugins: Mapping[str, str]) -> None:
    info = home / "acme-1.0.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    lines = []
    for number, (entry, source) in enumerate(plugins.items()):
        kind, _, name = entry.partition(".")
        (home / f"acme_{number}.py").write_text(source)
        lines += [f"[memhotplug.{kind}]", f"{name} = acme_{number}"]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
