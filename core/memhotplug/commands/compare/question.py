"""The variations of a scenario: every combination of the values that were asked for."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from memhotplug.errors import InputError, PluginError
from memhotplug.formats.scenario import Catalog, Scenario
from memhotplug.formats.scenario.loader import scenario_from_tree
from memhotplug.formats.scenario.override import Override, changed, parse_override, parse_where
from memhotplug.formats.scenario.refusal import cut
from memhotplug.formats.scenario.yamltree import MappingNode

__all__ = ["MAX_VARIANTS", "Axis", "Variant", "parse_axis", "variants"]

MAX_VARIANTS: Final = 256
_EXPECTED: Final = "KEY=VALUE,VALUE… such as machine.kernel=v2-2019,linux-6.12"
_OPENING: Final = {"[": "]", "{": "}"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Axis:
    """One value of the scenario that is varied; ``key`` as the user wrote it."""

    key: str
    values: tuple[Override, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Variant:
    """One combination.

    Attributes:
        values: what was varied, by key; the text of each value, empty where the key is left out.
        scenario: what is run.
    """

    values: dict[str, str]
    scenario: Scenario

    @property
    def label(self) -> str:
        """The values, as a heading."""
        return ", ".join(text or "(none)" for text in self.values.values())


def split_values(text: str) -> list[str]:
    """Return the values between commas, those inside of quotes and brackets apart.

    >>> split_values('none,[device, memblock],"a,b",')
    ['none', '[device, memblock]', '"a,b"', '']
    """
    values = [""]
    closing: list[str] = []
    for letter in text:
        if closing and letter == closing[-1]:
            closing.pop()
        elif letter in "\"'" and not (closing and closing[-1] in "\"'"):
            closing.append(letter)
        elif letter in _OPENING and not (closing and closing[-1] in "\"'"):
            closing.append(_OPENING[letter])
        elif letter == "," and not closing:
            values.append("")
            continue
        values[-1] += letter
    return [value.strip() for value in values]


def parse_axis(
    text: str, *, expected: str = _EXPECTED, values_in: Callable[[str], Iterable[str]] = split_values
) -> Axis:
    """Return what ``KEY=VALUE,VALUE`` varies; values are YAML, so commas in lists and quotes do not part them.

    Args:
        expected: what a text that is none should have been.
        values_in: parts what stands behind the sign into values.

    Raises:
        InputError: it is none, or a value is no YAML.
    """
    key, equals, rest = text.partition("=")
    if not equals:
        raise InputError(expected, got=cut(text) or "nothing", path="--vary")
    try:
        where = parse_where(key.strip())
        values = tuple(parse_override(where, value) for value in values_in(rest))
    except InputError as problem:
        raise problem.at(file="--vary", path=problem.path) from None
    return Axis(key=key.strip(), values=values)


def variants(tree: MappingNode, axes: Sequence[Axis], *, catalog: Catalog, file: str | None) -> list[Variant]:
    """Return every combination, the last axis changing fastest.

    Raises:
        InputError: the scenario is not valid as it is, or a value is none that the format takes.
    """
    scenario_from_tree(tree, catalog=catalog, file=file)
    keys = [axis.key for axis in axes]
    for key in keys:
        if keys.count(key) > 1:
            raise InputError("each key once", got=key, path="--vary")
    count = 1
    for axis in axes:
        count *= len(axis.values)
    if count > MAX_VARIANTS:
        raise InputError(f"at most {MAX_VARIANTS} combinations", got=count, path="--vary")
    return list(_variants(tree, axes, catalog, file))


def _variants(tree: MappingNode, axes: Sequence[Axis], catalog: Catalog, file: str | None) -> Iterator[Variant]:
    for chosen in itertools.product(*(axis.values for axis in axes)):
        values = {axis.key: override.text for axis, override in zip(axes, chosen, strict=True)}
        try:
            scenario = scenario_from_tree(changed(tree, chosen), catalog=catalog, file=file)
        except PluginError:
            raise
        except InputError as problem:
            raise _blame(problem, axes, chosen) from None
        yield Variant(values=values, scenario=scenario)


def _blame(problem: InputError, axes: Sequence[Axis], chosen: Sequence[Override]) -> InputError:
    """Return the error with the variation as its place, since no line of the file is at fault."""
    pairs = list(zip(axes, chosen, strict=True))
    path = problem.path or ""
    direct = [pair for pair in pairs if _related(path, pair[1].path)]
    place = ", ".join(f"{axis.key}={cut(override.text, 40)}" for axis, override in direct or pairs)
    return problem.at(file=f"--vary {place}", path=None if direct and len(direct) == 1 else problem.path)


def _related(path: str, override: str) -> bool:
    return any(
        one == other or one.startswith((f"{other}.", f"{other}["))
        for one, other in ((path, override), (override, path))
        if other
    )
