"""Profiles: one based on another, steps that exist and are called, and names."""

from __future__ import annotations

import zlib
from typing import Any

import pytest
from tests.unit.manager.test_plugins import Install, install

from memhotplug import InputError, Machine, PluginError
from memhotplug.engine.profile import STEPS
from memhotplug.engine.profile_plugin import profile_of
from memhotplug.manager import names
from memhotplug.plugin import KernelProfile
from memhotplug.testing import memmap_pages
from memhotplug.testing.steps import own_steps, trace_steps, whole_life

__all__ = ["install"]  # the fixture

ON = "memory_hotplug.memmap_on_memory=1"
GROUP = "memhotplug.profiles"
HEAD = """
from memhotplug.plugin import hookimpl, profile_of

class Mine(profile_of("linux-6.12")):
    {body}

@hookimpl
def kernel_profile():
    return Mine()
"""


def put(install: Install, body: str = "pass", base: str = "linux-6.12") -> str:
    """Install a profile on top of another; return its name, which is that of no other source."""
    source = HEAD.format(body=body).replace("linux-6.12", base)
    name = f"mine{zlib.crc32(source.encode())}"
    install(name, source, group=GROUP)
    return name


def hosted(machine: Machine) -> int:
    """Return how many pages of hot-added memory hold memmap."""
    return memmap_pages(machine)[0]


def boot(kernel: str, **keywords: Any) -> Machine:
    """Return a small machine that may host memmap."""
    return Machine.boot(**({"arch": "x86_64", "memory": "2G", "kernel": kernel, "cmdline": ON} | keywords))


@pytest.mark.parametrize("name", names("profiles"))
def test_the_class_of_each_installed_profile_is_made_without_arguments(name: str) -> None:
    """And says the same of itself as the machine's own."""
    kind = profile_of(name)
    profile = boot(name, cmdline="").kernel.profile

    assert issubclass(kind, KernelProfile)
    assert isinstance(profile, kind)
    for attribute in ("version", "flags", "short_flags", "flag_masks", "auto_online_types", "event_names"):
        assert getattr(kind(), attribute) == getattr(profile, attribute)
    assert profile.name == name


def test_a_subclass_that_changes_nothing_answers_as_its_base(install: Install) -> None:
    """Version, flags and everything that happens are the same; only the name is its own."""
    mine = put(install)

    def life(kernel: str) -> dict[str, Any]:
        machine = boot(kernel)
        machine.online(
            machine.add_memory(driver="acpi", size="512M", mhp_flags="on_memory", name="dimm"), zone="movable"
        )
        document: Any = machine.to_dict()
        assert document["machine"].pop("kernel") == kernel
        return {**document, "version": machine.kernel.version}

    assert life(mine) == life("linux-6.12")
    assert life(mine)["version"] == (6, 12)


@pytest.mark.parametrize("base", ["linux-5.15", "linux-6.6", "linux-6.12", "linux-7.2"])
def test_one_step_is_overridden_and_the_engine_goes_by_it(install: Install, base: str) -> None:
    """A refusal of the subclass decides the add itself, not only what explain says."""
    body = 'def memmap_on_memory_refusal(self, kernel, size=None):\n        return "never"'
    mine = put(install, body, base)

    own, other = (boot(kernel, cmdline=ON.replace("1", "Y")) for kernel in (mine, base))
    for machine in (own, other):
        machine.add_memory(driver="acpi", size="128M", name="dimm")

    assert hosted(own) == 0
    assert hosted(other) == 512


@pytest.mark.parametrize("base", ["v2-2019", "linux-6.12"])
def test_flags_are_filtered_by_the_step_and_by_nothing_else(install: Install, base: str) -> None:
    """An override of filter_flags is seen by the add."""
    body = "def filter_flags(self, kernel, flags):\n        kernel.warn('dropped')\n        return 0"
    mine = put(install, body, base)
    machine = boot(mine, cmdline="" if base == "v2-2019" else ON)
    machine.add_memory(driver="acpi", size="128M", mhp_flags="device" if base == "v2-2019" else "on_memory")

    assert hosted(machine) == 0
    assert machine.kernel.journal.warnings == ["dropped"]


