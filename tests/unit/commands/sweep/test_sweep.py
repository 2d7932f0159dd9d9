"""Sweeps: what is kept, that they go on where they were stopped, and that it does not matter who plays."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import Executor, ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.unit.commands.sweep.conftest import TEXT, asked, exported, rows, run

from memhotplug import InputError, PluginError, __version__
from memhotplug.catalog import Installed
from memhotplug.commands.sweep.answer import Progress, check_values, sweep
from memhotplug.commands.sweep.store import Played, StoreFullError, open_store
from memhotplug.commands.sweep.trace import read_trace
from memhotplug.commands.sweep.workers import (
    BATCH,
    Local,
    Seat,
    _again,
    _goes_beside,
    play_all,
)


def test_a_case_is_a_row_with_its_values_and_measures(results: Path) -> None:
    """Bytes throughout; a refused step is an outcome, and an expectation a column."""
    first, *_, last = rows(results)
    assert {key: first[key] for key in list(first)[:11]} == {
        "case": 0, "steps.0.add.size": "1G", "drivers.acpi.mhp_flags": "none", "arch": "x86_64", "kernel": "v2-2019",
        "page_size": 4096, "memory_block_size": 128 << 20, "version": first["version"], "seed": 0, "outcome": "ok",
        "failed_steps": 0,
    }  # fmt: skip
    assert (first["allocated_bytes"], first["expect_2"]) == (16 << 20, False)
    assert (last["self_hosted_bytes"], last["outcome"], last["node0_Movable_usable_bytes"]) == (
        80 << 24,
        "ok",
        (80 << 30) - (80 << 24),
    )
    refused = rows(results)[4]
    assert (refused["outcome"], refused["errno"], refused["failed_op"], refused["failed_steps"]) == (
        "failed",
        "ENOMEM",
        "add",
        2,
    )


def test_a_case_that_cannot_be_is_an_outcome(tmp_path: Path) -> None:
    """The kernel of the series has no such flag; the others are played all the same."""
    path = tmp_path / "r.sqlite"
    progress = run(asked(vary=("drivers.acpi.mhp_flags=on_memory,device",)), path)
    assert (progress.played, progress.failed) == (2, 1)
    assert rows(path)[0] == {
        "case": 0, "drivers.acpi.mhp_flags": "on_memory", "arch": "x86_64", "kernel": "v2-2019",
        "version": __version__, "seed": 0, "outcome": "refused",
        "message": "drivers.acpi.mhp_flags: got on_memory, expected an MHP flag of v2-2019: none, device, memblock, "
        "MHP_NONE, MHP_MEMMAP_DEVICE, MHP_MEMMAP_MEMBLOCK, MHP_VMEMMAP_FLAGS",
    }  # fmt: skip


def test_the_same_question_goes_on_where_it_was(tmp_path: Path) -> None:
    """What is there is not played again; in the end nothing tells that it was ever stopped."""
    whole, part = tmp_path / "whole.sqlite", tmp_path / "part.sqlite"
    run(asked(), whole)
    with open_store(str(part), asked()) as store, Seat(asked()) as seat:
        store.add(seat.play([1, 4]))
    progress = run(asked(), part)
    assert (progress.skipped, progress.played, progress.done) == (2, 4, 6)
    assert exported(part) == exported(whole)
    again = run(asked(), part)
    assert (again.skipped, again.played) == (6, 0)


def test_several_processes_give_the_same(results: Path, tmp_path: Path) -> None:
    """Row for row."""
    path = tmp_path / "two.sqlite"
    run(asked(), path, Local(2))
    assert exported(path) == exported(results)


def test_a_run_killed_ten_times_comes_to_the_same(tmp_path: Path) -> None:
    """kill -9 whenever something new is kept, and the same command again: as if nothing had happened."""
    question = asked(vary=("steps.0.add.size=1G..240G/128M",))
    scenario = tmp_path / "grow.yaml"
    scenario.write_text(TEXT, encoding="utf-8")
    path = tmp_path / "r.sqlite"
    command = [
        sys.executable, "-m", "memhotplug", "sweep", str(scenario), "--vary", question.vary[0], "-o", str(path),
        "--jobs", "1", "--json",
    ]  # fmt: skip
    kept, cases = 0, len(question.numbers)
    for _ in range(10):
        started = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        while started.poll() is None and len(_kept(path)) < kept + BATCH:
            time.sleep(0.05)  # whoever looks all the time takes the time of who plays
        started.send_signal(signal.SIGKILL)
        started.wait()
        kept = len(_kept(path))
        assert kept % BATCH == 0 or kept == cases
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    document = json.loads(done.stdout)
    assert (document["skipped"], document["done"], document["cases"]) == (kept, cases, cases)
    whole = tmp_path / "whole.sqlite"
    run(asked(vary=question.vary, file=str(scenario)), whole)
    assert exported(path) == exported(whole)


def _kept(path: Path) -> dict[int, str]:
    if not path.exists():
        return {}
    try:
        with open_store(str(path)) as store:
            return store.done()
    except (InputError, sqlite3.OperationalError):
        return {}  # killed before there was anything, or busy


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"text": TEXT.replace("1G}", "2G}")}, "the scenario, its plugins, its snapshot or its trace differ"),
        ({"vary": ("steps.0.add.size=1G",)}, "the values differ"),
        ({"version": "9.9"}, "results of version 9.9; --redo plays the 6 cases again"),
    ],
)
def test_another_question_is_refused(change: dict[str, Any], problem: str, results: Path) -> None:
    """The file is as it was."""
    before = exported(results)
    with pytest.raises(InputError) as caught:
        run(asked(**change), results)
    assert problem in str(caught.value)
    assert exported(results) == before


def test_redo_plays_what_another_version_played(results: Path) -> None:
    """All of it, since every digest has the version."""
    newer = asked(version="9.9")
    with open_store(str(results), newer, redo=True) as store:
        assert store.meta("version") == "9.9"
    progress = run(newer, results)
    assert (progress.skipped, progress.played) == (0, 6)


def test_another_programs_file_is_left_alone(tmp_path: Path) -> None:
    """A database, and something that is none."""
    other = tmp_path / "other.sqlite"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE t (a)")
    connection.close()
    text = tmp_path / "text"
    text.write_text("hello, this is no database at all\n" * 40)
    for path, got in ((other, "a database of another program"), (text, "file is not a database")):
        with pytest.raises(InputError) as caught:
            open_store(str(path), asked())
        assert str(caught.value) == f"{path}: got {got}, expected the results of a sweep"


def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    """A batch is kept wholly or not at all."""
    path = tmp_path / "r.sqlite"
    with open_store(str(path), asked()) as store, Seat(asked()) as seat:
        store.add(seat.play([0, 1]))
        connection = store._connection
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages}")
        large = Played(9, "x", "y" * 100_000, ())
        with pytest.raises(StoreFullError) as caught:
            store.add([*seat.play([2]), large])
    assert caught.value.problem == "database or disk is full"
    assert [row["case"] for row in rows(path)] == [0, 1]


def test_steps_give_a_row_for_each_step_and_zone(tmp_path: Path) -> None:
    """As mhp run --csv has them, with the case in front."""
    path = tmp_path / "r.sqlite"
    run(asked(steps=True, vary=("steps.0.add.size=1G",)), path)
    with open_store(str(path)) as store:
        found = list(store.step_rows())
    last = found[-1]
    assert (last["case"], last["step"], last["op"], last["zone"], last["present"]) == (
        0,
        2,
        "expect",
        "Movable",
        262144,
    )
    assert last["movable_kernel_ratio"] == round(100 * 262144 / 245504, 2)


def test_plugin_files_travel_with_the_question(tmp_path: Path) -> None:
    """A worker that does not have the file gets its content."""
    data = (
        b"from memhotplug.plugin import hookimpl\n@hookimpl\n"
        b"def policy_mhp_flags(kernel, request, phys_range, driver_flags): return kernel.flag('memblock')\n"
    )
    question = asked(plugins=((str(tmp_path / "not-here" / "mine.py"), data),), vary=("drivers.acpi={policy: mine}",))
    with Seat(question) as seat:
        (played,) = seat.play([0])
    row = json.loads(played.row)
    assert (row["outcome"], row["self_hosted_bytes"]) == ("ok", 16 << 20)


def test_plugin_files_of_the_scenario_travel_too(tmp_path: Path) -> None:
    """The scenario names a file that a worker does not have."""
    data = (
        b"from memhotplug.plugin import hookimpl\n@hookimpl\n"
        b"def policy_mhp_flags(kernel, request, phys_range, driver_flags): return kernel.flag('none')\n"
    )
    question = asked(
        text=TEXT.replace("schema: 1", "schema: 1\nplugins: [./mine.py]"),
        file=str(tmp_path / "not-here" / "grow.yaml"),
        plugins=((str(tmp_path / "not-here" / "mine.py"), data),),
        vary=("drivers.acpi.policy=default,mine",),
    )
    with Seat(question) as seat:
        found = [json.loads(played.row) for played in seat.play([0, 1])]
    assert [(row["outcome"], row["self_hosted_bytes"]) for row in found] == [("ok", 16 << 20), ("ok", 0)]


def test_a_trace_is_played_against_each_variant(tmp_path: Path) -> None:
    """A device that can be resized is; a workload holds what the trace says."""
    trace = tmp_path / "t.csv"
    trace.write_text("time,size,pressure\n0,512M,0\n1,1G,256M\n2,128M,\n3,99G,0\n", encoding="utf-8")
    text = (
        "schema: 1\nmachine: {arch: x86_64, kernel: linux-6.12, memory: 2G, cmdline: memhp_default_state=online}\n"
        "steps: [add: {driver: virtio_mem, name: vm0, size: 256M, device_size: 4G}]\n"
    )
    question = asked(text=text, vary=("machine.memory=2G,4G",), trace=read_trace(str(trace)), steps=True)
    path = tmp_path / "r.sqlite"
    run(question, path)
    first = rows(path)[0]
    assert (first["outcome"], first["failed_op"], first["errno"]) == ("failed", "resize", "EINVAL")
    with open_store(str(path)) as store:
        ops = list(dict.fromkeys((row["step"], row["op"]) for row in store.step_rows() if row["case"] == 0))
    assert [op for _, op in ops] == ["add", "resize", "allocate", "resize", "resize", "release", "resize"]
    with open_store(str(path)) as store:
        times = dict.fromkeys((row["op"], row["time"]) for row in store.step_rows() if row["case"] == 0)
    assert list(times) == [
        ("add", None), ("resize", "0"), ("allocate", "1"), ("resize", "1"), ("resize", "2"), ("release", "3"),
        ("resize", "3"),
    ]  # fmt: skip


def test_letting_go_of_what_was_not_given_is_no_failure(tmp_path: Path) -> None:
    """The allocation failed, and that was all; a workload of the scenario's own that has the name is left alone."""
    trace = tmp_path / "t.csv"
    trace.write_text("time,size,pressure\n0,1G,99G\n1,1G,0\n2,1G,1M\n", encoding="utf-8")
    text = TEXT.replace("steps:\n", "steps:\n  - allocate: {name: pressure, size: 1M, zone: kernel}\n")
    question = asked(text=text, vary=("machine.memory=1G",), trace=read_trace(str(trace)))
    path = tmp_path / "r.sqlite"
    run(question, path)
    (row,) = rows(path)
    assert (row["failed_steps"], row["failed_op"], row["errno"]) == (1, "allocate", "ENOMEM")


