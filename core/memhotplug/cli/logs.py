"""Logs: what happens inside, on stderr, for people or as JSON.

structlog takes a while to import, so that happens with the first line that is really written.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from memhotplug.cli.terminal import has_colour

__all__ = ["Log"]


class Log:
    """A log of a machine's events.

    Args:
        verbosity: 1 for every event; 0 for warnings only, and as JSON only, since people find them below the tables.
        as_json: one JSON object a line, rather than text for people.
    """

    def __init__(self, verbosity: int, *, as_json: bool) -> None:
        self._verbosity = verbosity
        self._as_json = as_json
        self._logger: Any = None

    def write(self, event: Mapping[str, object]) -> None:
        """Write one event if it is important enough; ``event["event"]`` says what happened."""
        data = dict(event)
        name = data.pop("event")
        if name == "warning" and (self._as_json or self._verbosity > 0):
            self._get().warning(name, **data)
        elif self._verbosity > 0:
            self._get().info(name, **data)

    def _get(self) -> Any:
        if self._logger is None:
            self._logger = self._make()
        return self._logger

    def _make(self) -> Any:
        import structlog

        renderer: Any
        if self._as_json:
            renderer = structlog.processors.JSONRenderer()
        else:
            # By position: the keyword was pad_event up to structlog 25.4, and is pad_event_to since.
            renderer = structlog.dev.ConsoleRenderer(0, colors=has_colour(sys.stderr), sort_keys=False)
        processors = [structlog.processors.add_log_level, renderer]
        return structlog.wrap_logger(structlog.PrintLogger(sys.stderr), processors=processors)
