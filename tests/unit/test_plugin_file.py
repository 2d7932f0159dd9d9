"""Plugins from a file: what they are called, of which kind they are, and what is wrong with those that are none."""

from __future__ import annotations

import os
import sys
from contextvars import copy_context
from pathlib import Path

import pytest

from memhotplug import InputError, Machine, PluginError
from memhotplug.manager import candidates, choose, files_in_use, names, using
from memhotplug.output.watchdog import limited
from memhotplug.plugin_file import load

IMPORT = "from memhotplug.plugin import hookimpl\n"
POLICY = IMPORT + "@hookimpl\ndef policy_mhp_flags(kernel, request, phys_range, driver_flags): return driver_flags\n"
DRIVER = IMPORT + (
    "@hookimpl\ndef driver_keys(): return {}\n"
    "@hookimpl\ndef driver_ranges(kernel, request): return []\n"
    "@hookimpl\ndef mhp_flags(kernel, request, phys_range): return 0\n"
)
PROFILE = IMPORT + "@hookimpl\ndef kernel_profile(): return None\n"


def write(folder: Path, text: str, name: str = "mine.py") -> str:
    """Return the path of a file."""
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(("text", "kind"), [(POLICY, "policies"), (DRIVER, "drivers"), (PROFILE, "profiles")])
def test_the_kind_follows_from_the_hooks(text: str, kind: str, tmp_path: Path) -> None:
    """And the name from the file."""
    found = load(write(tmp_path, text))
    assert (found.kind, found.name) == (kind, "mine")
    assert str(found) == f"mine ({tmp_path}/mine.py)"


def test_plugin_name_counts_more_than_the_file(tmp_path: Path) -> None:
    """A file may be called anything then."""
    assert load(write(tmp_path, POLICY + "PLUGIN_NAME = 'other-one'\n", "2 words.py")).name == "other-one"


def test_the_file_of_a_package_is_called_as_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever way leads to it."""
    (tmp_path / "large_first").mkdir()
    path = write(tmp_path / "large_first", POLICY, "__init__.py")
    monkeypatch.chdir(tmp_path / "large_first")

    assert [load(way).name for way in (path, "__init__.py", "../large_first/__init__.py")] == ["large_first"] * 3


def test_a_policy_cannot_be_called_like_the_driver_s_own(tmp_path: Path) -> None:
    """It could never be chosen."""
    with pytest.raises(PluginError) as caught:
        load(write(tmp_path, POLICY, "default.py"))
    text = "the name default is the driver's own policy's; it needs another"
    assert str(caught.value) == f"plugin default ({tmp_path}/default.py): {text}"


def test_files_count_inside_their_block_only(tmp_path: Path) -> None:
    """No trace is left behind it, and another block inside adds to it."""
    one, two = load(write(tmp_path, POLICY)), load(write(tmp_path, POLICY + "#\n", "yours.py"))
    before = candidates()
    with using([one]):
        assert choose("policies", "mine") is one
        with using([one, two]):
            assert {"mine", "yours"} <= set(names("policies"))
        assert files_in_use() == (one,)
    assert candidates() == before
    with pytest.raises(PluginError, match="plugin mine: "):
        choose("policies", "mine")


def test_the_same_content_is_loaded_once_and_a_change_anew(tmp_path: Path) -> None:
    """What counts is what the file contains."""
    path = write(tmp_path, POLICY)
    first = load(path)
    assert load(path) is first
    write(tmp_path, POLICY + "EXTRA = 1\n")
    again = load(path)
    assert again.target != first.target
    assert again.version != first.version
    assert sys.modules[again.target].EXTRA == 1


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("def broken(:\n", "cannot be loaded: SyntaxError: invalid syntax, line 1"),
        ("raise RuntimeError('no')\n", "cannot be loaded: RuntimeError: no, at {path}:1"),
        ("import sys\nsys.exit(3)\n", "cannot be loaded: SystemExit: 3, at {path}:2"),
        ("X = 1\n", "has no hook that makes it a plugin, a function marked @hookimpl such as arch_traits (arch), "
         "kernel_profile (profiles), driver_traits (drivers), policy_mhp_flags (policies)"),
        (POLICY + PROFILE, "has hooks of several kinds, policies and profiles; make a file of each"),
        (IMPORT + "@hookimpl\ndef policy_mhp_flag(kernel): return 0\n",
         "there is no hook 'policy_mhp_flag'; did you mean 'policy_mhp_flags'?"),
        (IMPORT + "@hookimpl\ndef driver_keys(): return {}\n", "has no hook driver_ranges, mhp_flags"),
        (POLICY + "PLUGIN_NAME = 3\n", "PLUGIN_NAME 3 is no name for a plugin, which is letters, digits and _ . -"),
    ],
)  # fmt: skip
def test_what_is_no_plugin_is_named_with_the_reason(text: str, problem: str, tmp_path: Path) -> None:
    """One line each."""
    path = write(tmp_path, text)
    with pytest.raises(PluginError) as caught:
        load(path)
    assert str(caught.value) == f"plugin mine ({path}): {problem.replace('{path}', path)}"


def test_a_hook_with_an_unknown_argument_is_named(tmp_path: Path) -> None:
    """As an installed plugin's is."""
    path = write(tmp_path, IMPORT + "@hookimpl\ndef policy_mhp_flags(kernel, range): return 0\n")
    with pytest.raises(PluginError, match=r"plugin mine \(.*range"):
        load(path)


