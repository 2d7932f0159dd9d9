"""What ``mhp check`` is asked."""

from __future__ import annotations

from dataclasses import dataclass

from memhotplug.errors import InputError

__all__ = ["DEFAULT_DEPTH", "DEFAULT_OPERATIONS", "Question"]

DEFAULT_DEPTH = 4
DEFAULT_OPERATIONS = 20_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """How far to look.

    Attributes:
        depth: the longest sequence of operations.
        operations: how many operations may be tried in all; random lives get a quarter of them where the
            search by breadth does not come to its end.
        seconds: when to stop looking, None for never; what was found then depends on the machine it ran on.
        seed: of the random lives.
        faults: whether each allocation fails and each notifier vetoes in turn.
        jobs: processes; the answer does not depend on it.
    """

    depth: int = DEFAULT_DEPTH
    operations: int = DEFAULT_OPERATIONS
    seconds: float | None = None
    seed: int = 0
    faults: bool = False
    jobs: int = 1

    def __post_init__(self) -> None:
        for name in ("depth", "operations", "jobs"):
            if getattr(self, name) < 1:
                raise InputError(f"--{name} of at least 1", got=str(getattr(self, name)))
        if self.seconds is not None and not self.seconds > 0:
            raise InputError("--seconds above 0", got=f"{self.seconds:g}")
