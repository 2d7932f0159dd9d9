"""Policies and profiles with one bug each: the engine or the contract notices every one."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any, ClassVar

import pytest
from tests.plugins.rig import Bad, changed, check, failures, plugged

from memhotplug import Machine, PluginError
from memhotplug.plugin import KernelProfile, hookimpl, profile_of
from memhotplug.testing import PolicyContract, ProfileContract

_ON = "memory_hotplug.memmap_on_memory=1"

GOOD_POLICY = ModuleType("good_policy")


@hookimpl
def policy_mhp_flags(kernel: Any, phys_range: Any, driver_flags: int) -> int:
    """Small ranges host their memmap, others are the driver's affair."""
    small = phys_range.size <= kernel.geometry.memory_block_size
    return driver_flags | kernel.flag("on_memory") if small else driver_flags


GOOD_POLICY.__dict__["policy_mhp_flags"] = policy_mhp_flags


def policy_contract(plugin: str) -> type[PolicyContract]:
    """Return the contract for a policy."""

    class Subject(PolicyContract):
        name = plugin
        kernel = "linux-6.12"
        machines: ClassVar[Sequence[dict[str, object]]] = ({"arch": "x86_64", "memory": "2G", "cmdline": _ON},)

    return Subject


_turns = {"count": 0}


def _by_turns(kernel: Any) -> int:
    _turns["count"] += 1
    flags: int = kernel.flag("on_memory") * (_turns["count"] % 2)
    return flags


def _notes(kernel: Any, driver_flags: int) -> int:
    kernel.state.driver_state["policy"] = {"asked": len(kernel.state.driver_state.get("policy", {})) + 1}
    return driver_flags


def _warns(kernel: Any, driver_flags: int) -> int:
    kernel.warn("a policy was asked")
    return driver_flags


def _policy(function: Callable[..., object]) -> dict[str, object]:
    return {"policy_mhp_flags": hookimpl(function)}


_FLAGS = "test_flags_are_known_to_the_profile"
_ASKED = "test_questions_change_nothing"
_SAME = "test_the_same_steps_give_the_same_machine"

POLICIES = [
    Bad("a flag that no kernel has", _FLAGS, _policy(lambda: 1 << 20)),
    Bad("negative flags", _FLAGS, _policy(lambda: -1)),
    Bad("None", _FLAGS, _policy(lambda: None), "hook policy_mhp_flags answered None, which is no int"),
    Bad("a word", _FLAGS, _policy(lambda: "on_memory"), "hook policy_mhp_flags answered 'on_memory'"),
    Bad("True", _FLAGS, _policy(lambda: True), "hook policy_mhp_flags answered True, which is no int"),
    Bad("an unknown node", _FLAGS, _policy(lambda phys_range: 0 * phys_range.nid), "raised TypeError"),
    Bad("answers by turns", _ASKED, _policy(_by_turns)),
    Bad("notes made when asked", _ASKED, _policy(_notes)),
    Bad("a warning when asked", _ASKED, _policy(_warns)),
    Bad("random numbers", _SAME, _policy(lambda kernel: kernel.flag("on_memory") * (random.random() < 0.5))),
    Bad("options set", _FLAGS, _policy(lambda request: request.options.update(x=1)), "raised AttributeError"),
    Bad("print()", "test_nothing_is_printed", _policy(lambda driver_flags: print("asked") or driver_flags)),
    Bad(
        "flags for life",
        "test_life_under_the_policy_gives_everything_back",
        _policy(lambda: 1 << 20),
        "policy_mhp_flags answered 0x",
    ),
]


@pytest.mark.parametrize("bad", POLICIES, ids=lambda bad: bad.what)
def test_bug_of_a_policy_is_noticed(bad: Bad) -> None:
    """The good policy passes the test, the one with the bug does not."""
    check("policies", GOOD_POLICY, bad, policy_contract)


def test_good_policy_keeps_the_whole_contract() -> None:
    """Every test of the contract passes for the policy that the bad ones are made from."""
    with plugged("policies", changed(GOOD_POLICY, {})) as name:
        tests = [test for test in dir(PolicyContract) if test.startswith("test_")]
        assert {test: found for test in tests if (found := failures(policy_contract(name), test))} == {}


# ---- profiles ----


class _Good(profile_of("linux-6.12")):  # type: ignore[misc]  # which class, the installed plugin says
    """Linux 6.12."""


