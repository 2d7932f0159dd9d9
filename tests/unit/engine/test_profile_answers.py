"""What a profile says of itself and what its steps answer: where a type is wrong, the profile is blamed by name."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Mapping
from types import ModuleType
from typing import Any, Final

import pytest
from tests.plugins.rig import plugged
from tests.plugins.test_bad_profiles import answering, plugin

from memhotplug import Machine, PluginError
from memhotplug.plugin import KernelProfile, hookimpl, profile_of

GOOD: Final = profile_of("linux-6.12")


def life(machine: Machine) -> None:
    """Ask for every step that answers something."""
    name = machine.add_memory(driver="acpi", size="256M").name
    machine.online(name)
    machine.read("memory/memory32/removable")
    machine.read("memory/memory32/valid_zones")
    machine.to_dict()
    profile, kernel = machine.kernel.profile, machine.kernel
    profile.register_group(kernel, 0, max_pages=1 << 16)
    profile.parameter_files(kernel)
    profile.root_attributes(kernel)
    profile.write_root_attribute(kernel, "x", "1", capable=True)
    profile.switches(kernel)
    profile.describe_flags(0)
    list(profile.violations(kernel))


STEPS: Final[Mapping[str, tuple[object, str]]] = {
    "new_state": (None, "None, which is no object with a copy()"),
    "filter_flags": ("x", "'x', which is no number of flags"),
    "memmap_on_memory_refusal": (7, "7, which is no text, nor None"),
    "register_group": (None, "None, which is no number of a group, nor -1"),
    "zone_for_rows": (None, "None, which is no zone with a count of blocks"),
    "removable": ([True], "[True], which is no array of bool"),
    "root_attributes": ({"x": 1}, "{'x': 1}, which is no mapping from names to text"),
    "write_root_attribute": (1, "1, which is no bool"),
    "module_parameters": ({"x": 1}, "{'x': 1}, which is no mapping from names to text"),
    "parameter_files": ({"x": "r"}, "{'x': 'r'}, which is no mapping from names to modes"),
    "switches": ({"x": "on"}, "{'x': 'on'}, which is no mapping from paths to words"),
    "heads": ("x", "'x', which is no iterator of mappings"),
    "violations": ("I1", "'I1', which is no iterator of text"),
    "describe_flags": (None, "None, which is no text"),
}
ON: Final = {"arch": "x86_64", "memory": "2G", "cmdline": "memory_hotplug.memmap_on_memory=1"}


@pytest.mark.parametrize("step", STEPS)
def test_a_wrong_answer_of_a_step_is_the_profiles_fault(step: str) -> None:
    """Neither a bug in mhp nor that of the driver that asked."""
    value, text = STEPS[step]
    with plugged("profiles", plugin(**{step: answering(value)})) as name, pytest.raises(PluginError) as caught:
        life(Machine.boot(kernel=name, **ON))
    assert str(caught.value).startswith(f"plugin {name} (bad-plugins 9.9, ")
    assert str(caught.value).endswith(f": its profile's step {step!r} answered {text}")


HEAD: Final = {"start_pfn": 1, "nr_pages": 1, "refcount": None, "private": None, "serves": [1, 2], "device": "x"}
NOT_PLAIN: Final = "which is no mapping with the keys of a head, and plain values"


@pytest.mark.parametrize(
    ("step", "items", "text"),
    [
        ("violations", ["I1: so", 7], "yielded 7, which is no text"),
        ("heads", [HEAD, None], f"yielded None, {NOT_PLAIN}"),
        ("heads", [{"start_pfn": 1}], f"yielded {{'start_pfn': 1}}, {NOT_PLAIN}"),
        ("heads", [HEAD | {"refcount": 1.5}], f"yielded {HEAD | {'refcount': 1.5}}, {NOT_PLAIN}"),
    ],
)
def test_a_wrong_item_of_an_answer_is_the_profiles_fault(step: str, items: list[object], text: str) -> None:
    """The first one is told; JSON has none of them."""
    with plugged("profiles", plugin(**{step: answering(items)})) as name, pytest.raises(PluginError) as caught:
        life(Machine.boot(kernel=name, **ON))
    assert str(caught.value).endswith(f": its profile's step {step!r} {text}")


def test_items_are_passed_on_as_they_are() -> None:
    """Of a list as of a generator."""
    with plugged("profiles", plugin(heads=answering([HEAD]), violations=answering(iter(["I1: so"])))) as name:
        document = Machine.boot(kernel=name, **ON).to_dict()
    assert (document["vmemmap"], document["violations"]) == ([HEAD], ["I1: so"])


def test_no_zone_for_no_block_is_refused() -> None:
    """A count of nothing would be asked for ever."""
    says: dict[str, Any] = {"zone_for_rows": lambda *given: (GOOD.zone_for_rows(*given)[0], 0)}
    with plugged("profiles", plugin(**says)) as name, pytest.raises(PluginError) as caught:
        life(Machine.boot(kernel=name, **ON))
    assert str(caught.value).endswith(", 0), which is no zone with a count of blocks")


def test_a_pair_with_names_is_a_pair() -> None:
    """A profile may name the zone and the count that it answers."""
    answer = namedtuple("answer", "zone count")
    says: dict[str, Any] = {"zone_for_rows": lambda *given: answer(*GOOD.zone_for_rows(*given))}
    with plugged("profiles", plugin(**says)) as name:
        life(Machine.boot(kernel=name, **ON))


@pytest.mark.parametrize(
    ("attribute", "value", "text"),
    [
        ("flags", {"MHP_X": "a"}, "flags is {'MHP_X': 'a'}, which is no mapping from names to bits"),
        ("flags", {"MHP_X": -1}, "flags is {'MHP_X': -1}, which is no mapping from names to bits"),
        ("short_flags", None, "short_flags is None, which is no mapping from names to names"),
        ("event_names", 5, "event_names is 5, which is no tuple of names of MemoryEvent"),
        ("event_names", ("MEM_UP",), "event_names is ('MEM_UP',), which is no tuple of names of MemoryEvent"),
        ("auto_online_types", ("online",), "auto_online_types is ('online',), which is no tuple of OnlineType"),
        ("movable_shares_marks", 2, "movable_shares_marks is 2, which is no bool"),
        ("has", answering(None), "step 'has' answered None of 'memory_groups', which is no bool"),
    ],
)
def test_what_a_profile_says_of_itself_is_looked_at(attribute: str, value: object, text: str) -> None:
    """When a machine boots, whoever asks for what of it afterwards."""
    with plugged("profiles", plugin(**{attribute: value})) as name, pytest.raises(PluginError) as caught:
        Machine.boot(kernel=name, **ON)
    assert str(caught.value).startswith(f"plugin {name} (bad-plugins 9.9, ")
    assert str(caught.value).endswith(f": its profile's {text}")


def test_a_class_that_lacks_an_attribute_is_told_which() -> None:
    """One that is based on nothing."""
    made = ModuleType("bare")
    kind = type("Bare", (KernelProfile,), {})
    made.kernel_profile = hookimpl(lambda: kind())  # type: ignore[attr-defined]
    with plugged("profiles", made) as name, pytest.raises(PluginError, match="version is None, which is no pair"):
        Machine.boot(kernel=name, **ON)
