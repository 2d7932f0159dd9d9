"""The machine as Python sees it: one method for each operation of a scenario.

Models nothing by itself: it turns keywords into requests, makes each operation a transaction, and
turns the state into values.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from memhotplug import __version__
from memhotplug.catalog import Installed, blaming
from memhotplug.contracts import AddRequest, MemoryEvent, PageFlag
from memhotplug.engine import workload
from memhotplug.engine.base_memory import read_attribute, write_attribute
from memhotplug.engine.boot.guest import boot_guest
from memhotplug.engine.boot.sizes import BootConfig, boot_kernel
from memhotplug.engine.kernel import Kernel
from memhotplug.engine.memory_hotplug.add import device_blocks, eject, eject_blocks, hot_add, resize
from memhotplug.engine.memory_hotplug.online import offline_blocks, online_blocks
from memhotplug.engine.memory_hotplug.remove import check_removable, remove_memory
from memhotplug.engine.mhp_flags import parse_flags, set_policy
from memhotplug.engine.views.document import describe_machine, describe_state
from memhotplug.engine.views.invariants import violations
from memhotplug.engine.views.struct_page import Page, PageArray, project_pages
from memhotplug.errors import MemoryHotplugError, errno_number
from memhotplug.keyspec import OWN_POLICY
from memhotplug.model.blocks import BlockState, OnlineType
from memhotplug.model.zones import ZoneKind
from memhotplug.ranges import block_ids, byte_ranges, check_name, device_of
from memhotplug.reserves import LEAN, Reserve
from memhotplug.units import format_blocks, format_range, format_size

if TYPE_CHECKING:
    from memhotplug.documents.machine import RunDocument
    from memhotplug.formats.scenario.models import AddStep, AllocateStep, MachineSpec, OnlineStep, Veto

__all__ = ["Machine", "Memory"]

_ONLINE_TYPES = {
    "auto": OnlineType.ONLINE,
    "kernel": OnlineType.ONLINE_KERNEL,
    "movable": OnlineType.ONLINE_MOVABLE,
}
_T = TypeVar("_T")


def _reserve(spec: MachineSpec) -> Reserve:
    """Return what a scenario's boot profile says that the kernel takes."""
    own = spec.boot_profile
    if own is None:
        return LEAN
    return Reserve(name=own.name, image=own.image, early=own.early, early_share=own.early_share)


def _parsed(op: str, keywords: dict[str, object]) -> Any:
    """Check keywords as the keys of a scenario; the format is imported only for that."""
    from memhotplug.formats.scenario.check import parse_args

    return parse_args(op, keywords, Installed())


@dataclass(frozen=True, slots=True)
class Memory:
    """What one add brought; usable wherever a range is asked for.

    Attributes:
        name: the device's name.
        start, size: the hull of its ranges, in bytes.
        blocks: ids of its memory blocks, ascending.
        driver_result: what the driver made of it, None if it had nothing to say.
    """

    name: str
    start: int
    size: int
    blocks: tuple[int, ...]
    driver_result: str | None = None

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        if not self.blocks:
            return f"<Memory {self.name}: no blocks>"
        place = f"{format_range(self.start, self.size)}, {format_size(self.size)}"
        return f"<Memory {self.name}: {place}, blocks {format_blocks(self.blocks)}>"


