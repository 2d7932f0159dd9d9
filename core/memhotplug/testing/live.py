"""The pytest fixture ``modelled_machine``, for annotations; pytest finds the fixture itself by its entry point."""

from memhotplug.live.pytest_plugin import Done, ModelledMachine

__all__ = ["Done", "ModelledMachine"]