def test_a_trace_needs_something_to_resize(tmp_path: Path) -> None:
    """Said before anything is played, unless a key may bring it."""
    trace = tmp_path / "t.csv"
    trace.write_text("time,size\n0,1G\n", encoding="utf-8")
    text = "schema: 1\nmachine: {arch: x86_64, kernel: v2-2019, memory: 1G}\nsteps: [release: {name: x}]\n".replace(
        "[release: {name: x}]", "[allocate: {name: x, size: 1M}]"
    )
    keys = {"text": text, "trace": read_trace(str(trace))}
    with pytest.raises(InputError) as caught:
        check_values(asked(vary=(), **keys), Installed())
    assert str(caught.value) == "grow.yaml: steps: expected an add step: its device is what a trace resizes"
    added = "steps.0={add: {driver: acpi, name: d, size: 1G}},{allocate: {name: x, size: 1M}}"
    question = asked(vary=(added,), **keys)
    check_values(question, Installed())
    run(question, tmp_path / "r.sqlite")
    assert [row["outcome"] for row in rows(tmp_path / "r.sqlite")] == ["ok", "refused"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("when,size\n", "1:1: got when, size, expected a header with the columns time or index, size"),
        ("time,size\n0\n", "2: got 1, expected 2 columns"),
        ("time,size\n0,1Q\n", "2:3: got 1Q, expected"),
    ],
)
def test_a_bad_trace_has_its_line(text: str, problem: str, tmp_path: Path) -> None:
    """File and line."""
    path = tmp_path / "t.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read_trace(str(path))
    assert f"{path}:{problem}" in str(caught.value)


