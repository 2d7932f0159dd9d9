"""What stops a recording: the guest, QEMU or the compiler did not do what was needed."""

from __future__ import annotations

__all__ = ["MonitorRefusedError", "RecordError"]


class RecordError(Exception):
    """A recording cannot be made; the message says what happened, without a traceback."""


class MonitorRefusedError(RecordError):
    """QEMU refused a monitor command (a DIMM that does not fit, say): nothing happened to the guest."""
