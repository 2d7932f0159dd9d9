"""Plugins: discovery without import, loading, choosing, calling, and whose fault it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest
from tests.kernels import MAINLINE
from tests.places import unplaced

from memhotplug import InputError, MemoryHotplugError, PluginError, manager
from memhotplug.hookspecs import hookimpl
from memhotplug.manager import Candidate, Plugins
from memhotplug.manager.discovery import discovered
from memhotplug.manager.loading import hooks_in
from memhotplug.units import natural_key

Install: TypeAlias = Callable[..., None]

GOOD = """
from memhotplug.plugin import hookimpl
from memhotplug.units import natural_key
from tests.kernels import MAINLINE

@hookimpl
def driver_keys():
    return {}

@hookimpl
def driver_ranges(kernel, request):
    return []

@hookimpl
def mhp_flags():
    return 0
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Return a function that installs a distribution with one plugin module, for the test's duration."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(name: str, source: str, *, group: str = "memhotplug.drivers", distribution: str = "third-party") -> None:
        module = f"plugin_{distribution.replace('-', '_')}_{name}"
        (tmp_path / f"{module}.py").write_text(source)
        info = tmp_path / f"{distribution.replace('-', '_')}-1.5.dist-info"
        info.mkdir(exist_ok=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.5\n")
        with (info / "entry_points.txt").open("a") as stream:
            stream.write(f"[{group}]\n{name} = {module}\n")
        discovered.cache_clear()

    yield write
    discovered.cache_clear()


def test_the_built_in_plugins_are_found_through_entry_points() -> None:
    """One group a kind; nothing is registered in another way."""
    assert "x86_64" in manager.names("arch")
    assert "v2-2019" in manager.names("profiles")
    assert "acpi" in manager.names("drivers")
    found = manager.choose("arch", "x86_64")
    assert (found.kind, found.name, found.distribution) == ("arch", "x86_64", "memhotplug")


def test_candidates_are_ascending_by_kind_and_name() -> None:
    """All, or those of one kind; versions in names by value."""
    found = [(one.kind, natural_key(one.name)) for one in manager.candidates()]
    assert found == sorted(found)
    assert manager.names("profiles")[:-1] == list(MAINLINE)
    assert {found.kind for found in manager.candidates("arch")} == {"arch"}


def test_a_missing_plugin_names_what_there_is_and_the_nearest() -> None:
    """The list is that of the kind."""
    with pytest.raises(PluginError) as caught:
        manager.choose("arch", "x86-64")

    there = ", ".join(manager.names("arch"))
    assert str(caught.value) == f"plugin x86-64: not installed (there are: {there}); did you mean 'x86_64'?"


def test_a_third_party_driver_is_found_and_works(install: Install) -> None:
    """A distribution with an entry point is enough."""
    install("good", GOOD)

    assert "good" in manager.names("drivers")
    assert manager.own_keys("drivers", "good") == {}
    plugins = Plugins("x86_64", "v2-2019")
    key = plugins.driver("good")
    assert plugins.ask(key, "mhp_flags", int, kernel=None, request=None, phys_range=None) == 0
    assert plugins.has(key, "driver_ranges")
    assert not plugins.has(key, "driver_add")


def test_discovery_imports_nothing(install: Install) -> None:
    """A plugin that cannot be imported harms nobody who does not choose it."""
    install("broken", "raise RuntimeError('no such device')")

    assert "broken" in manager.names("drivers")
    Plugins("x86_64", "v2-2019").driver("acpi")
    with pytest.raises(PluginError) as caught:
        manager.own_keys("drivers", "broken")
    assert unplaced(str(caught.value)) == (
        "plugin broken (third-party 1.5, memhotplug.drivers = plugin_third_party_broken): "
        "cannot be loaded: RuntimeError: no such device"
    )


def test_two_packages_with_one_name_are_refused(install: Install) -> None:
    """Both are named."""
    install("twin", GOOD)
    install("twin", GOOD, distribution="other")

    with pytest.raises(PluginError) as caught:
        manager.choose("drivers", "twin")

    assert str(caught.value) == (
        "plugin twin: is provided by more than one package: "
        "twin (other 1.5, memhotplug.drivers = plugin_other_twin), "
        "twin (third-party 1.5, memhotplug.drivers = plugin_third_party_twin); write other:twin"
    )
    assert {"other:twin", "third-party:twin"} <= set(manager.names("drivers"))
    assert manager.choose("drivers", "third-party:twin").distribution == "third-party"


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        (GOOD.replace("def mhp_flags", "def mph_flags"), "there is no hook 'mph_flags'; did you mean 'mhp_flags'?"),
        (GOOD.replace("kernel, request", "kernel, nonsense"), "nonsense"),
        ("", "has no hook driver_keys, driver_ranges, mhp_flags"),
    ],
    ids=["unknown hook", "unknown argument", "no hooks"],
)
def test_hooks_are_checked_when_a_plugin_is_loaded(install: Install, source: str, problem: str) -> None:
    """An unknown hook, an unknown argument, or a missing required hook; in one line."""
    name = f"bad{len(source)}"
    install(name, source)

    with pytest.raises(PluginError) as caught:
        Plugins("x86_64", "v2-2019").driver(name)

    assert problem in str(caught.value)
    assert str(caught.value).startswith(f"plugin {name} (third-party 1.5, ")
    assert "\n" not in str(caught.value)


