"""What an architecture is asked when a machine boots, and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from memhotplug import features

if TYPE_CHECKING:
    from memhotplug.model.zones import ZoneKind

__all__ = ["BootRange", "SizesAsked", "SizingRequest", "ZoneLimit", "sizes_of"]


@dataclass(frozen=True, kw_only=True, slots=True)
class BootRange:
    """Memory that is there at boot.

    Attributes:
        start, end: bytes, half-open.
        nid: the node that it is on.
    """

    start: int
    end: int
    nid: int


@dataclass(frozen=True, kw_only=True, slots=True, init=False, repr=False, eq=False)
class SizesAsked:
    """The keys of ``machine`` that concern sizes; :class:`SizingRequest` explains them.

    A key that is new here is in scenarios, at boot and with the architecture under this one name. Only the records
    made of it are ever built, and those have methods of their own.
    """

    memory: tuple[tuple[int, int], ...]
    page_size: int | None = None
    memory_block_size: int | None = None
    physical_address_bits: int | None = None
    options: Mapping[str, object] = field(default_factory=dict)
    hole: int = 0
    advised_block_size: int | None = None


def sizes_of(record: object) -> dict[str, Any]:
    """Return the values of a record's attributes that are called like those of :class:`SizesAsked`, by name."""
    return {one.name: getattr(record, one.name) for one in fields(SizesAsked)}


@dataclass(frozen=True, kw_only=True, slots=True)
class SizingRequest(SizesAsked):
    """What an architecture knows when it fixes its sizes.

    Attributes:
        version: the kernel version that is modelled, as (major, minor).
        memory: sizes of boot memory in bytes with their nodes, in order.
        page_size, memory_block_size, physical_address_bits: what the user asked for, None if nothing.
        options: the architecture's own keys of ``machine``, checked against ``machine_keys``.
        cmdline: kernel parameters, by name; a flag without a value maps to the empty string.
        hypervisor: whether the machine is a guest.
        hole: bytes below the architecture's ``hole_end`` that are no memory; what would lie there lies behind it.
        advised_block_size: the largest memory block size that firmware's tables advise, None if they advise none.
        huge_page_size: bytes of the default huge page of a recorded machine, 0 if it has none, None if nothing tells.
        asks: the profile's answer to what :meth:`has` is asked.
    """

    version: tuple[int, int]
    cmdline: Mapping[str, str] = field(default_factory=dict)
    hypervisor: bool = True
    huge_page_size: int | None = None
    asks: Callable[[str], bool] | None = field(default=None, compare=False)

    def has(self, feature: str) -> bool:
        """Return whether the kernel has a feature; without ``asks`` the version decides.

        Raises:
            ValueError: there is no feature of that name.
        """
        return features.has(feature, self.version) if self.asks is None else self.asks(feature)


@dataclass(frozen=True, kw_only=True, slots=True)
class ZoneLimit:
    """A kernel zone of an architecture.

    Attributes:
        kind: which zone.
        end_pfn: the first pfn behind it.
    """

    kind: ZoneKind
    end_pfn: int