@pytest.mark.parametrize(("base", "backported"), [("linux-6.6", True), ("linux-6.8", False)])
def test_a_backport_is_a_rule_of_the_kernel_itself_too(install: Install, base: str, backported: bool) -> None:
    """What ``has`` answers decides flags, events, and what the profile's own steps do: here one altmap a block."""
    features = ("one_altmap_a_block", "prepare_online")
    body = f"def has(self, feature): return {backported} if feature in {features} else super().has(feature)"
    own, other = (boot(kernel) for kernel in (put(install, body, base), base))
    for machine in (own, other):
        machine.add_memory(driver="acpi", size="256M", name="dimm")

    assert (hosted(own), hosted(other)) == ((1024, 0) if backported else (0, 1024))
    for machine, prepares in ((own, backported), (other, not backported)):
        profile = machine.kernel.profile
        assert ("MEM_PREPARE_ONLINE" in profile.event_names) is prepares
        assert ("MHP_OFFLINE_INACCESSIBLE" in profile.flags) is prepares


@pytest.mark.parametrize(
    ("attribute", "value"),
    [("version", (6, 99)), ("event_names", ("MEM_ONLINE",)), ("auto_online_types", ()), ("flags", {"MHP_NEW": 16})],
)
def test_attributes_are_overridden_like_steps(install: Install, attribute: str, value: object) -> None:
    """What a class says of itself is not derived from its base's rules again."""
    name = put(install, f"{attribute} = {value!r}")
    assert getattr(boot(name).kernel.profile, attribute) == value


def test_profiles_that_are_based_on_each_other_are_refused(install: Install) -> None:
    """By name, once, and not as deep as Python goes."""
    lazy = """
from memhotplug.plugin import hookimpl, profile_of

@hookimpl
def kernel_profile():
    return type("Mine", (profile_of("{}"),), {{}})()
"""
    for name, base in (("hen", "egg"), ("egg", "hen"), ("self", "self")):
        install(name, lazy.format(base), group=GROUP)

    for name, base, circle in (("hen", "egg", "egg for hen for egg"), ("self", "self", "self for self")):
        with pytest.raises(PluginError) as caught:
            boot(name)
        assert str(caught.value) == (
            f"plugin {base} (third-party 1.5, memhotplug.profiles = plugin_third_party_{base}): "
            f"hook kernel_profile needs its own answer: {circle}"
        )


def test_a_step_that_no_kernel_has_is_refused_with_the_nearest(install: Install) -> None:
    """A misspelt override would be silent."""
    mine = put(install, "def memmap_on_memory_refusl(self, kernel, size=None): pass")

    with pytest.raises(PluginError) as caught:
        boot(mine)

    assert str(caught.value) == (
        f"plugin {mine} (third-party 1.5, memhotplug.profiles = plugin_third_party_{mine}): its profile has a step "
        "'memmap_on_memory_refusl', which no kernel has; did you mean 'memmap_on_memory_refusal'?"
    )


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("def filter_flags(self, kernel, flags, size): return flags",
         "'filter_flags' takes (kernel, flags, size), but gets (kernel, flags)"),
        ("def filter_flags(self, flags): return flags", "'filter_flags' takes (flags), but gets (kernel, flags)"),
        ("def memmap_on_memory_refusal(self, kernel, nr_bytes=None): return None",
         "'memmap_on_memory_refusal' takes (kernel, nr_bytes=None), but gets (kernel, size=None)"),
        ("def memmap_on_memory_refusal(self, kernel, size): return None",
         "'memmap_on_memory_refusal' takes (kernel, size), but gets (kernel, size=None)"),
        ("def write_root_attribute(self, kernel, name, value): return False",
         "'write_root_attribute' takes (kernel, name, value), but gets (kernel, name, value, capable)"),
    ],
)  # fmt: skip
def test_a_step_that_cannot_be_called_is_refused_at_boot(install: Install, body: str, text: str) -> None:
    """Not blamed on the driver whose hook was under way when the step was called, half-way through a run."""
    mine = put(install, body)

    with pytest.raises(PluginError) as caught:
        boot(mine)

    assert str(caught.value).endswith(f": its profile's step {text}")


