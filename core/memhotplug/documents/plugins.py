"""What ``mhp plugins`` prints."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import Field

from memhotplug.documents.base import Document, SchemaVersion

__all__ = [
    "KeyDocument",
    "PluginAboutDocument",
    "PluginDocument",
    "PluginListDocument",
    "PluginNewDocument",
    "PluginRowDocument",
    "PluginsDocument",
]


class PluginRowDocument(Document):
    """One plugin in the list."""

    kind: str
    """arch, profiles, drivers or policies."""
    name: str
    """Its name."""
    distribution: str | None
    """The distribution that it came with; empty for a file."""
    version: str | None
    """That distribution's version."""
    target: str | None
    """What its entry point names, or its file."""
    state: str
    """ok, failed or available."""
    problem: str | None
    """Why it cannot be used."""


class PluginListDocument(Document):
    """What is installed."""

    schema: SchemaVersion
    """Version of this format."""
    plugins: list[PluginRowDocument]
    """One entry for each plugin."""
    left_out: list[str]
    """Distributions whose entry points cannot be read."""


class KeyDocument(Document):
    """A key of scenarios that a plugin brings."""

    key: str
    """Its name."""
    kind: str
    """What it takes: bool, int, size, text, choice …"""
    help: str
    """What it means."""


class PluginAboutDocument(Document):
    """All about one plugin."""

    kind: str
    """arch, profiles, drivers or policies."""
    name: str
    """Its name."""
    distribution: str | None
    """The distribution that it came with; null for a file."""
    version: str | None
    """That distribution's version."""
    group: str
    """Its group of entry points."""
    target: str | None
    """What its entry point names, or its file."""
    file: str | None
    """Its source."""
    says: str | None
    """The first line of its own description."""
    hooks: list[str]
    """The hooks that it has."""
    keys_of: str | None
    """Where its keys stand in a scenario: add or machine."""
    keys: list[KeyDocument]
    """Its own keys."""
    aliases: list[str]
    """Other names that it goes by."""
    exists_on: dict[str, str] | None
    """Architectures that a driver exists on, with the release that has it; null if everywhere."""


class PluginDocument(Document):
    """All about the plugins of one name (NAME)."""

    schema: SchemaVersion
    """Version of this format."""
    plugins: list[PluginAboutDocument]
    """One entry for each kind."""


class PluginNewDocument(Document):
    """A package to start from was written (--new)."""

    schema: SchemaVersion
    """Version of this format."""
    folder: str
    """Where."""
    files: list[str]
    """What was written."""


PluginsDocument: TypeAlias = Annotated[
    PluginListDocument | PluginDocument | PluginNewDocument,
    Field(description="What is installed; with NAME all about one plugin, with --new what was written."),
]
