"""Scenarios of recordings: what they say, and what is refused."""

from __future__ import annotations

import json
import lzma
import re
from pathlib import Path

import pytest
from tools.record.scenario import Add, BlockRef, Change, Hog, NumaNode, Remove, Resize, VirtioMem, Write, load, parse

from memhotplug.errors import InputError

EXAMPLES = sorted((Path(__file__).resolve().parents[2] / "tools" / "record" / "scenarios").glob("*.yaml"))


def _document(*steps: object, **keys: object) -> dict[str, object]:
    return {"name": "n", "what": "w", "arch": "x86_64", "memory": "1G", "steps": list(steps)} | keys


def _refused(document: object) -> str:
    with pytest.raises(InputError) as caught:
        parse(document, file="s.yaml")
    return str(caught.value)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_can_be_read(path: Path) -> None:
    """Each bears the name of its file, and ends within two minutes."""
    scenario = load(path)

    assert scenario.name == path.stem
    assert scenario.timeout <= 120
    assert scenario.steps


def test_every_operation_is_understood() -> None:
    """Sizes in bytes; blocks by id, by DIMM, by index; the leading slash goes."""
    scenario = parse(
        _document(
            {"add": {"dimm": "d0", "size": "384M", "node": 0, "address": 0x140000000}},
            {"online": {"blocks": "d0", "type": "online_movable", "each": True}},
            {"online": {"blocks": [32, "d0[-1]", "boot[2]"]}},
            {"offline": {"blocks": "d0[1]"}},
            {"write": {"path": "/sys/devices/system/memory/auto_online_blocks", "value": "online"}},
            {"remove": "d0"},
        )
    )

    refs = (BlockRef(base=None, index=32), BlockRef(base="d0", index=-1), BlockRef(base="boot", index=2))
    assert scenario.steps == (
        Add(dimm="d0", size=384 << 20, node=0, address=0x140000000),
        Change(type="online_movable", blocks=(BlockRef(base="d0"),), each=True),
        Change(type="online", blocks=refs),
        Change(type="offline", blocks=(BlockRef(base="d0", index=1),)),
        Write(path="sys/devices/system/memory/auto_online_blocks", value="online"),
        Remove(dimm="d0"),
    )


def test_what_is_not_said_has_a_default() -> None:
    """64 GiB of slots, one processor; boot blocks are watched where nothing is added."""
    bare = parse(_document())
    adding = parse(_document({"add": {"dimm": "d0", "size": "128M"}}))

    assert (bare.maxmem, bare.cpus, bare.cmdline, bare.numa, bare.timeout) == (64 << 30, 1, "", (), 300.0)
    assert (bare.watch_boot_blocks, adding.watch_boot_blocks) == (4, 0)


def test_nodes_bring_their_processors() -> None:
    """A node may have no memory at boot."""
    scenario = parse(_document(numa=[{"memory": "1G", "cpus": 2}, {"cpus": 0}]))

    assert scenario.numa == (NumaNode(memory=1 << 30, cpus=2), NumaNode(memory=0, cpus=0))
    assert scenario.cpus == 2


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "got list, expected a mapping"),
        (
            _document(arch="x86-64"),
            "arch: got 'x86-64', expected one of x86_64, ppc64el, arm64, s390x; did you mean 'x86_64'?",
        ),
        (_document(name=5), "name: got 5, expected one line of text"),
        (_document(cmdline="a\nb"), "cmdline: got 'a\\nb', expected one line of text"),
        (_document(memory=-1), "memory: got -1, expected a size such as 256M"),
        (_document(memory="lots"), "memory: got 'lots', expected a size such as 128M, 1GiB or 0x8000000"),
        (_document(memory="1000K"), "memory: got 1024000 bytes, expected whole MiB"),
        (_document(cpu="max -m 9"), "cpu: got 'max -m 9', expected a model of QEMU's, such as neoverse-n1"),
        (_document(cpus=True), "cpus: got True, expected a number"),
        (_document(steps={}), "steps: got dict, expected a list"),
        (
            _document(step=[]),
            "got 'step', expected one of name, what, arch, memory, maxmem, cpu, cpus, cmdline, numa, "
            "virtio_mem, watch_boot_blocks, timeout, steps; did you mean 'steps'?",
        ),
        (_document(numa=[{"memory": "2G"}]), "numa: got other sizes, expected nodes whose memory adds up to memory"),
        (
            _document(numa=[{"memory": "1G", "cpus": 1}], cpus=2),
            "numa: got other counts, expected nodes whose cpus add up to cpus",
        ),
    ],
)
def test_guest_that_cannot_be_is_refused_with_its_place(document: object, message: str) -> None:
    """One line: file, place, what was found, what would do."""
    assert _refused(document) == f"s.yaml: {message}"


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ({}, ": got 0, expected one operation: add, online, offline, remove, resize, hog or write"),
        ({"add": {"dimm": "boot", "size": 1}}, ".add.dimm: got 'boot', expected a name such as d0"),
        ({"remove": "d9"}, ".remove: got 'd9', expected a DIMM added before"),
        ({"online": {"blocks": "d9"}}, ".blocks: got 'd9', expected boot or a DIMM added before"),
        ({"online": {"blocks": []}}, ".online.blocks: got none, expected at least one block"),
        (
            {"online": {"blocks": "d0[x]"}},
            ".online.blocks: got 'd0[x]', expected block ids, a DIMM's name, d0[1], or boot[-1]",
        ),
        ({"online": {"blocks": 1, "each": "yes"}}, ".online.each: got 'yes', expected true or false"),
        (
            {"online": {"blocks": 1, "type": "movable"}},
            ".online.type: got 'movable', expected one of online, online_kernel, online_movable; "
            "did you mean 'online_movable'?",
        ),
        (
            {"offline": {"blocks": 1, "type": "online"}},
            ".offline.type: got 'online', expected no type, which is online's",
        ),
        ({"write": {"path": "a b", "value": "x"}}, ".write.path: got 'a b', expected a path without spaces"),
    ],
)
def test_step_that_cannot_be_is_refused_with_its_place(step: object, message: str) -> None:
    """The step by its number."""
    assert _refused(_document(step)) == f"s.yaml: steps[0]{message}"


