"""A driver that breaks when it is used."""

from collections.abc import Mapping, Sequence

from memhotplug.plugin import AddRequest, Kernel, KeySpec, PhysRange, hookimpl


@hookimpl
def driver_keys() -> Mapping[str, KeySpec]:
    """No keys."""
    return {}


@hookimpl
def driver_ranges(kernel: Kernel, request: AddRequest) -> Sequence[PhysRange]:
    """One range, if only one could divide by nothing."""
    return [PhysRange(start=int(request.size / len(request.options)), size=request.size)]


@hookimpl
def mhp_flags() -> int:
    """No flags."""
    return 0
