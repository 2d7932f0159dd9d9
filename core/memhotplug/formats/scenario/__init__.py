"""The scenario format: a machine, its drivers' policies and the steps that happen to it, in YAML."""

from __future__ import annotations

from memhotplug.formats.scenario.catalog import Catalog
from memhotplug.formats.scenario.check import OPERATIONS, parse_args
from memhotplug.formats.scenario.document import Scenario, Step
from memhotplug.formats.scenario.expectation import ExpectStep
from memhotplug.formats.scenario.loader import load_scenario, loads_scenario
from memhotplug.formats.scenario.models import (
    Action,
    AddStep,
    AllocateStep,
    BootMemory,
    DriverPolicy,
    EjectStep,
    MachineSpec,
    OfflineStep,
    OnlineStep,
    ReleaseStep,
    RemoveStep,
    ResizeStep,
    SnapshotRef,
    Veto,
    WriteStep,
)
from memhotplug.formats.scenario.ranges import RangeSpec, parse_range

__all__ = [
    "OPERATIONS",
    "Action",
    "AddStep",
    "AllocateStep",
    "BootMemory",
    "Catalog",
    "DriverPolicy",
    "EjectStep",
    "ExpectStep",
    "MachineSpec",
    "OfflineStep",
    "OnlineStep",
    "RangeSpec",
    "ReleaseStep",
    "RemoveStep",
    "ResizeStep",
    "Scenario",
    "SnapshotRef",
    "Step",
    "Veto",
    "WriteStep",
    "load_scenario",
    "loads_scenario",
    "parse_args",
    "parse_range",
]
