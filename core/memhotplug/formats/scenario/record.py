"""Records: mappings with known keys, declared as classes and read from YAML nodes or plain values.

A class says its keys as annotations, each with the ``Leaf`` that reads its value or the ``Inner`` that says
which record it is. The same declarations are the JSON Schema and what messages ask for. Nothing is generated:
making a class costs next to nothing, and commands make all of them each time that they start.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, Final, TypeVar, dataclass_transform

from memhotplug.formats.scenario.fields import Leaf
from memhotplug.formats.scenario.problems import Problem, unknown_key
from memhotplug.formats.scenario.refusal import RefusedError

__all__ = ["NO_OPTIONS", "Conflict", "Inner", "Key", "Record", "mapping_of", "read_record"]

NO_OPTIONS: Final[Mapping[str, object]] = MappingProxyType({})
"""The options of a record whose plugin has no keys of its own."""


@dataclass(frozen=True, slots=True)
class Conflict:
    """Keys that are each fine but do not go together.

    Attributes:
        key: the key at fault, or the one that is missing; empty where it could be one of several.
        expected: what would be accepted.
        missing: whether ``key`` is missing.
    """

    key: str
    expected: str
    missing: bool = False


class Inner:
    """A value that is a record itself, or a list of them.

    Attributes:
        record: its class.
        help: what the key means.
        prepare: turns a shorter way to write it into the mapping, or the list, that it means.
        many: whether it is a list.
    """

    __slots__ = ("help", "many", "prepare", "record")

    def __init__(
        self, record: type[Record], text: str, *, prepare: Callable[[object], object] | None = None, many: bool = False
    ) -> None:
        self.record = record
        self.help = text
        self.prepare = prepare
        self.many = many


class Key:
    """One key of a record: how its value is read, and whether it must be given.

    Attributes:
        kind: None for what is put there by whoever reads the record, and never by people.
    """

    __slots__ = ("is_required", "kind")

    def __init__(self, kind: Leaf | Inner | None, *, is_required: bool) -> None:
        self.kind = kind
        self.is_required = is_required

    @property
    def expected(self) -> str:
        """What is accepted, in words."""
        if isinstance(self.kind, Inner):
            return mapping_of(self.kind.record)
        return self.kind.expected if self.kind is not None else "a value"


@dataclass_transform(kw_only_default=True, frozen_default=True)
class Record:
    """What all records have in common: frozen, and no unknown keys.

    Attributes:
        summary: the record in one sentence, for people and the JSON Schema; it is the docstring, too.
        fields: its keys, those of the classes that it extends last.
    """

    summary: ClassVar[str] = ""
    fields: ClassVar[Mapping[str, Key]] = {}

    def __init_subclass__(cls, *, summary: str = "", **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        cls.summary = cls.__doc__ = summary
        own = {
            name: Key(getattr(annotation, "__metadata__", (None,))[0], is_required=not hasattr(cls, name))
            for name, annotation in cls.__annotations__.items()
            if name not in ("summary", "fields")
        }
        cls.fields = {**own, **cls.fields}

    def __init__(self, **values: object) -> None:
        missing = [name for name, key in self.fields.items() if key.is_required and name not in values]
        unknown = [name for name in values if name not in self.fields]
        if missing or unknown:
            raise TypeError(f"{type(self).__name__}: missing {missing}, unknown {unknown}")
        self.__dict__.update(values)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen")

    def values(self) -> dict[str, Any]:
        """Return the values of all keys, those that were not given included."""
        return {name: getattr(self, name) for name in self.fields}

    def replaced(self: R, **changes: object) -> R:
        """Return the same record with some values changed."""
        return type(self)(**{**self.__dict__, **changes})

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self.values() == other.values()

    def __hash__(self) -> int:
        return hash(tuple(self.values().values()))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.values().items())})"

    @classmethod
    def key_names(cls) -> list[str]:
        """Return the keys that people may give, those that every step has last."""
        return [name for name, key in cls.fields.items() if key.kind is not None]

    @classmethod
    def conflicts(cls, keys: Sequence[str]) -> Iterator[Conflict]:
        """Yield what is wrong with giving exactly these keys, in the order in which they were given."""
        yield from ()


R = TypeVar("R", bound=Record)


def mapping_of(model: type[Record]) -> str:
    """Return how messages ask for a mapping with the keys of ``model``."""
    return f"a mapping with the keys: {', '.join(model.key_names())}"


def read_record(model: type[R], data: Mapping[Any, object], problems: list[Problem]) -> R | None:
    """Return the record that a mapping is; None if something is wrong with it, which is added to ``problems``.

    Whether its keys go together is not asked here.
    """
    before, values = len(problems), {}
    for name, key in model.fields.items():
        if name in data:
            values[name] = _read(key, name, data[name], problems)
        elif key.is_required:
            problems.append(Problem((name,), key.expected, "missing"))
    if len(values) < len(data):
        problems.extend(unknown_key((name,), model.key_names()) for name in data if name not in model.fields)
    if len(problems) > before:
        return None
    record = model.__new__(model)  # not called: what the constructor checks is checked
    record.__dict__.update(values)
    return record


def _read(key: Key, name: str, value: object, problems: list[Problem]) -> object:
    kind = key.kind
    try:
        if isinstance(kind, Leaf):
            return kind.read(value)
        if kind is None:
            return value
        if kind.prepare is not None:
            value = kind.prepare(value)
    except RefusedError as refusal:
        problems.append(Problem((name, *refusal.where), refusal.expected, nearest=refusal.nearest))
        return None
    found: list[Problem] = []
    read = _inner(kind, value, found)
    problems.extend(problem.below((name,)) for problem in found)
    return read


def _inner(kind: Inner, value: object, problems: list[Problem]) -> object:
    if not kind.many:
        return _one(kind.record, value, problems)
    records = []
    for place, item in enumerate(value):  # type: ignore[arg-type,var-annotated]  # prepare() returns a list
        found: list[Problem] = []
        records.append(_one(kind.record, item, found))
        problems.extend(problem.below((place,)) for problem in found)
    return tuple(records)


def _one(model: type[Record], value: object, problems: list[Problem]) -> object:
    if isinstance(value, model):
        return value
    if isinstance(value, Mapping):
        return read_record(model, value, problems)
    problems.append(Problem((), mapping_of(model)))
    return None
