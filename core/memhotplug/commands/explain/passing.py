"""For which adds a driver, or the policy in its stead, passes the flag: sizes, nodes and keys, tried one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from memhotplug.commands.explain.trial import flags_passed, wanted_flags
from memhotplug.commands.plan.sizes import typed_size
from memhotplug.engine.boot.parameters import MEMMAP_ON_MEMORY
from memhotplug.engine.kernel import Kernel
from memhotplug.keyspec import KeySpec
from memhotplug.manager import own_keys

__all__ = ["Passing", "passing"]

_LARGEST: Final = 1 << 40


class Passing(NamedTuple):
    """Which adds were tried and get the flag.

    Attributes:
        flags: the MHP flags of all that was tried, together.
        exceptions: for what it is not passed although it is for something else, in words; None if there is no such
            difference.
    """

    flags: int
    exceptions: str | None


class _Asker:
    """Asks for the flags of one add, and remembers all that were answered."""

    def __init__(self, kernel: Kernel, driver: str, options: Mapping[str, object]) -> None:
        self._kernel, self._driver, self._options = kernel, driver, options
        self._wanted = wanted_flags(kernel)
        self.flags = 0

    def __call__(self, size: int, nid: int | None = None, **options: object) -> bool | None:
        """Return whether an add gets a flag that asks for self-hosting, None if it is refused whatever the flags."""
        flags = flags_passed(self._kernel, self._driver, size, nid, {**self._options, **options})
        if flags is None:
            return None
        self.flags |= flags
        return bool(flags & self._wanted)


def passing(kernel: Kernel, driver: str, options: Mapping[str, object]) -> Passing:
    """Try a driver's flags for every power of two of blocks up to 1 TiB, then another node and its own switches."""
    block = kernel.geometry.memory_block_size
    asks = _Asker(kernel, driver, options)
    told = {size: asks(size) for size in _sizes(block)}
    passed = [size for size, answer in told.items() if answer]
    failed = [size for size, answer in told.items() if answer is False]
    if not passed and not failed:
        return Passing(flags=asks.flags, exceptions=None)
    texts = [_by_size(asks, passed, failed, block)] if passed and failed else []
    usual = (passed or failed)[0]
    texts += _elsewhere(asks, kernel, usual, expected=bool(passed))
    texts += _with_keys(asks, own_keys("drivers", driver), options, usual, expected=bool(passed))
    return Passing(flags=asks.flags, exceptions=", ".join(texts) or None)


def _sizes(block: int) -> list[int]:
    return [block << shift for shift in range(max(_LARGEST // block, 2).bit_length())]


def _by_size(asks: _Asker, passed: Sequence[int], failed: Sequence[int], block: int) -> str:
    """Return for which sizes the flag is not passed, to the block where one size parts them."""
    if failed[-1] < passed[0]:
        return f"not for less than {typed_size(_border(asks, failed[-1], passed[0], block))}"
    if passed[-1] < failed[0]:
        return f"not for {typed_size(_border(lambda size: not asks(size), passed[-1], failed[0], block))} and more"
    return f"not for {', '.join(map(typed_size, failed))}"


def _border(holds: Callable[[int], bool | None], low: int, high: int, block: int) -> int:
    """Return the first size, in whole blocks, for which something holds: not yet for ``low``, but for ``high``."""
    while high - low > block:
        middle = low + (high - low) // block // 2 * block
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def _elsewhere(asks: _Asker, kernel: Kernel, size: int, *, expected: bool) -> Iterator[str]:
    """Yield what is different for a node that the add itself brings, which has no CPU."""
    new = max(kernel.state.nodes) + 1
    if new < kernel.geometry.max_nodes and asks(size, new) is (not expected):
        yield "not for a node without CPU" if expected else "only for a node without CPU"


def _with_keys(
    asks: _Asker, keys: Mapping[str, KeySpec], options: Mapping[str, object], size: int, *, expected: bool
) -> Iterator[str]:
    """Yield what is different if one of the driver's own switches is set."""
    for key, spec in keys.items():
        if key in options or key == MEMMAP_ON_MEMORY:  # which has rows of its own
            continue
        values: Sequence[object] = (True, False) if spec.kind == "bool" else spec.choices
        found = [value for value in values if asks(size, None, **{key: value}) is (not expected)]
        if found:
            words = "/".join(str(value).lower() if spec.kind == "bool" else str(value) for value in found)
            yield f"{'not' if expected else 'only'} with {key}={words}"
