"""What calls the hooks of one plugin: the function itself, where pluggy would do nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any, TypeAlias

import pluggy

__all__ = ["Caller", "Hooks"]

Caller: TypeAlias = Callable[[Mapping[str, object]], Any]
"""Calls a hook with arguments by their names, of which it takes those that it wants."""


class Hooks(dict[str, Caller | None]):
    """What calls each hook of a plugin, None for one that it does not have; found out when it is first asked for.

    Attributes:
        relay: what pluggy knows of the plugin's hooks.
    """

    def __init__(self, relay: pluggy.HookRelay) -> None:
        super().__init__()
        self.relay = relay

    def __missing__(self, hook: str) -> Caller | None:
        found: pluggy.HookCaller | None = getattr(self.relay, hook, None)
        caller = self[hook] = _bound(found) if found is not None and found.get_hookimpls() else None
        return caller


def _bound(caller: pluggy.HookCaller) -> Caller:
    """Return what calls a hook: the function itself, where it is the only one and nothing is wrapped around it.

    It gets the arguments that it names, and its answer is told, as pluggy would do both.
    """
    only, *others = caller.get_hookimpls()
    if others or only.wrapper or only.hookwrapper or only.kwargnames or caller.spec is None:
        return lambda arguments: caller(**arguments)
    direct = _direct(only.function, only.argnames)
    if caller.spec.opts["firstresult"]:
        return direct
    return lambda arguments: [answer for answer in (direct(arguments),) if answer is not None]


def _direct(function: Callable[..., Any], names: Sequence[str]) -> Caller:
    """Return what calls a function with the arguments of some names."""
    match names:
        case []:
            return lambda arguments: function()
        case [name]:
            return lambda arguments: function(arguments[name])
    pick = itemgetter(*names)
    return lambda arguments: function(*pick(arguments))