def profile_contract(plugin: str) -> type[ProfileContract]:
    """Return the contract for a profile, which bears the name of its plugin."""

    class Subject(ProfileContract):
        name = plugin
        machines: ClassVar[Sequence[dict[str, object]]] = ({"arch": "x86_64", "memory": "2G", "cmdline": _ON},)

    return Subject


class _TwoBits(_Good):
    flags: Mapping[str, int] = {**profile_of("linux-6.12")().flags, "MHP_BOTH": 3}


class _NoNone(_Good):
    short_flags: Mapping[str, str] = {"none": "MHP_NOTHING"}


class _Counts(_Good):
    adds = 0

    def add_pages(self, kernel: Any, start_pfn: int, nr_pages: int, nid: int, restrictions: Any) -> None:
        type(self).adds += 1
        kernel.log("adds", count=type(self).adds)
        super().add_pages(kernel, start_pfn, nr_pages, nid, restrictions)


class _Deaf(_Good):
    def online(self, kernel: Any, rows: slice, zone: Any) -> None:
        vetoes, kernel.step.vetoes = kernel.step.vetoes, {}
        try:
            super().online(kernel, rows, zone)
        finally:
            kernel.step.vetoes = vetoes


class _Forgets(_Good):
    def online(self, kernel: Any, rows: slice, zone: Any) -> None:
        super().online(kernel, rows, zone)
        zone.present -= 1


class _Keeps(_Good):
    def offline(self, kernel: Any, rows: slice) -> None:
        zone = max(kernel.state.zones(), key=lambda zone: zone.end_pfn)
        managed = zone.managed
        super().offline(kernel, rows)
        zone.managed = managed


class _Says(_Good):
    def remove(self, kernel: Any, start: int, size: int) -> None:
        print("removing", start)
        super().remove(kernel, start, size)


class _Shared(_Good):
    def new_state(self, kernel: Any) -> Any:
        state = super().new_state(kernel)
        state.copy = lambda: state
        return state


PROFILES: list[tuple[str, type[KernelProfile], str]] = [
    ("a flag of two bits", _TwoBits, "test_profile_says_what_it_is"),
    ("a short name for nothing", _NoNone, "test_profile_says_what_it_is"),
    ("a counter in the class", _Counts, _SAME),
    ("a veto that is not heard", _Deaf, "test_vetoed_change_changes_no_counter"),
    ("a page that is not counted", _Forgets, "test_onlined_memory_is_counted_whole"),
    ("pages that stay managed", _Keeps, "test_life_of_memory_restores_the_machine"),
    ("print()", _Says, "test_nothing_is_printed"),
    ("a state that copies share", _Shared, "test_profile_keeps_no_state_of_its_own"),
]


def _profile(kind: type[KernelProfile], name: str) -> ModuleType:
    """Return a plugin whose profile bears a name."""
    plugin = ModuleType(name)

    def kernel_profile() -> KernelProfile:
        return kind()

    plugin.__dict__["kernel_profile"] = hookimpl(kernel_profile)
    return plugin


@pytest.mark.parametrize(("kind", "test"), [row[1:] for row in PROFILES], ids=[row[0] for row in PROFILES])
def test_bug_of_a_profile_is_noticed(kind: type[KernelProfile], test: str) -> None:
    """The good profile passes the test, the one with the bug does not."""
    good, bad = f"good_{kind.__name__}", f"bad_{kind.__name__}"
    with plugged("profiles", _profile(_Good, good), good):
        assert failures(profile_contract(good), test) == []
    with plugged("profiles", _profile(kind, bad), bad):
        assert failures(profile_contract(bad), test)


@pytest.mark.parametrize(("found", "text"), [(None, "None"), (KernelProfile, "<class ")], ids=["None", "a class"])
def test_answer_that_is_no_profile_is_blamed(found: object, text: str) -> None:
    """The hook answers with an object of a profile."""
    plugin = ModuleType("none")
    plugin.__dict__["kernel_profile"] = hookimpl(lambda: found)
    with plugged("profiles", plugin) as name:
        with pytest.raises(PluginError) as caught:
            Machine.boot(arch="x86_64", kernel=name, memory="2G")
        assert str(caught.value).startswith(f"plugin {name} (bad-plugins 9.9, ")
        assert f"hook kernel_profile answered {text}" in str(caught.value)
