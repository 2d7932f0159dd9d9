"""The machine while it lives: reads, writes as write(2) makes them, faults, and what is noted of it."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from memhotplug import MemoryHotplugError
from memhotplug.live.machine import Change, LiveMachine

Alive = Callable[..., LiveMachine]
_MEMORY = "sys/devices/system/memory"
_STATE = f"{_MEMORY}/memory32/state"


def refused(live: LiveMachine, path: str, data: bytes, capable: bool = True) -> str:
    """Return the errno with which a write fails."""
    with pytest.raises(MemoryHotplugError) as problem:
        live.write(path, data, capable=capable)
    return problem.value.name


def test_what_is_written_reads_back_as_the_kernel_has_it(alive: Alive) -> None:
    """online_movable reads back online."""
    live = alive()
    assert live.write(_STATE, b"online_movable\n") == len(b"online_movable\n")
    assert live.read(_STATE) == "online\n"
    assert live.read(f"{_MEMORY}/memory32/valid_zones") == "Movable\n"


@pytest.mark.parametrize(
    ("path", "data", "errno"),
    [
        (_STATE, b"offline", "EINVAL"),
        (_STATE, b"nonsense", "EINVAL"),
        (_STATE, b"\xff\xfe\x00online", "EINVAL"),
        (_STATE, b"\n", "EINVAL"),
        (_STATE, b"x" * 100_000, "EINVAL"),
        (f"{_MEMORY}/memory31/state", b"offline", "EBUSY"),
        (f"{_MEMORY}/memory99/state", b"offline", "ENODEV"),
        (f"{_MEMORY}/block_size_bytes", b"1", "EACCES"),
        (_MEMORY, b"1", "EISDIR"),
    ],
)
def test_errnos_are_the_kernel_s(alive: Alive, path: str, data: bytes, errno: str) -> None:
    """Whatever is written, and nothing changes."""
    live = alive()
    before = live.end().to_dict()
    assert refused(live, path, data) == errno
    assert live.end().to_dict() == before


def test_a_string_ends_where_it_does_in_c(alive: Alive) -> None:
    """What follows a NUL is not looked at."""
    live = alive()
    live.write(_STATE, b"online\0garbage")
    assert live.read(_STATE) == "online\n"


def test_a_long_write_is_taken_in_part(alive: Alive) -> None:
    """A page at most, as kernfs hands on."""
    live = alive()
    assert live.write(f"{_MEMORY}/memory0/uevent", b"change " + b"x" * 9000) == 4096


def test_an_empty_write_does_nothing(alive: Alive) -> None:
    """Nothing is stored, and nothing is noted."""
    live = alive()
    assert live.write(_STATE, b"") == 0
    assert live.steps == []


def test_who_is_not_root_may_not_give_up_pages(alive: Alive) -> None:
    """As CAP_SYS_ADMIN has it; a scenario can repeat it."""
    live = alive()
    path = f"{_MEMORY}/soft_offline_page"
    assert refused(live, path, b"0x1000", capable=False) == "EPERM"
    assert live.steps == [{"write": {"path": "/" + path, "value": "0x1000", "capable": False, "fails": "EPERM"}}]


def test_a_fault_is_a_veto_and_comes_as_often_as_it_says(alive: Alive) -> None:
    """And is noted as one."""
    live = alive("online:32-33=ENOMEM*1")
    assert refused(live, _STATE, b"online") == "ENOMEM"
    live.write(_STATE, b"online")
    assert live.steps == [
        {
            "write": {
                "path": "/" + _STATE,
                "value": "online",
                "fails": "ENOMEM",
                "veto": {"event": "MEM_GOING_ONLINE", "errno": "ENOMEM"},
            }
        },
        {"write": {"path": "/" + _STATE, "value": "online"}},
    ]


def test_a_fault_is_not_spent_on_what_fails_by_itself(alive: Alive) -> None:
    """A block that is offline already never asks the notifiers."""
    live = alive("offline:32=EPERM*1")
    assert refused(live, _STATE, b"offline") == "EINVAL"
    live.write(_STATE, b"online_movable")
    assert refused(live, _STATE, b"offline") == "EPERM"
    live.write(_STATE, b"offline")


@pytest.mark.parametrize(("word", "errno"), [("1", "ENOMEM"), ("0", None)])
def test_the_file_online_is_an_operation_too(alive: Alive, word: str, errno: str | None) -> None:
    """By the boolean that is written."""
    live = alive("online=ENOMEM")
    path = f"{_MEMORY}/memory32/online"
    if errno is None:
        live.write(path, word.encode())
    else:
        assert refused(live, path, word.encode()) == errno


def test_listeners_are_told_the_uevents(alive: Alive) -> None:
    """In the order of the blocks; of what fails too, without any."""
    live = alive()
    told: list[Change] = []
    end = live.listen(told.append)

    live.write(_STATE, b"online_movable")
    live.perform("add", {"driver": "acpi", "name": "dimm1", "size": "256M"})
    with pytest.raises(MemoryHotplugError):
        live.write(_STATE, b"online")
    live.perform("eject", {"range": "dimm0"})
    end()
    live.perform("eject", {"range": "dimm1"})

    assert [(change.op, change.device, change.errno) for change in told] == [
        ("write", None, None),
        ("add", "dimm1", None),
        ("write", None, "EINVAL"),
        ("eject", "dimm0", None),
    ]
    assert told[0].uevents == (("online", 32),)
    assert told[1].uevents == (("add", 40), ("add", 41))
    assert told[2].uevents == ()
    assert told[3].uevents == (("remove", 32), *(("remove", block) for block in range(33, 40)))


def test_readers_see_a_whole_machine_while_others_write(alive: Alive) -> None:
    """What a reader holds does not change under him, and every write is done."""
    live = alive()
    held = live.kernel

    def flip(block: int) -> None:
        for _ in range(5):
            live.write(f"{_MEMORY}/memory{block}/state", b"online_movable")
            live.write(f"{_MEMORY}/memory{block}/state", b"offline")
        live.write(f"{_MEMORY}/memory{block}/state", b"online_movable")

    threads = [threading.Thread(target=flip, args=(block,)) for block in range(32, 40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        assert live.read("proc/zoneinfo").startswith("Node 0, zone")
        thread.join()

    assert len(live.steps) == 8 * 11
    assert {live.read(f"{_MEMORY}/memory{block}/state") for block in range(32, 40)} == {"online\n"}
    assert int(held.state.blocks.state[32]) == 4  # offline, as it was
    assert live.end().violations() == []


def test_a_block_is_seen_on_its_way_while_it_goes_offline() -> None:
    """Whoever reads meanwhile sees going-offline, and is not kept waiting."""
    from memhotplug import Machine

    machine = Machine.boot(arch="x86_64", kernel="linux-6.12", memory="4G")
    live = LiveMachine(machine, (), {"offline": 0.2})
    path = f"{_MEMORY}/memory20/state"
    thread = threading.Thread(target=live.write, args=(path, b"offline"))
    thread.start()
    seen = set()
    while thread.is_alive():
        seen.add(live.read(path))
    thread.join()

    assert "going-offline\n" in seen
    assert live.read(path) == "offline\n"


@pytest.fixture
def pinned(alive: Alive) -> LiveMachine:
    """A machine whose hot-added blocks are full of pinned pages."""
    live = alive()
    live.perform("online", {"range": "dimm0", "zone": "movable"})
    live.perform("allocate", {"name": "app", "size": "1G", "zone": "movable", "pinned": True})
    return live


class Writer(threading.Thread):
    """Writes ``offline`` to a block's state in a thread of its own, until it is told to stop."""

    def __init__(self, live: LiveMachine, block: int) -> None:
        super().__init__()
        self.signal = threading.Event()
        self.outcome = ""
        self._live, self._path = live, f"{_MEMORY}/memory{block}/state"
        self.start()

    def run(self) -> None:
        """Note how it ends."""
        try:
            self._live.write(self._path, b"offline", interrupted=self.signal.is_set)
        except MemoryHotplugError as problem:
            self.outcome = str(problem)
        else:
            self.outcome = "written"

    def stop(self) -> str:
        """Send it a signal; return how it ended."""
        self.signal.set()
        self.join()
        return self.outcome


