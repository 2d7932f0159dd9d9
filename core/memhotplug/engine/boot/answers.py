"""What an architecture answers while a machine boots, checked, and blamed on it if it cannot be."""

from __future__ import annotations

from collections.abc import Sequence

from memhotplug.contracts import SizingRequest, ZoneLimit
from memhotplug.manager import Plugins, shown
from memhotplug.model.geometry import Geometry
from memhotplug.model.zones import ZoneKind
from memhotplug.units import format_size

__all__ = ["boot_base", "page_sizing", "zone_limits"]


def page_sizing(plugins: Plugins, request: SizingRequest) -> Geometry:
    """Ask for the sizes of a machine.

    Raises:
        InputError: the architecture does not have what the user asked for.
        PluginError: it answers neither with that nor with what the user asked for.
    """
    geometry: Geometry = plugins.ask(plugins.arch, "page_sizing", Geometry, request=request)
    for name in ("page_size", "memory_block_size", "physical_address_bits"):
        wanted, got = getattr(request, name), getattr(geometry, name)
        if wanted not in (None, got):
            raise plugins.blame(plugins.arch, f"hook page_sizing was asked for a {name} of {wanted} and answered {got}")
    return geometry


def zone_limits(plugins: Plugins, geometry: Geometry) -> Sequence[ZoneLimit]:
    """Ask for the kernel zones, ascending, Normal last.

    Raises:
        PluginError: the answer is something else.
    """
    limits: Sequence[ZoneLimit] = plugins.ask(plugins.arch, "zone_limits", Sequence, geometry=geometry)
    wrong = None
    for limit in limits:
        if not isinstance(limit, ZoneLimit) or not isinstance(limit.kind, ZoneKind) or type(limit.end_pfn) is not int:
            raise plugins.blame(plugins.arch, f"hook zone_limits answered {shown(limit)}, which is no ZoneLimit")
    kinds, ends = [limit.kind for limit in limits], [limit.end_pfn for limit in limits]
    if not kinds or kinds[-1] is not ZoneKind.NORMAL:
        wrong = "whose last zone is not Normal"
    elif kinds != sorted(set(kinds)):
        wrong = "which do not ascend"
    elif ends != sorted(ends) or ends[0] < 0:
        wrong = "whose ends do not ascend"
    if wrong is not None:
        ends_at = ", ".join(f"{kind.label} to pfn {end:#x}" for kind, end in zip(kinds, ends, strict=True)) or "nothing"
        raise plugins.blame(plugins.arch, f"hook zone_limits answered {ends_at}: zones {wrong}")
    return limits


def boot_base(plugins: Plugins, geometry: Geometry) -> int:
    """Ask for the first byte of boot memory, where a memory block begins.

    Raises:
        PluginError: the answer is something else.
    """
    base: int = plugins.ask(plugins.arch, "boot_base", int, geometry=geometry)
    if base < 0 or base % geometry.memory_block_size:
        block = format_size(geometry.memory_block_size)
        raise plugins.blame(
            plugins.arch, f"hook boot_base answered {base:#x}, which is not where a memory block of {block} begins"
        )
    return base
