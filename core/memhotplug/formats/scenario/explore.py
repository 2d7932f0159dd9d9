"""``explore``: what ``mhp check`` may try from the end of a scenario on."""

from collections.abc import Callable
from functools import partial
from typing import Annotated, Final

from memhotplug.formats.scenario.fields import Leaf, integer, size_schema
from memhotplug.formats.scenario.record import Record
from memhotplug.formats.scenario.refusal import RefusedError
from memhotplug.formats.scenario.values import EXPECTED_SIZE, read_list, read_size, read_text, read_word
from memhotplug.formats.scenario.yamltree import SequenceNode

__all__ = ["EXPLORED", "ExploreSpec"]

EXPLORED: Final = ("add", "online", "offline", "remove", "eject", "resize", "write", "allocate", "release")
"""The operations that are tried, in the order in which they are."""
_ZONES: Final = ("kernel", "movable", "auto")


def _some(read: Callable[[object], object], what: str, schema: dict[str, object]) -> Leaf:
    """Return a list of values, or one of them, each once."""
    expected = f"one or a list of: {what}"

    def read_some(value: object) -> tuple[object, ...]:
        if not isinstance(value, (SequenceNode, list, tuple)):
            return (read(value),)
        if not value:
            raise RefusedError(f"{expected}; an empty list leaves nothing to explore")
        return tuple(dict.fromkeys(read_list(value, read, expected)))

    return Leaf(read_some, expected, {"anyOf": [schema, {"type": "array", "minItems": 1, "items": schema}]})


_OPERATION: Final = partial(read_word, choices=EXPLORED)
_NAME: Final = partial(read_text, empty=False, expected="a driver's name")


class ExploreSpec(Record, summary="What may happen, for ``mhp check``; what is left out is all there is."):
    operations: Annotated[
        tuple[str, ...] | None,
        _some(_OPERATION, ", ".join(EXPLORED), {"enum": list(EXPLORED)}).says("Which operations are tried."),
    ] = None
    drivers: Annotated[
        tuple[str, ...] | None,
        _some(_NAME, "drivers", {"type": "string", "minLength": 1}).says("Which drivers add memory."),
    ] = None
    sizes: Annotated[
        tuple[int, ...] | None,
        _some(read_size, EXPECTED_SIZE, size_schema()).says("How much is added at a time; default one and two blocks."),
    ] = None
    zones: Annotated[
        tuple[str, ...] | None,
        _some(partial(read_word, choices=_ZONES), ", ".join(_ZONES), {"enum": list(_ZONES)}).says(
            "Which ways to go online."
        ),
    ] = None
    blocks: Annotated[
        int | None,
        integer(1, 4096, "a number of blocks").says("How many hot-added blocks there may be at a time; default 4."),
    ] = None
