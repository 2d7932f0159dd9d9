"""Profiles with one step that does nothing: the contract notices every one."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any, ClassVar, Final

import pytest
from tests.plugins.rig import failures, plugged

from memhotplug.plugin import hookimpl, profile_of
from memhotplug.testing import ProfileContract

GOOD: Final = profile_of("linux-6.12")


def plugin(**says: object) -> ModuleType:
    """Return a plugin whose profile is Linux 6.12, but for some steps or attributes."""
    made = ModuleType("changed")
    kind = type("Mine", (GOOD,), says)
    made.kernel_profile = hookimpl(lambda: kind())  # type: ignore[attr-defined]
    return made


ON: Final = {"arch": "x86_64", "memory": "2G", "cmdline": "memory_hotplug.memmap_on_memory=1"}


def answering(value: object) -> object:
    """Return a step that always answers the same."""
    return lambda self, *arguments, **keywords: value


def contract(profile: str) -> type[ProfileContract]:
    """Return the contract for a profile on one machine."""

    class Subject(ProfileContract):
        name = profile
        machines: ClassVar[tuple[Mapping[str, object], ...]] = (ON,)

    return Subject


_LIFE: Final = "test_life_of_memory_restores_the_machine"
_COUNTED: Final = "test_onlined_memory_is_counted_whole"
DEEDS: Final[Mapping[str, tuple[str, str, Any]]] = {
    "nothing is added": (_LIFE, "add_memory_resource", answering(None)),
    "nothing goes online": (_COUNTED, "online", answering(None)),
    "nothing goes offline": (_LIFE, "offline", answering(None)),
    "nothing is removed": (_LIFE, "remove", answering(None)),
    "no memmap is given back": (_LIFE, "release_vmemmap", answering(None)),
    "sections stay": (_LIFE, "remove_pages", answering(None)),
}


@pytest.mark.parametrize("what", DEEDS)
def test_a_step_that_does_nothing_is_noticed_by_the_contract(what: str) -> None:
    """Invariants and the books tell; the profile that it was made from passes."""
    test, step, instead = DEEDS[what]
    with plugged("profiles", plugin()) as name:
        assert failures(contract(name), test) == []
    with plugged("profiles", plugin(**{step: instead})) as name:
        assert failures(contract(name), test) != []
