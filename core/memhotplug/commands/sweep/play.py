"""Playing one case: every step whatever became of the one before, and what is measured."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, count
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from memhotplug.catalog import Installed
from memhotplug.commands.compare.answer import Fullest
from memhotplug.commands.compare.measure import Measures, measure
from memhotplug.commands.run.runner import StepObserver, apply_policies, boot_scenario, run_scenario
from memhotplug.commands.run.series import zone_rows
from memhotplug.commands.sweep.question import Question
from memhotplug.commands.sweep.trace import WORKLOAD, trace_steps
from memhotplug.errors import InputError, PluginError
from memhotplug.formats.scenario import AddStep, AllocateStep, ExpectStep, Scenario, Step
from memhotplug.formats.scenario.catalog import CatalogCache
from memhotplug.formats.scenario.check import parse_args
from memhotplug.formats.scenario.loader import Known, scenario_from_tree
from memhotplug.formats.scenario.yamltree import MappingNode
from memhotplug.machine import Machine

if TYPE_CHECKING:
    from memhotplug.documents.machine import StepRecord
    from memhotplug.formats.scenario.models import MachineSpec

__all__ = ["Player", "Row"]

Row = dict[str, Any]
_BOOTS: Final = 64
"""Machines that are kept booted for the cases that begin from them."""


class _Traced(NamedTuple):
    """A trace against one device: its steps, and when each is, by its index."""

    steps: tuple[Step, ...]
    times: Mapping[int, str]


@dataclass
class Player:
    """Plays the cases of one question; boots each machine once.

    Args:
        question: what is swept; its plugin files have to be in use.
    """

    question: Question
    _boots: OrderedDict[str, Machine] = field(default_factory=OrderedDict)
    _traces: dict[object, _Traced] = field(default_factory=dict)
    _asked: tuple[MachineSpec | None, str] = (None, "")
    _catalog: CatalogCache = field(default_factory=lambda: CatalogCache(Installed()))

    def __post_init__(self) -> None:
        self._known = Known(self.question.tree)

    def play(self, number: int) -> tuple[Row, list[Row]]:
        """Return what came of a case, and with ``steps`` one row for each step and zone."""
        keys = [axis.key for axis in self.question.axes]
        row: Row = {"case": number, **dict(zip(keys, self.question.texts(number), strict=True))}
        try:
            scenario, times = self._scenario(number)
            booted = self._booted(scenario)
            machine = booted.copy()
            apply_policies(scenario, machine)
        except PluginError:
            raise  # it says nothing of the case
        except InputError as problem:
            return {**row, **_refused(problem, self.question, number)}, []
        series: list[Row] = []
        fullest = Fullest(machine, begun=booted, steps=scenario.steps)
        result = self._run(scenario, machine, fullest, series)
        row |= _outcome(machine, scenario, result, self.question, times)
        row |= _measured(fullest)
        if times:
            series = [{**entry, "time": times.get(entry["step"])} for entry in series]
        return row, [{"case": number, **entry} for entry in series]

    def _scenario(self, number: int) -> tuple[Scenario, Mapping[int, str]]:
        """Return the scenario of a case, the steps of the trace behind its own, and when each of these is."""
        scenario = scenario_from_tree(
            self.question.case_tree(number), catalog=self._catalog, file=self.question.file, known=self._known
        )
        if not self.question.trace:
            return scenario, {}
        traced = self._traced(scenario)
        return replace(scenario, steps=(*scenario.steps, *traced.steps)), traced.times

    def _traced(self, scenario: Scenario) -> _Traced:
        adds = [step.args for step in scenario.steps if isinstance(step.args, AddStep)]
        if not adds:
            raise InputError("an add step: its device is what a trace resizes", path="steps")
        last = adds[-1]
        resizes = self._booted(scenario).kernel.plugins.can_resize(last.driver)
        held = {step.args.name for step in scenario.steps if isinstance(step.args, AllocateStep)}
        workload = next(name for name in chain([WORKLOAD], map("trace-{}".format, count())) if name not in held)
        key = len(scenario.steps), last.name, last.driver, last.size, resizes, workload
        if key not in self._traces:
            self._traces.clear()  # the next cases are like this one
            found = trace_steps(
                self.question.trace, last.name or "", last.driver, last.size, resizes=resizes, workload=workload
            )
            steps, times = [], {}
            for index, (number, op, keys) in enumerate(found, len(scenario.steps)):
                args = parse_args(op, keys, self._catalog)
                steps.append(Step(index=index, op=op, args=args, line=0, column=0))
                times[index] = self.question.trace[number].when
            self._traces[key] = _Traced(tuple(steps), times)
        return self._traces[key]

    def _booted(self, scenario: Scenario) -> Machine:
        """Return a scenario's machine before its first step; it is kept, and nobody changes it."""
        spec, key = self._asked
        if scenario.machine is not spec:  # the same record as a rule: it is read but once
            key = repr(scenario.machine)
            self._asked = scenario.machine, key
        known = self._boots.get(key)
        if known is None:
            known = self._boots[key] = boot_scenario(replace(scenario, drivers={}, steps=()))
            if len(self._boots) > _BOOTS:
                self._boots.popitem(last=False)
        self._boots.move_to_end(key)
        return known

    def _run(self, scenario: Scenario, machine: Machine, fullest: Fullest, series: list[Row]) -> Sequence[StepRecord]:
        watch: StepObserver = fullest.look
        if self.question.steps:

            def watch(step: Step, record: StepRecord) -> None:
                fullest.look(step, record)
                series.extend(zone_rows(machine, record))

        return run_scenario(scenario, machine=machine, on_step=watch, go_on=True, is_throwaway=True).steps


