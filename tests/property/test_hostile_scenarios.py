"""Scenarios that somebody broke: whatever is in the file, the answer is one object and one of three statuses."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memhotplug.cli import main

SCENARIOS = Path(__file__).resolve().parents[2] / "scenarios"
SEEDS = [
    "cover-letter-device",
    "auto-movable-301",
    "balloon-runs-out",
    "dax-stranded",
    "notifier-veto",
    "powerpc-radix-dlpar",
    "removal-middle-device",
    "s390-standby",
    "switch-and-probe",
    "virtio-mem",
    "xen-balloon",
]
HOSTILE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(1 << 70), 1 << 70),
    st.floats(),
    st.sampled_from(
        [
            "", " ", "0", "-1", "1.5G", "128MX", "8P", "16E", "1K", "0x", "1G", "129M", "4T", "block 32", "block 99-1",
            "block 0-9999999", "dimm0", "0x100000000+128M", "nobody", "kernel", "movable", "auto", "online", "none",
            "device", "memblock", "on_memory", "EBUSY", "ENOSUCH", "linux-6.12", "v2-2019", "x86_64", "s390", "../etc",
            "memory/auto_online_blocks", "/sys/devices/system/memory/probe", "\x00", "\u202e\U0001f600", "a" * 5000,
            "%s%n{0}", "acpi", "hv_balloon",
        ]
    ),
    st.lists(st.sampled_from(["device", "memblock", 1, None]), max_size=3),
    st.dictionaries(st.sampled_from(["path", "step", "size", "x"]), st.integers(0, 3), max_size=2),
)  # fmt: skip
KEYS = st.sampled_from(
    [
        "size",
        "address",
        "node",
        "driver",
        "name",
        "range",
        "zone",
        "fails",
        "veto",
        "mhp_flags",
        "order",
        "pinned",
        "zz",
    ]
)


def places(document: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every value in a document."""
    items = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for key, value in items:
        yield (*path, key)
        yield from places(value, (*path, key))


@st.composite
def broken(draw: st.DrawFn) -> dict[str, Any]:
    """Return a shipped scenario in which a few values, keys or steps were changed, doubled, moved or lost."""
    text = (SCENARIOS / f"{draw(st.sampled_from(SEEDS))}.yaml").read_text(encoding="utf-8")
    document: dict[str, Any] = copy.deepcopy(yaml.safe_load(text))
    for _ in range(draw(st.integers(1, 4))):
        known = sorted(places(document), key=repr)
        if not known:
            break
        *parents, last = draw(st.sampled_from(known))
        holder: Any = document
        for key in parents:
            holder = holder[key]
        change = draw(st.sampled_from(["value", "value", "value", "drop", "add", "double"]))
        if change == "drop":
            del holder[last]
        elif change == "double" and isinstance(holder, list):
            holder.insert(draw(st.integers(0, len(holder))), copy.deepcopy(holder[last]))
        elif change == "add" and isinstance(holder, dict):
            holder[draw(KEYS)] = draw(HOSTILE)
        else:
            holder[last] = draw(HOSTILE)
    return document


@given(document=broken())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_broken_scenario_gets_an_answer(
    document: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Status 0, 1 or 2; one JSON object; at most one line about what is wrong, and never a traceback."""
    path = tmp_path / "s.yaml"
    path.write_text(yaml.safe_dump(document, allow_unicode=False), encoding="utf-8")

    status = main(["run", str(path), "--json", "--check"])

    out, err = capsys.readouterr()
    answer = json.loads(out)
    assert status in (0, 1, 2)
    assert (answer["schema"], answer["ok"]) == (1, status == 0)
    assert ("error" in answer) == (status == 2)
    assert "Traceback" not in err
    told = [line for line in err.splitlines() if line.startswith("mhp: ")]
    assert len(told) == (status != 0)
    if status == 2:
        assert answer["error"]["file"] in (str(path), None)
        assert answer["error"]["expected"]


@given(document=broken())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_same_scenario_twice_gives_the_same_bytes(
    document: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever became of it."""
    path = tmp_path / "s.yaml"
    path.write_text(yaml.safe_dump(document, allow_unicode=False), encoding="utf-8")

    answers = []
    for _ in range(2):
        status = main(["run", str(path), "--json"])
        answers.append((status, *capsys.readouterr()))

    assert answers[0] == answers[1]
