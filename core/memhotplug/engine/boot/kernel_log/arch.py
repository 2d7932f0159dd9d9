"""Which architecture a kernel log comes from."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Final

from memhotplug.contracts import ArchTraits
from memhotplug.engine.boot.kernel_log.layout import LoggedZone
from memhotplug.formats.snapshot import SnapshotFiles, SnapshotMeta
from memhotplug.formats.snapshot.attributes import kernel_arch
from memhotplug.formats.snapshot.source import Source
from memhotplug.naming import arches, architectures, assumed_arch

__all__ = ["arch_of_release", "choose_arch", "sign_of"]

_MOVABLE: Final = "Movable"


@cache
def _signs() -> tuple[tuple[re.Pattern[str], str], ...]:
    return tuple((re.compile(sign), arch) for arch, traits in arches().items() for sign in traits.log_signs)


def sign_of(line: str) -> str | None:
    """Return the architecture whose kernel alone prints such a line, None if any could."""
    return next((arch for sign, arch in _signs() if sign.search(line)), None)


def arch_of_release(release: str | None) -> str | None:
    """Return the architecture that a kernel release names, as distributions' releases do."""
    meta = SnapshotMeta(kernel_release=release)
    files = SnapshotFiles(source=Source(file=""), kind="directory", step=None, meta=meta, files={})
    return kernel_arch(files, architectures())


def choose_arch(told: str | None, names: Iterable[str], zones: Iterable[LoggedZone], page_size: int) -> tuple[str, str]:
    """Return the architecture of a log, and a sentence if it is a conclusion or a guess; empty if it is told.

    Args:
        told: what a line or the release says. names: the names of the zones in the log. page_size: bytes.
    """
    if told is not None:
        return told, ""
    by_zones = architectures().by_zones(set(names))
    possible = _possible(arches(), list(zones), page_size)
    if by_zones in possible:
        return by_zones, ""
    guess = assumed_arch()
    if guess in possible or not possible:
        return guess, f"architecture {guess}: the log does not tell"
    others = f", of {len(possible)} that have such pages and zones" if len(possible) > 1 else ""
    return possible[0], f"architecture {possible[0]}{others}: its page size and zones are none of {guess}"


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