def test_cases_whose_worker_died_are_played_again_alone() -> None:
    """First together, then one by one; the one that kills its worker each time that it is alone is named."""
    assert list(_again([([1, 2], 0)])) == [([1, 2], 1)]
    assert list(_again([([1, 2], 1)])) == [([1], 2), ([2], 2)]
    assert list(_again([([1], 2), ([2], 3)])) == [([1], 3), ([2], 4)]
    with pytest.raises(PluginError) as caught:
        list(_again([([1], 4)]))
    assert str(caught.value) == "plugin of case 1: ended its worker 3 times"


def test_a_case_that_may_kill_its_worker_is_played_alone() -> None:
    """Nobody else is blamed for what it does, and it not for what another does."""
    assert _goes_beside(([1, 2], 0), [])
    assert _goes_beside(([1, 2], 1), [([3], 0), ([4], 1)])
    assert _goes_beside(([1], 2), [])
    assert not _goes_beside(([1], 2), [([3], 0)])
    assert not _goes_beside(([3], 0), [([1], 2)])


def test_workers_that_are_killed_again_and_again_cost_their_cases_only(tmp_path: Path) -> None:
    """kill -9 of a worker twice, after a batch each time: no case is blamed, and every one is there."""
    question = asked(vary=("steps.0.add.size=1G..40G/128M",))
    local, killed = tmp_path / "local.sqlite", tmp_path / "killed.sqlite"
    run(question, local)
    made: list[ProcessPoolExecutor] = []

    class Watched(Local):
        def executor(self) -> Executor:
            executor = super().executor()
            assert isinstance(executor, ProcessPoolExecutor)
            made.append(executor)
            return executor

    def kill(_progress: Progress) -> None:
        if len(made) <= 2:
            os.kill(next(iter(made[-1]._processes)), signal.SIGKILL)

    with open_store(str(killed), question) as store:
        progress = sweep(question, store, Watched(2), observe=kill)
    assert (progress.played, len(made)) == (len(question.numbers), 3)
    assert exported(killed) == exported(local)


