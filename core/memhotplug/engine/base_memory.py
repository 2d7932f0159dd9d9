"""The simulated /sys/devices/system: what attributes read, and what writes to them do.

Models: drivers/base/memory.c, drivers/base/node.c (v5.2 to v6.12).
"""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Iterable, Mapping

from memhotplug.contracts import AddRequest
from memhotplug.engine import memory_failure
from memhotplug.engine.kernel import Kernel
from memhotplug.engine.memory_hotplug.add import hot_add
from memhotplug.engine.memory_hotplug.online import device_online, offline_blocks, online_blocks
from memhotplug.engine.memory_hotplug.presence import absence, attribute_driver
from memhotplug.errors import MemoryHotplugError
from memhotplug.model.blocks import BlockState, OnlineType
from memhotplug.model.zones import ZoneKind
from memhotplug.units import format_blocks, kstrtou

__all__ = ["read_attribute", "valid_zones", "write_attribute"]

_ROOT = "/sys/devices/system/"
_PARAMETERS = "/sys/module/memory_hotplug/parameters/"
_LONGEST = 80
_PROBE = "memory/probe"
_BLOCK = re.compile(r"memory/memory(0|[1-9][0-9]*)/([a-z_]+)\Z")
_TRUE, _FALSE = ("1", "y", "t", "on"), ("0", "n", "f", "of")


def read_attribute(kernel: Kernel, path: str) -> str:
    """Return what an attribute reads, its trailing newline included.

    Args:
        path: below /sys/devices/system, or from /sys/ on.

    Raises:
        MemoryHotplugError: ENOENT there is no such file, EACCES it is write-only.
    """
    if path.startswith(_PARAMETERS):
        return _read_parameter(kernel, path)
    relative = _relative(path)
    block = _BLOCK.match(relative)
    if block:
        return _read_block(kernel, _row(kernel, int(block[1])), block[2])
    readers: Mapping[str, Callable[[], str]] = {
        "memory/block_size_bytes": lambda: f"{kernel.geometry.memory_block_size:x}\n",
        "memory/auto_online_blocks": lambda: kernel.state.auto_online.label + "\n",
        _PROBE: lambda: _read_probe(kernel),
        **{f"memory/{name}": _write_only for name in memory_failure.FILES},
        "node/online": lambda: _id_list(nid for nid, node in kernel.state.nodes.items() if node.online),
        "node/has_memory": lambda: _id_list(nid for nid, node in kernel.state.nodes.items() if node.present),
    }
    if relative in readers:
        return readers[relative]()
    own = {f"memory/{name}": text for name, text in kernel.profile.root_attributes(kernel).items()}
    if relative in own:
        return own[relative]
    raise MemoryHotplugError(errno.ENOENT, f"there is no {path if path.startswith('/') else _ROOT + path}")


def write_attribute(kernel: Kernel, path: str, value: str, *, capable: bool = True) -> None:
    """Write an attribute.

    Args:
        value: text; cut where no attribute would take so much, so that messages stay short.
        capable: whether the writer has CAP_SYS_ADMIN.

    Raises:
        MemoryHotplugError: as the kernel answers; ENOENT no such file, EACCES it is read-only.
    """
    if len(value) > _LONGEST:
        value = value[: _LONGEST - 1] + "…"  # no attribute takes so much, whatever it is
    if path.startswith(_PARAMETERS):
        kernel.profile.write_module_parameter(kernel, path.removeprefix(_PARAMETERS), value)
        return
    relative = _relative(path)
    block = _BLOCK.match(relative)
    if block:
        _write_block(kernel, _row(kernel, int(block[1])), block[2], value)
    elif relative == "memory/auto_online_blocks":
        _write_auto_online(kernel, value)
    elif relative == _PROBE:
        _write_probe(kernel, value)
    elif relative.removeprefix("memory/") in memory_failure.FILES:
        memory_failure.offline_page(kernel, relative.removeprefix("memory/"), value, capable=capable)
    elif not _write_own(kernel, relative, value, capable=capable):
        read_attribute(kernel, path)
        raise MemoryHotplugError(errno.EACCES, f"{_ROOT}{relative} is read-only")


def _write_own(kernel: Kernel, relative: str, value: str, *, capable: bool) -> bool:
    folder, _, name = relative.rpartition("/")
    return folder == "memory" and kernel.profile.write_root_attribute(kernel, name, value, capable=capable)


def _relative(path: str) -> str:
    return path.removeprefix(_ROOT).lstrip("/")


def _read_parameter(kernel: Kernel, path: str) -> str:
    text = kernel.profile.module_parameters(kernel).get(path.removeprefix(_PARAMETERS))
    if text is None:
        raise MemoryHotplugError(errno.ENOENT, f"there is no {path}")
    return text


def _row(kernel: Kernel, block: int) -> int:
    row = kernel.state.blocks.row(block)
    if row is None:
        raise MemoryHotplugError(errno.ENOENT, f"there is no memory block {block}")
    return row


def _read_probe(kernel: Kernel) -> str:
    _probe_driver(kernel)
    return _write_only()


