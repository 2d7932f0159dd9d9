"""The scenario format: a machine, its drivers' policies and the steps that happen to it, in YAML."""

from __future__ import annotations

from memhotplug.scenario.catalog import Catalog
from memhotplug.scenario.check import OPERATIONS, parse_args
from memhotplug.scenario.document import Scenario, Step
from memhotplug.scenario.expectation import ExpectStep
from memhotplug.scenario.loader import load_scenario, loads_scenario
from memhotplug.scenario.models import (
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
    SnapshotRef,
    Veto,
    WriteStep,
)
from memhotplug.scenario.ranges import RangeSpec, parse_range

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