def test_a_hook_is_told_by_what_it_implements(install: Install) -> None:
    """A function may have another name than its hook; of hooks that a plugin does not have nothing is known."""
    renamed = GOOD.replace("@hookimpl\ndef mhp_flags()", '@hookimpl(specname="mhp_flags")\ndef mine(kernel)')
    install("renamed", renamed.replace("return 0", "return kernel"))
    plugins = Plugins("x86_64", "v2-2019")
    key = plugins.driver("renamed")

    assert plugins.call(key, "mhp_flags", kernel=5, request=None, phys_range=None) == 5
    assert not plugins.has(key, "driver_add")
    install("strange", GOOD.replace("@hookimpl\ndef mhp_flags()", '@hookimpl(specname="mhp_flag")\ndef mhp_flags()'))
    with pytest.raises(PluginError, match="unknown hook 'mhp_flag'"):
        plugins.driver("strange")


def test_an_object_is_a_plugin_with_the_methods_of_its_classes() -> None:
    """What it inherits counts, and so does a name that every object has, once a class gives it a hook."""

    class Base:
        @hookimpl
        def driver_keys(self) -> dict[str, object]:
            return {"a": 1}

    class Mine(Base):
        @hookimpl
        def driver_ranges(self) -> list[object]:
            return []

        @hookimpl(specname="mhp_flags")
        def __sizeof__(self) -> int:
            return 7

    hooks = hooks_in(Candidate("drivers", "mine", "third-party", "1.5", "mine"), Mine())
    answers = [caller({}) for name in ("driver_keys", "mhp_flags") if (caller := hooks[name]) is not None]

    assert answers == [{"a": 1}, 7]


def test_an_exception_in_a_hook_is_the_plugin_s_fault(install: Install) -> None:
    """It becomes a PluginError that names plugin, distribution and hook; refusals go through."""
    install("raises", GOOD.replace("return 0", "return 1 / 0"))
    for name, error in (("refuses", "MemoryHotplugError(16, 'no')"), ("asks", "InputError('a thing')")):
        install(name, f"import memhotplug.plugin as api\n{GOOD.replace('return 0', f'raise api.{error}')}")
    plugins = Plugins("x86_64", "v2-2019")
    arguments = {"kernel": None, "request": None, "phys_range": None}

    with pytest.raises(PluginError) as caught:
        plugins.call(plugins.driver("raises"), "mhp_flags", **arguments)
    assert unplaced(str(caught.value)).endswith(": hook mhp_flags raised ZeroDivisionError: division by zero")
    with pytest.raises(MemoryHotplugError, match="no"):
        plugins.call(plugins.driver("refuses"), "mhp_flags", **arguments)
    with pytest.raises(InputError, match="a thing"):
        plugins.call(plugins.driver("asks"), "mhp_flags", **arguments)
    assert plugins.current is None


