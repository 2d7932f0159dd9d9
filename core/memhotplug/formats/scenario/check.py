"""Checks one mapping of a scenario, or the keywords of one Python call, against its model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Final, TypeVar

from memhotplug.formats.scenario.catalog import Catalog, CatalogCache
from memhotplug.formats.scenario.expectation import ExpectStep
from memhotplug.formats.scenario.explore import ExploreSpec
from memhotplug.formats.scenario.models import (
    Action,
    AddStep,
    AllocateStep,
    DriverPolicy,
    EjectStep,
    MachineSpec,
    OfflineStep,
    OnlineStep,
    ReleaseStep,
    RemoveStep,
    ResizeStep,
    WriteStep,
)
from memhotplug.formats.scenario.problems import At, Problem, Where, first_error, unknown_key
from memhotplug.formats.scenario.record import Record, mapping_of, read_record
from memhotplug.formats.scenario.refusal import RefusedError, suggest
from memhotplug.formats.scenario.values import (
    EXPECTED_SIZE,
    one_of,
    read_bool,
    read_int,
    read_list,
    read_size,
    read_text,
    read_word,
)
from memhotplug.keyspec import OWN_POLICY, KeySpec

__all__ = [
    "OPERATIONS",
    "check_drivers",
    "check_explore",
    "check_machine",
    "check_record",
    "check_step",
    "parse_args",
    "read_key",
]

R = TypeVar("R", bound=Record)

OPERATIONS: Final[Mapping[str, type[Action]]] = {
    "add": AddStep,
    "online": OnlineStep,
    "offline": OfflineStep,
    "write": WriteStep,
    "allocate": AllocateStep,
    "release": ReleaseStep,
    "remove": RemoveStep,
    "eject": EjectStep,
    "resize": ResizeStep,
    "expect": ExpectStep,
}
_PYTHON_NAMES: Final = {"add_memory": "add"}


def read_key(spec: KeySpec, value: object) -> object:
    """Return the value of a driver's own key: bytes, a tuple of bytes, int, bool or text.

    Raises:
        RefusedError: it is not what the driver declared.
    """
    return _READERS[spec.kind](spec, value)


def _size(spec: KeySpec, value: object) -> int:
    minimum = 1 if spec.minimum is None else spec.minimum
    return read_size(value, minimum=minimum, maximum=spec.maximum, power_of_two=spec.power_of_two)


def _size_list(spec: KeySpec, value: object) -> object:
    expected = f"a list of sizes, each {EXPECTED_SIZE}"
    sizes = read_list(value, partial(_size, spec), expected)
    if not sizes:
        raise RefusedError(expected)
    return sizes


def _int(spec: KeySpec, value: object) -> int:
    return read_int(value, minimum=0 if spec.minimum is None else spec.minimum, maximum=spec.maximum)


def _word(spec: KeySpec, value: object) -> str:
    return read_word(value, spec.choices) if spec.choices else read_text(value, empty=False, expected="a word")


_READERS: Final[Mapping[str, Callable[[KeySpec, object], object]]] = {
    "size": _size,
    "size_list": _size_list,
    "int": _int,
    "bool": lambda _spec, value: read_bool(value),
    "word": _word,
    "text": lambda _spec, value: read_text(value),
}


def check_record(model: type[R], data: object, problems: list[Problem]) -> R | None:
    """Return the record that ``data`` is; what is wrong with it is added to ``problems``."""
    if isinstance(data, model):
        return data
    if not isinstance(data, Mapping):
        problems.append(Problem((), mapping_of(model)))
        return None
    keys = [str(key) for key in data]
    for conflict in model.conflicts(keys):
        at: At = "missing" if conflict.missing else "key"
        problems.append(Problem((conflict.key,), conflict.expected, at))
    return read_record(model, data, problems)


def check_machine(data: object, catalog: Catalog, problems: list[Problem]) -> MachineSpec | None:
    """Return the machine, with the installed names of its architecture and its kernel, whatever they were called."""
    if not isinstance(data, Mapping):
        return check_record(MachineSpec, data, problems)
    named: dict[str, str] = {}
    unknown: list[Problem] = []
    for key, kind in (("arch", "arch"), ("kernel", "profiles")):
        named |= _meant(data, key, kind, catalog, unknown)
    own = catalog.machine_keys(named["arch"]) if "arch" in named else None
    if "snapshot" in data and "arch" not in data:
        own = {}  # whose keys they are, only the snapshot tells
    rest = _split(data, MachineSpec.key_names(), own, problems, plugin="arch")
    machine = check_record(MachineSpec, {**rest, **named}, problems)
    problems.extend(unknown)
    return machine


def check_drivers(data: object, catalog: Catalog, problems: list[Problem]) -> dict[str, DriverPolicy] | None:
    """Return the policy for each driver that has one; the drivers must be installed."""
    if not isinstance(data, Mapping):
        problems.append(Problem((), "a mapping from drivers to policies, such as {acpi: {mhp_flags: device}}"))
        return None
    policies: dict[str, DriverPolicy] = {}
    installed = catalog.names("drivers")
    expected = _installed("drivers", installed)
    for word, policy in data.items():
        name = catalog.canonical("drivers", word) if isinstance(word, str) else None
        if name is None or name in policies:
            again = f"each driver once; this is {name} again"
            problems.append(Problem((word,), expected if name is None else again, "key", names=tuple(installed)))
            continue
        found: list[Problem] = []
        record = check_record(DriverPolicy, policy, found)
        if record is not None and record.policy not in (None, OWN_POLICY):
            found.extend(_no_policy(record.policy, catalog.names("policies")))
        problems.extend(problem.below((word,)) for problem in found)
        if record is not None:
            policies[name] = record
    return policies


def check_explore(data: object, catalog: Catalog, problems: list[Problem]) -> ExploreSpec | None:
    """Return what may be explored; the drivers must be installed."""
    explore = check_record(ExploreSpec, data, problems)
    if explore is None or not explore.drivers:
        return explore
    named = {word: catalog.canonical("drivers", word) for word in explore.drivers}
    for word, name in named.items():
        if name is None:
            expected = _installed("drivers", catalog.names("drivers"))
            problems.append(Problem(("drivers",), expected, nearest=catalog.suggestion("drivers", word)))
    return explore.replaced(drivers=tuple(name for name in named.values() if name is not None))


def _no_policy(name: str | None, installed: list[str]) -> Iterator[Problem]:
    if name not in installed:
        known = [OWN_POLICY, *installed]
        expected = f"{OWN_POLICY}, the driver's own, or {_installed('policies', installed)}"
        yield Problem(("policy",), expected, nearest=suggest(str(name), known))


def _installed(kind: str, names: list[str]) -> str:
    word = {"arch": "architecture", "profiles": "kernel", "drivers": "driver", "policies": "policy"}[kind]
    return f"an installed {word}, {one_of(names)}" if names else f"an installed {word}; none is installed"


def _meant(data: Mapping[str, Any], key: str, kind: str, catalog: Catalog, problems: list[Problem]) -> dict[str, str]:
    """Return a key with the installed name that its value means; nothing where it means none, which is a problem."""
    try:
        word = read_text(data.get(key), empty=False)
    except RefusedError:
        return {}  # the model says so
    name = catalog.canonical(kind, word)
    if name is not None:
        return {key: name}
    problems.append(Problem((key,), _installed(kind, catalog.names(kind)), nearest=catalog.suggestion(kind, word)))
    return {}


def check_step(op: str, data: object, catalog: Catalog, problems: list[Problem]) -> Action | None:
    """Return the record of one operation; what is wrong with it is added to ``problems``."""
    if op == "add" and isinstance(data, Mapping):
        data = _split_add(data, catalog, problems)
    return check_record(OPERATIONS[op], data, problems)


def _split_add(data: Mapping[str, Any], catalog: Catalog, problems: list[Problem]) -> dict[str, object]:
    """Return what is common to all drivers, with the driver's own keys read into ``options``."""
    named = _meant(data, "driver", "drivers", catalog, problems)
    own = catalog.driver_keys(named["driver"]) if named else None
    rest = _split(data, AddStep.key_names(), own, problems, plugin="driver")
    options = rest["options"]
    assert isinstance(options, dict)
    _sum_up_size(data, own or {}, options, rest, problems)
    return {**rest, **named}