def test_a_file_that_is_not_there_is_bad_input(tmp_path: Path) -> None:
    """So is a folder."""
    for path, reason in ((tmp_path / "none.py", "No such file or directory"), (tmp_path, "Is a directory")):
        with pytest.raises(InputError) as caught:
            load(str(path))
        assert str(caught.value) == f"{path}: got {reason}, expected a plugin file that can be read"


def test_a_name_that_is_taken_is_refused(tmp_path: Path) -> None:
    """By an installed plugin, or by another file."""
    path = write(tmp_path, DRIVER, "acpi.py")
    with pytest.raises(PluginError) as caught:
        using([load(path)])
    assert str(caught.value).startswith(f"plugin acpi ({path}): the name is taken by acpi (memhotplug ")
    (tmp_path / "sub").mkdir()
    one, two = load(write(tmp_path, POLICY)), load(write(tmp_path / "sub", POLICY + "#\n"))
    with pytest.raises(PluginError, match="the name is taken by mine"):
        using([one, two])


def test_printing_at_import_does_not_reach_stdout(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It belongs to the answer."""
    load(write(tmp_path, "print('hello')\n" + POLICY))
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "hello\n")


def test_a_machine_remembers_the_files_it_was_booted_with(tmp_path: Path) -> None:
    """A driver that is only needed later is still found, in the machine and in its copies."""
    text = DRIVER.replace("return []", "return [PhysRange(start=1 << 32, size=request.size)]").replace(
        "import hookimpl", "import PhysRange, hookimpl"
    )
    machine = Machine.boot(arch="x86_64", kernel="linux-6.12", memory="1G", plugins=write(tmp_path, text))
    assert machine.copy().add_memory(driver="mine", size="128M").blocks == (32,)
    assert machine.add_memory(driver="mine", size="128M").blocks == (32,)


def test_one_file_by_two_paths_is_one_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a worker process is given the whole path of what the user named by a short one."""
    path = write(tmp_path, POLICY)
    monkeypatch.chdir(tmp_path)
    with using([load("mine.py"), load(path)]), using([load("./mine.py")]):
        assert [found.name for found in candidates("policies")].count("mine") == 1


def test_a_block_may_be_left_where_it_was_not_entered(tmp_path: Path) -> None:
    """As the collector does with one that nobody closed: it says nothing, and the other place keeps its own."""
    file = load(write(tmp_path, POLICY))
    elsewhere = copy_context()
    block = using([file])
    elsewhere.run(block.__enter__)
    assert elsewhere.run(files_in_use) == (file,)

    block.__exit__(None, None, None)

    assert files_in_use() == ()
    assert elsewhere.run(files_in_use) == (file,)


def test_an_edit_of_the_same_second_and_size_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No compiled copy is kept: it would be told from the file by those two only."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    values = []
    for value in (1, 2):
        path = write(tmp_path, POLICY + f"VALUE = {value}\n")
        os.utime(path, (1_700_000_000, 1_700_000_000))
        values.append(sys.modules[load(path).target].VALUE)
    assert values == [1, 2]
    assert [found.name for found in tmp_path.iterdir()] == ["mine.py"]


def test_a_pipe_is_read_once(tmp_path: Path) -> None:
    """As a shell hands over what a command prints."""
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as stream:
        stream.write(POLICY + "PLUGIN_NAME = 'piped'\n")
    try:
        assert load(f"/dev/fd/{reading}").name == "piped"
    finally:
        os.close(reading)


def test_a_pipe_that_nobody_writes_to_takes_as_long_as_a_plugin_may(tmp_path: Path) -> None:
    """It is named like a plugin that hangs."""
    path = tmp_path / "mine.py"
    os.mkfifo(path)
    with pytest.raises(PluginError) as caught, limited(0.01):
        load(str(path))
    assert str(caught.value) == f"plugin mine ({path}): took longer than 0.01 s"
