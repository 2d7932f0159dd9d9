"""From what a scenario's ``machine`` describes to a kernel that has booted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memhotplug.contracts import sizes_of
from memhotplug.engine.boot.guest import boot_guest
from memhotplug.engine.boot.sizes import BootConfig, boot_kernel
from memhotplug.engine.kernel import Kernel
from memhotplug.reserves import LEAN, Reserve

if TYPE_CHECKING:
    from memhotplug.formats.scenario.models import MachineSpec

__all__ = ["kernel_of"]


def kernel_of(spec: MachineSpec, base: str) -> Kernel:
    """Boot what a scenario's ``machine`` describes.

    Args:
        base: the folder that a snapshot's path is relative to.

    Raises:
        InputError: the machine cannot be.
        PluginError: a plugin is missing or broken.
    """
    kernel = _recorded(spec, base) if spec.snapshot is not None else _fresh(spec)
    kernel.slots = spec.slots
    return kernel


def _recorded(spec: MachineSpec, base: str) -> Kernel:
    from memhotplug.engine.boot.recorded import kernel_from_snapshot

    return kernel_from_snapshot(spec, base)


def _fresh(spec: MachineSpec) -> Kernel:
    sizes: dict[str, Any] = sizes_of(spec)
    sizes |= {"memory": tuple((part.node, part.size) for part in spec.memory), "hole": spec.hole or 0}
    config = BootConfig(
        arch=spec.arch,
        profile=spec.kernel,
        cmdline=spec.cmdline,
        sparsemem_vmemmap=spec.sparsemem_vmemmap,
        reserve=_reserve(spec),
        **sizes,
    )
    return boot_kernel(config) if spec.boot_profile is None else boot_guest(config)


def _reserve(spec: MachineSpec) -> Reserve:
    """Return what a scenario's boot profile says that the kernel takes."""
    own = spec.boot_profile
    if own is None:
        return LEAN
    return Reserve(name=own.name, image=own.image, early=own.early, early_share=own.early_share)