def _split(
    data: Mapping[str, Any],
    common: list[str],
    own: Mapping[str, KeySpec] | None,
    problems: list[Problem],
    *,
    plugin: str,
) -> dict[str, object]:
    """Return the common keys of a mapping, and a plugin's own ones, read, as ``options``.

    Args:
        own: None if the plugin is not known: its keys are passed over then.
        plugin: the key that names it; one that was meant to be it is none of the plugin's.
    """
    options: dict[str, object] = {}
    rest: dict[str, object] = {"options": options}
    for key, value in data.items():
        if key in common:
            rest[key] = value
        elif own is not None and key in own:
            _read_option(key, own[key], value, options, problems)
        elif own is not None or (plugin not in data and suggest(key, [plugin])):
            problems.append(unknown_key((key,), [*common, *(own or ())]))
    return rest


def _read_option(key: str, spec: KeySpec, value: object, options: dict[str, object], problems: list[Problem]) -> None:
    try:
        options[key] = read_key(spec, value)
    except RefusedError as refusal:
        problems.append(Problem((key, *refusal.where), refusal.expected, nearest=refusal.nearest))


def _sum_up_size(
    data: Mapping[str, Any],
    own: Mapping[str, KeySpec],
    options: dict[str, object],
    rest: dict[str, object],
    problems: list[Problem],
) -> None:
    replacing = [key for key in data if key in own and own[key].replaces_size]
    if not replacing:
        return
    given = [key for key in data if key == "size" or key in replacing]
    if len(given) > 1:
        problems.append(Problem((given[1],), f"either {given[0]} or {given[1]}, and not both", "key"))
    value = options.get(replacing[0], 1)  # 1 stands in where the value itself is already refused
    rest["size"] = sum(value) if isinstance(value, tuple) else value


def parse_args(op: str, keywords: Mapping[str, object], catalog: Catalog) -> Any:
    """Check the keywords of one Python call as the same keys of a scenario.

    Args:
        op: an operation (``add`` or ``add_memory``, ``online`` …), ``boot`` for the machine's keys, or
            ``drivers`` for the policies by driver.
        keywords: plain Python values; sizes are text or bytes, None means not given.
        catalog: the installed plugins.

    Returns:
        The operation's model, a ``MachineSpec``, or a dict of ``DriverPolicy``.

    Raises:
        InputError: with the path ``op.key``, and without file, line and column.
    """
    given = {key: value for key, value in keywords.items() if value is not None}
    catalog = CatalogCache(catalog)
    problems: list[Problem] = []
    record: object
    if op == "boot":
        record = check_machine(given, catalog, problems)
    elif op == "drivers":
        record = check_drivers(given, catalog, problems)
    else:
        record = check_step(_PYTHON_NAMES.get(op, op), given, catalog, problems)
    prefix: Where = (op,)
    first_error(given, problems, prefix=prefix)
    return record
