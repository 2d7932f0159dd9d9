"""A mapping of a scenario to record, read key by key; what is wrong is refused with its place."""

from __future__ import annotations

import re
from collections.abc import Mapping

from memhotplug.errors import InputError, nearest
from memhotplug.units import parse_size

__all__ = ["Keys"]

_CPU = re.compile(r"[A-Za-z0-9][\w.,=+-]{0,80}")
_NAME = re.compile(r"[A-Za-z][\w-]{0,30}")


class Keys:
    """A YAML mapping with known keys, whose values are asked for by type."""

    def __init__(self, value: object, path: str, file: str | None, keys: tuple[str, ...]) -> None:
        self.path, self.file = path, file
        if not isinstance(value, Mapping):
            raise self.error("", "a mapping", type(value).__name__)
        self.value: Mapping[object, object] = value
        for key in value:
            if key not in keys:
                raise InputError(
                    f"one of {', '.join(keys)}", got=repr(key), path=path or None, file=file, nearest=nearest(key, keys)
                )

    def error(self, key: str, expected: str, got: object) -> InputError:
        place = ".".join(part for part in (self.path, key) if part)
        return InputError(expected, got=got, path=place or None, file=self.file)

    def text(self, key: str, default: str | None = None) -> str:
        value = self.value.get(key, default)
        if not isinstance(value, str) or "\n" in value or not value.isprintable():
            raise self.error(key, "one line of text", repr(value)[:60])
        return value

    def name(self, key: str) -> str:
        value = self.text(key)
        if not _NAME.fullmatch(value) or value == "boot":
            raise self.error(key, "a name such as d0", repr(value)[:60])
        return value

    def cpu_model(self, key: str) -> str:
        value = self.text(key)
        if not _CPU.fullmatch(value):
            raise self.error(key, "a model of QEMU's, such as neoverse-n1", repr(value)[:60])
        return value

    def path_of_guest(self, key: str) -> str:
        value = self.text(key).lstrip("/")
        if not value or " " in value or len(value) > 200:
            raise self.error(key, "a path without spaces", repr(value)[:60])
        return value

    def one_of(self, key: str, words: tuple[str, ...], default: str | None = None) -> str:
        value = self.value.get(key, default)
        if not isinstance(value, str) or value not in words:
            error = self.error(key, f"one of {', '.join(words)}", repr(value)[:60])
            error.nearest = nearest(value, words)
            raise error
        return value

    def list(self, key: str) -> list[object]:
        value = self.value.get(key, [])
        if not isinstance(value, list):
            raise self.error(key, "a list", type(value).__name__)
        return value

    def size(self, key: str, default: int | None = None) -> int:
        value = self.value.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | str) or (isinstance(value, int) and value < 0):
            raise self.error(key, "a size such as 256M", repr(value)[:60])
        try:
            return parse_size(str(value))
        except ValueError as problem:
            raise self.error(key, str(problem), repr(value)[:60]) from None

    def count(self, key: str, default: int | None = None) -> int:
        value = self.value.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 1 << 20:
            raise self.error(key, "a number", repr(value)[:60])
        return value
