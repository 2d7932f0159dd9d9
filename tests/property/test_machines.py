"""Random lives of machines: whatever happens, the books balance and refusals change nothing.

One class, run once for each platform: another architecture joins by a line in PLATFORMS.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from memhotplug import Machine, MemoryHotplugError


@dataclass(frozen=True, kw_only=True)
class Platform:
    """A machine to start from.

    Attributes:
        name: the test's id.
        boot: keywords of Machine.boot().
        flags: what may be passed as mhp_flags.
        whole_devices: flags under which memory must be removed as it was added, or struct pages are lost.
        high_address: an address where new page tables are needed.
        auto_online: whether added blocks go online at once.
    """

    name: str
    boot: tuple[tuple[str, Any], ...]
    flags: tuple[tuple[str, ...], ...] = (("none",), ("device",), ("memblock",), ("device", "memblock"))
    whole_devices: tuple[tuple[str, ...], ...] = (("device",),)
    high_address: str = "64G"
    auto_online: bool = False


X86 = (("arch", "x86_64"), ("kernel", "v2-2019"))
TWO_NODES = (("node", 0), ("size", "512M")), (("node", 1), ("size", "512M"))
PLATFORMS = [
    Platform(name="x86_64", boot=(*X86, ("memory", "1G"))),
    Platform(name="x86_64 with two nodes", boot=(*X86, ("memory", TWO_NODES))),
    Platform(
        name="x86_64 with blocks of two sections and movable_node",
        boot=(*X86, ("memory", "512M"), ("memory_block_size", "256M"), ("cmdline", "movable_node")),
    ),
    Platform(
        name="x86_64 with auto-online",
        boot=(*X86, ("memory", "512M"), ("cmdline", "memhp_default_state=online")),
        auto_online=True,
    ),
    Platform(
        name="x86_64 linux-6.12 with memmap on memory",
        boot=(
            ("arch", "x86_64"),
            ("kernel", "linux-6.12"),
            ("memory", "1G"),
            ("cmdline", "memory_hotplug.memmap_on_memory=1"),
        ),
        flags=(("none",), ("on_memory",)),
        whole_devices=(),
    ),
    Platform(
        name="x86_64 linux-6.12 with two nodes and auto-movable",
        boot=(
            ("arch", "x86_64"),
            ("kernel", "linux-6.12"),
            ("memory", TWO_NODES),
            ("cmdline", "memory_hotplug.memmap_on_memory=1 memory_hotplug.online_policy=auto-movable"),
        ),
        flags=(("none",), ("on_memory",), ("on_memory", "MHP_NID_IS_MGID")),
        whole_devices=(),
    ),
    Platform(
        name="x86_64 linux-7.2",
        boot=(("arch", "x86_64"), ("kernel", "linux-7.2"), ("memory", "512M")),
        flags=(("none",), ("on_memory",)),
        whole_devices=(),
    ),
    Platform(
        name="arm64 linux-6.12 with 64K pages",
        boot=(("arch", "arm64"), ("kernel", "linux-6.12"), ("memory", "2G"), ("page_size", "64K")),
        flags=(("none",), ("on_memory",)),
        whole_devices=(),
    ),
    Platform(
        name="powerpc linux-6.12 forced",
        boot=(
            ("arch", "powerpc"),
            ("kernel", "linux-6.12"),
            ("memory", "2G"),
            ("memory_block_size", "256M"),
            ("cmdline", "memory_hotplug.memmap_on_memory=force"),
        ),
        flags=(("none",), ("on_memory",)),
        whole_devices=(),
    ),
    Platform(
        name="s390 v2-2019",
        boot=(("arch", "s390"), ("kernel", "v2-2019"), ("memory", "1G")),
        whole_devices=(),
    ),
]

Op = tuple[str, tuple[tuple[str, Any], ...]]


@cache
def _booted(platform: Platform) -> Machine:
    keywords = {
        key: [dict(part) for part in value] if isinstance(value, tuple) else value for key, value in platform.boot
    }
    return Machine.boot(**keywords)


def perform(machine: Machine, op: Op) -> tuple[str | None, MemoryHotplugError | None]:
    """Do one operation; return the errno's name and the refusal, or twice None."""
    name, keywords = op
    if name == "inject":
        machine.kernel.state.fail_allocation = dict(keywords).get("count")
        return None, None
    try:
        getattr(machine, name)(**{key: dict(v) if key == "veto" else v for key, v in keywords})
    except MemoryHotplugError as problem:
        return problem.name, problem
    return None, None


def op(operation: str, /, **keywords: Any) -> Op:
    """Return an operation as a value."""
    return operation, tuple((key, value) for key, value in keywords.items() if value is not None)


def books(state: Mapping[str, Any]) -> list[Any]:
    """Return what no refused online or offline may touch: counts of zones, blocks, devices, resources."""
    zones = [(zone["node"], zone["zone"], zone["present"], zone["managed"]) for zone in state["zones"]]
    blocks = [(block["id"], block["state"], block["zone"], block["device"]) for block in state["blocks"]]
    return [[zone for zone in zones if zone[2]], blocks, state["iomem"], state["vmemmap"]]


