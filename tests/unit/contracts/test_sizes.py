"""What an architecture is asked about sizes."""

from __future__ import annotations

import pytest

from memhotplug.contracts.sizes import SizingRequest, sizes_of


def test_a_sizing_request_asks_the_profile_or_goes_by_its_version() -> None:
    """Whatever the version, if somebody answers."""
    request = SizingRequest(version=(5, 2), memory=((0, 1 << 30),))
    assert not request.has("sections_by_granule")
    assert SizingRequest(version=(6, 12), memory=((0, 1 << 30),)).has("sections_by_granule")
    assert SizingRequest(version=(5, 2), memory=((0, 1 << 30),), asks=lambda _name: True).has("sections_by_granule")
    with pytest.raises(ValueError, match="no_such_feature"):
        request.has("no_such_feature")


def test_sizes_are_handed_on_by_name() -> None:
    """From one record to the next; what is not about sizes stays behind."""
    request = SizingRequest(version=(6, 12), memory=((0, 1 << 30),), hole=1 << 28, hypervisor=False)
    again = SizingRequest(version=(6, 1), **sizes_of(request))

    assert (again.memory, again.hole, again.page_size) == (((0, 1 << 30),), 1 << 28, None)
    assert (again.version, again.hypervisor) == ((6, 1), True)