@pytest.mark.parametrize("answer", ["None", "'1'", "True", "1.5"])
def test_an_answer_of_the_wrong_type_is_the_plugin_s_fault(install: Install, answer: str) -> None:
    """True is no number here."""
    name = "wrong_" + "".join(filter(str.isalnum, answer))
    install(name, GOOD.replace("return 0", f"return {answer}"))
    plugins = Plugins("x86_64", "v2-2019")

    with pytest.raises(PluginError) as caught:
        plugins.ask(plugins.driver(name), "mhp_flags", int, kernel=None, request=None, phys_range=None)

    assert str(caught.value).endswith(f": hook mhp_flags answered {answer}, which is no int")


def test_a_hook_that_wraps_is_called_as_pluggy_calls_it(install: Install) -> None:
    """A plain hook is called directly, with the arguments that it names; one that pluggy has more to do for is not."""
    flags = "def mhp_flags():\n    return 0"
    install("plain", GOOD.replace(flags, "def mhp_flags(phys_range, kernel):\n    return [kernel, phys_range]"))
    install(
        "wraps", GOOD.replace("hookimpl\n" + flags, "hookimpl(wrapper=True)\ndef mhp_flags():\n    yield\n    return 7")
    )
    plugins = Plugins("x86_64", "v2-2019")
    arguments = {"kernel": 1, "request": 2, "phys_range": 3}

    assert plugins.call(plugins.driver("plain"), "mhp_flags", **arguments) == [1, 3]
    assert plugins.call(plugins.driver("wraps"), "mhp_flags", **arguments) == 7


def test_a_plugin_that_is_notified_answers_as_pluggy_has_it(install: Install) -> None:
    """A list of its answer; of none, an empty one. What has a default is handed over as pluggy does it."""
    answers = {
        "says": ("notify", "return notify"), "silent": ("notify", "pass"), "spare": ("kernel=7", "return kernel"),
    }  # fmt: skip
    for name, (takes, body) in answers.items():
        install(name, f"{GOOD}\n@hookimpl\ndef memory_notify({takes}):\n    {body}\n")
    plugins = Plugins("x86_64", "v2-2019")
    arguments = {"kernel": 1, "notify": 2}

    found = {name: plugins.call(plugins.driver(name), "memory_notify", **arguments) for name in answers}

    alone = {name: manager.choose("drivers", name) for name in answers}
    hooks = {name: hooks_in(candidate, candidate.load()) for name, candidate in alone.items()}
    assert (found["says"], found["silent"]) == ([2], [])
    assert found == {name: hooks[name].relay.memory_notify(**arguments) for name in answers}


def test_driver_keys_must_be_a_mapping_of_key_specs(install: Install) -> None:
    """Anything else is named."""
    install("keys", GOOD.replace("return {}", "return {'a': 1}"))

    with pytest.raises(PluginError) as caught:
        manager.own_keys("drivers", "keys")

    assert str(caught.value).endswith("hook driver_keys answered {'a': 1}, which is no mapping of KeySpec")
    for name, answer, problem in (
        ("numbers", "{1: api.KeySpec('int', 'help')}", "which is no mapping of KeySpec"),
        ("kinds", "{'a': api.KeySpec('float', 'help')}", "not 'float'"),
    ):
        install(name, f"import memhotplug.plugin as api\n{GOOD.replace('return {}', f'return {answer}')}")
        with pytest.raises(PluginError) as caught:
            manager.own_keys("drivers", name)
        assert problem in str(caught.value)


def test_listeners_are_those_with_memory_notify_by_name(install: Install) -> None:
    """They are found when a driver is registered, in the order of names."""
    notify = "\n@hookimpl\ndef memory_notify(notify):\n    pass\n"
    install("zeta", GOOD + notify)
    install("alpha", GOOD + notify)
    plugins = Plugins("x86_64", "v2-2019")
    before = plugins.listeners

    for name in ("zeta", "acpi", "alpha"):
        plugins.driver(name)

    assert plugins.listeners == sorted([*before, "drivers:alpha", "drivers:zeta"])


def test_a_hook_that_a_plugin_does_not_have_cannot_be_called() -> None:
    """The message names the plugin."""
    plugins = Plugins("x86_64", "v2-2019")

    with pytest.raises(PluginError, match=r"has no hook mhp_flags\Z"):
        plugins.call(plugins.arch, "mhp_flags")
