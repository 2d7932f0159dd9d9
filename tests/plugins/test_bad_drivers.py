"""Drivers with one bug each: the engine or the contract notices every one, and names the plugin."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import pytest
from tests.plugins.rig import Bad, changed, check, example, failures, plugged

from memhotplug import Machine, PluginError
from memhotplug.plugin import ArchTraits, KeySpec, PhysRange, hookimpl, remove_memory
from memhotplug.testing import DriverContract, support

GOOD = example("cxl", "memhotplug_cxl")


def contract(plugin: str) -> type[DriverContract]:
    """Return the contract for a plugin on one machine."""

    class Subject(DriverContract):
        name = plugin
        kernel = "linux-6.12"
        machines: ClassVar[Sequence[dict[str, object]]] = (
            {"arch": "x86_64", "memory": "2G", "cmdline": "memory_hotplug.memmap_on_memory=1"},
        )
        requests: ClassVar[Sequence[dict[str, object]]] = (
            {"size": "512M"},
            {"extents": ["256M", "512M", "256M"], "gap": "128M", "node": 1},
        )

    return Subject


def hook(**hooks: Callable[..., object]) -> dict[str, object]:
    """Return hooks as plugins have them."""
    return {name: hookimpl(function) for name, function in hooks.items()}


def answer(value: object) -> Callable[..., object]:
    """Return a hook that always answers the same."""
    return hookimpl(lambda: value)


def _ranges(change: Callable[[list[PhysRange]], object]) -> dict[str, object]:
    """Return a driver_ranges() that makes something else of the good answer."""
    return hook(driver_ranges=lambda kernel, request: change(list(GOOD.driver_ranges(kernel, request))))


def _first(**changes: Any) -> dict[str, object]:
    """Return a driver_ranges() whose first range differs."""
    return _ranges(lambda ranges: [replace(ranges[0], **changes), *ranges[1:]])


def _flags(change: Callable[[int], object]) -> dict[str, object]:
    return hook(mhp_flags=lambda kernel, request, phys_range: change(GOOD.mhp_flags(kernel, request, phys_range)))


_RANGES = "test_ranges_are_disjoint_and_whole"
_FLAGS = "test_flags_are_known_to_the_profile"
_ADDED = "test_what_is_answered_is_added"
_ASKED = "test_questions_change_nothing"

ANSWERS = [
    Bad("None for ranges", _RANGES, _ranges(lambda _: None), "hook driver_ranges answered None, which is no Sequence"),
    Bad("a set of ranges", _RANGES, _ranges(set), "which is no Sequence"),
    Bad("a generator of ranges", _RANGES, _ranges(iter), "which is no Sequence"),
    Bad("tuples for ranges", _ADDED, _ranges(lambda found: [(found[0].start, found[0].size)]), "no attribute"),
    Bad("a negative start", _ADDED, _first(start=-(128 << 20)), "hook driver_ranges answered a negative range"),
    Bad("a float for a size", _ADDED, _first(size=512e6), "which is no PhysRange"),
    Bad("True for a size", _ADDED, _first(size=True), "which is no PhysRange"),
    Bad("a node as text", _ADDED, _first(nid="1"), "which is no PhysRange"),
    Bad("more withheld than there is", _ADDED, _first(withheld=1 << 40), "more or less than a whole range"),
    Bad("more backed than there is", _ADDED, _first(backed=1 << 40), "more or less than a whole range"),
    Bad("ranges that overlap", _RANGES, _ranges(lambda found: [*found, found[0]])),
    Bad("ranges of half a block", _RANGES, _ranges(lambda found: [replace(found[0], size=64 << 20)])),
    Bad("an empty range", _RANGES, _first(size=0)),
    Bad("memory that is somebody's", _ADDED, _first(start=0), "EEXIST"),
    Bad("a node that nobody asked for", _ADDED, _ranges(lambda found: [replace(item, nid=0) for item in found])),
    Bad("no ranges at all", _ADDED, {**_ranges(lambda _: []), "driver_add": None}, "ENODEV"),
    Bad("a flag that no kernel has", _FLAGS, _flags(lambda flags: flags | 1 << 20), "hook mhp_flags answered 0x10000"),
    Bad("negative flags", _FLAGS, _flags(lambda _: -1), "hook mhp_flags answered -0x1"),
    Bad("None for flags", _FLAGS, _flags(lambda _: None), "hook mhp_flags answered None, which is no int"),
    Bad("True for flags", _FLAGS, _flags(lambda _: True), "hook mhp_flags answered True, which is no int"),
    Bad("a word for flags", _FLAGS, _flags(lambda _: "device"), "hook mhp_flags answered 'device', which is no int"),
    Bad("a KeyError in the policy", _FLAGS, _flags(lambda _: dict[str, int]()["x"]), "hook mhp_flags raised KeyError"),
    Bad("traits of another kind", _ADDED, {"driver_traits": answer(ArchTraits())}, "hook driver_traits answered"),
]


def _keys(keys: object) -> dict[str, object]:
    return {"driver_keys": answer(keys)}


_SIZE = KeySpec("size", "bytes")
_DECLARED = "test_keys_are_declared"

KEYS = [
    Bad(
        "a key that everybody has",
        _DECLARED,
        _keys({"size": _SIZE}),
        "the key 'size', which everybody has",
    ),
    Bad("another such key", _DECLARED, _keys({"veto": _SIZE}), "hook driver_keys answered the key 'veto'"),
    Bad("a list of keys", _DECLARED, _keys(["gap"]), "answered ['gap'], which is no mapping"),
    Bad("a word for a spec", _DECLARED, _keys({"gap": "size"}), "which is no mapping of KeySpec"),
    Bad("a number for a key", _DECLARED, _keys({1: _SIZE}), "which is no mapping of KeySpec"),
    Bad("a key with a space", _DECLARED, _keys({"the gap": _SIZE})),
    Bad("a key without help", _DECLARED, _keys({"gap": KeySpec("size", "")})),
    Bad("keys that break", _DECLARED, hook(driver_keys=lambda: 1 // 0), "hook driver_keys raised ZeroDivisionError"),
]


# ---- adding and ejecting ----


class _Stop(BaseException):
    """Something that except Exception does not catch."""


def _stop() -> None:
    raise _Stop("x")


def _os_error() -> None:
    raise OSError(errno.ENOMEM, "no")


def _only_the_first(kernel: Any, request: Any, ranges: Any) -> None:
    kernel.add_range(request, ranges[0])


def _elsewhere(kernel: Any, request: Any, ranges: Any) -> None:
    for item in ranges:
        kernel.add_range(request, replace(item, start=item.start + (64 << 30)))


def _one_too_many(kernel: Any, request: Any, ranges: Any) -> None:
    for item in (*ranges, replace(ranges[0], start=64 << 30)):
        kernel.add_range(request, item)


def _lost_page(kernel: Any, request: Any, ranges: Any) -> None:
    kernel.alloc(0, 1, 0)
    for item in ranges:
        kernel.add_range(request, item)


def _keep_the_first(kernel: Any, name: str) -> None:
    for start, size in kernel.state.devices[kernel.state.device_index(name)].ranges[1:]:
        remove_memory(kernel, start, size)


def _asserts(kernel: Any, request: Any) -> list[PhysRange]:
    assert request.size % kernel.geometry.memory_block_size == 0
    found: list[PhysRange] = GOOD.driver_ranges(kernel, request)
    return found


def _divides(kernel: Any, request: Any) -> list[PhysRange]:
    random_free_blocks = 1024 // (request.size // kernel.geometry.memory_block_size)
    assert random_free_blocks >= 0
    found: list[PhysRange] = GOOD.driver_ranges(kernel, request)
    return found


_LIFE = "test_life_of_a_device_gives_everything_back"
_ODD = "test_odd_sizes_are_refused_or_made_whole"

DEEDS = [
    Bad("nothing added, and all well", _ADDED, {"driver_add": answer(None)}, "hook driver_add added none of 1 ranges"),
    Bad(
        "no range, and all well",
        _ADDED,
        {**_ranges(lambda _: []), "driver_add": answer(None)},
        "hook driver_add added nothing, opened no device and says that all is well",
    ),
    Bad("True for a verdict", _ADDED, {"driver_add": answer(True)}, "hook driver_add answered True, which is no text"),
    Bad("a range forgotten", _ADDED, hook(driver_add=_only_the_first)),
    Bad("memory elsewhere", _ADDED, hook(driver_add=_elsewhere)),
    Bad("a range that nobody promised", _ADDED, hook(driver_add=_one_too_many)),
    Bad("a BaseException", _ADDED, hook(driver_add=_stop), "hook driver_add raised _Stop: x"),
    Bad("a plain OSError", _ADDED, hook(driver_add=_os_error), "hook driver_add raised OSError"),
    Bad("a page that is lost", _LIFE, hook(driver_add=_lost_page)),
    Bad("an eject that does nothing", _LIFE, {"driver_eject": answer(None)}),
    Bad("an eject that keeps a range", _LIFE, hook(driver_eject=_keep_the_first)),
    Bad("a number for a verdict", _LIFE, {"driver_eject": answer(5)}, "hook driver_eject answered 5, which is no text"),
    Bad("an assertion about sizes", _ODD, hook(driver_ranges=_asserts), "hook driver_ranges raised AssertionError"),
    Bad("a division by small sizes", _ODD, hook(driver_ranges=_divides), "hook driver_ranges raised ZeroDivisionError"),
    Bad(
        "a notifier that breaks",
        _LIFE,
        hook(memory_notify=lambda: 1 // 0),
        "hook memory_notify raised ZeroDivisionError",
    ),
]


# ---- what depends on more than the question, and what others share ----

_devices: list[str] = []
_calls = {"count": 0}


def _random_flags(kernel: Any) -> int:
    flags: int = kernel.flag("on_memory") if random.random() < 0.5 else 0
    return flags


def _every_second(kernel: Any) -> int:
    _calls["count"] += 1
    flags: int = kernel.flag("on_memory") if _calls["count"] % 2 else 0
    return flags


def _behind_all_before(kernel: Any, request: Any) -> list[PhysRange]:
    _devices.append(request.name)
    return [replace(item, start=item.start + (len(_devices) << 30)) for item in GOOD.driver_ranges(kernel, request)]


def _notes_when_asked(kernel: Any, request: Any) -> list[PhysRange]:
    kernel.state.driver_state["cxl"] = {"asked": request.name}
    found: list[PhysRange] = GOOD.driver_ranges(kernel, request)
    return found


def _opens_when_asked(kernel: Any, request: Any) -> list[PhysRange]:
    kernel.open_device(request)
    found: list[PhysRange] = GOOD.driver_ranges(kernel, request)
    return found


def _takes_options(kernel: Any, request: Any) -> list[PhysRange]:
    request.options.pop("gap", None)
    found: list[PhysRange] = GOOD.driver_ranges(kernel, request)
    return found


def _sets_options(kernel: Any, request: Any, ranges: Any) -> str | None:
    request.options["gap"] = 0
    said: str | None = GOOD.driver_add(kernel, request, ranges)
    return said


def _notes_in_place(kernel: Any, request: Any, ranges: Any) -> str | None:
    kernel.state.driver_state.setdefault("cxl", {})[request.name] = True
    said: str | None = GOOD.driver_add(kernel, request, ranges)
    return said


def _a_list_in_the_notes(kernel: Any, request: Any, ranges: Any) -> str | None:
    if "cxl" not in kernel.state.driver_state:
        kernel.state.driver_state["cxl"] = {"added": []}
    kernel.state.driver_state["cxl"]["added"].append(request.name)
    said: str | None = GOOD.driver_add(kernel, request, ranges)
    return said


def _prints(kernel: Any, request: Any, ranges: Any) -> str | None:
    print("adding", request.name)
    said: str | None = GOOD.driver_add(kernel, request, ranges)
    return said


def _writes_to_descriptor_1(kernel: Any, request: Any, ranges: Any) -> str | None:
    os.write(1, b"adding\n")
    said: str | None = GOOD.driver_add(kernel, request, ranges)
    return said


def _makes_writable(kernel: Any, request: Any) -> list[PhysRange]:
    states = kernel.state.blocks.state
    states.setflags(write=True)
    states[-1] = 1 - states[-1]
    found: list[PhysRange] = GOOD.driver_ranges(kernel, request)
    return found


_SAME = "test_the_same_steps_give_the_same_machine"
_OWN = "test_the_life_of_a_copy_is_its_own"

ALONE = [
    Bad("random flags", _SAME, hook(mhp_flags=_random_flags)),
    Bad("flags by turns", _ASKED, hook(mhp_flags=_every_second)),
    Bad("devices in the module", _SAME, hook(driver_ranges=_behind_all_before)),
    Bad("ranges that depend on how often one asks", _ASKED, hook(driver_ranges=_behind_all_before)),
    Bad("notes made when asked", _ASKED, hook(driver_ranges=_notes_when_asked)),
    Bad("a device opened when asked", _ASKED, hook(driver_ranges=_opens_when_asked)),
    Bad("options taken out", _ADDED, hook(driver_ranges=_takes_options), "hook driver_ranges raised AttributeError"),
    Bad("options set", _ADDED, hook(driver_add=_sets_options), "hook driver_add raised TypeError"),
    Bad("notes written in place", _ADDED, hook(driver_add=_notes_in_place), "hook driver_add raised TypeError"),
    Bad("a list in the notes", _OWN, hook(driver_add=_a_list_in_the_notes)),
    Bad("print()", "test_nothing_is_printed", hook(driver_add=_prints)),
    Bad("a write to descriptor 1", "test_nothing_is_printed", hook(driver_add=_writes_to_descriptor_1)),
    Bad("an array made writable", _ASKED, hook(driver_ranges=_makes_writable)),
]


@pytest.mark.parametrize("bad", [*ANSWERS, *KEYS, *DEEDS, *ALONE], ids=lambda bad: bad.what)
def test_bug_is_noticed(bad: Bad) -> None:
    """The good plugin passes the test, the one with the bug does not."""
    _devices.clear()
    try:
        check("drivers", GOOD, bad, contract)
    finally:
        if "writable" in bad.what:  # it has written to what machines that are kept share
            support._booted.clear()


def test_good_one_keeps_the_whole_contract() -> None:
    """Every test of the contract passes for the plugin that the bad ones are made from."""
    with plugged("drivers", changed(GOOD, {})) as name:
        tests = [test for test in dir(DriverContract) if test.startswith("test_")]
        assert len(tests) >= 10
        assert {test: found for test in tests if (found := failures(contract(name), test))} == {}


def _lacks(hook_name: str) -> dict[str, object]:
    return {hook_name: None}


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (_lacks("mhp_flags"), "has no hook mhp_flags"),
        ({"mph_flags": answer(0)}, "there is no hook 'mph_flags'; did you mean 'mhp_flags'?"),
        (
            hook(mhp_flags=lambda nid: 0),
            "hook mhp_flags has no argument 'nid' (there are: kernel, request, phys_range)",
        ),
        (hook(mhp_flags=lambda kernel, physrange: 0), "phys_range); did you mean 'phys_range'?"),
    ],
    ids=["a hook left out", "a hook misspelt", "an argument that does not exist", "an argument misspelt"],
)
def test_plugin_that_cannot_be_used_is_named(changes: dict[str, object], text: str) -> None:
    """What is wrong with the hooks themselves is found when the plugin is loaded, or at the latest when it is asked."""
    with plugged("drivers", changed(GOOD, changes)) as name:
        with pytest.raises(PluginError) as caught:
            Machine.boot(arch="x86_64", kernel="linux-6.12", memory="2G").add_memory(driver=name, size="128M")
        assert f"plugin {name} (bad-plugins 9.9, " in str(caught.value)
        assert text in str(caught.value)


def test_copy_that_uses_a_driver_does_not_bring_its_notifier_to_others() -> None:
    """A what-if with another driver leaves no listener behind on the machine that it was copied from."""
    heard = []
    listens = hook(memory_notify=lambda notify: heard.append(notify.event.name))
    with plugged("drivers", changed(GOOD, listens)) as name:
        machine = Machine.boot(arch="x86_64", kernel="linux-6.12", memory="2G")
        dimm = machine.add_memory(driver="acpi", size="128M")
        copy = machine.copy()
        copy.online(copy.add_memory(driver=name, size="128M"))
        assert heard == ["MEM_PREPARE_ONLINE", "MEM_GOING_ONLINE", "MEM_ONLINE"]
        machine.online(dimm)
        assert len(heard) == 3
