"""Writes the reference of the documentation from the code: commands, scenario keys, JSON outputs, hooks, Python."""
