"""The machine as Python sees it, and what its operations bring."""

from memhotplug.machine.machine import Machine
from memhotplug.machine.memory import Memory

__all__ = ["Machine", "Memory"]
