"""Booting a machine: from sizes, or from what was recorded of one."""
