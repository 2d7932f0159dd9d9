"""The sysfs ``probe`` file: one memory block at the address that somebody writes.

Models: drivers/base/memory.c:probe_store() (v5.2 to v6.12).
"""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence

from memhotplug.plugin import AddRequest, DriverTraits, Kernel, KeySpec, MemoryHotplugError, PhysRange, hookimpl, models

__all__ = ["driver_eject", "driver_keys", "driver_ranges", "driver_traits", "mhp_flags"]


@models("drivers/base/memory.c:probe_store() (v5.2 to v6.12)")
@hookimpl
def driver_traits() -> DriverTraits:
    """Where the file may be: arm64 and s390 have no such option; ia64 and sh are not modelled.

    Models: arch/powerpc/Kconfig and arch/x86/Kconfig:ARCH_MEMORY_PROBE (v5.2 to v6.12).
    """
    return DriverTraits(
        arches={"powerpc": (0, 0), "x86_64": (0, 0)},
        absence="the architecture has no ARCH_MEMORY_PROBE (powerpc and x86_64 have)",
        absence_errno=errno.ENOENT,
        attribute="memory/probe",
        opt_in=("x86_64",),  # "default n" since v3.12; powerpc always has it
    )


@hookimpl
def driver_keys() -> Mapping[str, KeySpec]:
    """There is nothing to tell the file but an address."""
    return {}


@hookimpl
def driver_ranges(kernel: Kernel, request: AddRequest) -> Sequence[PhysRange]:
    """The one memory block at the address, on the node of that address.

    Raises:
        MemoryHotplugError: EINVAL, it is not one whole block.
    """
    block_size = kernel.geometry.memory_block_size
    if request.size != block_size:
        raise MemoryHotplugError(
            errno.EINVAL, f"probe adds exactly one memory block of {block_size:#x} bytes, not {request.size:#x}"
        )
    start = kernel.state.first_free_address(request.size) if request.address is None else request.address
    if start % block_size:
        raise MemoryHotplugError(errno.EINVAL, f"{start:#x} is not aligned to a memory block of {block_size:#x} bytes")
    return [PhysRange(start=start, size=block_size, nid=request.nid)]


@models("drivers/base/memory.c:probe_store() (v5.2 to v6.12)")
@hookimpl
def mhp_flags() -> int:
    """None, in every kernel."""
    return 0


@hookimpl
def driver_eject() -> str | None:
    """Refuse: there is no file that takes memory out.

    Raises:
        MemoryHotplugError: EOPNOTSUPP.
    """
    raise MemoryHotplugError(errno.EOPNOTSUPP, "the probe file only adds; offline the block and remove it instead")
