"""What a profile says of itself and what its steps answer: a wrong type is the profile's fault, and told as that.

Steps are called directly, all over the engine. What answers something is called through a check instead, which is
put before it when a machine boots; a step that answers nothing costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from memhotplug.contracts import MemoryEvent
from memhotplug.engine.profile import KernelProfile
from memhotplug.features import FEATURES
from memhotplug.lazy import np
from memhotplug.manager import shown
from memhotplug.model.blocks import OnlineType
from memhotplug.model.zones import Zone

__all__ = ["check_answers", "wrong_attribute"]

_EVENTS: Final = frozenset(event.name for event in MemoryEvent)


class _Rule(NamedTuple):
    """What something has to be.

    Attributes:
        what: in words, behind "which is no ".
        holds: whether a value is.
        each: what each item of it has to be, looked at when its turn comes; None where ``holds`` looks at them.
    """

    what: str
    holds: Callable[[Any], bool]
    each: _Rule | None = None


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_mapping(value: object, of: Callable[[Any], bool]) -> bool:
    return isinstance(value, Mapping) and all(isinstance(key, str) and of(one) for key, one in value.items())


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _are_words(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str) and all(map(_is_text, value))


def _is_version(value: object) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and all(map(_is_number, value))


def _is_zone_with_count(value: object) -> bool:
    """Asked for each run of blocks that goes online, so that it asks little."""
    return (
        isinstance(value, tuple)
        and len(value) == 2
        and isinstance(value[0], Zone)
        and _is_number(value[1])
        and value[1] > 0
    )


def _is_iterable(value: object) -> bool:
    return isinstance(value, Iterable) and not isinstance(value, (str, Mapping))


def _is_head(value: object) -> bool:
    """Whether it can stand in the JSON key ``vmemmap``: numbers of NumPy's cannot."""
    return isinstance(value, dict) and value.keys() == _HEAD_KEYS and all(type(one) in _PLAIN for one in value.values())


_HEAD_KEYS: Final = frozenset(("start_pfn", "nr_pages", "refcount", "private", "serves", "device"))
_PLAIN: Final = (int, list, str, type(None))

_BITS: Final = _Rule("mapping from names to bits", lambda value: _is_mapping(value, _is_number))
_NAMES: Final = _Rule("mapping from names to names", lambda value: _is_mapping(value, _is_text))
_TEXTS: Final = _Rule("mapping from names to text", lambda value: _is_mapping(value, _is_text))
_FLAG: Final = _Rule("bool", lambda value: isinstance(value, bool))

_VERSION: Final = _Rule("pair of numbers such as (6, 12)", _is_version)
_ATTRIBUTES: Final[Mapping[str, _Rule]] = {
    "flags": _BITS,
    "short_flags": _NAMES,
    "flag_masks": _BITS,
    "auto_online_types": _Rule(
        "tuple of OnlineType",
        lambda value: isinstance(value, tuple) and all(isinstance(one, OnlineType) for one in value),
    ),
    "movable_shares_marks": _FLAG,
    "event_names": _Rule(
        "tuple of names of MemoryEvent",
        lambda value: isinstance(value, tuple) and all(isinstance(one, str) and one in _EVENTS for one in value),
    ),
}
_ANSWERS: Final[Mapping[str, _Rule]] = {
    "new_state": _Rule("object with a copy()", lambda value: callable(getattr(value, "copy", None))),
    "filter_flags": _Rule("number of flags", _is_number),
    "memmap_on_memory_refusal": _Rule("text, nor None", lambda value: value is None or isinstance(value, str)),
    "register_group": _Rule("number of a group, nor -1", lambda value: value == -1 or _is_number(value)),
    "zone_for_rows": _Rule(
        "zone with a count of blocks",
        _is_zone_with_count,
    ),
    "removable": _Rule(
        "array of bool", lambda value: isinstance(value, np.ndarray) and value.dtype == np.bool_ and value.ndim == 1
    ),
    "root_attributes": _TEXTS,
    "write_root_attribute": _FLAG,
    "module_parameters": _TEXTS,
    "parameter_files": _Rule("mapping from names to modes", lambda value: _is_mapping(value, _is_number)),
    "switches": _Rule("mapping from paths to words", lambda value: _is_mapping(value, _are_words)),
    "heads": _Rule(
        "iterator of mappings", _is_iterable, _Rule("mapping with the keys of a head, and plain values", _is_head)
    ),
    "violations": _Rule("iterator of text", _is_iterable, _Rule("text", _is_text)),
    "describe_flags": _Rule("text", _is_text),
}
"""The steps that answer something; ``has`` is asked too often, and for all features when the profile is looked at."""


def wrong_attribute(profile: KernelProfile) -> str | None:
    """Say which attribute of a profile is missing or wrong, or which feature it answers no bool for; else None."""
    if not _VERSION.holds(getattr(profile, "version", None)):
        return _wrong(profile, "version", _VERSION)
    for feature in FEATURES if type(profile).has is not KernelProfile.has else ():
        answer = profile.has(feature)
        if not isinstance(answer, bool):
            return f"its profile's step 'has' answered {shown(answer)} of {feature!r}, which is no bool"
    for name, rule in _ATTRIBUTES.items():
        if not rule.holds(getattr(profile, name, None)):
            return _wrong(profile, name, rule)
    return None


def _wrong(profile: KernelProfile, name: str, rule: _Rule) -> str:
    return f"its profile's {name} is {shown(getattr(profile, name, None))}, which is no {rule.what}"


def check_answers(profile: KernelProfile, blame: Callable[[str], Exception]) -> None:
    """Put a check before each step of one machine's profile that answers something.

    Args:
        blame: makes the error that names the profile.
    """
    for name, rule in _ANSWERS.items():
        setattr(profile, name, _checked(profile, name, rule, blame))


def _checked(
    profile: KernelProfile, name: str, rule: _Rule, blame: Callable[[str], Exception]
) -> Callable[..., object]:
    kind, own = type(profile), vars(profile).get(name)  # own: a step that its __init__ made

    def checked(*arguments: object, **keywords: object) -> object:
        answer = getattr(kind, name)(profile, *arguments, **keywords) if own is None else own(*arguments, **keywords)
        if not rule.holds(answer):
            raise blame(f"its profile's step {name!r} answered {shown(answer)}, which is no {rule.what}")
        return answer if rule.each is None else _items(name, answer, rule.each, blame)

    return checked


def _items(name: str, answer: Iterable[object], rule: _Rule, blame: Callable[[str], Exception]) -> Iterator[object]:
    for item in answer:
        if not rule.holds(item):
            raise blame(f"its profile's step {name!r} yielded {shown(item)}, which is no {rule.what}")
        yield item
