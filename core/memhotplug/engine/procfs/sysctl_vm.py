"""/proc/sys/vm: what administrators ask of watermarks and lowmem reserves.

Models: mm/page_alloc.c:min_free_kbytes_sysctl_handler(), watermark_scale_factor_sysctl_handler(),
lowmem_reserve_ratio_sysctl_handler(); kernel/sysctl.c:do_proc_dointvec(), proc_get_long() (v5.2 to v7.2).
"""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Iterator
from typing import Final

from memhotplug.contracts import SysfsFile
from memhotplug.engine.kernel import Kernel
from memhotplug.engine.procfs import counters
from memhotplug.engine.procfs.items import has_config
from memhotplug.errors import MemoryHotplugError
from memhotplug.model.watermarks import setup_lowmem_reserve, setup_per_zone_wmarks

__all__ = ["FOLDER", "files", "write_sysctl"]

FOLDER: Final = "proc/sys/vm"

_INT_MAX: Final = (1 << 31) - 1
_INTEGER: Final = re.compile(r"-?(0[xX][0-9a-fA-F]+|[0-9]+)")
_LARGEST_SCALE: Final = 1000
_LARGEST_SCALE_NOW: Final = 3000


def files() -> Iterator[SysfsFile]:
    """Yield the files."""
    for name, (reader, writer) in _TUNABLES.items():
        yield SysfsFile(
            path=f"{FOLDER}/{name}",
            show=lambda kernel, _, reader=reader: reader(kernel),  # type: ignore[misc]  # one for each
            store=lambda kernel, _, write, writer=writer: writer(kernel, write.value),  # type: ignore[misc]
            size=0,
        )


def write_sysctl(kernel: Kernel, name: str, value: str) -> None:
    """Write one of the files by its name, as ``sysctl.vm.NAME=`` on the command line does.

    Raises:
        MemoryHotplugError: ENOENT there is no such file, or what the file raises.
    """
    if name not in _TUNABLES:
        raise MemoryHotplugError(errno.ENOENT, f"there is no /{FOLDER}/{name}")
    _, writer = _TUNABLES[name]
    writer(kernel, value)


def _show_min_free(kernel: Kernel) -> str:
    return f"{kernel.state.min_free_kbytes}\n"


def _store_min_free(kernel: Kernel, value: str) -> None:
    """Set what is kept free, at once; the next block that goes online or offline may raise it again.

    A write of nothing changes no number, yet counts as one of what there is.
    """
    state = kernel.state
    kbytes = _first("min_free_kbytes", value, 0, _INT_MAX) if value else state.min_free_kbytes
    state.min_free_kbytes, state.vm = kbytes, state.vm._replace(user_min_free_kbytes=kbytes)
    setup_per_zone_wmarks(state)


def _show_scale(kernel: Kernel) -> str:
    return f"{kernel.state.vm.watermark_scale_factor}\n"


def _store_scale(kernel: Kernel, value: str) -> None:
    largest = _LARGEST_SCALE_NOW if kernel.has("watermark_scale_of_30_percent") else _LARGEST_SCALE
    scale = _first("watermark_scale_factor", value, 1, largest) if value else kernel.state.vm.watermark_scale_factor
    kernel.state.vm = kernel.state.vm._replace(watermark_scale_factor=scale)
    setup_per_zone_wmarks(kernel.state)


def _show_ratio(kernel: Kernel) -> str:
    ratio = kernel.state.vm.lowmem_reserve_ratio
    shown = [ratio[kind] for kind in counters.printed_zones(kernel)]
    if has_config(kernel, "ZONE_DEVICE"):
        shown.append(0)
    return "\t".join(map(str, shown)) + "\n"


def _store_ratio(kernel: Kernel, value: str) -> None:
    """Set the ratios that are written; the kernel does not tell whether it could read them all."""
    ratio = list(kernel.state.vm.lowmem_reserve_ratio)
    for kind, word in zip(counters.printed_zones(kernel), value.split(), strict=False):
        number = _integer(word)
        if number is None:
            break
        ratio[kind] = max(number, 0)
    kernel.state.vm = kernel.state.vm._replace(lowmem_reserve_ratio=tuple(ratio))
    setup_lowmem_reserve(kernel.state)


def _first(name: str, value: str, least: int, largest: int) -> int:
    """Return the number that a text begins with; what follows behind a space is ignored."""
    words = value.split(maxsplit=1)
    number = _integer(words[0]) if words else None
    if number is None or not least <= number <= largest:
        raise MemoryHotplugError(errno.EINVAL, f"{name} takes a number from {least} to {largest}, not {value!r}")
    return number


def _integer(word: str) -> int | None:
    """Return an int as the kernel reads it: decimal, hexadecimal with 0x, octal with a leading zero."""
    if _INTEGER.fullmatch(word) is None:
        return None
    digits = word.removeprefix("-")
    is_octal = len(digits) > 1 and digits[0] == "0" and digits[1] not in "xX"
    try:
        number = int(digits, 8 if is_octal else 0)
    except ValueError:
        return None  # 8 or 9 in an octal number
    number = -number if word.startswith("-") else number
    return number if -_INT_MAX - 1 <= number <= _INT_MAX else None


_TUNABLES: Final[dict[str, tuple[Callable[[Kernel], str], Callable[[Kernel, str], None]]]] = {
    "min_free_kbytes": (_show_min_free, _store_min_free),
    "watermark_scale_factor": (_show_scale, _store_scale),
    "lowmem_reserve_ratio": (_show_ratio, _store_ratio),
}
"""Of each file what it reads, and what a write does."""
