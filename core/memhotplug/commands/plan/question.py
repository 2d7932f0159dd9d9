"""What a user asks, and the machine that is asked about."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from memhotplug.contracts import DriverTraits
from memhotplug.machine import Machine
from memhotplug.manager import driver_traits

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["ONLINE_WAYS", "FailedRequest", "OnlineWay", "Question", "Subject"]

OnlineWay = Literal["movable", "kernel", "auto", "none"]
ONLINE_WAYS: Final[tuple[OnlineWay, ...]] = ("movable", "kernel", "auto", "none")


class Question(NamedTuple):
    """One hot-add, or a sequence of them.

    Attributes:
        sizes: bytes of each add, in order; each is onlined before the next.
        driver: who adds.
        node, address: where; None leaves it to the driver.
        slots: how many devices the machine still has room for, None for any number.
        online: what happens to the blocks afterwards.
        policy: the policy plugin that decides the flags in the driver's stead, None for the driver's own.
    """

    sizes: tuple[int, ...]
    driver: str
    node: int | None = None
    address: int | None = None
    slots: int | None = None
    online: OnlineWay = "auto"
    policy: str | None = None

    @property
    def traits(self) -> DriverTraits:
        """What is true of the driver."""
        return driver_traits(self.driver)

    @property
    def total(self) -> int:
        """Bytes asked for in all."""
        return sum(self.sizes)


class FailedRequest(NamedTuple):
    """The request that a kernel log reports as failed: a chunk of 2**order pages, movable or not; text: its line."""

    order: int
    movable: bool
    text: str


class Subject(NamedTuple):
    """A machine to ask about.

    Attributes:
        boot: boots it.
        arch, kernel: architecture and profile.
        assumptions: what is taken for granted, one sentence each.
        source: where the machine comes from, in words.
        boot_bytes: boot memory as the guest was given it, 0 if that is not known.
        resized: boots a fresh guest with that much instead.
        other: the same question's machine under another assumption, by its name; for comparison only.
        possible_nodes: ids of the nodes that may come; empty if that is not known.
        failed: the request that failed on it, if a kernel log tells.
        machine_keys: writes what a scenario in that file needs beside it, and returns the keys of its ``machine``;
            None if no scenario can tell this machine.
        self_hosts: whether its kernel can place a memmap in the memory that it describes.
    """

    boot: Callable[[], Machine]
    arch: str
    kernel: str
    assumptions: tuple[str, ...] = ()
    other: tuple[str, Callable[[], Machine]] | None = None
    source: str = ""
    boot_bytes: int = 0
    resized: Callable[[int], Machine] | None = None
    possible_nodes: tuple[int, ...] = ()
    self_hosts: bool = True
    machine_keys: Callable[[Path], dict[str, object]] | None = None
    failed: FailedRequest | None = None
