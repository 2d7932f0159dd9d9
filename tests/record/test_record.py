"""Whole recordings with a stand-in for QEMU: what is written is what the reader of recordings accepts."""

from __future__ import annotations

import asyncio
import json
import lzma
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("qemu.qmp", reason="the library qemu.qmp is not installed (extra: record)")

from tools.record.__main__ import main
from tools.record.arch import ARCHITECTURES
from tools.record.errors import RecordError
from tools.record.scenario import parse
from tools.record.session import Host, _run, record, write_recording

from memhotplug.formats.snapshot.recording import read_recording

MIB = 1 << 20
STEPS = [
    {"add": {"dimm": "d0", "size": "256M"}},
    {"online": {"blocks": "d0", "type": "online_movable", "each": True}},
    {"online": {"blocks": [0, "d0[-1]"], "type": "online"}},
    {"offline": {"blocks": ["boot[0]", "boot[-1]"]}},
    {"write": {"path": "/proc/iomem", "value": "x"}},
    {"remove": "d0"},
]


def _document(*steps: object, cmdline: str = "", timeout: int = 60) -> dict[str, object]:
    keys = {"name": "fake", "what": "a fake guest", "arch": "x86_64", "memory": "1G", "timeout": timeout}
    return keys | {"cmdline": cmdline, "steps": list(steps)}


@pytest.fixture
def host(fake_qemu: Path, tmp_path: Path) -> Host:
    """Return a host whose kernel and init are empty files."""
    for name in ("vmlinuz-fake", "init"):
        (tmp_path / name).touch()
    kernel, init = tmp_path / "vmlinuz-fake", tmp_path / "init"
    return Host(qemu=str(fake_qemu), kernel=kernel, init=init, recorded_on="2026-11-23", quiet_seconds=0.0)


def _record(host: Host, *steps: object, **keys: Any) -> dict[str, Any]:
    return asyncio.run(record(parse(_document(*steps, **keys)), host))


def _refused(host: Host, *steps: object, **keys: Any) -> str:
    with pytest.raises(RecordError) as caught:
        _record(host, *steps, **keys)
    return str(caught.value)


def test_recording_is_what_the_reader_accepts(host: Host, tmp_path: Path) -> None:
    """Every kind of operation, written and read back."""
    document = _record(host, *STEPS)
    write_recording(document, tmp_path / "r.json.xz")

    recording = read_recording(tmp_path / "r.json.xz")

    assert [step.op.kind for step in recording.steps] == [
        "boot", "add", "online", "online", "online", "offline", "write", "remove",
    ]  # fmt: skip
    assert [step.op.blocks for step in recording.steps] == [(), (32, 33), (32,), (33,), (0, 33), (0, 7), (), (32, 33)]
    assert recording.steps[1].op.address == 1 << 32
    assert [step.errno for step in recording.steps] == [None, None, None, None, "EBUSY", "EBUSY", "EACCES", None]
    assert recording.steps[5].results == {0: "EBUSY: Device or resource busy", 7: "ok"}
    assert recording.steps[7].blocks_left == ()
    assert recording.meta.kernel_release == "6.1.0-fake"
    assert [path.name for path in tmp_path.glob("*.partial")] == []


def test_meta_says_how_it_was_made(host: Host) -> None:
    """Everything that a reader needs, and nothing of this machine's directories."""
    meta = _record(host)["meta"]

    assert isinstance(meta.pop("host_seconds"), float)
    assert meta.pop("qemu_peak_rss_bytes") > 0
    assert meta.pop("note_files").startswith("memoryN/node holds")
    assert meta.pop("qemu") == (
        "QEMU emulator version 7.2.0 (fake) | qemu-system-fake -machine pc -accel tcg -m 1024M,slots=16,maxmem=65536M "
        "-smp 1 -kernel vmlinuz-fake -initrd initrd-x86_64.gz -append console=ttyS0 panic=-1 loglevel=7 -display none "
        "-vga none -nodefaults -no-reboot -monitor none -serial stdio"
    )
    assert meta == {
        "scenario": "fake",
        "what": "a fake guest",
        "arch": "x86_64",
        "kernel_release": "6.1.0-fake",
        "kernel_version": "#1 SMP",
        "machine": "x86_64",
        "page_size": 4096,
        "section_size_bytes": 128 * MIB,
        "memory_block_size_bytes": 128 * MIB,
        "cmdline": "console=ttyS0 panic=-1 loglevel=7",
        "boot_memory_bytes": 1 << 30,
        "cpus": 1,
        "memmap_on_memory": "Y",
        "online_policy": None,
        "memory_hotplug_parameters": {"memmap_on_memory": "Y"},
        "auto_online_blocks": "offline",
        "recorded_on": "2026-11-23",
    }


