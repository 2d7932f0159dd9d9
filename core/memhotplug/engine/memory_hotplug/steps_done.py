"""Whether a profile's step did what it returned from: steps answer nothing, so only the state tells."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memhotplug.model.blocks import BlockState
from memhotplug.units import format_range

if TYPE_CHECKING:
    from memhotplug.engine.kernel import Kernel
    from memhotplug.errors import PluginError

__all__ = ["check_blocks_came", "check_blocks_went", "check_state"]


def check_state(kernel: Kernel, step: str, rows: slice, wanted: BlockState) -> None:
    """Check that a step left blocks in the state that it is for.

    Raises:
        PluginError: it returned, and some are in another.
    """
    blocks = kernel.state.blocks
    if rows.stop > len(blocks) or blocks.common("state", rows) != wanted:
        raise _blamed(kernel, f"step {step!r} returned, and not all of its memory blocks are {wanted.label}")


def check_blocks_came(kernel: Kernel, start: int, size: int) -> None:
    """Check that ``add_memory_resource`` made the memory blocks of a range of ``size`` bytes.

    Raises:
        PluginError: it returned, and some are missing.
    """
    rows = _rows(kernel, start, size)
    if (rows.stop - rows.start) * kernel.geometry.memory_block_size != size:
        where = format_range(start, size)
        raise _blamed(kernel, f"step 'add_memory_resource' returned, and {where} has not all of its memory blocks")


def check_blocks_went(kernel: Kernel, start: int, size: int) -> None:
    """Check that ``remove`` left no memory block in a range of ``size`` bytes.

    Raises:
        PluginError: it returned, and one is there.
    """
    rows = _rows(kernel, start, size)
    if rows.start != rows.stop:
        block = kernel.state.blocks.value("id", rows.start)
        raise _blamed(kernel, f"step 'remove' returned, and memory block {block} is still there")


def _rows(kernel: Kernel, start: int, size: int) -> slice:
    """Return the rows of the memory blocks that lie in a range of bytes."""
    block_size = kernel.geometry.memory_block_size
    return kernel.state.blocks.rows(start // block_size, (start + size - 1) // block_size)


def _blamed(kernel: Kernel, problem: str) -> PluginError:
    return kernel.plugins.blame(kernel.plugins.profile, f"its profile's {problem}")
