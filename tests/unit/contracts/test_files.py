"""Files below /sys: their permissions follow from what they can do."""

from __future__ import annotations

from typing import Any

import pytest

from memhotplug.contracts.files import SysfsFile, Write


def _nothing(*_arguments: object) -> str:
    return ""


def _numbers(*_arguments: object) -> tuple[int, int]:
    return 1, 2


@pytest.mark.parametrize(
    ("keywords", "mode"),
    [
        ({"show": _nothing}, 0o444),
        ({"show": _nothing, "store": _nothing}, 0o644),
        ({"store": _nothing}, 0o200),
        ({"show": _nothing, "private": True}, 0o400),
        ({"link": _nothing}, 0o777),
        ({"device": _numbers}, 0o600),
    ],
)
def test_a_file_has_the_permissions_of_what_it_can_do(keywords: dict[str, Any], mode: int) -> None:
    """As DEVICE_ATTR() with _RO, _RW, _WO and _ADMIN_RO has them."""
    assert SysfsFile(path="sys/x", **keywords).mode == mode


def test_a_write_comes_from_root_unless_it_is_said_otherwise() -> None:
    """As the tools that hot-plug run."""
    assert Write("1") == Write(value="1", capable=True)