@pytest.mark.parametrize(
    ("arch", "page_size", "release", "size"),
    [
        ("s390x", 4096, "6.12.107+deb13-s390x", 256 * MIB),
        ("s390x", 4096, "6.14.0-s390x", 128 * MIB),
        ("s390x", 4096, "7.2.13-s390x", 128 * MIB),
        ("arm64", 65536, "6.12.1", 512 * MIB),
        ("x86_64", 65536, "6.12.1", None),
    ],
)
def test_section_size_is_that_of_the_release(arch: str, page_size: int, release: str, size: int | None) -> None:
    """No file of the kernel tells it; s390 halved it in 6.14."""
    assert ARCHITECTURES[arch].section_bytes(page_size, release) == size


def test_step_holds_the_log_the_events_and_the_page_flags_of_its_own(host: Host) -> None:
    """Log lines and events appear once, in the step that they belong to."""
    boot, add, remove = _record(host, STEPS[0], STEPS[5])["steps"]

    assert (boot["dmesg"], boot["dmesg_seconds"]) == (["Linux version 6.1.0-fake", "odd \x1b text"], [0.001, 0.0025])
    assert (add["dmesg"], remove["dmesg"]) == (["a line for the add"], [])
    assert "qmp_events" not in boot
    assert [event["event"] for event in add["qmp_events"]] == ["ACPI_DEVICE_OST"]
    assert [event["event"] for event in remove["qmp_events"]] == [
        "ACPI_DEVICE_OST",
        "DEVICE_DELETED",
        "ACPI_DEVICE_OST",
    ]
    assert "kpageflags" not in boot
    assert add["kpageflags"] == {"ranges": [[0x100000, 0x110000, "0x400"]], "covered": [[0x100000, 0x110000]]}
    assert remove["kpageflags"]["past_end_of_file"] == [[0x100000, 0x110000]]
    assert boot["guest_seconds"] == 1.478


def test_boot_blocks_are_watched_where_nothing_is_added(host: Host) -> None:
    """The four highest."""
    (boot,) = _record(host)["steps"]

    assert boot["kpageflags"]["covered"] == [[0x20000, 0x40000]]


def test_add_that_gives_no_blocks_is_a_result(host: Host) -> None:
    """Half of the blocks, or a size that is not whole blocks: the recording goes on."""
    half = _record(host, STEPS[0], cmdline="fake=half")["steps"][1]
    odd = _record(host, {"add": {"dimm": "d0", "size": "64M"}}, STEPS[5])["steps"]

    assert (half["result"], half["guest_seconds_blocks_present"]) == ("failed: 1 of 2 blocks appeared", None)
    assert (odd[1]["result"], odd[1]["op"]["blocks"]) == ("failed: not whole memory blocks, none appeared", [])
    assert (odd[2]["result"], odd[2]["blocks_left"]) == ("ok", [])


def test_removal_that_the_guest_refuses_is_a_result(host: Host) -> None:
    """The event is named, and the blocks that are still there."""
    remove = _record(host, STEPS[0], STEPS[5], cmdline="fake=busy")["steps"][2]

    assert (remove["result"], remove["blocks_left"]) == ("failed: ACPI_DEVICE_OST", [32, 33])
    assert remove["qmp_events"][1]["data"]["info"]["status"] == 130