VETOES = st.sampled_from([None, None, None, "ENOMEM", "EPERM"])


class Life(RuleBasedStateMachine):
    """A machine, an identical twin that does everything block by block, and what we know of the devices."""

    platform: Platform

    @initialize()
    def boot(self) -> None:
        """Start from a fresh machine."""
        self.machine = _booted(self.platform).copy()
        self.single = self.machine.copy()
        self.history: list[Op] = []
        self.devices: dict[str, tuple[tuple[str, ...], int]] = {}  # flags and number of blocks when added
        self.names = 0
        self.misused = False

    # ---- operations ----

    @rule(
        blocks=st.integers(1, 5),
        flags=st.integers(0, 3),
        node=st.sampled_from([None, None, 0, 1, 2]),
        where=st.sampled_from([None, None, None, None, "high", "taken", "odd"]),
        budget=st.sampled_from([None, None, None, 0, 1, 2, 3]),
    )
    def add(self, blocks: int, flags: int, node: int | None, where: str | None, budget: int | None) -> None:
        """Hot-add some blocks; sometimes out of memory, over other memory, or misaligned."""
        size = self.machine.kernel.geometry.memory_block_size
        addresses = {"high": self.platform.high_address, "taken": hex(size), "odd": hex((1 << 40) + 4096)}
        address = addresses.get(where or "")
        chosen = self.platform.flags[flags % len(self.platform.flags)]
        self.names += 1
        name = f"dimm{self.names}"
        before = self.machine.to_dict()
        free = self._free()
        self._both(op("inject", count=budget))
        problem = self._both(
            op(
                "add_memory", driver="dax", name=name, size=hex(blocks * size), mhp_flags=list(chosen),
                node=node, address=address,
            )
        )  # fmt: skip
        self._both(op("inject", count=None))
        if problem is None:
            self.devices[name] = chosen, blocks
            return
        after = self.machine.to_dict()
        assert problem.name in (
            "EEXIST",
            "EBUSY",
            "EINVAL",
            "ENOMEM",
            "EFAULT",
        )  # EFAULT: powerpc has no linear mapping
        assert books(after)[:3] == books(before)[:3]
        if problem.name != "ENOMEM" and not problem.leaks:
            assert {**after, "warnings": None, "memmap": None, "zones": None, "blocks": None} == {
                **before,
                "warnings": None,
                "memmap": None,
                "zones": None,
                "blocks": None,
            }
        if not problem.leaks:
            assert after["vmemmap"] == before["vmemmap"]
            assert free - self._free() <= 8  # page tables, which stay

    @rule(blocks=st.integers(1, 5), flags=st.integers(0, 2), zone=st.sampled_from(["movable", "movable", "auto"]))
    def plug(self, blocks: int, flags: int, zone: str) -> None:
        """Hot-add and online, as firmware and udev do it."""
        self.add(blocks=blocks, flags=flags, node=None, where=None, budget=None)
        name = f"dimm{self.names}"
        if name in self.devices and not self.platform.auto_online:
            assert self._both(op("online", range=name, zone=zone)) is None

    @rule(megabytes=st.integers(1, 200), more=st.integers(1, 200), first=st.integers(0, 4), count=st.integers(2, 5))
    def migrate(self, megabytes: int, more: int, first: int, count: int) -> None:
        """Two workloads take user pages, the younger one sometimes pinned, and blocks are to go offline."""
        self.allocate(megabytes=megabytes, zone="movable", order=0, pinned=False, scatter=False)
        self.allocate(megabytes=more, zone="movable", order=0, pinned=more % 3 == 0, scatter=False)
        self.offline(first=first + count - 1, count=count, veto=None)

    def _free(self) -> int:
        return sum(zone.nr_free for zone in self.machine.kernel.state.zones())

    @rule(
        first=st.integers(0, 12),
        count=st.integers(1, 4),
        zone=st.sampled_from(["auto", "kernel", "movable"]),
        veto=VETOES,
    )
    def online(self, first: int, count: int, zone: str, veto: str | None) -> None:
        """Online some neighbouring blocks, which may be online already or not exist."""
        self._change("online", first, count, ("MEM_GOING_ONLINE", veto) if veto else None, zone=zone)

    @rule(first=st.integers(0, 12), count=st.integers(1, 4), veto=VETOES)
    def offline(self, first: int, count: int, veto: str | None) -> None:
        """Take some neighbouring blocks offline, boot memory among them."""
        self._change("offline", first, count, ("MEM_GOING_OFFLINE", veto) if veto else None)

    def _change(self, name: str, first: int, count: int, veto: tuple[str, str] | None, **keywords: str) -> None:
        ids = self.machine.kernel.state.blocks.id.tolist()
        first = ids[(len(ids) - 1 - first) % len(ids)]
        refusal = {"veto": (("event", veto[0]), ("errno", veto[1]))} if veto else {}
        before = self.machine.to_dict()
        request = op(name, range=f"block {first}-{first + count - 1}", **keywords, **refusal)
        self.history.append(request)
        errno, problem = perform(self.machine, request)
        done = []
        for block in range(first, first + count):
            single_errno, _ = perform(self.single, op(name, range=f"block {block}", **keywords, **refusal))
            if single_errno is not None:
                assert single_errno == errno
                break
            done.append(block)
        assert (problem is None) == (len(done) == count)
        if problem is not None:
            assert list(problem.blocks_done) == done
            if not done:
                assert books(self.machine.to_dict()) == books(before)
                if errno in ("EBUSY", "ENOENT", "EINVAL"):
                    assert self.machine.to_dict() == before or veto is not None
        self._twins_agree()

    @rule(which=st.integers(0, 9))
    @precondition(lambda self: self.devices)
    def remove_device(self, which: int) -> None:
        """Remove a device as it was added, if all of it is offline."""
        name = sorted(self.devices)[which % len(self.devices)]
        before = self.machine.to_dict()
        problem = self._both(op("remove", range=name))
        if problem is None:
            del self.devices[name]
        else:
            assert problem.name == "EBUSY"
            assert self.machine.to_dict() == before

    @rule(which=st.integers(0, 9), block=st.integers(0, 4))
    @precondition(lambda self: self.devices)
    def remove_block(self, which: int, block: int) -> None:
        """Remove one block of a device; misuse if the device's memmap is not in the block itself."""
        name = sorted(self.devices)[which % len(self.devices)]
        ids = self.machine.memory(name).blocks
        flags, count = self.devices[name]
        before, misused = self.machine.to_dict(), self.misused
        self.misused |= flags in self.platform.whole_devices and count > 1
        problem = self._both(op("remove", range=f"block {ids[block % len(ids)]}"))
        if problem is not None:
            self.misused = misused
            assert problem.name == "EBUSY"
            assert self.machine.to_dict() == before
            return
        if len(ids) == 1:
            del self.devices[name]

    @rule(
        megabytes=st.integers(1, 300),
        zone=st.sampled_from(["movable", "kernel"]),
        order=st.sampled_from([0, 0, 3, 9]),
        pinned=st.booleans(),
        scatter=st.booleans(),
    )
    def allocate(self, megabytes: int, zone: str, order: int, pinned: bool, scatter: bool) -> None:
        """A workload takes pages."""
        self.names += 1
        before = self.machine.to_dict()
        order = min(order, self.machine.kernel.geometry.max_order)
        problem = self._both(
            op(
                "allocate", name=f"app{self.names}", size=f"{megabytes}M", zone=zone, order=order,
                pinned=pinned and zone == "movable", scatter=scatter,
            )
        )  # fmt: skip
        if problem is not None:
            assert problem.name == "ENOMEM"
            assert self.machine.to_dict() == before

    @rule(which=st.integers(0, 9))
    def release(self, which: int) -> None:
        """A workload gives its pages back."""
        names = sorted(name for name, held in self.machine.kernel.state.allocations.items() if not held.kernel)
        if names:
            assert self._both(op("release", name=names[which % len(names)])) is None

    @rule(value=st.sampled_from(["enable", "disable", "enabled"]))
    def switch(self, value: str) -> None:
        """The user turns vmemmap_hotplug on or off."""
        self._both(op("write", path="memory/vmemmap_hotplug", value=value))

    @rule()
    @precondition(lambda self: self.devices)
    def what_if(self) -> None:
        """What is done to a copy does not show in the machine."""
        before = self.machine.to_dict()
        twin = self.machine.copy()
        for name in sorted(self.devices):
            perform(twin, op("online", range=name, zone="movable"))
            perform(twin, op("allocate", name="what-if", size="10M"))
            perform(twin, op("eject", range=name))
        perform(twin, op("add_memory", driver="dax", size="1G", mhp_flags=["none"]))
        assert self.machine.to_dict() == before

    # ---- laws ----

    def _both(self, request: Op) -> MemoryHotplugError | None:
        self.history.append(request)
        errno, problem = perform(self.machine, request)
        assert perform(self.single, request)[0] == errno
        self._twins_agree()
        return problem

    def _twins_agree(self) -> None:
        """A range at once and block by block end in the same state, and the books balance."""
        assert self.machine.to_dict() == self.single.to_dict()
        zones = zip(self.machine.kernel.state.zones(), self.single.kernel.state.zones(), strict=True)
        for ours, theirs in zones:
            assert (ours.wmark, ours.protection, ours.linked) == (theirs.wmark, theirs.protection, theirs.linked)
        if not self.misused:
            assert self.machine.violations() == []

    def teardown(self) -> None:
        """The same life once more ends in the same state."""
        if not hasattr(self, "machine"):
            return
        again = _booted(self.platform).copy()
        for request in self.history:
            perform(again, request)
        assert again.to_dict() == self.machine.to_dict()
        assert again.kernel.journal.events == self.machine.kernel.journal.events


@pytest.mark.parametrize("platform", PLATFORMS, ids=lambda platform: platform.name)
def test_lives_of_machines(platform: Platform) -> None:
    """Random operations in any order keep every law above."""
    life = type("Life", (Life,), {"platform": platform})

    run_state_machine_as_test(
        life, settings=settings(max_examples=15, stateful_step_count=20, report_multiple_bugs=False)
    )
