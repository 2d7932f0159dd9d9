"""Whole scenarios: the top level, the machine, the drivers, the order of errors."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from memhotplug.errors import InputError
from memhotplug.formats.scenario import BootMemory, DriverPolicy, Scenario, SnapshotRef, load_scenario, loads_scenario
from memhotplug.keyspec import KeySpec

ErrorOf: TypeAlias = Callable[[str], InputError]
Load: TypeAlias = Callable[[str], Scenario]
SIZE = "a size such as 128M, 1GiB or 0x8000000"
MACHINE_KEYS = (
    "arch, kernel, memory, snapshot, boot_profile, slots, page_size, memory_block_size, physical_address_bits, "
    "hole, advised_block_size, cmdline, sparsemem_vmemmap"
)
FULL = """\
schema: 1
machine:
  arch: x86_64               # an architecture plugin
  kernel: v2-2019
  memory: 4G
  page_size: 4K
  memory_block_size: 128M
  physical_address_bits: 46
  cmdline: "memhp_default_state=offline memory_hotplug.memmap_on_memory=1"
  sparsemem_vmemmap: false
drivers:
  acpi: {mhp_flags: device}
  sclp: {mhp_flags: [device, memblock]}
steps:
  - add:      {driver: acpi, name: dimm0, size: 1G}
  - online:   {range: dimm0, zone: movable}
  - offline:  {range: block 32-35}
  - write:    {path: memory/vmemmap_hotplug, value: disable}
  - allocate: {name: app, size: 300M, zone: kernel, node: 0}
  - release:  {name: app}
  - remove:   {range: dimm0, fails: EBUSY}
  - expect:   {zone: Movable, node: 0, managed: 258048}
