"""NUMA nodes in sysfs. Models: drivers/base/node.c (v5.2 to v7.2).

Simplified: every node is as far from every other, and CPUs are counted through the nodes that have any.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

import numpy as np

from memhotplug.contracts import Ids, SysfsFile, Write
from memhotplug.engine.kernel import Kernel
from memhotplug.engine.procfs import counters
from memhotplug.engine.procfs.items import has_config
from memhotplug.engine.procfs.meminfo import node_meminfo, node_numastat, node_vmstat
from memhotplug.model.extents import Array
from memhotplug.model.zones import ZoneKind
from memhotplug.units import format_blocks

__all__ = ["FILES", "has_nodes", "node_link"]

_NODE: Final = "sys/devices/system/node"
_LOCAL, _REMOTE = 10, 20  # Models: include/linux/topology.h:LOCAL_DISTANCE, REMOTE_DISTANCE


def has_nodes(kernel: Kernel) -> bool:
    """Whether the kernel is built with NUMA, without which there is nothing below node/."""
    return has_config(kernel, "NUMA")


def node_link(_kernel: Kernel, ids: Ids) -> str:
    """Return where a block's link to its node points."""
    return f"../../node/node{ids[-1]}"


def _online(kernel: Kernel, _ids: Ids) -> list[int]:
    return sorted(nid for nid, node in kernel.state.nodes.items() if node.online)


def _blocks_of_node(kernel: Kernel, ids: Ids) -> Array:
    blocks = kernel.state.blocks
    found: Array = blocks.id[np.asarray(blocks.nid) == ids[0]]
    return found


def _list(ids: Iterable[int]) -> str:
    return format_blocks(ids) + "\n"


def _possible(kernel: Kernel, _ids: Ids) -> str:
    return kernel.recorded.get(f"{_NODE}/possible") or _list(kernel.state.nodes)


def _cpus_of(kernel: Kernel, nid: int) -> list[int]:
    """Return the CPUs of a node: dealt out in turn to the nodes that have any."""
    nodes = [other for other, node in sorted(kernel.state.nodes.items()) if node.has_cpu]
    if nid not in nodes:
        return []
    return list(range(nodes.index(nid), max(counters.cpus(kernel), len(nodes)), len(nodes)))


def _distance(kernel: Kernel, ids: Ids) -> str:
    return " ".join(str(_LOCAL if other == ids[0] else _REMOTE) for other in _online(kernel, ids)) + "\n"


def _cpumap(kernel: Kernel, ids: Ids) -> str:
    return f"{sum(1 << cpu for cpu in _cpus_of(kernel, ids[0])):x}\n"


def _root(name: str, show: Callable[[Kernel, Ids], str], exists: Callable[[Kernel], bool] = has_nodes) -> SysfsFile:
    return SysfsFile(path=f"{_NODE}/{name}", show=show, exists=exists)


def _of_node(name: str, show: Callable[[Kernel, Ids], str]) -> SysfsFile:
    return SysfsFile(path=f"{_NODE}/node{{}}/{name}", ids=(_online,), show=show, exists=has_nodes)


def _announce(kernel: Kernel, ids: Ids, write: Write) -> None:
    from memhotplug.engine.base_memory.memory import uevent

    uevent(kernel, ids, write)


FILES: Final = (
    _root("possible", _possible),
    _root("online", lambda kernel, ids: _list(_online(kernel, ids))),
    _root("has_cpu", lambda kernel, _: _list(nid for nid, node in kernel.state.nodes.items() if node.has_cpu)),
    _root("has_memory", lambda kernel, _: _list(nid for nid, node in kernel.state.nodes.items() if node.present)),
    _root(
        "has_normal_memory",
        lambda kernel, _: _list(
            nid
            for nid, node in kernel.state.nodes.items()
            if any(zone.present for kind, zone in node.zones.items() if kind < ZoneKind.MOVABLE)
        ),
    ),
    _root(
        "has_generic_initiator",
        lambda _kernel, _ids: "\n",
        lambda kernel: has_nodes(kernel) and kernel.has("node_initiators"),
    ),
    _of_node("meminfo", lambda kernel, ids: node_meminfo(kernel, ids[0])),
    _of_node("numastat", lambda kernel, ids: node_numastat(kernel, ids[0])),
    _of_node("vmstat", lambda kernel, ids: node_vmstat(kernel, ids[0])),
    _of_node("distance", _distance),
    _of_node("cpumap", _cpumap),
    _of_node("cpulist", lambda kernel, ids: _list(_cpus_of(kernel, ids[0]))),
    SysfsFile(
        path=f"{_NODE}/node{{}}/uevent", ids=(_online,), show=lambda _kernel, _ids: "", store=_announce,
        exists=has_nodes,
    ),
    SysfsFile(
        path=f"{_NODE}/node{{}}/subsystem", ids=(_online,), link=lambda _kernel, _ids: "../../../../bus/node",
        exists=has_nodes,
    ),
    SysfsFile(
        path=f"{_NODE}/node{{}}/memory{{}}", ids=(_online, _blocks_of_node), exists=has_nodes,
        link=lambda _kernel, ids: f"../../memory/memory{ids[1]}",
    ),
)  # fmt: skip