def test_guest_that_dies_ends_the_recording(host: Host) -> None:
    """With the end of its console."""
    assert _refused(host, cmdline="fake=panic") == (
        "the guest: it stopped during 'the boot'; from the end of its console:\n  Kernel panic - not syncing: fake"
    )


def test_guest_that_hangs_ends_the_recording(host: Host) -> None:
    """The scenario's own limit."""
    assert _refused(host, cmdline="fake=silent", timeout=1) == "the recording did not end within 1 seconds"


def test_blocks_that_are_not_there_end_the_recording(host: Host) -> None:
    """A DIMM of two blocks has no third; what was recorded until then is kept."""
    document = _record(host, {"add": {"dimm": "d0", "size": "256M"}}, {"online": {"blocks": ["d0[2]"]}})
    assert [step["op"]["kind"] for step in document["steps"]] == ["boot", "add"]
    assert document["ended"]["why"] == "step 2: d0 has 2 blocks, there is no [2]"
    document = _record(host, {"add": {"dimm": "d0", "size": "256M"}}, {"online": {"blocks": ["d0", 33]}})
    assert document["ended"]["why"] == "step 2 names a block twice: [32, 33, 33]"


def test_kernel_that_is_not_there_is_named(host: Host) -> None:
    """Before QEMU is started."""
    host.kernel.unlink()

    assert _refused(host) == f"there is no file {host.kernel}"


