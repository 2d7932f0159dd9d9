"""What all tests share: reproducible hypothesis runs, machines, and a short way to be refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any, TypeAlias, Union

import pytest
from hypothesis import HealthCheck, settings
from pydantic import TypeAdapter

from memhotplug import Machine, MemoryHotplugError

settings.register_profile(
    "memhotplug",
    derandomize=True,
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("memhotplug")


@pytest.fixture(scope="session", autouse=True)
def _outputs_keep_their_schemas() -> Iterator[None]:
    """Hold every document that any test has written in this process to the types that its schema is made of."""
    from memhotplug.documents.schema import TYPES
    from memhotplug.output import jsontext

    anything: Any = Union[tuple(TYPES.values())]  # noqa: UP007  # made at run time
    documents = TypeAdapter[object](anything)

    def held(write: Callable[[Mapping[str, object]], str]) -> Callable[[Mapping[str, object]], str]:
        def checked(document: Mapping[str, object]) -> str:
            text = write(document)
            if "schema" in document:
                documents.validate_json(text, strict=True)
            return text

        return checked

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jsontext, "render", held(jsontext.render))
        patch.setattr(jsontext, "render_line", held(jsontext.render_line))
        yield


Boot: TypeAlias = Callable[..., Machine]
Refused: TypeAlias = Callable[..., MemoryHotplugError]


@cache
def _booted(keywords: tuple[tuple[str, Any], ...]) -> Machine:
    plain = {key: [dict(part) for part in value] if isinstance(value, tuple) else value for key, value in keywords}
    return Machine.boot(**plain)


def boot_machine(**keywords: Any) -> Machine:
    """Return a machine that nobody else has; x86_64 with 4 GiB and the series unless asked otherwise."""
    keywords = {"arch": "x86_64", "kernel": "v2-2019", "memory": "4G", **keywords}
    memory = keywords["memory"]
    if isinstance(memory, list):
        keywords["memory"] = tuple(tuple(sorted(part.items())) for part in memory)
    return _booted(tuple(sorted(keywords.items()))).copy()


@pytest.fixture(scope="session")
def boot() -> Boot:
    """Return a function that boots a machine: boot(memory="4G", cmdline=...)."""
    return boot_machine


@pytest.fixture(scope="session")
def refused() -> Refused:
    """Return a function that calls another one and returns the refusal that it must end in."""

    def call(operation: Callable[..., object], *args: object, **keywords: object) -> MemoryHotplugError:
        with pytest.raises(MemoryHotplugError) as caught:
            operation(*args, **keywords)
        return caught.value

    return call


def zone_of(machine: Machine, name: str, node: int = 0) -> dict[str, Any]:
    """Return the entry of the JSON key ``zones`` for one zone; an empty one if nothing is spanned."""
    empty = {"node": node, "zone": name, "start_pfn": 0, "spanned": 0, "present": 0, "managed": 0, "free": 0}
    found = machine.to_dict()["zones"]
    return next((dict(zone) for zone in found if (zone["zone"], zone["node"]) == (name, node)), empty)


def block_of(machine: Machine, block: int) -> dict[str, Any]:
    """Return the entry of the JSON key ``blocks`` for one block."""
    return next(dict(entry) for entry in machine.to_dict()["blocks"] if entry["id"] == block)


@pytest.fixture(scope="session", name="zone_of")
def _zone_of() -> Callable[..., dict[str, Any]]:
    """Return a function that looks up a zone: zone_of(machine, "Movable", node=0)."""
    return zone_of


@pytest.fixture(scope="session", name="block_of")
def _block_of() -> Callable[..., dict[str, Any]]:
    """Return a function that looks up a block: block_of(machine, 32)."""
    return block_of
