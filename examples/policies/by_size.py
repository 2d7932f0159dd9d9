"""Small devices host their memmap block by block, large ones in one piece at their start (the series of 2019).

The question: MEMBLOCK lets memory leave block by block but costs every block its contiguity; DEVICE keeps whole
gigabytes free behind one memmap but the device has to leave as it came. Where to draw the line is this number.
"""

from memhotplug.plugin import AddRequest, Kernel, PhysRange, hookimpl

LARGE = 4 << 30
"""Bytes from which on a range is added in one piece."""


@hookimpl
def policy_mhp_flags(kernel: Kernel, request: AddRequest, phys_range: PhysRange, driver_flags: int) -> int:
    """Decide by the size of the range."""
    return kernel.flag("device" if phys_range.size >= LARGE else "memblock")