class Machine:
    """A modelled machine; use :meth:`boot` or :meth:`from_spec` to get one."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel

    def __repr__(self) -> str:
        blocks, size = self.kernel.state.blocks, self.kernel.geometry.memory_block_size
        online = int((blocks.state == BlockState.ONLINE).sum())
        devices = [device.name for device in self.kernel.state.devices if device.ranges]
        added = f", with {', '.join(devices)}" if devices else ""
        return (
            f"<Machine {self.kernel.profile.name} on {self.kernel.arch}: {format_size(len(blocks) * size)} in "
            f"{len(blocks)} blocks of {format_size(size)}, {online} online{added}>"
        )

    def _repr_html_(self) -> str:
        """Return the memory map, which notebooks show in place of the repr."""
        from memhotplug.memory_map.notebook import map_html

        return map_html(self.kernel, repr(self)[1:-1])

    @classmethod
    def boot(cls, **keywords: Any) -> Machine:
        """Boot a machine; the keywords are the keys of a scenario's ``machine``, and ``plugins`` and ``drivers``.

        >>> Machine.boot(arch="x86_64", kernel="v2-2019", memory="4G").kernel.geometry.memory_block_size
        134217728

        Raises:
            InputError: a keyword, a value, or their combination is not possible.
            PluginError: a plugin is missing or broken.
        """
        files = keywords.pop("plugins", ())
        drivers = keywords.pop("drivers", None)
        paths = [files] if isinstance(files, (str, os.PathLike)) else files
        with Installed().using([os.fspath(path) for path in paths]):
            machine = cls.from_spec(_parsed("boot", keywords))
            for name, policy in _parsed("drivers", drivers or {}).items():
                machine.decide(name, flags=policy.mhp_flags, policy=policy.policy)
        return machine

    @classmethod
    @blaming()
    def from_spec(cls, spec: MachineSpec, *, base: str = ".") -> Machine:
        """Boot what a scenario's ``machine`` describes.

        Args:
            base: the folder that a snapshot's path is relative to.

        Raises:
            InputError: the machine cannot be.
            PluginError: a plugin is missing or broken.
        """
        if spec.snapshot is not None:
            from memhotplug.engine.boot.recorded import kernel_from_snapshot

            recorded = cls(kernel_from_snapshot(spec, base))
            recorded.kernel.slots = spec.slots
            return recorded
        guest = spec.boot_profile is not None
        machine = cls(
            (boot_guest if guest else boot_kernel)(
                BootConfig(
                    arch=spec.arch,
                    profile=spec.kernel,
                    memory=tuple((part.node, part.size) for part in spec.memory),
                    page_size=spec.page_size,
                    memory_block_size=spec.memory_block_size,
                    physical_address_bits=spec.physical_address_bits,
                    options=spec.options,
                    cmdline=spec.cmdline,
                    hole=spec.hole or 0,
                    advised_block_size=spec.advised_block_size,
                    sparsemem_vmemmap=spec.sparsemem_vmemmap,
                    reserve=_reserve(spec),
                )
            )
        )
        machine.kernel.slots = spec.slots
        return machine

    @blaming()
    def decide(self, driver: str, *, flags: tuple[str, ...] | None = None, policy: str | None = None) -> None:
        """Let MHP flags or a policy plugin decide for a driver from now on; ``default`` is its own policy.

        Raises:
            InputError: this kernel has no such flag.
            PluginError: there is no such policy, or it is broken.
        """
        chosen = {} if flags in (None, (OWN_POLICY,)) else {driver: parse_flags(self.kernel, flags or ())}
        self.kernel.flag_override = {**self.kernel.flag_override, **chosen}
        if not chosen:
            self.kernel.flag_override.pop(driver, None)
        self.kernel.policies.pop(driver, None)
        if policy not in (None, OWN_POLICY):
            set_policy(self.kernel, driver, str(policy))

    def copy(self) -> Machine:
        """Return an independent machine; cheap, whatever the size."""
        return Machine(self.kernel.copy())

    # ---- operations ----

    def apply(self, op: str, step: Any) -> Any:
        """Do what one (checked) step of a scenario says; ``op`` is the name of a method below."""
        return getattr(self, "_" + op)(step)

    def add_memory(self, **keywords: object) -> Memory:
        """Have a driver hot-add memory; the keywords are the keys of an ``add`` step.

        Raises:
            MemoryHotplugError: the first error that add_memory() returned.
        """
        memory: Memory = self._call("add", keywords)
        return memory

    def online(self, range: str | Memory, **keywords: object) -> list[int]:  # noqa: A002  # the scenario's key
        """Online blocks, one request each, ascending; return those done.

        Raises:
            MemoryHotplugError: the first block that fails ends it; ``blocks_done`` says what came before.
        """
        done: list[int] = self._call("online", {"range": str(range), **keywords})
        return done

    def offline(self, range: str | Memory, **keywords: object) -> list[int]:  # noqa: A002
        """Take blocks offline, one request each, ascending; return those done.

        Raises:
            MemoryHotplugError: as :meth:`online`.
        """
        done: list[int] = self._call("offline", {"range": str(range), **keywords})
        return done

    def remove(self, range: str | Memory, **keywords: object) -> None:  # noqa: A002
        """Remove a range, all of whose blocks are offline (remove_memory()).

        Raises:
            MemoryHotplugError: EBUSY a block is online, EINVAL; nothing has changed.
        """
        self._call("remove", {"range": str(range), **keywords})

    def eject(self, range: str | Memory, **keywords: object) -> str | None:  # noqa: A002
        """Ask the driver to take its device out; return what it says.

        Raises:
            MemoryHotplugError: EBUSY as a rule.
        """
        verdict: str | None = self._call("eject", {"range": str(range), **keywords})
        return verdict

    def resize(self, range: str | Memory, size: str | int, **keywords: object) -> str | None:  # noqa: A002
        """Ask a device for another size, 0 to take all of it back; return what its driver says.

        Raises:
            MemoryHotplugError: EOPNOTSUPP its driver cannot; else what came or went is in ``blocks_done`` and stays.
        """
        verdict: str | None = self._call("resize", {"range": str(range), "size": size, **keywords})
        return verdict

    def write(self, path: str, value: str, **keywords: object) -> None:
        """Write a simulated sysfs attribute.

        Raises:
            MemoryHotplugError: as the kernel answers.
        """
        self._call("write", {"path": path, "value": value, **keywords})

    @blaming()
    def read(self, path: str) -> str:
        """Return what a simulated sysfs attribute reads.

        Raises:
            MemoryHotplugError: ENOENT, EACCES.
        """
        return read_attribute(self.kernel, path)

    def allocate(self, name: str, size: str | int, **keywords: object) -> int:
        """Let a workload take pages; return how many.

        Raises:
            MemoryHotplugError: ENOMEM, and nothing was taken; EEXIST the name is in use.
        """
        taken: int = self._call("allocate", {"name": name, "size": size, **keywords})
        return taken

    def release(self, name: str) -> None:
        """Let a workload give its pages back.

        Raises:
            MemoryHotplugError: ENOENT there is no such workload.
        """
        self._call("release", {"name": name})

    def _call(self, op: str, keywords: dict[str, object]) -> Any:
        with self.kernel.plugins.in_scope():
            step = _parsed(op, keywords)
        if hasattr(step, "range"):
            check_name(self.kernel, step.range)
        return self.operate(step.veto, lambda: self.apply(op, step), fail_allocation=step.fail_allocation)

    @blaming()
    def operate(
        self,
        veto: Veto | None,
        operation: Callable[[], _T],
        *,
        fail_allocation: int | None = None,
        is_throwaway: bool = False,
    ) -> _T:
        """Run one operation as a transaction.

        Args:
            veto: a notifier that refuses an event meanwhile.
            fail_allocation: how many allocations of the kernel succeed meanwhile, None for all.
            is_throwaway: whether nobody needs this machine if a plugin breaks.

        A refusal leaves what the kernel leaves; anything else that goes wrong (a broken plugin)
        leaves the machine as it was.

        Raises:
            MemoryHotplugError: the modelled kernel refused.
            PluginError: a plugin raised something else, or answered nonsense.
        """
        saved = None if is_throwaway else self.kernel.copy()
        if veto is not None:
            self.kernel.step.vetoes[MemoryEvent[veto.event]] = errno_number(veto.errno)
        if fail_allocation is not None:
            self.kernel.state.fail_allocation = fail_allocation
        try:
            return operation()
        except MemoryHotplugError:
            raise
        except BaseException:
            if saved is not None:
                self.kernel.restore(saved)
            raise
        finally:
            self.kernel.step.vetoes = {}
            if fail_allocation is not None:
                self.kernel.state.fail_allocation = None

    # ---- operations on checked steps ----

    def _add(self, step: AddStep) -> Memory:
        name = step.name or self._fresh_name(step.driver)
        self.kernel.given_names |= {name}
        if self.kernel.state.device_index(name) is not None:
            raise MemoryHotplugError(errno.EEXIST, f"there is a device {name!r} already")
        request = AddRequest(
            driver=step.driver, name=name, size=step.size, address=step.address, nid=step.node, options=step.options
        )
        overridden, policies = dict(self.kernel.flag_override), dict(self.kernel.policies)
        if step.mhp_flags is not None:
            self.decide(step.driver, flags=step.mhp_flags)
        try:
            verdict = hot_add(self.kernel, request)
        finally:
            self.kernel.flag_override, self.kernel.policies = overridden, policies
        if self.kernel.state.device_index(name) is None:
            return Memory(name, 0, 0, (), verdict)  # the driver met the request without adding anything
        return self.memory(name, verdict)

    def memory(self, name: str, driver_result: str | None = None) -> Memory:
        """Return what a device has.

        Raises:
            MemoryHotplugError: ENODEV, there is no such device.
        """
        ranges = self.kernel.state.devices[device_of(self.kernel, name)].ranges
        start = ranges[0][0]
        size = ranges[-1][0] + ranges[-1][1] - start
        return Memory(name, start, size, tuple(device_blocks(self.kernel, name)), driver_result)

    def _fresh_name(self, driver: str) -> str:
        """Return the first name that no device was ever called, in a scenario or here, whatever became of it."""
        taken = {device.name for device in self.kernel.state.devices} | self.kernel.given_names
        number = 0
        while f"{driver}{number}" in taken:
            number += 1
        return f"{driver}{number}"

    def _online(self, step: OnlineStep) -> list[int]:
        return online_blocks(self.kernel, block_ids(self.kernel, step.range), _ONLINE_TYPES[step.zone])

    def _offline(self, step: Any) -> list[int]:
        return offline_blocks(self.kernel, block_ids(self.kernel, step.range))

    def _remove(self, step: Any) -> None:
        ranges = byte_ranges(self.kernel, step.range)
        for start, size in ranges:
            check_removable(self.kernel, start, size)
        for start, size in ranges:
            remove_memory(self.kernel, start, size)

    def _eject(self, step: Any) -> str | None:
        if step.range.kind != "name":
            return eject_blocks(self.kernel, block_ids(self.kernel, step.range))
        return eject(self.kernel, step.range.name)

    def _resize(self, step: Any) -> str | None:
        if step.range.kind != "name":
            raise MemoryHotplugError(errno.ENODEV, f"resize takes a device's name, not {step.range}")
        return resize(self.kernel, step.range.name, step.size)

    def _write(self, step: Any) -> None:
        write_attribute(self.kernel, step.path, step.value, capable=step.capable)

    def _allocate(self, step: AllocateStep) -> int:
        return workload.allocate(
            self.kernel,
            step.name,
            step.size,
            movable=step.zone == "movable",
            nid=step.node,
            order=step.order,
            pinned=step.pinned,
            scatter=step.scatter,
        )

    def _release(self, step: Any) -> None:
        workload.release(self.kernel, step.name)

    # ---- views ----

    @blaming()
    def page(self, pfn: int) -> Page:
        """Return one page's struct page, as a value.

        Raises:
            ValueError: there can be no such page.
        """
        if not 0 <= pfn < self.kernel.geometry.end_pfn:
            raise ValueError(f"pfn {pfn:#x} is beyond {self.kernel.geometry.physical_address_bits} address bits")
        row = project_pages(self.kernel, pfn, 1)[0]
        zone = int(row["zone"])
        return Page(
            pfn=pfn,
            flags=PageFlag(int(row["flags"])),
            refcount=int(row["refcount"]),
            private=int(row["private"]),
            head=int(row["head"]) if row["head"] >= 0 else None,
            mapping=int(row["mapping"]),
            zone=ZoneKind(zone).label if zone >= 0 else None,
            node=int(row["node"]) if zone >= 0 else None,
            backing=int(row["backing"]) if row["backing"] >= 0 else None,
        )

    @blaming()
    def memmap(self, range: str | Memory) -> PageArray:  # noqa: A002
        """Return the struct pages of a range; those of a device with several ranges follow one another.

        Returns:
            Structured array of PAGE_DTYPE, shape (pages,), a fresh copy.

        Raises:
            ValueError: there can be no such pages.
        """
        geometry = self.kernel.geometry
        spec = _parsed("remove", {"range": str(range)}).range
        check_name(self.kernel, spec)
        ranges = byte_ranges(self.kernel, spec)
        if ranges[-1][0] + ranges[-1][1] > 1 << geometry.physical_address_bits:
            raise ValueError(f"{spec} is beyond {geometry.physical_address_bits} address bits")
        parts = [project_pages(self.kernel, geometry.pfn(start), geometry.pfn(size)) for start, size in ranges]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    @blaming()
    def violations(self) -> list[str]:
        """Return the invariants that do not hold, one sentence each."""
        return violations(self.kernel)

    @blaming()
    def to_dict(self) -> RunDocument:
        """Return the machine as the JSON output shows it, with no steps."""
        return {
            "schema": 1,
            "mhp": __version__,
            "scenario": None,
            "ok": True,
            "machine": describe_machine(self.kernel),
            "steps": [],
            **describe_state(self.kernel),
        }
