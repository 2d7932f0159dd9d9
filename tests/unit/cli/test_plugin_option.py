"""``--plugin FILE``: what is wrong with a file is said in one line, however it goes wrong."""

from __future__ import annotations

import gc
import signal
from pathlib import Path

import pytest

from memhotplug.cli import main
from memhotplug.manager import files_in_use

HANGS = "while True: pass\n"
POLICY = (
    "from memhotplug.plugin import hookimpl\n"
    "@hookimpl\ndef policy_mhp_flags(kernel, request, phys_range, driver_flags): return 0\n"
)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no interval timers on this system")
@pytest.mark.parametrize("arguments", [["plugins"], ["run", "-"], ["compare", "none.yaml"]])
def test_a_file_that_hangs_is_ended_after_the_time_that_was_given(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """While it is imported, before the command itself begins; it is named as any plugin from a file."""
    path = tmp_path / "mine.py"
    path.write_text(HANGS)
    assert main([*arguments, "--plugin", str(path), "--plugin-timeout", "0.05"]) == 2
    assert capsys.readouterr().err == f"mhp: plugin mine ({path}): took longer than 0.05 s\n"


def test_a_file_counts_for_its_command_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The next command in the same process knows nothing of it, also after one that failed."""
    path = tmp_path / "mine.py"
    path.write_text(POLICY)
    question = ["explain", "--driver", "acpi", "--kernel", "6.12", "--arch", "x86_64"]
    assert main([*question, "--plugin", str(path), "--policy", "mine"]) == 0
    assert main([*question, "--plugin", str(path), "--policy", "other"]) == 2
    capsys.readouterr()
    assert main([*question, "--policy", "mine"]) == 2
    error = "mhp: --policy: got mine, expected an installed policy, or one from a file (--plugin FILE)\n"
    assert capsys.readouterr().err == error


@pytest.mark.parametrize("question", [["plan", "--boot", "1G", "--add", "1G"], ["explain", "--driver", "acpi"]])
@pytest.mark.parametrize("step", ["new_state", "module_parameters", "add_memory_resource"])
def test_a_profile_that_raises_is_blamed_by_every_command(
    step: str, question: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its steps are called directly, so that nobody on the way has looked whose exception it is."""
    path = tmp_path / "mine.py"
    path.write_text(
        "from memhotplug.plugin import hookimpl, profile_of\n"
        "class Mine(profile_of('linux-6.12')):\n"
        f"    def {step}(self, *arguments): return 1 / 0\n"
        "@hookimpl\ndef kernel_profile(): return Mine()\n"
    )
    assert main([*question, "--kernel", "mine", "--plugin", str(path)]) == 2
    assert capsys.readouterr().err == (
        f"mhp: plugin mine ({path}): raised ZeroDivisionError: division by zero, at {path}:3\n"
    )


@pytest.mark.parametrize(
    "wrong",
    [
        ["plan", "--boot", "1G", "--nonsense"],
        ["explain", "--driver"],
        ["run"],
        ["compare", "nowhere.yaml", "--vary", "x"],
        ["plan", "--add", "12"],
    ],
)
def test_a_wrong_option_leaves_no_file_behind(
    wrong: list[str], tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    """Neither counting as installed, nor something that the interpreter complains about when it is collected."""
    path = tmp_path / "mine.py"
    path.write_text(POLICY)
    assert main([*wrong, "--plugin", str(path)]) == 2
    assert files_in_use() == ()
    gc.collect()
    assert [str(warning.message) for warning in recwarn] == []
