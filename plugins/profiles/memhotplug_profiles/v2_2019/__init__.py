"""The 2019 v2 series "Allocate memmap from hotadded memory" on top of its base, Linux 5.2.

The series gives callers of add_memory() two flags, MHP_MEMMAP_DEVICE and MHP_MEMMAP_MEMBLOCK, that
put the memmap of hot-added memory into that memory. It was never merged in this form; where it
falls short, the profile does what the series does and reports what that breaks.
"""

from memhotplug.plugin import KernelProfile, hookimpl
from memhotplug_profiles.v2_2019.profile import V2Profile

__all__ = ["kernel_profile"]


@hookimpl
def kernel_profile() -> KernelProfile:
    """Return the profile."""
    return V2Profile()
