"""The options of exec, mount and export that say which machine it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Mhp = Callable[..., Any]


@pytest.mark.parametrize("command", ["exec", "mount", "export"])
@pytest.mark.parametrize(
    ("option", "first", "second"), [("--boot", "1G", "2G"), ("--kernel", "6.1", "6.12"), ("--arch", "arm64", "x86_64")]
)
def test_an_option_given_twice_is_refused(command: str, option: str, first: str, second: str, mhp: Mhp) -> None:
    """One of them would be dropped in silence."""
    done = mhp(command, "--boot", "1G", *([] if option == "--boot" else [option, first]), option, second, "x")
    assert (done.status, done.out) == (2, "")
    assert done.err == f"mhp: {option} is given twice; only one would count; see 'mhp {command} --help'\n"


def test_command_lines_are_joined(mhp: Mhp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As plan joins them."""
    monkeypatch.chdir(tmp_path)
    line = ("--cmdline", "memhp_default_state=online", "--cmdline", "movable_node")
    assert mhp("export", "--boot", "1G", *line, "-o", "out").status == 0
    assert (tmp_path / "out/proc/cmdline").read_text(encoding="utf-8") == "memhp_default_state=online movable_node\n"
    assert (tmp_path / "out/sys/devices/system/memory/auto_online_blocks").read_text(encoding="utf-8") == "online\n"
