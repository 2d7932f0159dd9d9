"""Replays as JSON, and as a diff for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from memhotplug.commands.conform.observation import Observation, Reason
from memhotplug.commands.conform.observe import SLACK
from memhotplug.commands.conform.worlds import FileResult
from memhotplug.errors import InputError
from memhotplug.formats.snapshot import RecordedOp
from memhotplug.units import format_blocks, format_size

if TYPE_CHECKING:
    from memhotplug.documents.conform import ConformDocument, FileDocument, PredictionDocument, RefusedDocument

__all__ = ["describe_op", "file_lines", "total_line", "totals_to_dict"]


def totals_to_dict(files: Sequence[FileResult], refused: Sequence[InputError] = ()) -> ConformDocument:
    """Return the JSON object of ``mhp conform --json``.

    Args:
        refused: recordings that cannot be used; the first is the ``error`` of every command, ``errors`` has all.
    """
    errors = [problem.to_dict() for problem in refused]
    head: RefusedDocument = {"ok": False, "error": errors[0], "errors": errors} if errors else {}
    return {
        "schema": 1,
        **head,
        "files": [_file(result) for result in files],
        "observations": sum(len(result.observations) for result in files),
        "matched": sum(result.matched for result in files),
        "tolerated": sum(result.tolerated for result in files),
        "left_out": sum(result.left_out for result in files),
        "undetermined": sum(result.undetermined for result in files),
        "told_by_flags": sum(result.told for result in files),
    }


def _file(result: FileResult) -> FileDocument:
    return {
        "file": result.file,
        "kernel": result.kernel,
        "arch": result.arch,
        "steps": result.steps,
        "observations": len(result.observations),
        "matched": result.matched,
        "tolerated": result.tolerated,
        "left_out": result.left_out,
        "undetermined": result.undetermined,
        "told_by_flags": result.told,
        "mismatches": [
            {"step": seen.step, "what": seen.what, "expected": seen.expected, "got": seen.got}
            for seen in result.mismatches
        ],
        "predicted": list(result.predicted),
    }


def describe_op(op: RecordedOp) -> str:
    """Return an operation in a few words.

    >>> describe_op(RecordedOp(kind="online", blocks=(32, 33), type="online_movable"))
    'online_movable blocks 32-33'
    """
    match op.kind:
        case "add":
            return f"add {op.device}, {format_size(op.size or 0)} at {op.address or 0:#x}"
        case "remove":
            return f"remove {op.device}"
        case "resize":
            return f"resize {op.device} to {format_size(op.size or 0)}"
        case "hog":
            return f"hog of {format_size(op.size or 0)}"
        case "write":
            return f"write {(op.value or '').strip()!r} to {op.path}"
        case "boot":
            return "boot"
    blocks = format_blocks(sorted(op.blocks))
    return f"{op.type or op.kind} block{'s' if len(op.blocks) != 1 else ''} {blocks}"


def file_lines(result: FileResult) -> Iterator[str]:
    """Yield a file's differences as a diff, its predictions, and its summary."""
    mismatches = result.mismatches
    if mismatches:
        yield f"--- {result.file}"
        yield f"+++ {result.kernel} on {result.arch}"
    step = -1
    for seen in mismatches:
        if seen.step != step:
            step = seen.step
            yield f"@@ step {step}: {describe_op(result.ops[step])} @@"
        yield from _difference(seen)
    for prediction in result.predicted:
        yield _prediction(prediction, result.ops)
    yield _summary(result, mismatches)


def _difference(seen: Observation) -> Iterator[str]:
    """Yield what the kernel showed and what the model shows; either may lack it."""
    expected, got = seen.expected, seen.got
    if isinstance(expected, dict) and isinstance(got, dict):
        differing = [key for key in expected if expected[key] != got[key]]
        expected, got = ({key: side[key] for key in differing} for side in (expected, got))
    for sign, value in (("-", expected), ("+", got)):
        if value is not None:
            yield f"{sign}{seen.reason:<9}{seen.what}: {_plain(value)}"


def _plain(value: object) -> str:
    """Return a value of an observation as text, without brackets and quotes."""
    if isinstance(value, dict):
        return ", ".join(_named(key, item) for key, item in value.items())
    if isinstance(value, list):
        return " ".join(map(str, value)) or "none"
    return str(value)


def _named(key: str, value: object) -> str:
    if key == "result":
        return str(value)
    if key == "results" and isinstance(value, dict):
        return ", ".join(f"block {block} {result}" for block, result in value.items())
    return f"{key} {_plain(value)}"


def _prediction(prediction: PredictionDocument, ops: Sequence[RecordedOp]) -> str:
    step, errno = prediction["step"], prediction["errno"]
    assert isinstance(step, int)
    result = f"{prediction['result']}"
    if errno is not None and errno != result:
        result += f" ({errno})"
    return f"? step {step}: {describe_op(ops[step])}: {result}, MemTotal {prediction['memtotal_kb']} kB (predicted)"


def _summary(result: FileResult, mismatches: Sequence[Observation]) -> str:
    text = (
        f"{result.file}: {result.matched} of {len(result.observations)} observations match "
        f"({result.kernel} on {result.arch}, {_count(result.steps, 'step')}"
    )
    if result.predicted:
        text += f", {len(result.predicted)} of them predicted"
    text += ")"
    if not mismatches:
        return text
    counts = Counter(seen.reason for seen in mismatches)
    return text + ": " + ", ".join(f"{counts[reason]} {reason.value}" for reason in Reason if counts[reason])


def total_line(files: Sequence[FileResult], refused: int = 0) -> str:
    """Return the line below all files; ``refused`` is how many recordings could not be used."""
    observations = sum(len(result.observations) for result in files)
    matched = sum(result.matched for result in files)
    text = f"{_count(len(files), 'file')}: {matched} of {observations} observations match"
    counts = (
        (
            sum(result.tolerated for result in files),
            f"within the tolerance of {SLACK} pages a kernel zone and node with CPUs",
        ),
        (sum(result.left_out for result in files), "left out (the guest's processes, a block still going offline)"),
        (sum(result.undetermined for result in files), "undetermined"),
        (sum(result.told for result in files), "told by flags read before the step"),
    )
    if any(count for count, _ in counts):
        text += " (" + ", ".join(f"{count} {word}" for count, word in counts) + ")"
    return text + (f"; {_count(refused, 'file')} cannot be used" if refused else "")


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