def test_workers_go_with_who_asked() -> None:
    """kill -9 of the process that asks leaves no worker behind."""
    program = (
        "import os, signal\nfrom memhotplug.commands.sweep.workers import Local\n"
        "if __name__ == '__main__':\n"
        "    print(Local(1).executor().submit(os.getpid).result(), flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    worker = Path("/proc", done.stdout.strip())
    until = time.monotonic() + 30
    while worker.exists() and time.monotonic() < until:
        time.sleep(0.01)
    assert not worker.exists()


def test_a_worker_that_dies_costs_its_cases_only(tmp_path: Path) -> None:
    """A plugin that ends its process once: every case is there in the end."""
    mark = tmp_path / "died"
    plugin = tmp_path / "deadly.py"
    plugin.write_text(
        "import os, pathlib\nfrom memhotplug.plugin import hookimpl\n@hookimpl\n"
        "def policy_mhp_flags(kernel, request, phys_range, driver_flags):\n"
        f"    mark = pathlib.Path({str(mark)!r})\n"
        "    if phys_range.size == 2 << 30 and not mark.exists():\n"
        "        mark.touch()\n        os._exit(9)\n    return driver_flags\n",
        encoding="utf-8",
    )
    question = asked(
        plugins=((str(plugin), plugin.read_bytes()),),
        text=TEXT.replace("{mhp_flags: none}", "{policy: deadly}").replace("drivers:", "drivers:"),
        vary=("steps.0.add.size=1G,2G,3G",),
    )
    found = [played.number for batch in play_all(Local(1), question, question.numbers) for played in batch]
    assert sorted(found) == [0, 1, 2]
    assert mark.exists()
