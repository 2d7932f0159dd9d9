"""What a guest kernel is taken to keep for itself when it boots."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["DISTRO", "LEAN", "RESERVES", "Reserve"]


class Reserve(NamedTuple):
    """What a guest kernel takes while it boots, its memmap apart; an assumption, not a measurement.

    Attributes:
        name: what the assumption is called.
        image: bytes that never reach the page allocator: text, data, initramfs, early reservations.
        early: bytes that the kernel has allocated when boot has finished, on the first node.
        early_share: the same, as one part in so many of each node: hash tables, per-cpu areas, slab.
    """

    name: str
    image: int
    early: int
    early_share: int


LEAN = Reserve(name="lean", image=48 << 20, early=0, early_share=128)
"""A container or microVM class guest kernel."""

DISTRO = Reserve(name="distro", image=104 << 20, early=14 << 20, early_share=69)
"""A distribution kernel, fitted to Debian 6.12 guests of 256 MiB (MemTotal 151284 kB, MemFree 133056 kB)
and 1 GiB (924276 kB, 894616 kB)."""

RESERVES = {reserve.name: reserve for reserve in (LEAN, DISTRO)}
