"""Which profile stands for a kernel release."""

from __future__ import annotations

import re

from memhotplug.errors import InputError
from memhotplug.manager import names

__all__ = ["choose_profile", "oldest_profile"]


def choose_profile(release: str | None) -> str:
    """Return the newest mainline profile that is not newer than a kernel release.

    Raises:
        InputError: there is none, or the release cannot be read.
    """
    wanted, profiles = _version(release or ""), _mainline()
    usable = [version for version in profiles if version and wanted and version <= wanted]
    if not usable:
        raise InputError(f"a kernel release that a profile covers ({', '.join(profiles.values())})", got=release)
    return profiles[max(usable)]


def oldest_profile(release: str) -> str | None:
    """Return the oldest mainline profile if a kernel release is older than that, else None."""
    wanted, profiles = _version(release), _mainline()
    oldest = min((version for version in profiles if version), default=None)
    return profiles[oldest] if wanted and oldest and wanted < oldest else None


def _mainline() -> dict[tuple[int, int] | None, str]:
    return {_version(name.removeprefix("linux-")): name for name in names("profiles") if name.startswith("linux-")}


def _version(text: str) -> tuple[int, int] | None:
    match = re.match(r"(\d+)\.(\d+)", text)
    return (int(match[1]), int(match[2])) if match else None