def _probe_driver(kernel: Kernel) -> str:
    """Return the driver behind the probe file; ENOENT if this kernel has no such file."""
    driver = attribute_driver(_PROBE)
    if driver is None:
        raise MemoryHotplugError(errno.ENOENT, f"there is no {_ROOT}{_PROBE}: no driver that has it is installed")
    problem = absence(kernel, driver)
    if problem is not None:
        raise MemoryHotplugError(problem.errno or errno.ENOENT, f"there is no {_ROOT}{_PROBE}: {problem.reason}")
    return driver


def _write_only() -> str:
    raise MemoryHotplugError(errno.EACCES, f"{_ROOT}{_PROBE} is write-only")


def _id_list(ids: Iterable[int]) -> str:
    return format_blocks(ids) + "\n"


def _read_block(kernel: Kernel, row: int, name: str) -> str:
    blocks = kernel.state.blocks
    state = BlockState(int(blocks.state[row]))
    match name:
        case "state":
            return state.label + "\n"
        case "online":
            return f"{int(state is BlockState.ONLINE)}\n"
        case "phys_index":
            return f"{int(blocks.id[row]):08x}\n"
        case "phys_device":
            increment = kernel.geometry.increment_size
            start = int(blocks.id[row]) * kernel.geometry.memory_block_size
            return f"{start // increment if increment else 0}\n"
        case "removable":
            return f"{int(kernel.profile.removable(kernel, slice(row, row + 1))[0])}\n"
        case "valid_zones":
            return (" ".join(valid_zones(kernel, row)) or "none") + "\n"
        case "node":
            return f"{int(blocks.nid[row])}\n"
    raise MemoryHotplugError(errno.ENOENT, f"there is no {_ROOT}memory/memory{int(blocks.id[row])}/{name}")


def valid_zones(kernel: Kernel, row: int) -> list[str]:
    """Return the zones that a block is in or may go to; empty for an online block in several zones.

    Models: drivers/base/memory.c:valid_zones_show().
    """
    blocks = kernel.state.blocks
    if blocks.state[row] != BlockState.OFFLINE:
        kind = int(blocks.zone[row])
        return [ZoneKind(kind).label] if kind >= 0 else []
    rows = slice(row, row + 1)
    found: list[str] = []
    for online_type in (OnlineType.ONLINE, OnlineType.ONLINE_KERNEL, OnlineType.ONLINE_MOVABLE):
        zone, _ = kernel.profile.zone_for_rows(kernel, rows, online_type)
        if zone.kind.label not in found:
            found.append(zone.kind.label)
    return found


def _write_block(kernel: Kernel, row: int, name: str, value: str) -> None:
    block = int(kernel.state.blocks.id[row])
    if name == "state":
        _write_state(kernel, block, value)
    elif name == "online":
        _write_online(kernel, row, block, value)
    else:
        _read_block(kernel, row, name)
        raise MemoryHotplugError(errno.EACCES, f"{_ROOT}memory/memory{block}/{name} is read-only")


def _write_state(kernel: Kernel, block: int, value: str) -> None:
    wanted = _online_type(value)
    if wanted is None:
        raise MemoryHotplugError(
            errno.EINVAL, f"state takes online, online_kernel, online_movable or offline, not {value!r}"
        )
    if wanted is OnlineType.OFFLINE:
        offline_blocks(kernel, [block])
    else:
        online_blocks(kernel, [block], wanted)


def _write_online(kernel: Kernel, row: int, block: int, value: str) -> None:
    """Write the generic ``online`` file, which is idempotent. Models: drivers/base/core.c:online_store()."""
    # Models: lib/kstrtox.c:kstrtobool(): the first letter counts, after an "o" the second too.
    letter = value[:1].lower() if value[:1].lower() != "o" else value[:2].lower()
    if letter not in _TRUE + _FALSE:
        raise MemoryHotplugError(errno.EINVAL, f"online takes 0 or 1, not {value!r}")
    is_online = kernel.state.blocks.state[row] == BlockState.ONLINE
    if letter in _TRUE and not is_online:
        device_online(kernel, block)
    elif letter in _FALSE and is_online:
        offline_blocks(kernel, [block])


def _online_type(value: str) -> OnlineType | None:
    word = value.removesuffix("\n")
    return next((online_type for online_type in OnlineType if online_type.label == word), None)


def _write_auto_online(kernel: Kernel, value: str) -> None:
    wanted = _online_type(value)
    known = kernel.profile.auto_online_types
    if wanted not in known or wanted is None:
        words = ", ".join(online_type.label for online_type in known)
        raise MemoryHotplugError(errno.EINVAL, f"auto_online_blocks takes one of {words}, not {value!r}")
    kernel.state.auto_online = wanted


def _write_probe(kernel: Kernel, value: str) -> None:
    """Add the one block at an address. Models: drivers/base/memory.c:probe_store()."""
    driver = _probe_driver(kernel)
    try:
        address = kstrtou(value, 64)
    except ValueError:
        raise MemoryHotplugError(errno.EINVAL, f"probe takes an address, not {value!r}") from None
    except OverflowError:
        raise MemoryHotplugError(errno.ERANGE, "probe takes an address of at most 64 bits") from None
    size = kernel.geometry.memory_block_size
    if address % size:
        raise MemoryHotplugError(errno.EINVAL, f"{address:#x} is not aligned to a memory block of {size:#x} bytes")
    hot_add(kernel, AddRequest(driver=driver, name=f"{driver}{address // size}", size=size, address=address))