def wait_for(live: LiveMachine, block: int) -> None:
    """Wait until a block is on its way offline."""
    while live.read(f"{_MEMORY}/memory{block}/state") != "going-offline\n":
        pass


def test_what_cannot_move_is_tried_until_a_signal_comes(pinned: LiveMachine) -> None:
    """One step is noted, and all is as before."""
    before = pinned.end().to_dict()
    writer = Writer(pinned, 39)
    wait_for(pinned, 39)
    assert "pages of 'app' are pinned; would retry until interrupted" in writer.stop()
    assert pinned.end().to_dict() == before
    assert [next(iter(step)) for step in pinned.steps] == ["online", "allocate", "write"]
    assert pinned.read(f"{_MEMORY}/memory39/state") == "online\n"


def test_what_is_released_meanwhile_lets_it_succeed(pinned: LiveMachine) -> None:
    """A workload takes no turn; the steps stand in the order in which they came true."""
    writer = Writer(pinned, 39)
    wait_for(pinned, 39)
    pinned.perform("release", {"name": "app"})
    writer.join()
    assert writer.outcome == "written"
    assert pinned.read(f"{_MEMORY}/memory39/state") == "offline\n"
    assert [next(iter(step)) for step in pinned.steps] == ["online", "allocate", "release", "write"]


def test_whoever_waits_for_his_turn_can_be_interrupted(pinned: LiveMachine) -> None:
    """And then nothing of him is noted."""
    first = Writer(pinned, 39)
    wait_for(pinned, 39)
    second = Writer(pinned, 38)
    assert second.stop() == "EINTR: interrupted while another operation is under way"
    assert first.stop().startswith("EINTR: ")
    assert len(pinned.steps) == 3


def test_without_somebody_to_interrupt_it_ends_at_once(pinned: LiveMachine) -> None:
    """As in a scenario."""
    assert refused(pinned, f"{_MEMORY}/memory39/state", b"offline") == "EINTR"


def test_a_veto_of_eintr_is_an_answer(alive: Alive) -> None:
    """It is the notifier's, and is not tried again."""
    live = alive("offline=EINTR")
    live.perform("online", {"range": "dimm0", "zone": "movable"})
    writer = Writer(live, 39)
    writer.join()
    assert writer.outcome == "EINTR: a notifier vetoed MEM_GOING_OFFLINE"
