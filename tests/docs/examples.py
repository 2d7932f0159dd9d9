"""Finds the examples in Markdown and runs them."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"# ([\w.-]+\.(?:yaml|py|toml))\n")
_ELISION = "…"


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
    for name in ("scenarios", "examples", "tests", "docs", "bench"):
        (folder / name).symlink_to(ROOT / name)
    for block in blocks_of(document):
        if block.file is not None:
            (folder / block.file).write_text(block.text, encoding="utf-8")


def sessions(block: Block) -> list[tuple[str, list[str]]]:
    """Return the commands of a console block, each with the lines that are shown below it."""
    found: list[tuple[str, list[str]]] = []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            found.append((line.removeprefix("$ "), []))
        elif found:
            found[-1][1].append(line)
    return found


def own_command(command: str) -> list[str] | None:
    """Return the arguments of ``mhp`` in a command; of several, those of the last. None if it is another's."""
    words = shlex.split(command.split("&&")[-1])
    if not words or Path(words[0]).name != "mhp" or {"|", ">", "<"} & set(words):
        return None
    return words[1:]


def output_of(arguments: list[str], folder: Path) -> list[str]:
    """Run ``mhp`` as a shell would, a pattern last, and return the lines of both streams."""
    files = [sorted(str(path.relative_to(folder)) for path in folder.glob(word)) for word in arguments if "*" in word]
    words = [word for word in arguments if "*" not in word] + [path for found in files for path in found]
    command = [sys.executable, "-m", "memhotplug", *words]
    done = subprocess.run(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120, check=False
    )
    return [line.rstrip() for line in done.stdout.splitlines()]


def missing_line(shown: list[str], real: list[str]) -> str | None:
    """Return the first shown line that the output does not have, in order; None if it has all."""
    rest = iter(real)
    for line in shown:
        if line.strip() in ("", _ELISION):
            continue
        if line.rstrip() not in rest:
            return line
    return None
