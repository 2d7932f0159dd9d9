"""What the tests of the architectures share: machines and questions at any kernel version."""

from collections.abc import Callable

import pytest

from memhotplug import Machine
from memhotplug.plugin import SizingRequest
from memhotplug_profiles.v2_2019.profile import V2Profile


@pytest.fixture
def boot_at(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Machine]:
    """Boot a machine whose architecture believes that the kernel has another version."""

    def boot(version: tuple[int, int], **keywords: object) -> Machine:
        monkeypatch.setattr(V2Profile, "version", version)
        return Machine.boot(kernel="v2-2019", **keywords)

    return boot


@pytest.fixture
def sizing() -> Callable[..., SizingRequest]:
    """What an architecture is asked at boot; 4 GiB of memory and v5.2 unless said otherwise."""

    def request(version: tuple[int, int] = (5, 2), **asked: object) -> SizingRequest:
        return SizingRequest(**{"version": version, "memory": ((0, 4 << 30),), **asked})  # type: ignore[arg-type]

    return request
