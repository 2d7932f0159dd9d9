"""The answer of ``mhp check`` as people read it: what broke and how, what was looked at, the verdict last."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from textwrap import wrap

from memhotplug.commands.check.answer import Answer
from memhotplug.commands.check.laws import where_in_the_kernel
from memhotplug.commands.check.lives import LIFE
from memhotplug.commands.check.search import Finding
from memhotplug.commands.check.walk import MAX_FAULTS
from memhotplug.output.tables import HEAD, Paint, plain
from memhotplug.units import typed_size

__all__ = ["answer_lines"]

_WIDTH = 80


def answer_lines(answer: Answer, files: Sequence[Path], paint: Paint = plain) -> list[str]:
    """Return the lines for an answer; ``files`` are the counterexamples in the order of the findings, or none."""
    return list(_lines(answer, files, paint))


def _lines(answer: Answer, files: Sequence[Path], paint: Paint) -> Iterator[str]:
    for number, finding in enumerate(answer.findings):
        yield from _finding(finding, paint)
        if files:
            yield f"  scenario: {files[number]}"
        yield ""
    yield from wrap(_tried(answer), _WIDTH)
    yield from wrap(_covered(answer), _WIDTH)
    count = len(answer.findings)
    if not count:
        verdict = "nothing broke" if answer.against is None else f"nothing differs from {answer.against}"
        yield paint(verdict + (" so far" if answer.progress.interrupted else ""), "green")
    else:
        what = "something breaks" if answer.against is None else f"it differs from {answer.against}"
        yield paint(f"{count} {'way' if count == 1 else 'ways'} found in which {what}", "red")


def _finding(finding: Finding, paint: Paint) -> Iterator[str]:
    yield from (paint(line, HEAD) for line in wrap(finding.broken.text, _WIDTH, break_long_words=False))
    for number, step in enumerate(finding.steps, 1):
        refused = f"  ({step.errno})" if step.errno is not None else ""
        yield f"  {number}. {step.move.text}{refused}"
    if not finding.steps:
        yield "  in the machine as it is at the end of the scenario"
    function = where_in_the_kernel(finding.broken.invariant)
    if function is not None:
        yield f"  kernel: {function}"


def _tried(answer: Answer) -> str:
    moves = answer.moves
    sizes = ", ".join(typed_size(size) for size in moves.sizes)
    words = [f"tried: {', '.join(moves.operations)}"]
    if "add" in moves.operations:
        most = f"{moves.blocks} hot-added {'block' if moves.blocks == 1 else 'blocks'}"
        words.append(f"adding {sizes} by {', '.join(moves.drivers)}, at most {most}")
    if answer.question.faults:
        words.append(f"each of the first {MAX_FAULTS} allocations failing and each notifier vetoing in turn")
    return "; ".join(words)


def _covered(answer: Answer) -> str:
    progress = answer.progress
    if answer.broken_already:
        return "nothing was tried: the scenario itself ends in a machine that is broken"
    numbers = f"{progress.states} states, {progress.transitions} transitions"
    if progress.interrupted:
        return f"{numbers}; interrupted, {_seen(answer)}"
    if progress.closed:
        return f"{numbers}; that is everything that can ever happen here"
    if progress.exhausted:
        return f"{numbers}; everything that {_operations(progress.depth)} can do was seen"
    return f"{numbers}; {_seen(answer)}; more with {'--seconds' if progress.late else '--operations'}"


def _seen(answer: Answer) -> str:
    """Return how far a search came that did not come to its end."""
    lives = answer.progress.lives
    seen = f"everything within {_operations(answer.progress.depth)} was seen"
    if not lives:
        return seen
    what = "random life" if lives == 1 else "random lives"
    return f"{seen}, beyond it {lives} {what} of {LIFE} operations (seed {answer.question.seed})"


def _operations(count: int) -> str:
    return "1 operation" if count == 1 else f"{count} operations"