@pytest.mark.parametrize(
    "body",
    [
        "def filter_flags(self, kernel, flags, more=()): return flags",
        "def filter_flags(self, *words): return words[1]",
    ],
)
def test_a_step_may_take_more(install: Install, body: str) -> None:
    """As long as the call of the kernel fits."""
    mine = put(install, body)
    assert boot(mine).kernel.profile.name == mine


@pytest.mark.parametrize("body", ["def _own(self): pass", "limit = 5", "def __len__(self): return 1"])
def test_what_a_class_adds_for_itself_is_its_own_affair(install: Install, body: str) -> None:
    """Private methods and values are no steps."""
    mine = put(install, body)
    assert boot(mine).kernel.profile.name == mine


def test_a_base_that_is_not_there_names_the_nearest() -> None:
    """As for every plugin."""
    with pytest.raises(PluginError) as caught:
        profile_of("linux-6.21")

    there = ", ".join(names("profiles"))
    assert str(caught.value).startswith(
        f"plugin linux-6.21: not installed (there are: {there}); did you mean 'linux-6."
    )


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        (
            "class P(KernelProfile):\n    version, flags, short_flags, event_names = (6, 1), {}, {}, ()\n"
            "    def __init__(self, rules): pass\nmade = P(1)",
            "its class cannot be made without arguments: P.__init__() missing 1 required positional argument: 'rules'",
        ),
        ("made = 'linux'", "hook kernel_profile answered 'linux', which is no KernelProfile"),
    ],
)
def test_a_base_that_cannot_be_one_is_blamed(install: Install, source: str, problem: str) -> None:
    """The base is named, not the file that is built on it."""
    text = (
        "from memhotplug.plugin import KernelProfile, hookimpl\n{}\n@hookimpl\ndef kernel_profile():\n    return made\n"
    )
    name = f"base{len(source)}"
    install(name, text.format(source), group=GROUP)

    with pytest.raises(PluginError) as caught:
        profile_of(name)

    assert str(caught.value) == (
        f"plugin {name} (third-party 1.5, memhotplug.profiles = plugin_third_party_{name}): {problem}"
    )


def test_two_plugins_may_answer_with_one_object(install: Install) -> None:
    """Each machine's profile has the name of the plugin that it was asked for by."""
    install("shared1", HEAD.format(body="pass").replace("Mine()", "made") + "\nmade = Mine()\n", group=GROUP)
    twin = HEAD.format(body="pass").replace("Mine()", "made") + "\nfrom plugin_third_party_shared1 import made\n"
    install("shared2", twin, group=GROUP)
    first, second = boot("shared1"), boot("shared2")

    assert (first.kernel.profile.name, second.kernel.profile.name) == ("shared1", "shared2")


def test_every_step_is_called_by_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is documented exists: the lives of memory under two kernels call each step."""
    called: set[str] = set()
    for kernel in ("v2-2019", "linux-6.12"):
        found = trace_steps(profile_of(kernel), monkeypatch)
        whole_life(boot(kernel, cmdline="" if kernel == "v2-2019" else ON), "acpi")
        called |= found

    assert sorted(STEPS - called) == []


def test_only_what_a_class_changes_itself_has_to_be_called(install: Install) -> None:
    """Steps of the base are the base's own affair: 5.13 inherits a write that it has no file for."""
    body = "def filter_flags(self, kernel, flags): return flags"
    kind = type(boot(put(install, body, "linux-5.13")).kernel.profile)
    assert own_steps(kind) == {"filter_flags"}


def test_an_override_that_is_never_called_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kit goes by the class: what was called under another one does not count."""
    kind = profile_of("linux-6.12")
    assert "filter_flags" not in own_steps(kind)
    assert {"memmap_on_memory_refusal", "online", "write_module_parameter"} <= own_steps(kind)
    called = trace_steps(kind, monkeypatch)
    boot("linux-6.11")
    assert called == set()


def test_bad_parameters_are_refused_by_the_subclass_as_by_its_base(install: Install) -> None:
    """new_state is inherited, and with it what it refuses."""
    mine = put(install)
    refusals = []
    for kernel in (mine, "linux-6.12"):
        with pytest.raises(InputError) as caught:
            boot(kernel, cmdline="memory_hotplug.auto_movable_ratio=-5")
        refusals.append(str(caught.value))
    assert refusals[0] == refusals[1]