def _refused(problem: InputError, question: Question, number: int) -> Row:
    """Return why a case cannot be, and what is known of its machine all the same."""
    try:
        machine = question.case_tree(number).get("machine")
    except InputError:  # two of its values do not go together
        machine = question.tree.get("machine")
    known = machine if isinstance(machine, MappingNode) else {}
    words = {key: getattr(known.get(key), "text", None) for key in ("arch", "kernel")}
    text = str(problem.at(path=problem.path))
    return {**words, "version": question.version, "seed": question.seed, "outcome": "refused", "message": text}


def _outcome(
    machine: Machine, scenario: Scenario, steps: Sequence[StepRecord], question: Question, times: Mapping[int, str]
) -> Row:
    failed = [step for step in steps if not step["ok"] and step["op"] != "expect" and not _is_void(step, times)]
    first = failed[0] if failed else None
    geometry = machine.kernel.geometry
    row: Row = {
        "arch": machine.kernel.arch,
        "kernel": scenario.machine.kernel,
        "page_size": geometry.page_size,
        "memory_block_size": geometry.memory_block_size,
        "version": question.version,
        "seed": question.seed,
        "outcome": "failed" if failed else "ok",
        "failed_steps": len(failed),
        "failed_step": first["index"] if first else None,
        "failed_op": first["op"] if first else None,
        "errno": first["errno"] if first else None,
        "message": first["message"] if first else None,
        "violations": len(machine.violations()),
    }
    for step, record in zip(scenario.steps, steps, strict=False):
        if isinstance(step.args, ExpectStep):
            row[f"expect_{record['index']}"] = record["ok"]
    return row


def _is_void(step: StepRecord, times: Mapping[int, str]) -> bool:
    """Return whether a trace let go of what it was not given: that failed before."""
    return step["index"] in times and step["op"] == "release" and step["errno"] == "ENOENT"


def _measured(fullest: Fullest) -> Row:
    measures = measure(fullest.machine)
    return {"measured_after_step": fullest.step[0] if fullest.step else None, **_bytes(measures)}


def _bytes(measures: Measures) -> Row:
    size = measures.page_size
    row: Row = {
        "self_hosted_bytes": measures.self_hosted * size,
        "allocated_bytes": measures.allocated * size,
        "page_table_bytes": measures.page_tables * size,
        "memmap_bytes": (measures.self_hosted + measures.allocated + measures.page_tables) * size,
        "largest_free_run_bytes": measures.largest_free_run * size,
        "huge_pages_1g": measures.huge_pages,
    }
    for zone in measures.zones:
        prefix = f"node{zone.node}_{zone.zone}"
        row[f"{prefix}_managed_bytes"] = zone.managed * size
        row[f"{prefix}_usable_bytes"] = zone.usable * size
        row[f"{prefix}_free_bytes"] = zone.free * size
    return row
