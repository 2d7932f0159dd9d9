"""/sys/module/memory_hotplug/parameters. Models: mm/memory_hotplug.c (v5.15 to v6.12)."""

from __future__ import annotations

import errno
from collections.abc import Mapping

from memhotplug.plugin import InputError, Kernel, MemoryHotplugError, kstrtobool, kstrtou
from memhotplug_profiles.mainline.params import Policy, parse_policy, state_of

__all__ = ["is_built_in", "parameters", "switches", "write_parameter"]


def parameters(kernel: Kernel) -> Mapping[str, str]:
    """Return what each parameter reads."""
    state = state_of(kernel)
    mode = {"memmap_on_memory": f"{state.mode}\n"}
    if not kernel.has("memory_groups"):
        return mode
    return mode | {
        "online_policy": f"{state.policy}\n",
        "auto_movable_ratio": f"{state.ratio}\n",
        "auto_movable_numa_aware": "Y\n" if state.numa_aware else "N\n",
    }


def write_parameter(kernel: Kernel, name: str, value: str) -> None:
    """Write a parameter.

    Raises:
        MemoryHotplugError: ENOENT no such parameter, EACCES memmap_on_memory (it is read at boot
            only), EINVAL a value that the kernel refuses.
    """
    state = state_of(kernel)
    word = value.removesuffix("\n")
    if name not in parameters(kernel) or (name == "memmap_on_memory" and not is_built_in(kernel)):
        raise MemoryHotplugError(errno.ENOENT, f"there is no parameter {name!r}")
    if name == "memmap_on_memory":
        raise MemoryHotplugError(errno.EACCES, "memmap_on_memory can only be set at boot")
    try:
        if name == "online_policy":
            state.policy = parse_policy(word)
        elif name == "auto_movable_ratio":
            state.ratio = kstrtou(value, 32)
    except (InputError, ValueError) as problem:
        raise MemoryHotplugError(errno.EINVAL, str(problem)) from None
    except OverflowError as problem:
        raise MemoryHotplugError(errno.ERANGE, f"auto_movable_ratio takes {problem}") from None
    if name == "auto_movable_numa_aware":
        wanted = kstrtobool(word)
        if wanted is None:
            raise MemoryHotplugError(errno.EINVAL, f"auto_movable_numa_aware takes Y or N, not {word!r}")
        state.numa_aware = wanted


def switches(kernel: Kernel) -> Mapping[str, tuple[str, ...]]:
    """Return the files that can be written while the kernel runs, with the words that would change them."""
    if not kernel.has("memory_groups"):
        return {}
    others = tuple(policy.value for policy in Policy if policy is not state_of(kernel).policy)
    return {"/sys/module/memory_hotplug/parameters/online_policy": others}


def is_built_in(kernel: Kernel) -> bool:
    """Return whether the architecture's kernel has memmap_on_memory at all. Models: mm/Kconfig:MHP_MEMMAP_ON_MEMORY."""
    plugins = kernel.plugins
    return bool(plugins.ask(plugins.arch, "supports_memmap_on_memory", bool, kernel=kernel, memmap_bytes=0))
