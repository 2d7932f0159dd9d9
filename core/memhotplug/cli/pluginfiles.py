"""The two options of every command that asks plugins: plugins from files, and how long a plugin may take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

__all__ = ["plugin_options"]

_F = TypeVar("_F", bound=Callable[..., Any])


def _use(context: click.Context, _parameter: click.Parameter, files: tuple[str, ...]) -> None:
    """Let the files count as installed until the command is over."""
    if not files:
        return
    from memhotplug.catalog import Installed

    # The root's, which is closed even where the command's own never comes to be, as after a wrong option.
    # Whoever runs the command limits how long each may take to load.
    context.find_root().with_resource(Installed().using(files))


def plugin_options(command: _F) -> _F:
    """Give a command the options ``--plugin FILE`` and ``--plugin-timeout SECONDS``."""
    files = click.option(
        "--plugin", metavar="FILE", multiple=True, callback=_use, expose_value=False, is_eager=True,
        help="Load a plugin from a Python file: architecture, kernel, driver or policy.",
    )  # fmt: skip
    # Checked here; the limit holds from the first import on, so that the group sets it before a command is parsed.
    seconds = click.option(
        "--plugin-timeout", metavar="SECONDS", type=click.FloatRange(min=0, max=1e6), default=60, show_default=True,
        expose_value=False, help="How long one call of a plugin may take; 0: as long as it likes.",
    )  # fmt: skip
    return files(seconds(command))
