"""A driver one of whose hooks does not exist."""

from collections.abc import Mapping, Sequence

from memhotplug.plugin import AddRequest, Kernel, KeySpec, PhysRange, hookimpl


@hookimpl
def driver_keys() -> Mapping[str, KeySpec]:
    """No keys."""
    return {}


@hookimpl
def driver_ranges(kernel: Kernel, request: AddRequest) -> Sequence[PhysRange]:
    """One range."""
    return [PhysRange(start=kernel.state.first_free_address(), size=request.size)]


@hookimpl
def mph_flags() -> int:
    """The letters are in the wrong order."""
    return 0
