"""What alignment strands: for ranges that a driver would add, under each memory block size.

Whether a range is taken is never decided here. The driver says which ranges it adds (one trims
inwards, another takes them whole), the kernel's own check says EINVAL; only the distances are computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from memhotplug.commands.align.windows import Window, advised_block_size
from memhotplug.commands.explain.trial import add_with_flags
from memhotplug.contracts import AddRequest, PhysRange
from memhotplug.engine.boot.parameters import MEMMAP_ON_MEMORY
from memhotplug.engine.kernel import Kernel
from memhotplug.engine.memory_hotplug.presence import absence, drivers_of
from memhotplug.engine.memory_hotplug.sections import check_hotplug_memory_range
from memhotplug.errors import InputError, MemoryHotplugError
from memhotplug.machine import Machine
from memhotplug.manager import arch_traits, driver_traits
from memhotplug.naming import assumed_arch, assumed_kernel, kernels
from memhotplug.units import parse_size, round_up, typed_size

__all__ = [
    "BLOCK_SIZES",
    "BlockMemmap",
    "BySize",
    "Fit",
    "MachineChoice",
    "assumptions",
    "best",
    "fit",
    "survey",
]

BLOCK_SIZES: Final = tuple(128 << (20 + shift) for shift in range(5))
"""The memory block sizes that are compared unless others are asked for, in bytes."""

_FORCE: Final = "memory_hotplug.memmap_on_memory=force"


@dataclass(frozen=True, kw_only=True, slots=True)
class Fit:
    """What becomes of one window with one memory block size; all in bytes.

    Attributes:
        errno, message: why nothing of it can be added, None if something can.
        usable: the ranges that become memory blocks.
        head, tail: what is lost in front of them and behind them; all of it is head if nothing is usable.
        next_start: the first legal address from the window's start on. gap: how far that is.
        rounded: the window's size, rounded up to whole blocks.
    """

    window: Window
    block_size: int
    errno: str | None
    message: str | None
    usable: tuple[PhysRange, ...]
    head: int
    tail: int
    next_start: int
    gap: int
    rounded: int

    @property
    def usable_bytes(self) -> int:
        """Bytes that become memory blocks."""
        return sum(part.size for part in self.usable)

    @property
    def stranded_bytes(self) -> int:
        """Bytes that do not."""
        return self.window.size - self.usable_bytes

    @property
    def blocks(self) -> list[tuple[int, int]]:
        """First and last memory block id of each usable range."""
        size = self.block_size
        return [(part.start // size, (part.start + part.size) // size - 1) for part in self.usable]


@dataclass(frozen=True, kw_only=True, slots=True)
class BlockMemmap:
    """What a block costs that hosts its own memmap; in pages.

    Attributes:
        block_pages: pages in the block.
        needed: pages that its memmap fills.
        reserved: pages that are kept for it with memmap_on_memory=force; None if it cannot be hosted at all.
        refusal: why memmap_on_memory=Y does not host it, None if it does.
    """

    block_pages: int
    needed: int
    reserved: int | None
    refusal: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class BySize:
    """All windows with one memory block size; ``memmap`` is None where the kernel has no such policy.

    ``kernel`` is the profile that has such blocks: the one that was asked for, or an older one.
    """

    block_size: int
    kernel: str
    fits: tuple[Fit, ...]
    memmap: BlockMemmap | None

    @property
    def usable_bytes(self) -> int:
        """Bytes of all windows that become memory blocks."""
        return sum(entry.usable_bytes for entry in self.fits)

    @property
    def stranded_bytes(self) -> int:
        """Bytes of all windows that do not."""
        return sum(entry.stranded_bytes for entry in self.fits)


@dataclass(frozen=True, kw_only=True, slots=True)
class MachineChoice:
    """The machine whose rules count; its boot memory decides the default memory block size.

    ``hole`` and ``advised`` are the ``hole`` and ``advised_block_size`` of a scenario's machine; ``ram_end`` is where
    System RAM ends that was recorded of it, in bytes.
    """

    arch: str = field(default_factory=assumed_arch)
    kernel: str = field(default_factory=assumed_kernel)
    memory: str = "4G"
    page_size: int | None = None
    cmdline: str = ""
    hole: int | None = None
    advised: int | None = None
    ram_end: int | None = None

    def boot(self, block_size: int | None = None, extra: str = "") -> Machine:
        """Boot it.

        Raises:
            InputError: this architecture does not have such a block size.
        """
        return Machine.boot(
            arch=self.arch, kernel=self.kernel, memory=self.memory, page_size=self.page_size,
            memory_block_size=block_size, cmdline=f"{self.cmdline} {extra}".strip(),
            hole=self.hole, advised_block_size=self.advised,
        )  # fmt: skip


def survey(
    choice: MachineChoice, windows: Sequence[Window], driver: str, sizes: Sequence[int] | None = None
) -> tuple[BySize, ...]:
    """Return what becomes of the windows under each memory block size.

    Args:
        sizes: memory block sizes in bytes, in this order; by default the architecture's own, then
            those of 128M to 2G that it can have.

    Raises:
        InputError: a block size that was asked for and that the architecture does not have, or a driver.
    """
    plain = choice.boot()
    absent = absence(plain.kernel, driver)
    if absent is not None:
        there = [name for name in drivers_of(choice.arch) if absence(plain.kernel, name) is None]
        expected = f"a driver of this machine ({', '.join(there)}); {absent.reason}"
        raise InputError(expected, got=driver, path="driver")
    chosen = list(sizes or [])
    if not chosen:
        own = plain.kernel.geometry.memory_block_size
        chosen = [own, *(size for size in BLOCK_SIZES if size != own and _possible(choice, size))]
    found = []
    for size in chosen:
        having, machine = _with_blocks(choice, size)
        fits = tuple(fit(machine.kernel, window, driver) for window in windows)
        found.append(BySize(block_size=size, kernel=having.kernel, fits=fits, memmap=_memmap(having, machine)))
    return tuple(found)


def _with_blocks(choice: MachineChoice, size: int) -> tuple[MachineChoice, Machine]:
    """Return the choice, or one with an older kernel if only that has blocks of a size (1G before 5.12, say).

    Returns:
        The choice that has such blocks, and its machine.

    Raises:
        InputError: neither has; what the one that was asked for says.
    """
    try:
        return choice, choice.boot(size)
    except InputError:
        others = (replace(choice, kernel=kernel) for kernel in _older(choice.kernel))
        having = next((other for other in others if _possible(other, size)), None)
        if having is None:
            raise
    return having, having.boot(size)


def _older(kernel: str) -> list[str]:
    """Return the installed kernels that are older, the nearest first."""
    known = kernels()
    return known[: known.index(kernel)][::-1]


def _possible(choice: MachineChoice, size: int) -> bool:
    try:
        choice.boot(size)
    except InputError:
        return False
    return True


def best(entries: Sequence[BySize]) -> BySize | None:
    """Return the block size that strands least, None if every one strands everything.

    Of several, the largest: it makes the fewest blocks.
    """
    useful = [entry for entry in entries if entry.usable_bytes]
    return min(useful, key=lambda entry: (entry.stranded_bytes, -entry.block_size), default=None)


def fit(kernel: Kernel, window: Window, driver: str) -> Fit:
    """Return what a driver and the kernel make of one window.

    Raises:
        PluginError: there is no such driver, or it is broken.
    """
    size = kernel.geometry.memory_block_size
    problem: MemoryHotplugError | None = None
    usable: tuple[PhysRange, ...] = ()
    try:
        usable = _accepted(kernel, window, driver)
    except MemoryHotplugError as refused:
        problem = refused
    next_start = round_up(window.start, size)
    head, tail = window.size, 0
    if usable:
        head = usable[0].start - window.start
        tail = window.start + window.size - usable[-1].start - usable[-1].size
    return Fit(
        window=window, block_size=size, errno=problem.name if problem else None,
        message=problem.reason if problem else None, usable=usable, head=head, tail=tail,
        next_start=next_start, gap=next_start - window.start, rounded=round_up(window.size, size),
    )  # fmt: skip


def _accepted(kernel: Kernel, window: Window, driver: str) -> tuple[PhysRange, ...]:
    """Return the ranges that the driver adds, each checked as add_memory() checks it.

    Raises:
        MemoryHotplugError: the driver's refusal, or the kernel's.
    """
    request = AddRequest(
        driver=driver, name=window.name or driver, size=window.size, address=window.start, nid=window.node
    )
    key = kernel.plugins.driver(driver)
    ranges: Sequence[PhysRange] = kernel.plugins.ask(key, "driver_ranges", Sequence, kernel=kernel, request=request)
    for part in ranges:
        check_hotplug_memory_range(kernel, part.start, part.size)
    return tuple(ranges)


def _memmap(choice: MachineChoice, machine: Machine) -> BlockMemmap | None:
    """Return what one self-hosting block costs, by adding one."""
    kernel = machine.kernel
    if MEMMAP_ON_MEMORY not in kernel.profile.module_parameters(kernel):
        return None
    geometry = kernel.geometry
    yes = choice.boot(geometry.memory_block_size, "memory_hotplug.memmap_on_memory=Y")
    return BlockMemmap(
        block_pages=geometry.pages_per_block,
        needed=geometry.memmap_pages(geometry.pages_per_block),
        reserved=_reserved(choice.boot(geometry.memory_block_size, _FORCE)),
        refusal=yes.kernel.profile.memmap_on_memory_refusal(yes.kernel, geometry.memory_block_size),
    )


def _reserved(machine: Machine) -> int | None:
    """Return the pages that one added block keeps for its memmap, None if it does not host it."""
    kernel = machine.kernel
    size = kernel.geometry.memory_block_size
    address = kernel.state.first_free_address(size, align=size)
    return add_with_flags(kernel, kernel.flag("on_memory"), size, address).reserved or None


def assumptions(choice: MachineChoice, windows: Sequence[Window], driver: str) -> list[str]:
    """Return what is taken for granted about the machine, where its own memory block size hangs on it."""
    kernel = choice.boot().kernel
    own = kernel.geometry.memory_block_size
    found = [*_about_the_hole(choice, own), *_about_the_memory(choice, own)]
    if choice.advised is not None:
        heeds = kernel.has("advised_blocks")
        does = "takes it where boot memory is large" if heeds else "takes no advice, as Linux does since 6.15"
        advice = f"firmware advises memory blocks of {typed_size(choice.advised)} for its windows"
        found.append(f"{advice}; {choice.kernel} {does}")
    elif driver_traits(driver).advising_windows:
        advised = advised_block_size((window.start, window.size) for window in windows)
        other = _own_size(replace(choice, advised=advised))
        if other != own:
            found.append(
                f"the ranges are no windows of which firmware tells the kernel; as such (--window) they would have "
                f"memory blocks of {typed_size(other)}"
            )
    return found


def _about_the_hole(choice: MachineChoice, own: int) -> list[str]:
    """Return where boot memory ends, and which memory blocks it would have with another hole."""
    end, size = arch_traits(choice.arch).hole_end, parse_size(choice.memory)
    if not end:
        return []
    others = []
    for hole in (0, end // 4, end // 2):
        if hole != (choice.hole or 0) and (found := _own_size(replace(choice, hole=hole or None))) != own:
            others.append(f"{typed_size(found)} with {f'one of {typed_size(hole)}' if hole else 'none'}")
    if not others:
        return []
    has = f"a hole of {typed_size(choice.hole)}" if choice.hole else "no hole"
    last = typed_size(size + (choice.hole or 0))
    return [
        f"boot memory of {typed_size(size)} has {has} below {typed_size(end)} and ends at {last}; memory blocks "
        f"would be {' and '.join(others)} (--hole)"
    ]


def _about_the_memory(choice: MachineChoice, own: int) -> list[str]:
    """Return that the recorded machine is larger than boot memory is taken to be, where other blocks come of that."""
    end = choice.ram_end
    if not end:
        return []
    try:
        size = _own_size(replace(choice, memory=str(end), hole=None))
    except InputError:  # no boot memory can end there
        return []
    if size == own:
        return []
    return [
        f"boot memory of {typed_size(parse_size(choice.memory))} (--memory); the iomem's System RAM ends at "
        f"{typed_size(end)}, and if all of it is boot memory, memory blocks are {typed_size(size)}"
    ]


def _own_size(choice: MachineChoice) -> int:
    return choice.boot().kernel.geometry.memory_block_size
