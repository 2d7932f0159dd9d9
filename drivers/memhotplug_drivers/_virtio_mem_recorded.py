"""Which subblocks of a recorded virtio-mem device are not plugged.

Page flags tell it of online blocks, and so does what a zone lacks if it has no boot memory; of offline blocks only the
log does, by the size that was requested last. Where in a zone or among offline blocks they lie follows from the order
in which the driver works: subblocks come ascending and go descending, so that the highest ones of the highest blocks
are missing.

Models: drivers/virtio/virtio_mem.c:virtio_mem_sbm_plug_request(), virtio_mem_sbm_unplug_request() (v5.8 to v6.12).
"""

from __future__ import annotations

from collections.abc import Sequence

from memhotplug.plugin import BlockState, ExtentSet, Kernel, RecordedDevice, round_down
from memhotplug_drivers._virtio_mem_device import Region, block_pages, own_blocks, plugged_size

__all__ = ["note_unplugged"]


def note_unplugged(kernel: Kernel, region: Region, device: RecordedDevice) -> str | None:
    """Withhold what is not plugged; return in words what nobody has said, None if all of it was."""
    blocks = kernel.state.blocks
    ids = own_blocks(kernel, region).tolist()
    rows = {block: kernel.state.blocks.row(block) for block in ids}
    online = [block for block in ids if blocks.state[rows[block]] == BlockState.ONLINE]
    unsaid = []
    zones = {(int(blocks.nid[rows[block]]), int(blocks.zone[rows[block]])) for block in online}
    counted = zones <= set(device.lacking)
    if device.offline is not None and (not counted or device.offline.total == sum(device.lacking.values())):
        _withhold(kernel, device.offline)
    elif online:
        for (nid, kind), pages in device.lacking.items():
            here = [b for b in online if blocks.nid[rows[b]] == nid and blocks.zone[rows[b]] == kind]
            _from_the_top(kernel, region, here, pages)
        if not counted:
            unsaid.append("online")
    offline = [block for block in ids if block not in online]
    if offline:
        requested = device.log.get("requested size")
        missing = None if requested is None else plugged_size(kernel, region) - requested
        if missing is not None and 0 <= missing < len(offline) * kernel.geometry.memory_block_size:
            _from_the_top(kernel, region, offline, kernel.geometry.pfn(missing))
        else:
            unsaid.append("offline")
    return f"all of its {' and '.join(unsaid)} blocks plugged" if unsaid else None


def _withhold(kernel: Kernel, pages: ExtentSet) -> None:
    for known in (kernel.state.withheld, kernel.state.unbacked):
        known.add_many(pages.starts, pages.ends)


def _from_the_top(kernel: Kernel, region: Region, ids: Sequence[int], pages: int) -> None:
    """Withhold whole subblocks, as many as make up some pages, from the end of the highest block down."""
    step = kernel.geometry.pfn(region.sizes.step)
    left = round_down(pages, step)
    most = kernel.geometry.pages_per_block - step  # a block without any would have been removed
    for block in sorted(ids, reverse=True):
        taken = min(left, most)
        if taken <= 0:
            return
        _, high = block_pages(kernel, block)
        _withhold(kernel, ExtentSet.of((high - taken, high)))
        left -= taken
