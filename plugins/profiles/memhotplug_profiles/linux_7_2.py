"""Linux 7.2."""

from memhotplug.plugin import KernelProfile, hookimpl
from memhotplug_profiles.mainline.profile import MainlineProfile
from memhotplug_profiles.mainline.rules import Rules

__all__ = ["RULES", "kernel_profile"]

RULES = Rules(
    name="linux-7.2",
    version=(7, 2),
    prepare_online=False,
    nopage_flag=False,
)


@hookimpl
def kernel_profile() -> KernelProfile:
    """Return the profile."""
    return MainlineProfile(RULES)
