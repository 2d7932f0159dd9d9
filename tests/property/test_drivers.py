"""Random lives of machines with every driver on them: faults at any allocation, vetoes, ejects.

Whatever happens, no invariant breaks, what failed has changed nothing that the modelled kernel would
not have changed, a run of blocks does what its blocks do one by one, and the same life twice is the same.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from tests.kernels import MAINLINE

from memhotplug import InputError, Machine, MemoryHotplugError
from memhotplug.engine.views.undone import left_behind

EXAMPLES = int(os.environ.get("MHP_EXAMPLES", "2"))
ALLOCATIONS = int(os.environ.get("MHP_ALLOCATIONS", "24"))
"""Lives of each platform; MHP_EXAMPLES=100 takes the better part of an hour and finds more."""

MODE = "memory_hotplug.memmap_on_memory="
AUTO = "memory_hotplug.online_policy=auto-movable"
TWO_NODES = ({"node": 0, "size": "1G"}, {"node": 1, "size": "512M"})


@dataclass(frozen=True)
class Platform:
    """A machine to start from, and the drivers that it may have."""

    name: str
    boot: dict[str, Any]
    drivers: tuple[str, ...]

    def __hash__(self) -> int:
        return hash(self.name)


PC = ("acpi", "dax", "hv_balloon", "probe", "virtio_mem", "xen")


def _platform(arch: str, kernel: str, drivers: tuple[str, ...], cmdline: str = f"{MODE}Y", **keys: Any) -> Platform:
    words = [str(value) for value in keys.values() if value is not TWO_NODES]
    name = " ".join([arch, kernel, *words, cmdline.replace("memory_hotplug.", "")])
    return Platform(name, {"arch": arch, "kernel": kernel, "memory": "1G", "cmdline": cmdline, **keys}, drivers)


def platforms() -> list[Platform]:
    """Return every architecture, page size and MMU under kernels and parameters that differ for it."""
    two = {"memory": TWO_NODES}
    found = [_platform("x86_64", kernel, PC) for kernel in ("v2-2019", *MAINLINE)]
    found += [
        _platform("x86_64", "linux-5.15", PC, f"{MODE}Y {AUTO}", **two),
        _platform("x86_64", "linux-6.12", PC, AUTO, **two),
        _platform("x86_64", "linux-6.12", PC, f"{MODE}Y {AUTO} memhp_default_state=online", **two),
        _platform("x86_64", "linux-7.2", PC, f"{MODE}force movable_node memhp_default_state=online_movable", **two),
        _platform("x86_64", "linux-6.12", PC, memory="4G", memory_block_size="1G"),
        _platform("x86_64", "linux-6.8", PC, "", memory="4G", memory_block_size="1G"),
    ]
    for page_size in ("4K", "16K", "64K"):
        found += [
            _platform("arm64", kernel, PC, page_size=page_size, memory="4G")
            for kernel in ("v2-2019", "linux-6.1", "linux-6.12")
        ]
        found += [
            _platform(
                "powerpc", kernel, ("pseries", "probe", "dax"), cmdline,
                page_size=page_size, memory="2G", memory_block_size="256M",
            )
            for cmdline in (f"{MODE}Y", f"{MODE}force", "disable_radix")
            for kernel in ("v2-2019", "linux-6.2", "linux-6.12")
            if page_size != "16K"
        ]  # fmt: skip
    found += [
        _platform("s390", kernel, ("sclp", "virtio_mem", "dax"), memory="2G", rzm=rzm)
        for kernel, rzm in (
            ("v2-2019", "256M"),
            ("linux-6.2", "512M"),
            ("linux-6.12", "256M"),
            ("linux-6.14", "1G"),
            ("linux-7.2", "64M"),
        )
    ]
    return found


@cache
def _booted(platform: Platform) -> Machine:
    return Machine.boot(**platform.boot)


OPTIONS: dict[str, list[dict[str, Any]]] = {
    "acpi": [{}, {"resources": ["256M", "1G"]}],
    "dax": [{}, {"memmap_on_memory": True}, {"ranges": ["700M", "1G", "100M"]}],
    "hv_balloon": [{}, {"backed": "96M"}, {"backed": "0"}],
    "virtio_mem": [
        {},
        {"device_size": "4G"},
        {"device_size": "8G", "unplug_online": False},
        {"force_bbm": True},
        {"device_size": "4G", "force_bbm": True, "bbm_block_size": "512M"},
        {"device_size": "4G", "block_size": "4M"},
    ],
}

ARM64_FLAWS = ("memmap on unbacked memory", "deferred free", "head pfn")
"""arm64 kept the memmap of removed memory then, so that what is added there next finds another's."""

