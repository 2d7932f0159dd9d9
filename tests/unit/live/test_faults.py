"""Faults and delays as they are typed."""

from __future__ import annotations

import pytest

from memhotplug import InputError, Machine
from memhotplug.live.faults import Fault, Faults, parse_delay, parse_fault, veto_of


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("MEM_GOING_ONLINE=ENOMEM", Fault("MEM_GOING_ONLINE", "ENOMEM")),
        ("MEM_PREPARE_ONLINE=EPERM*3", Fault("MEM_PREPARE_ONLINE", "EPERM", None, 3)),
        ("offline=EINTR", Fault("MEM_GOING_OFFLINE", "EINTR")),
        ("offline:34=EBUSY", Fault("MEM_GOING_OFFLINE", "EBUSY", (34, 34))),
        ("online:32-39=EINVAL*2", Fault("MEM_GOING_ONLINE", "EINVAL", (32, 39), 2)),
    ],
)
def test_words_mean_faults(text: str, fault: Fault) -> None:
    """An event or an operation, blocks, an errno, how often."""
    assert parse_fault(text) == fault


_WANTED = "expected a fault such as MEM_GOING_ONLINE=ENOMEM, offline:34=EBUSY or online:32-39=EINVAL*2"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", f"--fail: got '', {_WANTED}"),
        ("offline", f"--fail: got 'offline', {_WANTED}"),
        ("offline:=EBUSY", f"--fail: got 'offline:=EBUSY', {_WANTED}"),
        ("offline:3-=EBUSY", f"--fail: got 'offline:3-=EBUSY', {_WANTED}"),
        ("offline=EBUSY*", f"--fail: got 'offline=EBUSY*', {_WANTED}"),
        ("offline=EBUSY*0", f"--fail: got 'offline=EBUSY*0', {_WANTED}"),
        (
            "ofline=EBUSY",
            "--fail: got ofline, expected one of online, offline, MEM_PREPARE_ONLINE, MEM_GOING_ONLINE, "
            "MEM_GOING_OFFLINE; did you mean 'offline'?",
        ),
        ("offline=BUSY", "--fail: got BUSY, expected an errno name such as EBUSY"),
        ("offline=EBUSSY", "--fail: got EBUSSY, expected an errno name such as EBUSY"),
        ("offline:9-3=EBUSY", "--fail: got 9-3, expected blocks in ascending order"),
        (
            "MEM_GOING_ONLINE:3=EBUSY",
            "--fail: got 'MEM_GOING_ONLINE:3=EBUSY', expected blocks behind online or offline only",
        ),
    ],
)
def test_other_words_are_refused(text: str, message: str) -> None:
    """One line, with what was expected and the nearest name."""
    with pytest.raises(InputError) as refused:
        parse_fault(text)
    assert str(refused.value) == message


def test_delays_are_milliseconds() -> None:
    """By operation."""
    assert parse_delay("online=250") == ("online", 0.25)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("online", "--delay: got 'online', expected a delay in milliseconds such as online=200"),
        ("online=-1", "--delay: got 'online=-1', expected a delay in milliseconds such as online=200"),
        (
            "onlin=1",
            "--delay: got onlin, expected one of online, offline, add, eject, resize, write; did you mean 'online'?",
        ),
    ],
)
def test_other_delays_are_refused(text: str, message: str) -> None:
    """One line."""
    with pytest.raises(InputError) as refused:
        parse_delay(text)
    assert str(refused.value) == message


def test_an_event_that_the_kernel_does_not_have_is_refused() -> None:
    """PREPARE_ONLINE came with 6.8."""
    machine = Machine.boot(arch="x86_64", kernel="linux-6.1", memory="1G")
    with pytest.raises(InputError) as refused:
        Faults([parse_fault("MEM_PREPARE_ONLINE=ENOMEM")], machine.kernel)
    assert str(refused.value) == (
        "--fail: got MEM_PREPARE_ONLINE, expected an event of linux-6.1: MEM_GOING_ONLINE, MEM_GOING_OFFLINE"
    )


def test_a_fault_holds_for_its_blocks_and_as_often_as_it_says() -> None:
    """The first that holds comes; one of an unknown block is none of particular blocks."""
    machine = Machine.boot(arch="x86_64", kernel="linux-6.12", memory="1G")
    twice, always = parse_fault("online:3-4=EINVAL*2"), parse_fault("MEM_GOING_ONLINE=ENOMEM")
    faults = Faults([twice, always], machine.kernel)

    assert faults.find("online", 3) is twice
    assert faults.find("online", 5) is always
    assert faults.find("online", None) is always
    assert faults.find("offline", 3) is None
    assert faults.find(None, 3) is None
    for _ in range(2):
        faults.came(twice)
    assert faults.find("online", 3) is always


@pytest.mark.parametrize(
    ("fault", "direction", "block", "holds"),
    [
        (Fault("MEM_GOING_ONLINE", "ENOMEM"), "online", 5, True),
        (Fault("MEM_GOING_ONLINE", "ENOMEM"), "online", None, True),
        (Fault("MEM_GOING_ONLINE", "ENOMEM"), "offline", 5, False),
        (Fault("MEM_GOING_OFFLINE", "ENOMEM"), "offline", 5, True),
        (Fault("MEM_GOING_OFFLINE", "ENOMEM"), "online", 5, False),
        (Fault("MEM_GOING_ONLINE", "ENOMEM", (5, 7)), "online", 4, False),
        (Fault("MEM_GOING_ONLINE", "ENOMEM", (5, 7)), "online", 5, True),
        (Fault("MEM_GOING_ONLINE", "ENOMEM", (5, 7)), "online", 7, True),
        (Fault("MEM_GOING_ONLINE", "ENOMEM", (5, 7)), "online", 8, False),
        (Fault("MEM_GOING_ONLINE", "ENOMEM", (5, 7)), "online", None, False),
        (Fault("MEM_GOING_ONLINE", "ENOMEM", None, 0), "online", 5, False),
        (Fault("MEM_GOING_ONLINE", "ENOMEM", None, 1), "online", 5, True),
    ],
)
def test_a_fault_holds_for_its_direction_and_its_blocks(
    fault: Fault, direction: str, block: int | None, holds: bool
) -> None:
    """Both ends of a range of blocks are in it; what has come as often as it should comes no more."""
    assert fault.holds(direction, block) is holds


def test_a_fault_is_written_down_as_a_veto() -> None:
    """Its event and its errno; without a fault there is none."""
    veto = veto_of(Fault("MEM_GOING_ONLINE", "ENOMEM", (5, 7), 3))
    assert veto is not None
    assert (veto.event, veto.errno) == ("MEM_GOING_ONLINE", "ENOMEM")
    assert veto_of(None) is None
