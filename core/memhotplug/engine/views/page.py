"""One struct page as a value; most commands show none, and do not build the class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from memhotplug.contracts import PageFlag

__all__ = ["Page"]


@dataclass(frozen=True, slots=True)
class Page:
    """One page's struct page, as a value.

    Attributes:
        pfn: the page frame number.
        flags: what the page says of itself.
        refcount: its reference count.
        private: ``private`` of a head page: vmemmap pages, or the order of a free chunk.
        head: pfn of the head of the vmemmap run it belongs to, None for other pages.
        mapping: the raw ``mapping`` field where it is not a real mapping, else 0.
        zone, node: where it belongs; None before it was first onlined.
        backing: pfn of the page that holds this struct page; None if there is no memmap.
    """

    pfn: int
    flags: PageFlag
    refcount: int
    private: int
    head: int | None
    mapping: int
    zone: str | None
    node: int | None
    backing: int | None
