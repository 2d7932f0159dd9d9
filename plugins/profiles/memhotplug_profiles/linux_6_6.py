"""Linux 6.6."""

from memhotplug.plugin import KernelProfile, hookimpl
from memhotplug_profiles.mainline.profile import MainlineProfile
from memhotplug_profiles.mainline.rules import Rules

__all__ = ["RULES", "kernel_profile"]

RULES = Rules(
    name="linux-6.6",
    version=(6, 6),
    split=False,
    prepare_online=False,
    offline_pages=False,
)


@hookimpl
def kernel_profile() -> KernelProfile:
    """Return the profile."""
    return MainlineProfile(RULES)