Op = tuple[str, dict[str, Any]]


def perform(machine: Machine, op: Op) -> tuple[str | None, MemoryHotplugError | None]:
    """Do one operation; return the errno's name and the refusal, or twice None."""
    name, keywords = op
    if name == "inject":
        machine.kernel.state.fail_allocation = keywords["count"]
        return None, None
    try:
        getattr(machine, name)(**keywords)
    except MemoryHotplugError as problem:
        return problem.name, problem
    except InputError as problem:
        return f"input: {problem.expected}", None
    return None, None


VETOES = st.sampled_from(
    [None, None, None, ("MEM_GOING_ONLINE", "ENOMEM"), ("MEM_GOING_OFFLINE", "EPERM"), ("MEM_PREPARE_ONLINE", "EPERM")]
)
BUDGETS = st.sampled_from([*[None] * 12, *range(8), 10, 20, 40])


class Life(RuleBasedStateMachine):
    """A machine, and a twin whose blocks go online and offline one by one."""

    platform: Platform

    @initialize()
    def boot(self) -> None:
        """Start from a fresh machine."""
        self.machine = _booted(self.platform).copy()
        self.single = self.machine.copy()
        self.history: list[Op] = []
        self.names = 0
        self.misused = False

    # ---- operations ----

    @rule(
        driver=st.integers(0, 9), option=st.integers(0, 9), blocks=st.integers(1, 9),
        odd=st.sampled_from([0, 0, 0, 4 << 20]), node=st.sampled_from([None, None, 0, 1]),
        address=st.sampled_from([None, None, None, "64G", "1T", "0x100400000"]), budget=BUDGETS, veto=VETOES,
    )  # fmt: skip
    def add(
        self, driver: int, option: int, blocks: int, odd: int, node: int | None, address: str | None,
        budget: int | None, veto: tuple[str, str] | None,
    ) -> None:  # fmt: skip
        """A driver adds some blocks, and perhaps some MiB more."""
        name = self.platform.drivers[driver % len(self.platform.drivers)]
        options = OPTIONS.get(name, [{}])[option % len(OPTIONS.get(name, [{}]))]
        self.names += 1
        size = blocks * self.machine.kernel.geometry.memory_block_size + odd
        keywords: dict[str, Any] = {
            "driver": name,
            "name": f"m{self.names}",
            "node": node,
            "address": address,
            **options,
        }
        if not {"resources", "ranges"} & set(options):
            keywords["size"] = size
        self._try("add_memory", keywords, budget, veto)

    @rule(which=st.integers(0, 9), megabytes=st.integers(0, 600), budget=BUDGETS)
    def resize(self, which: int, megabytes: int, budget: int | None) -> None:
        """The hypervisor wants a virtio-mem device to have another size."""
        names = [device.name for device in self.machine.kernel.state.devices if device.driver == "virtio_mem"]
        if names:
            self.names += 1
            size = megabytes * (4 << 20) or self.machine.kernel.geometry.memory_block_size
            keywords = {
                "driver": "virtio_mem",
                "name": f"m{self.names}",
                "resize": names[which % len(names)],
                "size": size,
            }
            self._try("add_memory", keywords, budget, None)

    @rule(
        name=st.sampled_from(["online", "offline"]),
        first=st.integers(0, 20),
        count=st.integers(1, 6),
        zone=st.sampled_from(["auto", "kernel", "movable"]),
        veto=VETOES,
        budget=BUDGETS,
    )
    def change(
        self, name: str, first: int, count: int, zone: str, veto: tuple[str, str] | None, budget: int | None
    ) -> None:
        """Some neighbouring blocks go online or offline; they may be that already or not exist."""
        ids = self.machine.kernel.state.blocks.id.tolist()
        first = ids[(len(ids) - 1 - first) % len(ids)]
        keywords: dict[str, Any] = {"range": f"block {first}-{first + count - 1}"}
        if name == "online":
            keywords["zone"] = zone
        saved = self.machine.kernel.copy()
        op = name, self._with_veto(keywords, veto)
        self._both("inject", {"count": budget})
        self.history.append(op)
        errno, problem = perform(self.machine, op)
        done = []
        for block in range(first, first + count):
            single, _ = perform(self.single, (name, {**op[1], "range": f"block {block}"}))
            if single is not None:
                assert single == errno
                break
            done.append(block)
        assert (problem is None) == (len(done) == count)
        if problem is not None:
            assert list(problem.blocks_done) == done
        self._both("inject", {"count": None})
        self._judge(name, problem, saved)

    @rule(which=st.integers(0, 9), name=st.sampled_from(["eject", "eject", "remove"]), budget=BUDGETS, veto=VETOES)
    def take_out(self, which: int, name: str, budget: int | None, veto: tuple[str, str] | None) -> None:
        """A device is to go, by its driver or by remove_memory()."""
        names = [device.name for device in self.machine.kernel.state.devices if device.ranges]
        if names:
            self._try(name, {"range": names[which % len(names)]}, budget, veto)

    @rule(which=st.integers(0, 30), count=st.integers(1, 3))
    def remove_blocks(self, which: int, count: int) -> None:
        """Some blocks are to go, whoever brought them."""
        blocks = self.machine.kernel.state.blocks
        ids = blocks.id[~blocks.early].tolist()
        if ids and "v2" not in self.machine.kernel.profile.name:
            first = ids[which % len(ids)]
            self._try("remove", {"range": f"block {first}-{first + count - 1}"}, None, None)

    @rule(
        megabytes=st.integers(1, 400),
        zone=st.sampled_from(["movable", "kernel"]),
        order=st.sampled_from([0, 0, 3]),
        pinned=st.booleans(),
        scatter=st.booleans(),
        budget=BUDGETS,
    )
    def allocate(self, megabytes: int, zone: str, order: int, pinned: bool, scatter: bool, budget: int | None) -> None:
        """A workload takes pages."""
        self.names += 1
        keywords = {
            "name": f"app{self.names}",
            "size": f"{megabytes}M",
            "zone": zone,
            "order": order,
            "scatter": scatter,
        }
        self._try("allocate", {**keywords, "pinned": pinned and zone == "movable"}, budget, None)

    @rule(which=st.integers(0, 9))
    def release(self, which: int) -> None:
        """A workload gives its pages back."""
        names = sorted(name for name, held in self.machine.kernel.state.allocations.items() if not held.kernel)
        if names:
            self._try("release", {"name": names[which % len(names)]}, None, None)

    @rule(
        write=st.sampled_from(
            [
                ("memory/auto_online_blocks", "online"),
                ("memory/auto_online_blocks", "offline"),
                ("memory/auto_online_blocks", "online_movable"),
                ("memory/probe", "0x200000000"),
                ("memory/vmemmap_hotplug", "disable"),
                ("memory/soft_offline_page", "0x108000000"),
                ("memory/hard_offline_page", "0x100200000"),
                ("memory/hard_offline_page", "0x80000000"),
                ("/sys/module/memory_hotplug/parameters/online_policy", "auto-movable"),
                ("/sys/module/memory_hotplug/parameters/auto_movable_ratio", "40"),
            ]
        ),
    )
    def write(self, write: tuple[str, str]) -> None:
        """The user writes a file."""
        self._try("write", {"path": write[0], "value": write[1]}, None, None)

    # ---- laws ----

    def _with_veto(self, keywords: dict[str, Any], veto: tuple[str, str] | None) -> dict[str, Any]:
        if veto is None or veto[0] not in self.machine.kernel.profile.event_names:
            return keywords
        return {**keywords, "veto": {"event": veto[0], "errno": veto[1]}}

    def _try(self, name: str, keywords: dict[str, Any], budget: int | None, veto: tuple[str, str] | None) -> None:
        saved = self.machine.kernel.copy()
        self._both("inject", {"count": budget})
        problem = self._both(name, self._with_veto(keywords, veto))
        self._both("inject", {"count": None})
        self._judge(name, problem, saved)

    def _both(self, name: str, keywords: dict[str, Any]) -> MemoryHotplugError | None:
        """Do an operation on the machine and on its twin; return the refusal."""
        self.history.append((name, keywords))
        errno, problem = perform(self.machine, (name, keywords))
        assert perform(self.single, (name, keywords))[0] == errno
        return problem

    def _judge(self, name: str, problem: MemoryHotplugError | None, saved: Any) -> None:
        """Hold the laws against what an operation has made of the machine."""
        machine = self.machine
        assert machine.to_dict() == self.single.to_dict()
        flaws = ARM64_FLAWS if machine.kernel.version < (5, 7) and machine.kernel.arch == "arm64" else ("-",)
        assert [text for text in machine.violations() if not text.startswith(flaws)] == []
        if problem is None or problem.blocks_done or name == "eject":
            return
        if name == "add_memory" and len(machine.kernel.state.blocks) != len(saved.state.blocks):
            return  # the driver has kept what it got
        if name == "add_memory" and saved.state.withheld != machine.kernel.state.withheld:
            return  # pages came and went in blocks that were there before
        assert left_behind(saved, machine.kernel, leaks=bool(problem.leaks)) == []

    def teardown(self) -> None:
        """The same life once more ends in the same state."""
        if not hasattr(self, "machine"):
            return
        again = _booted(self.platform).copy()
        for op in self.history:
            perform(again, op)
        assert again.to_dict() == self.machine.to_dict()
        assert again.kernel.journal.events == self.machine.kernel.journal.events


