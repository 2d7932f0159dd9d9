"""Who runs: told while it lasts, also from inside another, and what is printed meanwhile is no answer."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from memhotplug import Machine
from memhotplug.manager import running


def test_nobody_runs_at_first() -> None:
    """Between two calls there is nobody to blame."""
    assert running.who() is None


def test_an_import_inside_an_import_is_told_and_left(capsys: pytest.CaptureFixture[str]) -> None:
    """The outer one runs again when the inner one is over."""
    with running.importing("outer"):
        with running.importing("inner"):
            print("noise")
            assert running.who() == "inner"
        assert running.who() == "outer"

    assert running.who() is None
    assert capsys.readouterr() == ("", "noise\n")


def test_a_hook_is_told_with_its_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a hook that hangs the watchdog says which."""
    seen: list[str] = []

    def boot_base(arguments: Mapping[str, object]) -> int:
        seen.append(str(running.who()))
        return 0

    machine = Machine.boot(arch="x86_64", kernel="linux-6.12", memory="1G")
    plugins = machine.kernel.plugins
    monkeypatch.setitem(plugins._hooks[plugins.arch], "boot_base", boot_base)

    plugins.ask(plugins.arch, "boot_base", int, geometry=machine.kernel.geometry)

    assert [text.partition(" ")[0] for text in seen] == ["x86_64"]
    assert seen[0].endswith(", hook boot_base")
    assert running.who() is None
