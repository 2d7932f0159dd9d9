"""A catalog that needs no plugins, and short ways to read a scenario or its error."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TypeAlias

import pytest

from memhotplug.errors import InputError
from memhotplug.formats.scenario import Scenario, loads_scenario
from memhotplug.formats.scenario.refusal import suggest
from memhotplug.keyspec import KeySpec

HEAD = "schema: 1\nmachine: {arch: x86_64, kernel: v2-2019, memory: 4G}\n"

ACPI_KEYS: Mapping[str, KeySpec] = {
    "resources": KeySpec("size_list", "The sizes of the device's memory resources.", replaces_size=True),
    "proximity_domain": KeySpec("int", "What _PXM says.", maximum=255),
}
HV_KEYS: Mapping[str, KeySpec] = {
    "backed": KeySpec("size", "How much of it the host backs.", minimum=0, maximum=1 << 40),
    "pressure": KeySpec("bool", "Whether pressure is reported."),
    "agent": KeySpec("word", "Who onlines.", choices=("udev", "kernel")),
    "label": KeySpec("text", "Any text."),
    "tag": KeySpec("word", "Any word."),
}


class FakeCatalog:
    """Three architectures, two profiles, three drivers."""

    def names(self, kind: str) -> list[str]:
        return {
            "arch": ["x86_64", "arm64", "s390"],
            "profiles": ["v2-2019", "linux-6.12"],
            "drivers": ["acpi", "sclp", "hv_balloon"],
            "policies": ["by_size"],
        }[kind]

    def driver_keys(self, name: str) -> Mapping[str, KeySpec]:
        return {"acpi": ACPI_KEYS, "sclp": {}, "hv_balloon": HV_KEYS}[name]

    def using(self, files: Sequence[str]) -> AbstractContextManager[None]:
        """No files here."""
        return nullcontext()

    def machine_keys(self, name: str) -> Mapping[str, KeySpec]:
        return {"rzm": KeySpec("size", "the increment", power_of_two=True)} if name == "s390" else {}

    def canonical(self, kind: str, word: str) -> str | None:
        known = {"amd64": "x86_64", "6.12": "linux-6.12", "dimm": "acpi"}
        return word if word in self.names(kind) else known.get(word)

    def suggestion(self, kind: str, word: str) -> str | None:
        return suggest(word, self.names(kind))


Load: TypeAlias = Callable[[str], Scenario]
ErrorOf: TypeAlias = Callable[[str], InputError]


@pytest.fixture(scope="session")
def catalog() -> FakeCatalog:
    """The installed plugins."""
    return FakeCatalog()


@pytest.fixture(scope="session")
def load(catalog: FakeCatalog) -> Load:
    """Read a whole scenario from text, as the file s.yaml."""
    return lambda text: loads_scenario(text, catalog=catalog, file="s.yaml")


@pytest.fixture(scope="session")
def load_step(load: Load) -> Load:
    """Read a scenario whose last step is the text; dimm0 and app exist. The step is in line 6."""
    known = "  - add: {driver: acpi, name: dimm0, size: 1G}\n  - allocate: {name: app, size: 1M}\n"
    return lambda text: load(f"{HEAD}steps:\n{known}  - {text}\n")


@pytest.fixture(scope="session")
def error_of(load: Load) -> ErrorOf:
    """Return the error that a whole scenario ends in."""

    def read(text: str) -> InputError:
        with pytest.raises(InputError) as caught:
            load(text)
        return caught.value

    return read


@pytest.fixture(scope="session")
def step_error(load_step: Load) -> ErrorOf:
    """Return the error that one step ends in; the step is in line 6 and begins in column 5."""

    def read(text: str) -> InputError:
        with pytest.raises(InputError) as caught:
            load_step(text)
        return caught.value

    return read
