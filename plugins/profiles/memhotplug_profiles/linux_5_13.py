"""Linux 5.13."""

from memhotplug.plugin import KernelProfile, hookimpl
from memhotplug_profiles.mainline.profile import MainlineProfile
from memhotplug_profiles.mainline.rules import Rules

__all__ = ["RULES", "kernel_profile"]

RULES = Rules(
    name="linux-5.13",
    version=(5, 13),
    auto_movable=False,
    force=False,
    split=False,
    prepare_online=False,
    offline_pages=False,
)


@hookimpl
def kernel_profile() -> KernelProfile:
    """Return the profile."""
    return MainlineProfile(RULES)
