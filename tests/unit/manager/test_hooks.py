"""What calls the hooks of one plugin: as pluggy would, and past it where nothing is wrapped around them."""

from __future__ import annotations

from collections.abc import Generator
from types import ModuleType
from typing import Any

import pluggy

from memhotplug.hookspecs import PROJECT, DriverSpec, NotifierSpec, hookimpl
from memhotplug.manager.hooks import Hooks

ASKED = {"kernel": 1, "request": 2, "phys_range": 3, "notify": 4}


def hooks(*plugins: object) -> Hooks:
    """Return what calls the hooks of some plugins under one manager."""
    manager = pluggy.PluginManager(PROJECT)
    for spec in (DriverSpec, NotifierSpec):
        manager.add_hookspecs(spec)
    for number, one in enumerate(plugins):
        manager.register(one, name=str(number))
    return Hooks(manager.hook)


def plugin(**functions: Any) -> ModuleType:
    """Return a plugin with some hooks."""
    module = ModuleType("mine")
    vars(module).update({name: hookimpl(function) for name, function in functions.items()})
    return module


def test_a_hook_gets_the_arguments_that_it_names() -> None:
    """None, one or several, whatever else is given; in the order in which it names them."""
    found = hooks(
        plugin(
            driver_keys=lambda: "none",
            mhp_flags=lambda phys_range: phys_range,
            driver_ranges=lambda request, kernel: (request, kernel),
        )
    )
    answers = [caller(ASKED) for name in ("driver_keys", "mhp_flags", "driver_ranges") if (caller := found[name])]

    assert answers == ["none", 3, (2, 1)]


def test_answers_are_told_as_pluggy_tells_them() -> None:
    """A list of those that are not None where all are asked."""
    says, silent = found = [hooks(plugin(memory_notify=answer)) for answer in (lambda notify: notify, lambda: None)]
    answers = [caller(ASKED) for one in found if (caller := one["memory_notify"])]

    assert answers == [[4], []]
    assert answers == [one.relay.memory_notify(**ASKED) for one in (says, silent)]


def test_what_a_plugin_does_not_have_is_nothing() -> None:
    """Specified or not; what was found is kept."""
    found = hooks(plugin(driver_keys=lambda: None))

    assert (found["driver_add"], found["nonsense"]) == (None, None)
    assert found["driver_keys"] is found["driver_keys"] is not None


def test_what_is_wrapped_around_a_hook_is_not_passed_by() -> None:
    """Pluggy itself calls it then, and of several the first that answers counts."""

    class Around:
        @hookimpl(wrapper=True)
        def mhp_flags(self) -> Generator[None, int, int]:
            return (yield) + 10

    mine = plugin(mhp_flags=lambda phys_range: phys_range)
    last = plugin(mhp_flags=lambda: 5)
    answers = [caller(ASKED) for one in (hooks(mine, Around()), hooks(mine, last)) if (caller := one["mhp_flags"])]

    assert answers == [13, 5]
