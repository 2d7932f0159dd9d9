"""The answer of ``mhp explain``."""

from __future__ import annotations

from memhotplug.documents.base import Document, SchemaVersion

__all__ = [
    "DriverRow",
    "ExplainDocument",
    "IdentityDocument",
    "ModeRow",
    "PlatformRow",
    "ReasonedDocument",
    "SettingRow",
]


class ReasonedDocument(Document):
    """Why not."""

    rule: str | None
    """The first rule that forbids it; null if nothing does."""
    source: str | None
    """File and function of the kernel that have the rule."""


class ModeRow(ReasonedDocument):
    """One way to ask for self-hosted memmap."""

    mode: str
    """The parameter's value or the flag."""
    supported: bool
    """Whether a block then hosts its memmap."""
    reserved_pages: int | None
    """Pages that the block keeps for it; null if it does not."""
    wasted_pages: int | None
    """Those of them that hold none."""


class IdentityDocument(Document):
    """A kind of machine."""

    arch: str
    """Name of the architecture plugin."""
    kernel: str
    """Name of the profile."""
    page_size: int
    """Bytes of a page."""
    mmu: str | None
    """The MMU, where the architecture has several."""
    memory_block_size: int
    """Bytes of a memory block."""


class PlatformRow(IdentityDocument):
    """What a kind of machine supports, whoever asks, for one memory block."""

    is_default: bool
    """Whether it is the usual machine of that architecture."""
    pages_per_block: int
    """Pages of a block."""
    memmap_bytes: int
    """Bytes of its memmap."""
    memmap_pages: int
    """Pages of its memmap."""
    modes: list[ModeRow]
    """One entry for each way to ask."""


class SettingRow(ReasonedDocument):
    """A driver under one setting of the user's switch."""

    setting: str
    """The value of memory_hotplug.memmap_on_memory, or default."""
    one_block: bool
    """Whether an add of one block hosts its memmap."""
    several_blocks: bool
    """Whether an add of two blocks does."""


class DriverRow(IdentityDocument):
    """What a driver makes of a kind of machine."""

    driver: str
    """The driver."""
    policy: str | None
    """The policy plugin that decides in its stead."""
    options: dict[str, object]
    """What its device says itself, as keys of an add."""
    flags: list[str]
    """The MHP flags that it passes for any of the adds that were tried."""
    settings: list[SettingRow]
    """One entry for each setting."""


class ExplainDocument(Document):
    """Which driver may self-host its memmap, where, and why not."""

    schema: SchemaVersion
    """Version of this format."""
    kernels: list[str]
    """The kernels that were asked."""
    platforms: list[PlatformRow]
    """Kinds of machines; empty if one driver was asked for."""
    drivers: list[DriverRow]
    """Drivers on the usual machines."""
    left_out: list[str]
    """Plugins that do not work and that nobody asked for, one sentence each."""
