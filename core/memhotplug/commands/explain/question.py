"""What is asked, and which machines that means."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache, partial
from typing import NamedTuple

from memhotplug.commands.explain.leftout import LeftOut
from memhotplug.engine.boot.sizes import BootConfig, boot_kernel
from memhotplug.engine.kernel import Kernel
from memhotplug.errors import InputError, PluginError, nearest
from memhotplug.manager import arch_traits, names
from memhotplug.naming import resolve
from memhotplug.units import format_size

__all__ = ["Platform", "Question", "forget_machines", "platforms"]

_BLOCK_SIZES = tuple(1 << shift for shift in range(24, 37))
_FEW = (128 << 20, 256 << 20, 1 << 30, 2 << 30)
_BOOT_MEMORY = 4 << 30


class Question(NamedTuple):
    """What is asked; None leaves it open. Sizes in bytes.

    Attributes:
        policy: the policy plugin that decides in the drivers' stead.
        mmu: the MMU, by name, where the architecture has a choice.
    """

    arch: str | None = None
    kernel: str | None = None
    driver: str | None = None
    policy: str | None = None
    page_size: int | None = None
    block_size: int | None = None
    mmu: str | None = None


class Platform(NamedTuple):
    """One kind of machine; sizes in bytes.

    Attributes:
        mmu: None where the architecture has no choice.
        is_default: whether the architecture chooses this block size by itself.
    """

    arch: str
    kernel: str
    page_size: int
    block_size: int
    mmu: str | None = None
    is_default: bool = False

    def boot(self) -> Kernel:
        """Return a small machine of this kind, which is shared: work on a copy."""
        size = None if self.is_default else self.block_size
        return _boot(self.arch, self.kernel, self.page_size, size, self.mmu)


def platforms(question: Question, kernel: str, left_out: LeftOut, *, defaults_only: bool = False) -> list[Platform]:
    """Return the machines that a question is about under one kernel; none if every architecture is left out.

    Args:
        left_out: is told of architectures that nobody asked for and that do not work or refuse the kernel.
        defaults_only: only the page size, MMU and block size that each architecture chooses by itself,
            unless another was asked for.

    Raises:
        InputError: no architecture has what is asked for.
        PluginError: one that was asked for by name is not installed, or broken.
    """
    found: list[Platform] = []
    refusals: list[InputError] = []
    arches = names("arch") if question.arch is None else [resolve("arch", question.arch)]
    arches = [arch for arch in arches if left_out.attempt(partial(arch_traits, arch)) is not None]
    _check_mmu(question, arches)
    for arch in arches:
        ask = partial(_of_arch, question, arch, kernel, refusals, defaults_only=defaults_only)
        try:
            found += left_out.attempt(ask) or []
        except PluginError:
            raise
        except InputError as refusal:  # of the kernel, whatever else is asked for
            left_out.refuse(f"{arch} under {kernel}", refusal)
            refusals.append(refusal)
    if not found and refusals:
        raise InputError(refusals[0].expected, got=refusals[0].got, nearest=refusals[0].nearest)
    return found


def _of_arch(
    question: Question, arch: str, kernel: str, refusals: list[InputError], *, defaults_only: bool
) -> list[Platform]:
    """Return the machines of one architecture; what it does not have of what is asked for goes to ``refusals``.

    Raises:
        InputError: it has no machine at all under that kernel.
    """
    _boot(arch, kernel, None, None, None)
    found: list[Platform] = []
    for page_size in _page_sizes(question, arch, kernel, defaults_only=defaults_only):
        try:
            found += _of_page_size(question, arch, kernel, page_size, defaults_only=defaults_only)
        except PluginError:
            raise
        except InputError as refusal:
            refusals.append(refusal)
    return found


def _check_mmu(question: Question, arches: Sequence[str]) -> None:
    """Refuse an MMU that none of some architectures has a choice of."""
    known = [mmu for arch in arches for mmu in arch_traits(arch).mmus]
    if question.mmu is None or question.mmu in known:
        return
    expected = f"one of {', '.join(known)}" if known else "an architecture with a choice of MMUs"
    raise InputError(
        expected, got=question.mmu if known else f"--mmu {question.mmu}", nearest=nearest(question.mmu, known)
    )


def _page_sizes(question: Question, arch: str, kernel: str, *, defaults_only: bool) -> tuple[int, ...]:
    if question.page_size is not None:
        return (question.page_size,)
    return (
        (_boot(arch, kernel, None, None, None).geometry.page_size,) if defaults_only else arch_traits(arch).page_sizes
    )


def _of_page_size(
    question: Question, arch: str, kernel: str, page_size: int, *, defaults_only: bool
) -> Iterator[Platform]:
    """Yield the machines of one page size. Raises InputError if the architecture does not have it."""
    mmus = [mmu for mmu in _mmus(arch) if question.mmu in (None, mmu)]
    for mmu in mmus[:1] if defaults_only else mmus:
        usual = _boot(arch, kernel, page_size, None, mmu).geometry.memory_block_size
        for block_size in _block_sizes(question, usual, defaults_only=defaults_only):
            platform = Platform(
                arch=arch,
                kernel=kernel,
                page_size=page_size,
                block_size=block_size,
                mmu=mmu,
                is_default=block_size == usual,
            )
            if question.block_size is not None or _can(platform):
                platform.boot()
                yield platform


def _block_sizes(question: Question, usual: int, *, defaults_only: bool) -> list[int]:
    if question.block_size is not None:
        return [question.block_size]
    if defaults_only:
        return [usual]
    return sorted({usual, *(_FEW if question.arch is None else _BLOCK_SIZES)})


def _can(platform: Platform) -> bool:
    try:
        platform.boot()
    except PluginError:
        raise
    except InputError:
        return False
    return True


def _mmus(arch: str) -> list[str | None]:
    """Return the MMUs between which the architecture has a choice, else just None."""
    return list(arch_traits(arch).mmus) or [None]


def forget_machines() -> None:
    """Let go of the machines that were booted for an answer."""
    _boot.cache_clear()


@cache
def _boot(arch: str, kernel: str, page_size: int | None, block_size: int | None, mmu: str | None) -> Kernel:
    if block_size is not None and block_size > _BLOCK_SIZES[-1]:
        raise InputError(f"a memory block size of at most {format_size(_BLOCK_SIZES[-1])}", got=format_size(block_size))
    memory = max(_BOOT_MEMORY, 2 * (block_size or 0))
    return boot_kernel(
        BootConfig(
            arch=arch,
            profile=kernel,
            memory=((0, memory),),
            page_size=page_size,
            memory_block_size=block_size,
            cmdline=arch_traits(arch).mmus[mmu] if mmu else "",
        )
    )
