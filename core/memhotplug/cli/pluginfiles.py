"""The options of commands that ask plugins: ``--plugin``, plugins from files, and ``--plugin-timeout``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

__all__ = ["plugin_option", "timeout_option"]

_F = TypeVar("_F", bound=Callable[..., Any])


def _use(context: click.Context, _parameter: click.Parameter, files: tuple[str, ...]) -> None:
    """Let the files count as installed until the command is over."""
    if not files:
        return
    from memhotplug.catalog import Installed

    # The root's, which is closed even where the command's own never comes to be, as after a wrong option.
    # Whoever runs the command limits how long each may take to load.
    context.find_root().with_resource(Installed().using(files))


def plugin_option(command: _F) -> _F:
    """Give a command the option ``--plugin FILE``."""
    option = click.option(
        "--plugin", metavar="FILE", multiple=True, callback=_use, expose_value=False, is_eager=True,
        help="Load a plugin from a Python file: architecture, kernel, driver or policy.",
    )  # fmt: skip
    return option(command)


def timeout_option(what: str = "in one step") -> Callable[[_F], _F]:
    """Return a decorator that gives a command the option ``--plugin-timeout SECONDS``.

    Args:
        what: what it is that may not take longer.
    """
    return click.option(
        "--plugin-timeout", metavar="SECONDS", type=click.FloatRange(min=0, max=1e6), default=60, show_default=True,
        help=f"How long a plugin may take {what}; 0: as long as it likes.",
    )  # fmt: skip
