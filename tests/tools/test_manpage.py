"""The man page is made from the commands' own help, and shipped."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from memhotplug.cli.group import COMMANDS
from tools import manpage


def test_every_command_and_the_exit_statuses_are_in_it() -> None:
    """With their options."""
    page = manpage.render()
    for name in COMMANDS:
        assert f'.SS "mhp {name} ' in page
    assert page.count("Exit status:") == len(COMMANDS) + 1
    assert "\\-\\-against" in page
    assert page.startswith('.TH MHP 1 "" "memhotplug ')


def test_the_page_in_the_tree_has_every_command() -> None:
    """Written anew with tools/manpage.py whenever the help changes."""
    page = manpage.DEFAULT.read_text(encoding="utf-8")
    assert [name for name in COMMANDS if f'.SS "mhp {name} ' not in page] == []


def test_check_tells_an_old_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And one that is not there."""
    path = tmp_path / "mhp.1"
    assert manpage.main(["-o", str(path), "--check"]) == 1
    assert manpage.main(["-o", str(path)]) == 0
    assert manpage.main(["-o", str(path), "--check"]) == 0
    path.write_text("old", encoding="utf-8")
    assert manpage.main(["-o", str(path), "--check"]) == 1
    assert capsys.readouterr().err.endswith("mhp.1 is not up to date: run python tools/manpage.py\n")


def test_no_line_is_a_request_by_accident() -> None:
    """Only those that this page uses begin with a dot."""
    words = {line.split()[0] for line in manpage.render().splitlines() if line.startswith((".", "'"))}
    assert words <= {".TH", ".SH", ".SS", ".B", ".BR", ".PP", ".TP", ".nf", ".fi"}


@pytest.mark.skipif(shutil.which("groff") is None, reason="no groff is installed")
def test_groff_has_nothing_to_say(tmp_path: Path) -> None:
    """All warnings on."""
    (tmp_path / "mhp.1").write_text(manpage.render(), encoding="utf-8")
    words = ["groff", "-man", "-Tutf8", "-ww", "-z", str(tmp_path / "mhp.1")]
    assert subprocess.run(words, capture_output=True, text=True, check=False).stderr == ""
