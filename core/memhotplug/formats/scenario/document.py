"""A scenario that has been read and checked, and still knows where everything stood."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from memhotplug.errors import InputError
from memhotplug.formats.scenario.explore import ExploreSpec
from memhotplug.formats.scenario.models import Action, DriverPolicy, MachineSpec
from memhotplug.formats.scenario.problems import At, Problem, Where, error_at
from memhotplug.formats.scenario.yamltree import MappingNode

__all__ = ["Scenario", "Step"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One step of a scenario.

    Attributes:
        index: its number, from 0.
        op: the operation: ``add``, ``online`` …
        args: its checked keys, the model of that operation.
        line, column: where the operation stands in the file.
    """

    index: int
    op: str
    args: Action
    line: int
    column: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Scenario:
    """A whole scenario.

    Attributes:
        file: what it was read from, None for text.
        machine: the machine before the first step.
        drivers: what the scenario decides about drivers, by name.
        steps: in order.
        plugins: paths of the plugin files that count as installed for it.
        explore: what ``mhp check`` may try after the last step.
        tree: the YAML tree, for errors that only turn up later.
    """

    file: str | None
    machine: MachineSpec
    drivers: Mapping[str, DriverPolicy]
    steps: tuple[Step, ...]
    plugins: tuple[str, ...] = ()
    explore: ExploreSpec = field(default_factory=ExploreSpec)
    tree: MappingNode = field(repr=False, compare=False)

    def error(
        self,
        where: Where,
        expected: str,
        *,
        nearest: str | None = None,
        at: At = "value",
    ) -> InputError:
        """Return an error about one place, for whoever finds out later that a value will not do.

        Args:
            where: the way to the value: ``("machine", "page_size")``, ``("steps", 3, "add", "mhp_flags")``.
            expected: what would be accepted.
            nearest: the valid value that was probably meant.
            at: whether the place is that of the value, of its key, or of the mapping that lacks it.
        """
        return error_at(self.tree, Problem(where, expected, at, nearest), file=self.file)
