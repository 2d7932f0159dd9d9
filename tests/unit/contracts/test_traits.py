"""What plugins say of themselves: defaults claim nothing."""

from __future__ import annotations

from dataclasses import fields

from memhotplug.contracts.traits import ArchTraits, DriverTraits


def test_whoever_says_nothing_claims_nothing() -> None:
    """Every attribute has a default, so that a plugin names only what is true of it."""
    assert ArchTraits() == ArchTraits()
    assert DriverTraits() == DriverTraits()
    assert (ArchTraits().aliases, ArchTraits().mmus or {}, DriverTraits().aliases) == ((), {}, ())
    assert DriverTraits().arches is None


def test_traits_are_given_by_name_only() -> None:
    """One more in the middle changes no plugin."""
    for kind in (ArchTraits, DriverTraits):
        assert all(one.kw_only for one in fields(kind))