"""


@pytest.mark.parametrize(
    ("words", "read"),
    [
        ("distro", ("distro", 104 << 20, 14 << 20, 69)),
        ("{image: 60M, early_share: 100}", ("own", 60 << 20, 0, 100)),
        ("{name: mine, image: 60M, early: 0, early_share: 7}", ("mine", 60 << 20, 0, 7)),
    ],
)
def test_a_boot_profile_is_a_word_or_numbers(words: str, read: tuple[object, ...], load: Load) -> None:
    """Both come out as what a kernel keeps, in bytes and parts."""
    machine = f"machine: {{arch: x86_64, kernel: v2-2019, memory: 4G, slots: 3, boot_profile: {words}}}"
    spec = load(f"schema: 1\n{machine}\n").machine

    assert spec.boot_profile is not None
    assert tuple(spec.boot_profile.values().values()) == read
    assert spec.slots == 3


def test_a_full_scenario_is_read(load: Load) -> None:
    """Every section, every key of the machine."""
    scenario = load(FULL)
    machine = scenario.machine
    assert machine.values() == {
        "arch": "x86_64",
        "kernel": "v2-2019",
        "memory": (BootMemory(node=0, size=4 << 30),),
        "snapshot": None,
        "boot_profile": None,
        "slots": None,
        "page_size": 4096,
        "memory_block_size": 128 << 20,
        "physical_address_bits": 46,
        "hole": None,
        "advised_block_size": None,
        "cmdline": "memhp_default_state=offline memory_hotplug.memmap_on_memory=1",
        "sparsemem_vmemmap": False,
        "options": {},
    }
    assert scenario.file == "s.yaml"
    assert scenario.drivers == {
        "acpi": DriverPolicy(mhp_flags=("device",)),
        "sclp": DriverPolicy(mhp_flags=("device", "memblock")),
    }
    assert [(step.index, step.op, step.line) for step in scenario.steps] == [
        (0, "add", 15),
        (1, "online", 16),
        (2, "offline", 17),
        (3, "write", 18),
        (4, "allocate", 19),
        (5, "release", 20),
        (6, "remove", 21),
        (7, "expect", 22),
    ]


def test_a_machine_alone_is_a_scenario(load: Load) -> None:
    """Without steps nothing happens; the defaults of the machine hold."""
    scenario = load("schema: 1\nmachine: {arch: s390, kernel: v2-2019, memory: 1G}\n")
    assert (scenario.steps, scenario.drivers) == ((), {})
    machine = scenario.machine
    assert (machine.cmdline, machine.sparsemem_vmemmap, machine.options, machine.page_size) == ("", True, {}, None)


@pytest.mark.parametrize(
    ("keys", "memory", "snapshot"),
    [
        ("memory: 4G", (BootMemory(node=0, size=4 << 30),), None),
        ("memory: 4294967296", (BootMemory(node=0, size=4 << 30),), None),
        (
            "memory: [{node: 0, size: 2G}, {node: 1, size: 1G}]",
            (BootMemory(node=0, size=2 << 30), BootMemory(node=1, size=1 << 30)),
            None,
        ),
        ("snapshot: path/", (), SnapshotRef(path="path/")),
        ("snapshot: {path: a.json.xz, step: 3}", (), SnapshotRef(path="a.json.xz", step=3)),
        ("snapshot: {path: a}", (), SnapshotRef(path="a")),
    ],
)
def test_boot_memory_has_several_forms(
    load: Load, keys: str, memory: tuple[BootMemory, ...], snapshot: SnapshotRef | None
) -> None:
    """All become the same records."""
    machine = load(f"schema: 1\nmachine: {{arch: arm64, kernel: linux-6.12, {keys}}}\n").machine
    assert (machine.memory, machine.snapshot) == (memory, snapshot)


OK_MACHINE = "machine: {arch: x86_64, kernel: v2-2019, memory: 4G}\n"
VERSION = "1, the only version of the scenario format"
FLAGS = (
    "one of: none, device, memblock, on_memory, a kernel name such as MHP_MEMMAP_DEVICE, or a list of them; "
    "or default, the driver's own"
)
TOP = "one of the keys: schema, plugins, machine, drivers, steps, explore"
BAD_TOPS = {
    "no version": (OK_MACHINE, f"1:1: schema: expected {VERSION}; the key is missing"),
    "version misspelt": (f"shema: 1\n{OK_MACHINE}", f"1:1: shema: got shema, expected {TOP}; did you mean 'schema'?"),
    "version 2": (f"schema: 2\nworld: {{}}\n{OK_MACHINE}", f"1:9: schema: got 2, expected {VERSION}"),
    "version quoted": (f"schema: '1'\n{OK_MACHINE}", f"1:9: schema: got '1', expected {VERSION}"),
    "version true": (f"schema: true\n{OK_MACHINE}", f"1:9: schema: got true, expected {VERSION}"),
    "version 1.0": (f"schema: 1.0\n{OK_MACHINE}", f"1:9: schema: got 1.0, expected {VERSION}"),
    "version nothing": (f"schema:\n{OK_MACHINE}", f"1:8: schema: got nothing, expected {VERSION}"),
    "version in the end": (f"bad: 1\n{OK_MACHINE}schema: 3\n", f"3:9: schema: got 3, expected {VERSION}"),
    "unknown key": (
        f"schema: 1\n{OK_MACHINE}step: []\n",
        f"3:1: step: got step, expected {TOP}; did you mean 'steps'?",
    ),
    "no machine": (
        "schema: 1\n",
        "1:1: machine: expected a mapping such as {arch: x86_64, kernel: v2-2019, memory: 4G}; the key is missing",
    ),
    "machine a word": (
        "schema: 1\nmachine: x86_64\n",
        "2:10: machine: got x86_64, expected a mapping such as {arch: x86_64, kernel: v2-2019, memory: 4G}",
    ),
    "steps a mapping": (
        f"schema: 1\n{OK_MACHINE}steps:\n  add: {{driver: acpi, size: 1G}}\n",
        "4:3: steps: got a mapping, expected a list of steps, such as [add: {driver: acpi, size: 1G}]",
    ),
    "steps nothing": (
        f"schema: 1\n{OK_MACHINE}steps:\n",
        "3:7: steps: got nothing, expected a list of steps, such as [add: {driver: acpi, size: 1G}]",
    ),
    "drivers a list": (
        f"schema: 1\n{OK_MACHINE}drivers: [acpi]\n",
        "3:10: drivers: got a list, expected a mapping from drivers to policies, such as {acpi: {mhp_flags: device}}",
    ),
    "unknown driver": (
        f"schema: 1\n{OK_MACHINE}drivers: {{acpy: {{mhp_flags: device}}}}\n",
        "3:11: drivers.acpy: got acpy, expected an installed driver, one of: acpi, hv_balloon, sclp; "
        "did you mean 'acpi'?",
    ),
    "policy a word": (
        f"schema: 1\n{OK_MACHINE}drivers: {{acpi: device}}\n",
        "3:17: drivers.acpi: got device, expected a mapping with the keys: mhp_flags, policy",
    ),
    "policy empty": (
        f"schema: 1\n{OK_MACHINE}drivers: {{acpi: {{}}}}\n",
        "3:17: drivers.acpi: expected mhp_flags or policy, and not both",
    ),
    "policy with another key": (
        f"schema: 1\n{OK_MACHINE}drivers: {{acpi: {{flags: device}}}}\n",
        "3:18: drivers.acpi.flags: got flags, expected one of the keys: mhp_flags, policy; did you mean 'mhp_flags'?",
    ),
    "policy with wrong flags": (
        f"schema: 1\n{OK_MACHINE}drivers: {{acpi: {{mhp_flags: [device, both]}}}}\n",
        f"3:38: drivers.acpi.mhp_flags[1]: got both, expected {FLAGS}",
    ),
    "sections in the order of the document": (
        "schema: 1\nsteps: [x]\nmachine: y\n",
        "2:9: steps[0]: got x, expected one operation in a step, one of: add, online, offline, write, allocate, "
        "release, remove, eject, resize, expect",
    ),
}


@pytest.mark.parametrize(("text", "message"), BAD_TOPS.values(), ids=BAD_TOPS.keys())
def test_a_bad_top_level_is_refused_at_its_place(error_of: ErrorOf, text: str, message: str) -> None:
    """The version first, then everything in the order of the document."""
    assert str(error_of(text)) == f"s.yaml:{message}"


def test_names_are_known_from_the_step_that_gives_them(load: Load, error_of: ErrorOf) -> None:
    """Later steps do not count; a name may be given again."""
    add, online = "  - add: {driver: acpi, name: d, size: 1G}\n", "  - online: {range: d}\n"
    head = f"schema: 1\n{OK_MACHINE}steps:\n"
    assert len(load(head + add + online + add).steps) == 3
    assert str(error_of(head + online + add)) == (
        "s.yaml:4:21: steps[0].online.range: got d, expected the name of an earlier add step; there is none"
    )
    many = "".join(f"  - add: {{driver: acpi, name: d{i}, size: 1G}}\n" for i in range(10))
    assert str(error_of(head + many + "  - eject: {range: x}\n")) == (
        "s.yaml:14:20: steps[10].eject.range: got x, expected the name of an earlier add step: "
        "d0, d1, d2, d3, d4, d5, d6, d7, …"
    )


def test_memory_without_a_name_is_called_by_its_driver(load: Load, error_of: ErrorOf) -> None:
    """With the first free number, so that later steps can be about it."""
    add, named = "  - add: {driver: acpi, size: 1G}\n", "  - add: {driver: acpi, name: acpi1, size: 1G}\n"
    head = f"schema: 1\n{OK_MACHINE}steps:\n"

    steps = load(head + add + named + add + "  - online: {range: acpi2}\n").steps

    assert [getattr(step.args, "name", None) for step in steps] == ["acpi0", "acpi1", "acpi2", None]
    assert str(error_of(head + add + "  - online: {range: acpi1}\n")) == (
        "s.yaml:5:21: steps[1].online.range: got acpi1, expected the name of an earlier add step: acpi0; "
        "did you mean 'acpi0'?"
    )


def test_a_file_is_named_in_its_errors(tmp_path: Path, catalog: Any) -> None:
    """As it was given."""
    path = tmp_path / "hot.yaml"
    path.write_text(FULL.replace("size: 1G", "size: 1X"), encoding="utf-8")
    with pytest.raises(InputError) as caught:
        load_scenario(path, catalog)
    assert str(caught.value) == f"{path}:15:49: steps[0].add.size: got 1X, expected {SIZE}"
    path.write_text(FULL, encoding="utf-8")
    assert load_scenario(str(path), catalog).file == str(path)


def test_text_without_a_file_has_no_file_in_its_errors(catalog: Any) -> None:
    """Line and column remain."""
    with pytest.raises(InputError) as caught:
        loads_scenario("schema: 2\n", catalog=catalog)
    assert str(caught.value) == f"1:9: schema: got 2, expected {VERSION}"
    assert caught.value.file is None


def test_windows_line_ends_do_not_matter(load: Load) -> None:
    """The same records, the same places."""
    unix, windows = load(FULL), load(FULL.replace("\n", "\r\n"))
    assert (unix.machine, unix.drivers, unix.steps) == (windows.machine, windows.drivers, windows.steps)


def test_later_errors_still_know_the_place(load: Load) -> None:
    """Whoever finds out while running that a value will not do can say where it stands."""
    scenario = load(FULL)
    error = scenario.error(("machine", "page_size"), "4K, 16K or 64K", nearest="4K")
    assert str(error) == "s.yaml:6:14: machine.page_size: got 4K, expected 4K, 16K or 64K; did you mean '4K'?"
    error = scenario.error(("drivers", "sclp", "mhp_flags", 1), "a flag that v2-2019 has")
    assert str(error) == "s.yaml:13:30: drivers.sclp.mhp_flags[1]: got memblock, expected a flag that v2-2019 has"
    error = scenario.error(("steps", 0, "add"), "a driver that is there", at="key")
    assert str(error) == "s.yaml:15:5: steps[0].add: got add, expected a driver that is there"
    error = scenario.error(("steps", 0, "add", "address"), "an address", at="missing")
    assert str(error) == "s.yaml:15:15: steps[0].add.address: expected an address; the key is missing"
    error = scenario.error(("steps", 2, "offline", "range", "first"), "a block that there is")
    assert str(error) == "s.yaml:17:23: steps[2].offline.range: got block 32-35, expected a block that there is"


class CountingCatalog:
    """Says how often it was asked."""

    def __init__(self, drivers: list[str]) -> None:
        self.asked: list[str] = []
        self.drivers = drivers

    def names(self, kind: str) -> list[str]:
        self.asked.append(kind)
        return {"arch": ["x86_64"], "profiles": ["v2-2019"], "drivers": self.drivers}[kind]

    def canonical(self, kind: str, word: str) -> str | None:
        self.asked.append(word)
        return None

    def suggestion(self, kind: str, word: str) -> str | None:
        return None

    def driver_keys(self, name: str) -> Mapping[str, KeySpec]:
        self.asked.append(name)
        return {}

    def using(self, files: Sequence[str]) -> AbstractContextManager[None]:
        """No files here."""
        return nullcontext()

    def machine_keys(self, name: str) -> Mapping[str, KeySpec]:
        self.asked.append(name)
        return {}


def test_the_catalog_is_asked_once() -> None:
    """Finding plugins is slow; scenarios have thousands of steps."""
    catalog = CountingCatalog(["acpi"])
    text = f"schema: 1\n{OK_MACHINE}steps:\n" + "  - add: {driver: acpi, size: 1G}\n" * 50
    assert len(loads_scenario(text, catalog=catalog).steps) == 50
    assert catalog.asked == ["arch", "profiles", "x86_64", "drivers", "acpi"]


def test_without_plugins_the_error_says_so() -> None:
    """A checkout that is not installed has none."""
    text = f"schema: 1\n{OK_MACHINE}steps:\n  - add: {{driver: acpi, size: 1G}}\n"
    with pytest.raises(InputError) as caught:
        loads_scenario(text, catalog=CountingCatalog([]))
    assert str(caught.value) == ("4:19: steps[0].add.driver: got acpi, expected an installed driver; none is installed")


def test_the_same_text_gives_the_same_error(error_of: ErrorOf) -> None:
    """Twenty wrong keys, and always the first one is reported."""
    keys = ", ".join(f"k{i}: {i}" for i in range(20))
    text = f"schema: 1\n{OK_MACHINE}steps:\n  - online: {{{keys}}}\n"
    assert {str(error_of(text)) for _ in range(5)} == {
        "s.yaml:4:14: steps[0].online.k0: got k0, expected one of the keys: range, zone, fails, veto, fail_allocation"
    }


def test_long_scenarios_are_read(load: Load) -> None:
    """Ten thousand steps, as a generator writes them."""
    pairs = "".join(
        f"  - add: {{driver: acpi, name: d{i}, size: 1G}}\n  - online: {{range: d{i}, zone: movable}}\n"
        for i in range(5000)
    )
    scenario = load(f"schema: 1\n{OK_MACHINE}steps:\n{pairs}")
    assert len(scenario.steps) == 10_000
    assert (scenario.steps[-1].index, scenario.steps[-1].line) == (9999, 10_003)


def test_a_scenario_can_be_sent_to_another_process(load: Load) -> None:
    """With its places, for errors that turn up there."""
    scenario = load(FULL)
    twin = pickle.loads(pickle.dumps(scenario))
    assert twin == scenario
    where = ("machine", "page_size")
    assert str(twin.error(where, "64K")) == str(scenario.error(where, "64K"))
