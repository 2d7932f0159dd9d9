"""Which architecture a kernel log comes from."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Final

from memhotplug.contracts import ArchTraits
from memhotplug.engine.boot.kernel_log.layout import LoggedZone, max_order
from memhotplug.formats.snapshot import SnapshotFiles, SnapshotMeta
from memhotplug.formats.snapshot.attributes import kernel_arch
from memhotplug.formats.snapshot.source import Source
from memhotplug.naming import arches, architectures, assumed_arch

__all__ = ["arch_of_release", "choose_arch", "foreign_sign", "sign_of"]

_MOVABLE: Final = "Movable"
_FOREIGN: Final = (
    (re.compile(r"\bepc : [0-9a-f]{16} ra : |\bstatus: [0-9a-f]{16} badaddr: |\b__riscv_sys_"), "riscv64"),
    (re.compile(r"\bpc [0-9a-f]{16} ra [0-9a-f]{16} tp |\b ?ERA: [0-9a-f]{16} "), "loongarch64"),
)
"""What kernels print whose architectures nobody has modelled here; planned as another they would be nonsense."""
_FOREIGN_RELEASE: Final = re.compile(r"[-._](riscv64|loongarch64|loong64|i[3-6]86|armv7\w*|armmp|mips\w*|sparc64)\Z")


@cache
def _signs() -> tuple[tuple[re.Pattern[str], str], ...]:
    return tuple((re.compile(sign), arch) for arch, traits in arches().items() for sign in traits.log_signs)


def sign_of(line: str) -> str | None:
    """Return the architecture whose kernel alone prints such a line, None if any could."""
    return next((arch for sign, arch in _signs() if sign.search(line)), None)


def foreign_sign(line: str) -> str | None:
    """Return what the architecture is called whose kernel alone prints such a line, if it is none that is installed."""
    name = next((name for sign, name in _FOREIGN if sign.search(line)), None)
    return name if name is not None and architectures().named(name) is None else None


def arch_of_release(release: str | None) -> str | None:
    """Return the architecture that a kernel release names, as distributions' releases do; it may be a foreign one."""
    meta = SnapshotMeta(kernel_release=release)
    files = SnapshotFiles(source=Source(file=""), kind="directory", step=None, meta=meta, files={})
    foreign = _FOREIGN_RELEASE.search(release or "")
    return kernel_arch(files, architectures()) or (foreign[1] if foreign else None)


def choose_arch(
    told: str | None, names: Iterable[str], zones: Iterable[LoggedZone], page_size: int, release: str | None
) -> tuple[str, str]:
    """Return the architecture of a log, and a sentence if it is a conclusion or a guess; empty if it is told.

    Args:
        told: what a line or the release says. names: the names of the zones in the log. page_size: bytes.
    """
    if told is not None:
        return told, ""
    by_zones, listed = architectures().by_zones(set(names)), list(zones)
    highest = {name: max_order(name, release, listed, page_size) for name in _possible(arches(), listed, page_size)}
    orders = max((len(zone.by_order) for zone in listed), default=0) - 1
    possible = [name for name, order in highest.items() if order == orders]
    possible = possible or [name for name, order in highest.items() if order is not None]
    if by_zones in possible:
        return by_zones, ""
    guess = assumed_arch()
    if guess in possible or not possible:
        return guess, f"architecture {guess}: the log does not tell"
    others = f", of {len(possible)} that have such" if len(possible) > 1 else ""
    return possible[0], f"architecture {possible[0]}{others}: its page size, zones and chunks are none of {guess}"


def _possible(known: Mapping[str, ArchTraits], zones: list[LoggedZone], page_size: int) -> list[str]:
    """Return the architectures that have such pages, and room for such zones where theirs lie at fixed addresses."""
    return [
        name for name, traits in known.items() if page_size in traits.page_sizes and _holds(traits, zones, page_size)
    ]


def _holds(traits: ArchTraits, zones: list[LoggedZone], page_size: int) -> bool:
    if not traits.zones:
        return True
    room = {name: (end - start) // page_size for name, start, end in traits.zones}
    present: dict[str, int] = {}
    for zone in zones:
        present[zone.name] = present.get(zone.name, 0) + zone.pages["present"]
    return all(pages <= room.get(name, 0) for name, pages in present.items() if name != _MOVABLE)