def test_command_writes_the_file_and_tells_of_each_step(
    host: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The scenario in YAML (JSON is YAML), the recording compressed."""
    scenario, output = tmp_path / "s.yaml", tmp_path / "out.json.xz"
    scenario.write_text(json.dumps(_document(*STEPS[:2])))
    options = ["--kernel", str(host.kernel), "--init", str(host.init), "--qemu", host.qemu]

    assert main([str(scenario), "-o", str(output), *options]) == 0

    assert capsys.readouterr().err.splitlines() == [
        "step 0: boot: ok",
        "step 1: add dimm=d0 size=268435456 blocks=[32, 33]: ok",
        "step 2: online type=online_movable blocks=[32]: ok",
        "step 3: online type=online_movable blocks=[33]: ok",
    ]
    assert list(json.loads(lzma.decompress(output.read_bytes()))) == ["meta", "steps"]


def test_command_tells_bad_input_from_failure(host: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit status 2 and 1, one line each, and no file."""
    scenario, output = tmp_path / "s.yaml", tmp_path / "out.json.xz"
    options = ["-o", str(output), "--kernel", str(tmp_path / "none"), "--init", str(host.init), "--qemu", host.qemu]

    assert main([str(scenario), *options]) == 2
    scenario.write_text(json.dumps(_document()))
    assert main([str(scenario), *options]) == 1

    assert capsys.readouterr().err.splitlines() == [
        f"record: {scenario}: got No such file or directory, expected a readable scenario",
        f"record: there is no file {tmp_path / 'none'}",
    ]
    assert not output.exists()


def test_a_folder_that_is_not_there_is_told_before_a_guest_has_lived_in_vain(
    host: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No step is told of: nothing was started."""
    scenario, folder = tmp_path / "s.yaml", tmp_path / "none"
    scenario.write_text(json.dumps(_document()))
    options = ["--kernel", str(host.kernel), "--init", str(host.init), "--qemu", host.qemu]

    assert main([str(scenario), "-o", str(folder / "out.json.xz"), *options]) == 1

    assert capsys.readouterr().err == f"record: no recording can be written to the folder {folder}\n"


# ---- nothing is lost ----


def test_a_block_that_cannot_go_offline_is_interrupted(host: Host) -> None:
    """Its pages cannot move: the kernel would try for ever, and a signal ends that."""
    document = _record(host, {"offline": {"blocks": ["boot[-1]", "boot[-2]"]}}, cmdline="fake=pinned")
    step = document["steps"][1]
    assert step["results"] == {"7": "EINTR: Interrupted system call", "6": "ok"}
    assert step["result"] == "EINTR: Interrupted system call"
    assert step["files"]["sys/devices/system/memory/memory7/state"] == "online\n"


def test_an_add_that_qemu_refuses_is_kept_beside_the_steps(host: Host, tmp_path: Path) -> None:
    """Nothing happened to the guest; what is done to that DIMM later is nothing either, and the rest goes on."""
    lines: list[str] = []
    steps = [
        {"add": {"dimm": "d0", "size": "256M", "address": 1}},
        {"online": {"blocks": "d0"}},
        {"remove": "d0"},
        {"add": {"dimm": "d1", "size": "128M"}},
    ]
    document: Any = asyncio.run(record(parse(_document(*steps)), host, lines.append))

    assert [step["op"]["kind"] for step in document["steps"]] == ["boot", "add"]
    assert [(one["after_step"], one["why"]) for one in document["refused"]] == [
        (0, "QEMU refuses device_add: no room"),
        (0, "there is no DIMM d0: it was refused"),
        (0, "there is no DIMM d0: it was refused"),
    ]
    assert sum(line.startswith("no step: ") for line in lines) == 3
    assert "ended" not in document
    write_recording(document, tmp_path / "r.json.xz")
    assert len(read_recording(tmp_path / "r.json.xz").steps) == 2


def test_a_dimm_that_is_gone_cannot_go_again(host: Host) -> None:
    """QEMU says so; its blocks are not there either, which the guest says."""
    document = _record(host, {"add": {"dimm": "d0", "size": "128M"}}, {"remove": "d0"}, {"online": {"blocks": "d0"}},
                       {"remove": "d0"}, {"write": {"path": "/proc/iomem", "value": "x"}})  # fmt: skip
    assert [(step["op"]["kind"], step["result"][:6]) for step in document["steps"]] == [
        ("boot", "ok"),
        ("add", "ok"),
        ("remove", "ok"),
        ("online", "EINVAL"),
        ("write", "EACCES"),
    ]
    assert [(one["after_step"], one["why"]) for one in document["refused"]] == [
        (3, "QEMU refuses device_del: Device 'd0' not found")
    ]


def test_what_a_guest_did_before_it_died_is_recorded(host: Host, tmp_path: Path) -> None:
    """The steps until then, and the end of its console."""
    document = _record(
        host,
        {"online": {"blocks": ["boot[1]"]}},
        {"offline": {"blocks": ["boot[-1]"]}},
        {"online": {"blocks": ["boot[2]"]}},
        cmdline="fake=dies",
    )
    assert [step["op"]["kind"] for step in document["steps"]] == ["boot", "online"]
    assert document["ended"]["op"].startswith("Change(type='offline'")
    assert "it stopped during 'try 30000 /sys/devices/system/memory/memory7/state offline'" in document["ended"]["why"]
    assert "System is deadlocked on memory" in document["ended"]["why"]
    write_recording(document, tmp_path / "r.json.xz")
    assert len(read_recording(tmp_path / "r.json.xz").steps) == 2


@pytest.mark.parametrize("steps", [[], [{"op": {"kind": "boot"}}]])
def test_what_a_guest_did_before_it_hung_is_recorded(steps: list[object]) -> None:
    """The time of the whole guest is over: with nothing there is no recording, else it says that it ends there."""

    class Stuck:
        scenario = parse(_document(timeout=7))
        ended: object = None

        async def run(self) -> None:
            self.steps = steps
            await asyncio.Event().wait()

    recorder = Stuck()
    why = "the recording did not end within 7 seconds"
    if not steps:
        with pytest.raises(RecordError, match=why):
            asyncio.run(_run(recorder, 0.01))  # type: ignore[arg-type]
        return
    asyncio.run(_run(recorder, 0.01))  # type: ignore[arg-type]
    assert recorder.ended == {"op": "step 1", "why": why}


def test_the_command_writes_what_there_is_and_says_that_it_ends_early(
    host: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit status 1, and a recording that can be read."""
    scenario, target = tmp_path / "s.yaml", tmp_path / "r.json.xz"
    scenario.write_text(json.dumps(_document({"offline": {"blocks": ["boot[-1]"]}}, cmdline="fake=dies")))
    arguments = [str(scenario), "-o", str(target), "--kernel", str(host.kernel), "--init", str(host.init)]
    assert main([*arguments, "--qemu", host.qemu]) == 1
    assert f"record: {target} ends early: the guest: it stopped during" in capsys.readouterr().err
    assert len(read_recording(target).steps) == 1


def test_virtio_mem_and_hog_are_recorded(host: Host, tmp_path: Path) -> None:
    """The size that QEMU reports, which may be less than what was asked for; a size that cannot be is refused."""
    document = asyncio.run(
        record(
            parse(
                _document({"resize": {"device": "vm0", "size": "512M"}}, {"resize": {"device": "vm0", "size": "2G"}},
                          {"resize": {"device": "vm0", "size": "4G"}}, {"hog": "500M"}, {"hog": "2G"},
                          cmdline="fake=virtio")
                | {"virtio_mem": [{"device": "vm0", "size": "2G"}]}
            ), host,
        )
    )  # fmt: skip
    steps: Any = document["steps"]
    assert [(step["op"], step["result"], step.get("actual")) for step in steps[1:]] == [
        ({"kind": "resize", "device": "vm0", "size": 512 * MIB}, "ok", 512 * MIB),
        ({"kind": "resize", "device": "vm0", "size": 2048 * MIB}, f"failed: {1024 * MIB} of {2048 * MIB}", 1024 * MIB),
        ({"kind": "hog", "size": 500 * MIB}, "ok", None),
        ({"kind": "hog", "size": 2048 * MIB}, "ENOMEM: Cannot allocate memory", None),
    ]
    assert [event["event"] for event in steps[1]["qmp_events"]] == ["MEMORY_DEVICE_SIZE_CHANGE"]
    assert steps[1]["kpageflags"]["covered"] == [[5 << 18, 7 << 18]]
    refused: Any = document["refused"]
    assert refused[0]["why"] == "QEMU refuses qom-set: 'requested-size' cannot exceed"
    write_recording(document, tmp_path / "r.json.xz")
    assert [step.op.kind for step in read_recording(tmp_path / "r.json.xz").steps[1:3]] == ["resize", "resize"]


def test_a_resize_goes_on_as_long_as_the_guests_memory_changes(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """QEMU hears of a block only when all of it has been taken back, which may take long."""
    monkeypatch.setattr("tools.record.recorder._RESIZE_QUIET_SECONDS", 0.05)
    document = _document({"resize": {"device": "vm0", "size": "512M"}}, cmdline="fake=virtio fake=slow")
    scenario = parse(document | {"virtio_mem": [{"device": "vm0", "size": "2G"}]})

    steps: Any = asyncio.run(record(scenario, host))["steps"]

    assert (steps[1]["result"], steps[1]["actual"]) == ("ok", 512 * MIB)


def test_the_node_that_linux_chose_is_recorded(host: Host) -> None:
    """op.node is the proximity domain that QEMU was given; where the blocks are, their links say."""
    for cmdline, node in (("", 0), ("fake=node", 1)):
        document = _record(host, {"add": {"dimm": "d0", "size": "256M", "node": 0}}, cmdline=cmdline)
        assert (document["steps"][1]["op"]["node"], document["steps"][1]["linux_nodes"]) == (0, [node])


def test_flags_that_are_watched_and_not_read_are_named(host: Host) -> None:
    """Of a DIMM of more than 4 GiB the ends are read, and the step says what lies between."""
    lines: list[str] = []
    document: Any = asyncio.run(record(parse(_document({"add": {"dimm": "d0", "size": "5G"}})), host, lines.append))
    flags = document["steps"][1]["kpageflags"]
    base, block = 1 << 20, 1 << 15
    assert flags["covered"] == [[base, base + 2 * block], [base + 39 * block, base + 40 * block]]
    assert flags["left_out"] == [[base + 2 * block, base + 39 * block]]
    assert f"step 1: flags of {37 * block} pages are left out: of more than 4 GiB the ends are read" in lines
