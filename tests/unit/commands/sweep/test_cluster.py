"""Who plays besides this process: a Dask cluster, workers of another version, and pools that lose what they play."""

from __future__ import annotations

import os
import platform
import signal
from concurrent.futures import CancelledError, Executor, Future, ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.unit.commands.sweep.conftest import asked, exported, run

from memhotplug import InputError, PluginError, __version__
from memhotplug.commands.sweep.answer import Progress, sweep
from memhotplug.commands.sweep.store import open_store
from memhotplug.commands.sweep.workers import Cluster, Pool, PoolGoneError, Seat, play_all


def test_a_dask_cluster_gives_the_same_though_a_worker_is_killed(tmp_path: Path) -> None:
    """Two worker processes of a local cluster, by the address of their scheduler; one gets kill -9 on the way."""
    distributed = pytest.importorskip("distributed")
    question = asked(vary=("steps.0.add.address=8G..295G/1G",))  # many, and each takes no time
    local, far = tmp_path / "local.sqlite", tmp_path / "dask.sqlite"
    run(question, local)
    dask = pytest.importorskip("dask")
    with (
        dask.config.set({"distributed.worker.multiprocessing-method": "forkserver"}),  # imports but once
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
        ) as cluster,
    ):
        pool = Cluster(cluster.scheduler_address)
        pids = sorted(pool._client.run(os.getpid).values())
        assert len(set(pids) - {os.getpid()}) == 2

        def kill_once(progress: Progress) -> None:
            if pids:
                os.kill(pids.pop(), signal.SIGKILL)
                pids.clear()

        with open_store(str(far), question) as store:
            progress = sweep(question, store, pool, observe=kill_once)
        pool.close()
    assert (progress.done, pids) == (len(question.numbers), [])
    assert exported(far) == exported(local)


class _Fails(Executor):
    """An executor all of whose futures end with an exception."""

    def __init__(self, problem: Exception) -> None:
        self._problem = problem

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_exception(self._problem)
        return future


def test_a_scheduler_that_goes_away_is_said(tmp_path: Path) -> None:
    """What was kept stays."""

    class Gone(Pool):
        seats = 2

        def executor(self) -> Executor:
            return _Fails(CancelledError())

    with open_store(str(tmp_path / "r.sqlite"), asked()) as store:
        with Seat(asked()) as seat:
            store.add(seat.play([0]))
        with pytest.raises(PoolGoneError) as caught:
            sweep(asked(), store, Gone())
        assert sorted(store.done()) == [0]
    assert caught.value.problem == "the scheduler does not answer any more"


def test_cases_that_a_cluster_lost_are_played_again() -> None:
    """Whatever the pool says of lost workers; then the case that kills its worker is named."""

    class LostError(Exception):
        pass

    class Clumsy(Pool):
        seats, lost = 1, (LostError,)

        def executor(self) -> Executor:
            return _Fails(LostError())

    with pytest.raises(PluginError, match="of case 0: ended its worker 3 times"):
        list(play_all(Clumsy(), asked(), [0]))


@pytest.mark.parametrize(
    ("answer", "got"),
    [
        ("0.0.9", "tcp://10.0.0.2:2 with 0.0.9"),
        (ModuleNotFoundError("No module"), "tcp://10.0.0.2:2 without (No module)"),
    ],
)
def test_workers_of_another_version_are_refused_by_name(answer: object, got: str) -> None:
    """Each worker is asked before anything is sent to it."""
    cluster = Cluster.__new__(Cluster)
    answers = {"tcp://10.0.0.1:1": __version__, "tcp://10.0.0.2:2": answer}
    cluster._client = SimpleNamespace(run=lambda _question, on_error: answers)
    with pytest.raises(InputError) as caught:
        cluster._check_versions()
    assert str(caught.value) == f"got {got}, expected workers with memhotplug {__version__}"


def test_a_scheduler_without_workers_is_said() -> None:
    """Nobody waits for ever for somebody to begin."""

    def wait_for_workers(_count: int, timeout: float) -> None:
        raise TimeoutError(timeout)

    cluster = Cluster.__new__(Cluster)
    cluster._client = SimpleNamespace(wait_for_workers=wait_for_workers)
    with pytest.raises(InputError) as caught:
        cluster._wait_for_workers("tcp://10.0.0.1:8786")
    assert str(caught.value) == (
        "--scheduler: got none at tcp://10.0.0.1:8786, expected a Dask scheduler that has a worker within 10 s"
    )


def test_a_worker_that_comes_later_with_another_version_is_named() -> None:
    """It plays nothing, and the sweep ends with where it is."""

    class Later(Pool):
        seats = 1

        def executor(self) -> Executor:
            return ThreadPoolExecutor(1)

    with pytest.raises(InputError) as caught:
        list(play_all(Later(), asked(version="9.9"), [0, 1]))
    assert str(caught.value) == (
        f"got process {os.getpid()} of {platform.node()} with {__version__}, expected workers with memhotplug 9.9"
    )
