"""Finds the examples in Markdown and runs them."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md")))
ALONE = ("tutorial.md", "howto")
"""Pages whose reader has the installed program and an empty folder, and nothing of the project's own."""
INSTALLERS = frozenset(("pip", "pipx", "uv", "apt-get", "venv"))
"""What a command with one of these words does is tested with the packages, not here."""

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"# ([\w.-]+\.(?:yaml|py|toml|csv|log))\n")
_PLAIN = (".csv", ".log")
_ELISION = "…"
_MARK = "\x1e"
_PORT = "8786"
"""Dask's port, which may be taken here; examples get another one."""


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block.

    Attributes:
        document: the file it stands in.
        line: the line that its text begins at.
        language: the word behind the fence.
        text: what is in it.
    """

    document: Path
    line: int
    language: str
    text: str

    @property
    def label(self) -> str:
        """Where it is, for the name of a test."""
        return f"{self.document.name}:{self.line}"

    @property
    def file(self) -> str | None:
        """The name of the file that the block is, if its first line says so."""
        found = _FILE.match(self.text)
        return found[1] if found else None


def blocks_of(document: Path, *languages: str) -> list[Block]:
    """Return the blocks of a document that are in one of some languages."""
    text = document.read_text(encoding="utf-8")
    found = []
    for match in _FENCE.finditer(text):
        line = text.count("\n", 0, match.start(2)) + 1
        found.append(Block(document, line, match[1], match[2]))
    return [block for block in found if not languages or block.language in languages]


def all_blocks(*languages: str) -> list[Block]:
    """Return the blocks of all documents."""
    return [block for document in DOCUMENTS if document.exists() for block in blocks_of(document, *languages)]


def write_files(document: Path, folder: Path) -> None:
    """Write the files that a document shows, and make the project's own reachable beside them."""
    if not set(document.relative_to(ROOT).parts) & set(ALONE):
        for name in ("scenarios", "examples", "tests", "docs", "bench"):
            (folder / name).symlink_to(ROOT / name)
    for block in blocks_of(document):
        if block.file is not None:
            text = block.text.split("\n", 1)[1] if Path(block.file).suffix in _PLAIN else block.text
            (folder / block.file).write_text(text, encoding="utf-8")


def sessions(block: Block) -> list[tuple[str, list[str]]]:
    """Return the commands of a console block, each with the lines that are shown below it."""
    found: list[tuple[str, list[str]]] = []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            found.append((line.removeprefix("$ "), []))
        elif found:
            found[-1][1].append(line)
    return found


def own_part(command: str) -> str | None:
    """Return a command without the parts that install something; None if nothing is left."""
    parts = [part for part in command.split(" && ") if not installs(part)]
    return " && ".join(parts).replace(".venv/bin/", "") or None


def installs(command: str) -> bool:
    """Return whether a command calls something that installs, wherever that lies."""
    return any(Path(word).name in INSTALLERS for word in command.split())


@dataclass(frozen=True, slots=True)
class Ran:
    """One command of a block, and what came of it.

    Attributes:
        command: as it is shown.
        shown: the lines below it.
        printed: what it really printed, to both streams.
        status: its exit status.
    """

    command: str
    shown: list[str]
    printed: list[str]
    status: int


def free_port() -> str:
    """Return a port of this machine that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return str(server.getsockname()[1])


def run_session(block: Block, folder: Path, binaries: Path = Path(sys.executable).parent) -> list[Ran]:
    """Type the commands of a console block into one shell and return what came of each.

    Args:
        binaries: where the shell looks for commands first; by default where the tests are installed.
    """
    typed = [(command, shown) for command, shown in sessions(block) if own_part(command) is not None]
    lines = ["exec 2>&1", "status=0"]
    port = free_port() if _PORT in block.text else _PORT
    for command, _ in typed:
        run = str(own_part(command)).replace(_PORT, port)
        lines += ["(exit $status)", run, "status=$?", f"printf '\\n{_MARK}%d{_MARK}' $status"]
    quiet = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "FORCE_COLOR")}
    environment = {**quiet, "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}"}
    with subprocess.Popen(
        ["bash", "-c", "\n".join(lines)], cwd=folder, env=environment, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, text=True, start_new_session=True,
    ) as shell:  # fmt: skip
        try:
            out, _ = shell.communicate(timeout=240)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGKILL)  # what it left in the background
    parts = out.split(_MARK)
    assert len(parts) == 2 * len(typed) + 1, out
    return [
        Ran(command, shown, [line.rstrip() for line in parts[2 * index].splitlines()], int(parts[2 * index + 1]))
        for index, (command, shown) in enumerate(typed)
    ]


def missing_line(shown: list[str], real: list[str]) -> str | None:
    """Return the first shown line that the output does not have, in order; None if it has all.

    … alone stands for any lines, at the end of a line for the rest of that line. How far the columns of a table are
    apart depends on its other rows, and counts for nothing.
    """
    rest = iter([" ".join(line.split()) for line in real])
    for line in shown:
        words = " ".join(line.split())
        if words in ("", _ELISION):
            continue
        begin = words.removesuffix(_ELISION)
        if not any(one.startswith(begin) if begin != words else one == words for one in rest):
            return line
    return None


def shows_real_output(block: Block, folder: Path, binaries: Path = Path(sys.executable).parent) -> None:
    """Compare what stands below each command with what it prints, in that order, and its exit status.

    … stands for what is left out. A command that fails is followed by ``echo $?``.
    """
    ran = run_session(block, folder, binaries)
    for number, one in enumerate(ran):
        real = "\n".join(one.printed)
        assert missing_line(one.shown, one.printed) is None, f"{block.label}: {one.command}\n{real}"
        told = number + 1 < len(ran) and ran[number + 1].command == "echo $?"
        assert one.status == 0 or told, f"{block.label}: {one.command} ends in {one.status}\n{real}"
