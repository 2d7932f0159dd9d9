"""The machine as Python sees it: one method for each operation of a scenario.

Models nothing by itself: it turns keywords into requests, makes each operation a transaction, and
turns the state into values.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from memhotplug import __version__
from memhotplug.catalog import Installed, blaming
from memhotplug.contracts import MemoryEvent, PageFlag
from memhotplug.engine.base_memory import read_attribute
from memhotplug.engine.kernel import Kernel
from memhotplug.engine.views.document import describe_machine, describe_state
from memhotplug.engine.views.invariants import violations
from memhotplug.engine.views.struct_page import PageArray, project_pages
from memhotplug.errors import MemoryHotplugError, errno_number
from memhotplug.machine.boot import kernel_of
from memhotplug.machine.memory import Memory
from memhotplug.machine.steps import OPERATIONS, decide, memory_of
from memhotplug.model.blocks import BlockState
from memhotplug.model.zones import ZoneKind
from memhotplug.ranges import byte_ranges, check_name
from memhotplug.units import format_size

if TYPE_CHECKING:
    from memhotplug.documents.machine import RunDocument
    from memhotplug.engine.views.page import Page
    from memhotplug.formats.scenario.models import MachineSpec, Veto

__all__ = ["Machine"]

_T = TypeVar("_T")


def _parsed(op: str, keywords: dict[str, object]) -> Any:
    """Check keywords as the keys of a scenario; the format is imported only for that."""
    from memhotplug.formats.scenario.check import parse_args

    return parse_args(op, keywords, Installed())


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
        return cls(kernel_of(spec, base))

    @blaming()
    def decide(self, driver: str, *, flags: tuple[str, ...] | None = None, policy: str | None = None) -> None:
        """Let MHP flags or a policy plugin decide for a driver from now on; ``default`` is its own policy.

        Raises:
            InputError: this kernel has no such flag.
            PluginError: there is no such policy, or it is broken.
        """
        decide(self.kernel, driver, flags=flags, policy=policy)

    def copy(self) -> Machine:
        """Return an independent machine; cheap, whatever the size."""
        return Machine(self.kernel.copy())

    # ---- operations ----

    def apply(self, op: str, step: Any) -> Any:
        """Do what one (checked) step of a scenario says; ``op`` is its name."""
        return OPERATIONS[op](self.kernel, step)

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

    def memory(self, name: str, driver_result: str | None = None) -> Memory:
        """Return what a device has.

        Raises:
            MemoryHotplugError: ENODEV, there is no such device.
        """
        return memory_of(self.kernel, name, driver_result)

    # ---- views ----

    @blaming()
    def page(self, pfn: int) -> Page:
        """Return one page's struct page, as a value.

        Raises:
            ValueError: there can be no such page.
        """
        from memhotplug.engine.views.page import Page

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