@pytest.mark.parametrize("platform", platforms(), ids=lambda platform: platform.name)
def test_lives_with_drivers(platform: Platform) -> None:
    """Every law above, on every platform."""
    life = type("Life", (Life,), {"platform": platform})
    run_state_machine_as_test(
        life, settings=settings(max_examples=EXAMPLES, stateful_step_count=20, report_multiple_bugs=False)
    )


@pytest.mark.parametrize("platform", platforms(), ids=lambda platform: platform.name)
def test_memory_may_run_out_at_any_allocation(platform: Platform) -> None:
    """An add fails at the first, the second … allocation; then, or after its leaks, all is as before."""
    for driver in platform.drivers:
        for budget in range(ALLOCATIONS):
            machine = _booted(platform).copy()
            before = machine.kernel.copy()
            size = machine.kernel.geometry.memory_block_size * (1 if driver == "probe" else 2)
            perform(machine, ("inject", {"count": budget}))
            _, problem = perform(machine, ("add_memory", {"driver": driver, "name": "m", "size": size}))
            unused = machine.kernel.state.fail_allocation
            perform(machine, ("inject", {"count": None}))
            assert machine.violations() == []
            if problem is not None and len(machine.kernel.state.blocks) == len(before.state.blocks):
                assert left_behind(before, machine.kernel, leaks=bool(problem.leaks)) == []
                perform(machine, ("add_memory", {"driver": driver, "name": "again", "size": size}))
                assert machine.violations() == []
            if unused:
                break
