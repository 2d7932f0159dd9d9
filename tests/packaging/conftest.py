"""A fresh virtual environment with the project and the third-party plugins installed from wheels."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PLUGINS = ROOT / "tests" / "data" / "plugins"
EXAMPLES = ROOT / "examples"
ACME = ("acme_arch", "acme_driver", "acme_broken")
PACKAGES = (*(PLUGINS / name for name in ACME), EXAMPLES / "riscv64", EXAMPLES / "cxl")
_KEPT = ("PATH", "HOME", "TMPDIR", "LANG", "SYSTEMROOT")


def environment() -> dict[str, str]:
    """Return a process environment in which nothing of the developer's own set-up shows."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return {**kept, "PYTHONNOUSERSITE": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_CONFIG_FILE": os.devnull}


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, whatever its exit status."""
    words = [str(word) for word in command]
    return subprocess.run(words, cwd=cwd, env=environment(), capture_output=True, text=True, timeout=300, check=False)


def pip(*arguments: str | Path, cwd: Path) -> None:
    """Run pip without network; fail with what it says."""
    done = run(sys.executable, "-m", "pip", *arguments, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr


@dataclass(frozen=True, slots=True)
class Installed:
    """An environment that has the project and the plugins.

    Attributes:
        folder: a folder of its own to run in.
        bin: where its commands are.
    """

    folder: Path
    bin: Path

    def mhp(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run the installed command."""
        return run(self.bin / "mhp", *arguments, cwd=self.folder)

    def python(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run the environment's interpreter."""
        return run(self.bin / "python", *arguments, cwd=self.folder)

    def scenario(self, driver: str) -> Path:
        """Write a scenario that uses one driver and return its file's name, relative to the folder."""
        head = "schema: 1\nmachine: {arch: x86_64, kernel: v2-2019, memory: 4G}\nsteps:\n"
        (self.folder / f"{driver}.yaml").write_text(
            f"{head}  - add: {{driver: {driver}, size: 1G}}\n", encoding="utf-8"
        )
        return Path(f"{driver}.yaml")


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheels of the project and of the plugins with the build tools that are installed here."""
    folder = tmp_path_factory.mktemp("wheels")
    sources = [ROOT]
    for package in PACKAGES:
        sources.append(folder / "src" / package.name)
        shutil.copytree(package, sources[-1])
    pip("wheel", "-q", "--no-index", "--no-deps", "--no-build-isolation", "-w", folder, *sources, cwd=folder)
    return folder


@pytest.fixture(scope="session")
def installed(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Install the wheels into a fresh environment; dependencies come from the one that runs the tests."""
    folder = tmp_path_factory.mktemp("third-party")
    target = folder / "venv"
    venv.create(target, system_site_packages=True, with_pip=False)
    binaries = target / ("Scripts" if os.name == "nt" else "bin")
    wheel_files = sorted(wheels.glob("*.whl"))
    pip("--python", target, "install", "-q", "--no-index", "--no-deps", *wheel_files, cwd=folder)
    site = run(
        binaries / "python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder
    ).stdout.strip()
    ours = sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})
    Path(site, "dependencies.pth").write_text("".join(f"{path}\n" for path in ours), encoding="utf-8")
    return Installed(folder, binaries)
