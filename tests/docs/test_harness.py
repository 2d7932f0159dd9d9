"""What runs the examples notices when one of them does not do what it shows."""

from __future__ import annotations

import os
import select
from pathlib import Path

import pytest
from tests.docs.examples import (
    ROOT,
    Block,
    blocks_of,
    missing_line,
    own_part,
    run_session,
    shows_real_output,
    write_files,
)


def console(text: str) -> Block:
    """Return a console block."""
    return Block(ROOT / "docs" / "page.md", 1, "console", text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("$ echo one\ntwo\n", "page.md:1: echo one"),
        ("$ printf 'a\\nb\\n'\nb\na\n", "page.md:1: printf"),
        ("$ false\n", "page.md:1: false ends in 1"),
        ("$ (exit 4)\n$ echo $?\n3\n", "page.md:1: echo $?"),
        ("$ no-such-command-anywhere\n…\n", "ends in 127"),
    ],
)
def test_an_example_that_lies_is_found(text: str, said: str, tmp_path: Path) -> None:
    """Another line, another order, another exit status, one that is not shown."""
    with pytest.raises(AssertionError, match=said.replace("$", r"\$").replace("?", r"\?")):
        shows_real_output(console(text), tmp_path)


def test_a_session_is_one_shell(tmp_path: Path) -> None:
    """Folders, variables and exit statuses last from command to command; both streams are seen."""
    text = "$ mkdir a && cd a\n$ x=5\n$ echo $x $(basename $PWD) >&2\n5 a\n$ (exit 3)\n$ echo $?\n3\n"
    shows_real_output(console(text), tmp_path)
    assert [one.status for one in run_session(console(text), tmp_path / "a")] == [0, 0, 0, 3, 0]


def test_what_runs_in_the_background_is_ended(tmp_path: Path) -> None:
    """With the session, even if nobody ends it."""
    ran = run_session(console("$ sleep 600 > /dev/null 2>&1 &\n$ echo $!\n…\n"), tmp_path)
    try:
        handle = os.pidfd_open(int(ran[1].printed[0]))
    except ProcessLookupError:
        return
    watch = select.poll()
    watch.register(handle, select.POLLIN)
    assert watch.poll(60_000), "it is still there"
    os.close(handle)


def test_lines_may_be_left_out() -> None:
    """Whole ones, and the rest of one; the distance of columns counts for nothing, all else does."""
    real = ["head", "a  b   c", "long line with an end", "tail"]
    assert missing_line(["head", "…", "tail"], real) is None
    assert missing_line(["a b c", "long line …"], real) is None
    assert missing_line(["a b"], real) == "a b"
    assert missing_line(["long line"], real) == "long line"
    assert missing_line(["tail", "head"], real) == "head"


def test_installing_is_left_out() -> None:
    """And what follows it on the line is run where the tests are installed."""
    assert own_part("python3 -m venv .venv && .venv/bin/pip install . && .venv/bin/mhp run x") == "mhp run x"
    assert own_part("pip install x") is None
    assert own_part("cd a && mhp run x") == "cd a && mhp run x"


def test_files_of_a_page_are_written(tmp_path: Path) -> None:
    """As they stand there; what has no comments loses the line with its name."""
    page = ROOT / "docs" / "howto" / "autoscaler.md"
    write_files(page, tmp_path)
    assert (tmp_path / "requests.csv").read_text(encoding="utf-8").startswith("time,size,pressure\n")
    assert (tmp_path / "scaler.yaml").read_text(encoding="utf-8").startswith("# scaler.yaml\nschema: 1\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["requests.csv", "scaler.yaml"]
    assert {block.language for block in blocks_of(page)} == {"csv", "yaml", "console", "python"}