def test_dimms_need_a_machine_that_takes_them_and_a_name_each() -> None:
    """QEMU's machines for arm64 and s390x have no memory hotplug that these kernels know."""
    add = {"add": {"dimm": "d0", "size": "1G"}}

    assert _refused(_document(add, arch="s390x")) == (
        "s.yaml: steps[0].add: got a DIMM on s390x, expected only boot memory's blocks"
    )
    assert _refused(_document(add, add)) == "s.yaml: steps[1].add.dimm: got 'd0', expected a name of its own"


def test_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """Missing, not text, not YAML."""
    broken, binary = tmp_path / "broken.yaml", tmp_path / "binary.yaml"
    broken.write_text("a: [1\nb: 2")
    binary.write_bytes(b"\xff\xfe\x00")

    messages = []
    for path in (tmp_path / "none.yaml", binary, broken):
        with pytest.raises(InputError) as caught:
            load(path)
        messages.append(str(caught.value).removeprefix(str(tmp_path)))

    assert messages == [
        "/none.yaml: got No such file or directory, expected a readable scenario",
        "/binary.yaml: got not UTF-8 text, expected a readable scenario",
        "/broken.yaml:2:2: got expected ',' or ']', but got ':', expected YAML",
    ]


def test_virtio_mem_devices_and_hogs_are_understood() -> None:
    """A device is there at boot, and is asked for another size by its name."""
    keys = {"name": "v", "what": "virtio-mem", "arch": "x86_64", "memory": "1G"}
    scenario = parse(
        keys
        | {
            "virtio_mem": [{"device": "vm0", "size": "4G", "node": 1}],
            "steps": [{"resize": {"device": "vm0", "size": "512M"}}, {"hog": "100M"}],
        }
    )
    assert scenario.virtio_mem == (VirtioMem(device="vm0", size=4 << 30, node=1),)
    assert scenario.steps == (Resize(device="vm0", size=512 << 20), Hog(size=100 << 20))
    assert scenario.watch_boot_blocks == 0


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"arch": "s390x", "virtio_mem": [{"device": "vm0", "size": "4G"}]},
         "virtio_mem: got s390x, expected no virtio-mem device"),
        ({"virtio_mem": [{"device": "v", "size": "4G"}] * 2},
         "virtio_mem: got v, v, expected a name of its own for each device"),
        ({"steps": [{"resize": {"device": "vm1", "size": "1G"}}]},
         "steps[0].resize.device: got 'vm1', expected a virtio_mem device"),
        ({"steps": [{"hog": "much"}]}, "steps[0].hog: got 'much', expected a size such as 128M, 1GiB or 0x8000000"),
    ],
)  # fmt: skip
def test_devices_that_cannot_be_are_refused(keys: dict[str, object], message: str) -> None:
    """With the place."""
    with pytest.raises(InputError) as caught:
        parse({"name": "v", "what": "virtio-mem", "arch": "x86_64", "memory": "1G"} | keys)
    assert str(caught.value) == message


def test_the_kernels_that_were_used_are_listed() -> None:
    """docs/recording.md names each release of the recordings that come with the project, and no other."""
    root = Path(__file__).resolve().parents[2]
    text = (root / "docs" / "recording.md").read_text(encoding="utf-8")
    listed = set(
        re.findall(r"`(\d+\.\d+\.[^`]+)`", text.partition("## Which kernels were used")[2].partition("## Tests")[0])
    )
    used = {
        str(json.loads(lzma.decompress(path.read_bytes()))["meta"]["kernel_release"])
        for path in sorted((root / "tests" / "data" / "recordings").glob("*.json.xz"))
    }
    assert listed == used
