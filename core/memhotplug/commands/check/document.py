"""The answer of ``mhp check`` as plain data: its JSON object."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from memhotplug.commands.check.answer import Answer
from memhotplug.commands.check.counterexample import steps_of

if TYPE_CHECKING:
    from memhotplug.documents.check import CheckDocument

__all__ = ["to_document"]


def to_document(answer: Answer, files: Sequence[Path]) -> CheckDocument:
    """Return the JSON object; ``files`` are the counterexamples in the order of the findings, or none."""
    progress = answer.progress
    names: list[str | None] = [str(path) for path in files] or [None] * len(answer.findings)
    return {
        "schema": 1,
        "ok": answer.ok,
        "states": progress.states,
        "transitions": progress.transitions,
        "depth": progress.depth,
        "exhaustive": progress.exhausted,
        "closed": progress.closed,
        "interrupted": progress.interrupted,
        "against": answer.against,
        "violations": [
            {
                "invariant": finding.broken.invariant,
                "text": finding.broken.text,
                "steps": steps_of(finding),
                "scenario": name,
            }
            for finding, name in zip(answer.findings, names, strict=True)
        ],
    }
