"""What all documents have in common."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field
from typing_extensions import TypedDict

__all__ = ["BlockState", "Document", "SchemaVersion", "Verdict"]


class Document(TypedDict):
    """Base of all JSON objects: every key that it has is in its schema, and no other."""


# What pydantic reads of a TypedDict and of all that follow it; a type checker knows no such attribute.
Document.__pydantic_config__ = {"extra": "forbid", "use_attribute_docstrings": True}  # type: ignore[attr-defined]

SchemaVersion: TypeAlias = Literal[1]
"""Version of the output format; it changes if a key changes its meaning or goes."""

Verdict: TypeAlias = Annotated[str, Field(json_schema_extra={"enum": ["fits", "risky", "does-not-fit"]})]
"""What becomes of an add."""

BlockState: TypeAlias = Annotated[str, Field(json_schema_extra={"enum": ["online", "offline", "going-offline"]})]
"""The word that the file ``state`` of a memory block has."""
