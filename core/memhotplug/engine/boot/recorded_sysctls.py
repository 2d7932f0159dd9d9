"""What a recorded machine keeps free, and whether somebody asked it to: /proc/sys/vm where that was recorded.

Else the watermarks tell, if they are what one rule gives for all zones: then they were set since what is managed last
changed. Others are of a moment before, as boot leaves them, and nothing can be told of who set them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from memhotplug.engine.kernel import Kernel
from memhotplug.engine.procfs.counters import printed_zones
from memhotplug.formats.snapshot import RecordedMachine, RecordedZone
from memhotplug.model.vm_sysctls import HugePages
from memhotplug.model.watermarks import recommended_kbytes, small_kbytes
from memhotplug.model.zones import ZoneKind
from memhotplug.units import div_round_up

__all__ = ["take_over_sysctls"]

_KINDS: Final = {kind.label: kind for kind in ZoneKind}
_NEAR: Final = 10  # one in so many parts: how far off a figure may be that the kernel computed itself


class _Marks(NamedTuple):
    """The zones that have pages, and those of them that share what is kept free; their managed pages together."""

    zones: list[RecordedZone]
    sharing: list[RecordedZone]
    total: int

    @classmethod
    def of(cls, kernel: Kernel, zones: Iterable[RecordedZone]) -> _Marks:
        there = [zone for zone in zones if zone.managed and zone.name in _KINDS]
        shares = kernel.state.movable_shares_marks
        sharing = [zone for zone in there if shares or zone.name != ZoneKind.MOVABLE.label]
        return cls(there, sharing, sum(zone.managed for zone in sharing))

    def share(self, zone: RecordedZone, pages: int) -> int:
        """Return the share of a zone in some pages; of one that has no mark by it, what its other marks are by."""
        return pages * zone.managed // self.total

    @property
    def pages(self) -> int:
        """The least that must have been shared out; where no figure gives every zone its share, the largest its own."""
        least = [div_round_up((zone.min - zone.boost) * self.total, zone.managed) for zone in self.sharing]
        most = max(least)
        if self.are_shared_out(most):
            return most
        return max(zip((zone.managed for zone in self.sharing), least, strict=True))[1]

    def are_shared_out(self, pages: int) -> bool:
        """Return whether every zone has its share; of one alone that says nothing."""
        return len(self.sharing) > 1 and all(self.share(zone, pages) == zone.min - zone.boost for zone in self.sharing)

    def scale(self, pages: int, usual: int) -> int:
        """Return the factor by which the marks of all zones are apart, the usual one if none explains them."""
        if self._are_apart(pages, usual):
            return usual
        most = max(div_round_up((zone.low - zone.min) * 10000, zone.managed) for zone in self.zones)
        return most if self._are_apart(pages, most) else usual

    def _are_apart(self, pages: int, scale: int) -> bool:
        return len(self.zones) > 1 and all(
            zone.low - zone.min == max(self.share(zone, pages) // 4, zone.managed * scale // 10000)
            for zone in self.zones
        )


def take_over_sysctls(kernel: Kernel, machine: RecordedMachine) -> None:
    """Note what is kept free, by what rule, and whether transparent huge pages have a part in it."""
    state, told = kernel.state, machine.sysctls
    marks = _Marks.of(kernel, machine.zones)
    if not any(zone.min - zone.boost for zone in marks.sharing):
        return  # no zone has marks, and all is as computed
    page_kbytes = kernel.geometry.page_size >> 10
    pages = marks.pages
    state.min_free_kbytes = _number(told.get("min_free_kbytes"), pages * page_kbytes)
    scale = marks.scale(pages, state.vm.watermark_scale_factor)
    state.vm = state.vm._replace(
        watermark_scale_factor=_number(told.get("watermark_scale_factor"), scale),
        lowmem_reserve_ratio=_ratio(kernel, told.get("lowmem_reserve_ratio", ())),
    )
    mode = None if machine.huge_pages is None else HugePages(machine.huge_pages)
    _tell_who_set(kernel, marks, state.min_free_kbytes, mode)


def _tell_who_set(kernel: Kernel, marks: _Marks, kbytes: int, told: HugePages | None) -> None:
    """Tell what somebody wrote from what the kernel has by itself, with and without transparent huge pages.

    Args:
        told: for whom there are such pages, where that was recorded.
    """
    state = kernel.state
    small, large = small_kbytes(state), recommended_kbytes(state)
    pages = kbytes // (kernel.geometry.page_size >> 10)
    if _is_near(kbytes, small) or _is_near(kbytes, large) or not marks.are_shared_out(pages):
        state.huge_pages = told or (HugePages.ALWAYS if kbytes * 2 > small * 3 else HugePages.NEVER)
        return
    state.huge_pages = told
    state.vm = state.vm._replace(user_min_free_kbytes=kbytes)
    usual = " or ".join(map(str, sorted({small, large})))
    kernel.warn(f"inferred: vm.min_free_kbytes was set to {kbytes}; by itself this kernel has about {usual}")


def _is_near(shown: int, computed: int) -> bool:
    return abs(shown - computed) * _NEAR <= computed


def _number(told: tuple[int, ...] | None, otherwise: int) -> int:
    return told[0] if told else otherwise


def _ratio(kernel: Kernel, told: tuple[int, ...]) -> tuple[int, ...]:
    """Return the ratios by type of zone; told are those of the zones that the kernel is built with."""
    found = list(kernel.state.vm.lowmem_reserve_ratio)
    for kind, ratio in zip(printed_zones(kernel), told, strict=False):
        found[kind] = ratio
    return tuple(found)
