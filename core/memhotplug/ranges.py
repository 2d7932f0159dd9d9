"""What a range of a scenario means on a machine: memory blocks, or bytes."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from memhotplug.engine.kernel import Kernel
from memhotplug.engine.memory_hotplug.add import device_blocks
from memhotplug.errors import InputError, MemoryHotplugError, nearest

if TYPE_CHECKING:
    from memhotplug.formats.scenario.ranges import RangeSpec

__all__ = ["block_ids", "byte_ranges", "check_name", "device_of"]


def block_ids(kernel: Kernel, spec: RangeSpec) -> list[int]:
    """Return the ids of the blocks that a range means, ascending; they need not exist.

    Raises:
        MemoryHotplugError: EINVAL, a range of bytes that is not made of whole blocks; ENOENT, the
            memory of that name is gone or never came, and with it the ``state`` files of its blocks.
    """
    if spec.kind == "block":
        return _ids(kernel, spec.first or 0, spec.last or 0)
    if spec.kind == "name":
        found = device_blocks(kernel, spec.name or "")
        if not found:
            raise MemoryHotplugError(errno.ENOENT, f"there is no memory block of {spec.name!r}")
        return found
    start, size = byte_ranges(kernel, spec)[0]
    block_size = kernel.geometry.memory_block_size
    if start % block_size or size % block_size:
        raise MemoryHotplugError(errno.EINVAL, f"{spec} is not made of whole memory blocks of {block_size:#x} bytes")
    return _ids(kernel, start // block_size, (start + size) // block_size - 1)


def _ids(kernel: Kernel, first: int, last: int) -> list[int]:
    """Return the ids from first to last; of those behind the last block that exists, only the first."""
    blocks = kernel.state.blocks
    highest = blocks.value("id", len(blocks) - 1) if len(blocks) else -1
    return list(range(first, min(last, max(first, highest + 1)) + 1))


def byte_ranges(kernel: Kernel, spec: RangeSpec) -> list[tuple[int, int]]:
    """Return the ranges that a range means, first byte and bytes of each, ascending.

    Raises:
        MemoryHotplugError: ENODEV, the memory of that name is gone or never came.
    """
    block_size = kernel.geometry.memory_block_size
    if spec.kind == "block":
        first, last = spec.first or 0, spec.last or 0
        return [(first * block_size, (last - first + 1) * block_size)]
    if spec.kind == "bytes":
        return [(spec.start or 0, spec.size or 0)]
    return list(kernel.state.devices[device_of(kernel, spec.name or "")].ranges)


def device_of(kernel: Kernel, name: str) -> int:
    """Return the index of the device of a name.

    Raises:
        MemoryHotplugError: ENODEV, its memory is gone or never came.
    """
    index = kernel.state.device_index(name)
    if index is None:
        raise MemoryHotplugError(errno.ENODEV, f"there is no memory of {name!r}")
    return index


def check_name(kernel: Kernel, spec: RangeSpec) -> None:
    """Check that the name in a range, if there is one, was ever given.

    Raises:
        InputError: it was not.
    """
    if spec.kind != "name" or any(device.name == spec.name for device in kernel.state.devices):
        return
    known = sorted({device.name for device in kernel.state.devices if device.ranges})
    expected = f"the name of memory that was added ({', '.join(known) or 'there is none'})"
    raise InputError(expected, got=spec.name, nearest=nearest(spec.name, known))
