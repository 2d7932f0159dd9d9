"""The first steps after an installation from the wheel, in a folder that knows nothing of the source tree."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.packaging.conftest import ROOT, Installed, environment

SHELLS = {
    "bash": "source {share}/bash-completion/completions/mhp; COMP_WORDS=({words}); COMP_CWORD={index}; "
    "_mhp_completion mhp; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
    "zsh": "compdef() {{ : }}; compadd() {{ print -l -- ${{(P)${{argv[-1]}}}} }}; "
    "_describe() {{ print -l -- ${{(P)${{argv[3]}}}} }}; source {share}/zsh/site-functions/_mhp; "
    "words=({words}); CURRENT=$(({index} + 1)); _mhp_completion",
    "fish": "source {share}/fish/vendor_completions.d/mhp.fish; complete -C '{words}'",
}


def share(installed: Installed) -> Path:
    """Return where the installation has what is no code."""
    return installed.bin.parent / "share"


def readme_output(command: str) -> list[str]:
    """Return what the README shows of a command's output, up to the first line left out."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = text.partition(f"mhp {command}\n")[2].partition("```")[0].splitlines()
    return shown[: shown.index("…")]


def test_the_first_command_of_the_readme(installed: Installed, tmp_path: Path) -> None:
    """On the scenario that the wheel brought; the same lines."""
    shutil.rmtree(installed.folder / "scenarios", ignore_errors=True)
    copied = installed.mhp("examples", "small-guest-12g", "-o", ".")
    assert copied.returncode == 0, copied.stderr
    done = installed.mhp("run", "scenarios/small-guest-12g.yaml")
    assert (done.returncode, done.stderr) == (0, "")
    expected = readme_output("run scenarios/small-guest-12g.yaml")
    assert len(expected) > 5
    assert done.stdout.splitlines()[: len(expected)] == expected


@pytest.mark.parametrize("arguments", [("examples",), ("plan", "--boot", "1G", "--add", "8G"), ("--help",)])
def test_what_one_tries_next(installed: Installed, arguments: tuple[str, ...]) -> None:
    """Works, and says nothing on stderr."""
    done = installed.mhp(*arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


def test_a_report_is_written(installed: Installed) -> None:
    """Page, style and script are in the wheel."""
    assert installed.mhp("examples", "cover-letter-device", "-o", "again").returncode == 0
    done = installed.mhp("report", "again/scenarios/cover-letter-device.yaml", "-o", "r.html")
    assert done.returncode == 0, done.stderr
    assert "<style>" in (installed.folder / "r.html").read_text(encoding="utf-8")


def test_schemas_are_printed(installed: Installed) -> None:
    """Descriptions are read from the sources that the wheel brought."""
    done = installed.mhp("schema", "--output", "plan")
    assert (done.returncode, done.stderr) == (0, "")
    assert "What decided" in done.stdout


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("mhp", "pl"), {"plan", "plugins"}),
        (("mhp", "plan", "--driver", "v"), {"virtio_mem"}),
        (("mhp", "explain", "--arch", "s3"), {"s390"}),
        (("mhp", "schema", "--output", "co"), {"compare", "conform"}),
    ],
)
@pytest.mark.parametrize("shell", SHELLS)
def test_tab_completes(installed: Installed, shell: str, words: tuple[str, ...], offered: set[str]) -> None:
    """By the script in the place where the shell looks for it."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed here")
    text = SHELLS[shell].format(share=share(installed), words=" ".join(words), index=len(words) - 1)
    flags = {"bash": ["--norc", "-c"], "zsh": ["-f", "-c"], "fish": ["--no-config", "-c"]}[shell]
    env = {**environment(), "PATH": os.pathsep.join([str(installed.bin), os.environ["PATH"]]), "HOME": "/tmp"}
    done = subprocess.run([shell, *flags, text], capture_output=True, text=True, env=env, timeout=120, check=False)
    assert {line.split("\t")[0].split(":")[0] for line in done.stdout.split()} >= offered, done.stderr
    assert not {line for line in done.stdout.split() if line in ("run", "arm64", "acpi")}


def test_the_man_page_is_where_man_looks(installed: Installed) -> None:
    """In the share folder beside the command, as pipx expects it; man shows it without a complaint."""
    page = share(installed) / "man" / "man1" / "mhp.1"
    assert page.read_bytes() == (ROOT / "docs" / "man" / "mhp.1").read_bytes()
    if shutil.which("man") is None:
        pytest.skip("man is not installed here")
    env = {**environment(), "MANPATH": str(share(installed) / "man"), "MANWIDTH": "80", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(["man", "--warnings", "mhp"], capture_output=True, text=True, env=env, check=False)
    if "manpages" in done.stdout + done.stderr and "minimized" in done.stdout + done.stderr:
        pytest.skip("this system has no man pages at all")
    assert done.returncode == 0, done.stderr
    assert "mhp - model of Linux physical memory hotplug" in done.stdout
