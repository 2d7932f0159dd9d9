"""What a shell offers after Tab: names of plugins, files, and the keys of a scenario.

The types here stand in for those of the commands while a shell asks, and only then, so that nothing of this costs
anybody else a thing.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

import click
from click.shell_completion import CompletionItem

from memhotplug.documents import OUTPUTS

__all__ = ["prepare"]

# Generic since click 8.4; the class itself is all that older ones have.
if TYPE_CHECKING:
    _TextType = click.ParamType[str]
else:
    _TextType = click.ParamType

_PLUGINS: Final = {"driver": "drivers", "drivers": "drivers", "kernel": "profiles", "arch": "arch",
                   "policy": "policies"}  # fmt: skip
"""Options whose values are plugins, with the kind."""
_FILES: Final = (
    "scenario",
    "source",
    "snapshot",
    "recordings",
    "recording",
    "path",
    "plugin",
    "series",
    "output",
    "words",
)
_USUAL: Final = ("machine.kernel", "machine.arch", "machine.memory", "machine.cmdline", "machine.memory_block_size",
                 "machine.page_size")  # fmt: skip
"""Keys that are worth varying whether or not the scenario has them."""


def prepare(command: click.Command) -> click.Command:
    """Give the parameters of a command what a shell is to offer for them."""
    for parameter in command.params:
        name = parameter.name or ""
        if name in _PLUGINS:
            parameter.type = _Plugins(_PLUGINS[name])
        elif name == "axes":
            parameter.type = _Keys()
        elif name in _FILES:
            parameter.type = click.Path()
        elif name == "of_output":
            parameter.type = click.Choice(list(OUTPUTS))
    return command


class _Plugins(_TextType):
    """Names of installed plugins of a kind; none if the list cannot be had."""

    name = "plugin"

    def __init__(self, kind: str) -> None:
        self._kind = kind

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Return the names that begin so."""
        del ctx, param
        from memhotplug.catalog import Installed
        from memhotplug.errors import InputError

        try:
            names = Installed().names(self._kind)
        except InputError:
            return []
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]


class _Keys(_TextType):
    """Keys of the scenario that stands on the line, for KEY=V1,V2."""

    name = "key"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Return the keys that begin so."""
        del param
        if "=" in incomplete:
            return []
        path = str(ctx.params.get("scenario") or ctx.params.get("source") or _file_on_the_line())
        found = dict.fromkeys([*_keys_of(path), *_USUAL])
        return [CompletionItem(f"{key}=") for key in found if key.startswith(incomplete)]


def _file_on_the_line() -> str:
    """Return the first word that is a scenario: click gives up reading a line at an option without its value."""
    words = os.environ.get("COMP_WORDS", "").split()
    return next((word for word in words if word.endswith((".yaml", ".yml")) and os.path.isfile(word)), "")


def _keys_of(path: str) -> Iterable[str]:
    import yaml

    try:
        with open(path, encoding="utf-8") as stream:
            document = yaml.safe_load(stream)
    except (OSError, ValueError, yaml.YAMLError, RecursionError):
        return ()
    return [key for key in _walk(document, "") if key.partition(".")[0] in ("machine", "drivers", "steps")]


def _walk(value: object, way: str) -> Iterator[str]:
    """Yield the ways to the values of a document that have none below them."""
    entries: Iterable[tuple[object, object]]
    if isinstance(value, dict):
        entries = value.items()
    elif isinstance(value, list):
        entries = enumerate(value)
    else:
        yield way
        return
    for key, below in entries:
        yield from _walk(below, f"{way}.{key}" if way else str(key))
