"""Which MHP flags a driver passes to add_memory(): its own, those of a policy, or those that the user sets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memhotplug.contracts import AddRequest, PhysRange
from memhotplug.errors import InputError, nearest

if TYPE_CHECKING:
    from memhotplug.engine.kernel import Kernel

__all__ = ["flags_for", "parse_flags", "set_policy"]


def parse_flags(kernel: Kernel, names: tuple[str, ...]) -> int:
    """Return the bits of MHP flags by short or kernel names.

    Raises:
        InputError: the profile does not have such a flag.
    """
    profile = kernel.profile
    named = (profile.short_flags, profile.short_flags.values(), profile.flags, profile.flag_masks)
    known = list(dict.fromkeys(name for names in named for name in names))
    for name in names:
        if name not in known:
            expected = f"an MHP flag of {profile.name}: {', '.join(known)}"
            raise InputError(expected, got=name, nearest=nearest(name, known))
    bits = 0
    for name in names:
        bits |= kernel.flag(name)
    return bits


def set_policy(kernel: Kernel, driver: str, policy: str) -> None:
    """Let a policy plugin decide the flags of a driver's ranges from now on.

    Raises:
        PluginError: there is no such policy, or it is broken.
    """
    kernel.policies[driver] = kernel.plugins.policy(policy)


def flags_for(kernel: Kernel, request: AddRequest, phys_range: PhysRange) -> int:
    """Return the MHP flags that the request's driver passes for a range, by policy or by scenario.

    Raises:
        MemoryHotplugError, InputError: the driver or the policy refused.
        PluginError: the driver or the policy is broken, or answered bits that this kernel does not have.
    """
    if request.driver in kernel.flag_override:
        return kernel.flag_override[request.driver]
    plugins, asked = kernel.plugins, {"request": request, "phys_range": phys_range}
    key = plugins.driver(request.driver)
    flags = _known(kernel, key, "mhp_flags", plugins.ask(key, "mhp_flags", int, kernel=kernel, **asked))
    policy = kernel.policies.get(request.driver)
    if policy is None:
        return flags
    twin = kernel.copy()  # so that it decides and changes nothing
    answer = plugins.ask(policy, "policy_mhp_flags", int, kernel=twin, driver_flags=flags, **asked)
    return _known(kernel, policy, "policy_mhp_flags", answer)


def _known(kernel: Kernel, key: str, hook: str, flags: int) -> int:
    if not flags:
        return 0
    known = 0
    for bit in kernel.profile.flags.values():
        known |= bit
    if flags & ~known:
        raise kernel.plugins.blame(key, f"hook {hook} answered {flags:#x}, which is not of {kernel.profile.name}")
    return flags
