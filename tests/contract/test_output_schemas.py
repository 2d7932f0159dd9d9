"""Every JSON that a command prints has a schema: all keys are in it, all are explained, and no other key is printed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import jsonschema
import pytest

from memhotplug.cli import main
from memhotplug.documents import OUTPUTS
from memhotplug.documents.schema import TYPES, output_schema
from memhotplug.live.commands import Commands
from memhotplug.live.machine import LiveMachine
from memhotplug.machine import Machine

ROOT: Final = Path(__file__).parents[2]
SCENARIO: Final = str(ROOT / "scenarios" / "cover-letter-device.yaml")
REFUSED: Final = str(ROOT / "scenarios" / "small-guest-12g.yaml")
RECORDING: Final = str(ROOT / "tests/data/recordings/arm64-6.1-boot-blocks.json.xz")
each_output = pytest.mark.parametrize("name", sorted(OUTPUTS))

COMMANDS: Final = {
    "run": ["run", SCENARIO],
    "run, a step is refused": ["run", REFUSED],
    "plan": ["plan", "--boot", "256M", "--add", "12G"],
    "plan, how much": ["plan", "--boot", "256M"],
    "plan, movable": ["plan", "--boot", "1G", "--add", "2G", "--online", "movable", "--kernel", "6.12"],
    "explain": ["explain", "--arch", "arm64"],
    "explain, one driver": ["explain", "--driver", "dax"],
    "compare": ["compare", SCENARIO, "--vary", "drivers.acpi.mhp_flags=none,device"],
    "align": ["align", "--range", "0x1e0a00000+502M", "--driver", "dax"],
    "conform": ["conform", RECORDING],
    "conform, predicted": ["conform", RECORDING, "--predict"],
    "check": ["check", SCENARIO, "--depth", "1"],
    "page": ["page", SCENARIO, "0x100000"],
    "page, a step": ["page", SCENARIO, "block 32", "--diff", "--step", "1"],
    "report": ["report", SCENARIO, "-o", "r.html"],
    "export": ["export", SCENARIO, "-o", "tree"],
    "examples": ["examples"],
    "examples, copied": ["examples", "cover-letter-device", "-o", "copied"],
    "plugins": ["plugins", "--no-load"],
    "plugins, one": ["plugins", "virtio_mem"],
    "plugins, new": ["plugins", "--new", "driver", "fresh"],
    "error": ["run", "there-is-none.yaml"],
    "error, usage": ["plan", "--boot", "1G", "--ad", "2G"],
}


def objects(schema: Mapping[str, Any], where: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield every schema of an object, with where it stands."""
    if "properties" in schema or schema.get("type") == "object":
        yield where, schema
    for key, value in schema.items():
        if isinstance(value, Mapping):
            yield from objects(value, f"{where}/{key}")
        for number, item in enumerate(value if isinstance(value, list) else ()):
            if isinstance(item, Mapping):
                yield from objects(item, f"{where}/{key}/{number}")


@each_output
def test_a_schema_is_one_and_explains_every_key(name: str) -> None:
    """For editors, for readers, and for the reference that is made of it."""
    schema = output_schema(name)

    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["description"]
    for where, found in objects(schema):
        for key, value in found.get("properties", {}).items():
            explained = value.get("description") or schema["$defs"][value["$ref"].rpartition("/")[2]]["description"]
            assert explained, f"{where}: {key} is not explained"


@each_output
def test_no_object_takes_a_key_that_is_not_in_its_schema(name: str) -> None:
    """But for events, whose keys depend on what happened, and for what plugins name."""
    for where, found in objects(output_schema(name)):
        extra = found.get("additionalProperties")
        if "properties" not in found:  # a mapping; its values have a type of their own
            assert extra is True or isinstance(extra, Mapping), where
        elif name != "event":
            assert extra is False, where


def test_every_output_has_a_type_and_a_place_in_the_list() -> None:
    """One list for the command, one for the types; they say the same."""
    assert list(TYPES) == list(OUTPUTS)


@pytest.mark.parametrize("case", COMMANDS)
def test_a_command_prints_what_its_schema_says(
    case: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the options."""
    monkeypatch.chdir(tmp_path)

    main([*COMMANDS[case], "--json"])

    document = json.loads(capsys.readouterr().out)
    jsonschema.validate(document, output_schema(case.partition(",")[0]))


def test_a_sweep_prints_what_its_schema_says(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it plays, shown, and exported."""
    monkeypatch.chdir(tmp_path)
    vary = "steps.0.add.size=1G,8192G,100000G"
    for args in (
        ["sweep", SCENARIO, "--vary", vary, "-o", "r.sqlite"],
        ["sweep", "--show", "r.sqlite"],
        ["sweep", "--export", "r.csv", "r.sqlite"],
    ):
        assert main([*args, "--json"]) == 0
        jsonschema.validate(json.loads(capsys.readouterr().out), output_schema("sweep"))


def test_a_recorded_machine_prints_what_its_schema_says(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too little for a plan; tests of the command itself record more, and every output of tests is checked."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "root" / "proc").mkdir(parents=True)
    (tmp_path / "root" / "proc" / "zoneinfo").write_text("Node 0, zone Normal\n")

    main(["snapshot", "--root", "root", "-o", "out", "--json"])

    jsonschema.validate(json.loads(capsys.readouterr().out), output_schema("snapshot"))


def test_a_live_machine_lists_its_blocks_as_its_schema_says(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One object, as everywhere, around what the machine answers."""
    commands = Commands(LiveMachine(Machine.boot(arch="x86_64", kernel="linux-6.12", memory="256M")))
    answer = commands.execute("x-mhp-blocks", {})
    client = SimpleNamespace(execute=lambda name, arguments: commands.execute(name, arguments))
    monkeypatch.setattr("memhotplug.cli.ctl._client", lambda _context: nullcontext(client))

    assert main(["ctl", "list", "--json"]) == 0

    document = json.loads(capsys.readouterr().out)
    assert document == {"schema": 1, "ok": True, "blocks": answer}
    assert [block["id"] for block in document["blocks"]] == [0, 1]
    jsonschema.validate(document, output_schema("ctl-list"))


@pytest.mark.parametrize("path", sorted((ROOT / "scenarios").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_scenario_leaves_what_the_schemas_say(
    path: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The result and each event, as files."""
    main(["run", str(path), "-o", str(tmp_path)])
    capsys.readouterr()

    jsonschema.validate(json.loads((tmp_path / "result.json").read_text()), output_schema("run"))
    event = jsonschema.Draft202012Validator(output_schema("event"))
    for line in (tmp_path / "events.jsonl").read_text().splitlines():
        event.validate(json.loads(line))


def test_a_key_too_many_is_noticed() -> None:
    """The check itself: what it holds outputs to is not empty."""
    document: dict[str, Any] = dict(Machine.boot(arch="x86_64", kernel="linux-6.12", memory="256M").to_dict())
    jsonschema.validate(document, output_schema("run"))
    document["zones"] = [{**document["zones"][0], "colour": "red"}]

    with pytest.raises(jsonschema.ValidationError, match="'colour' was unexpected"):
        jsonschema.validate(document, output_schema("run"))


def test_schemas_come_out_of_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    """--output prints one, --list says which there are, and a wrong name is refused."""
    assert main(["schema", "--output", "plan"]) == 0
    assert json.loads(capsys.readouterr().out) == output_schema("plan")

    assert main(["schema", "--list"]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in listed[1:]] == list(OUTPUTS)

    assert main(["schema", "--list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == dict(OUTPUTS)

    assert main(["schema", "--output", "plans"]) == 2
    assert capsys.readouterr().err == (
        "mhp: --output: got plans, expected an output that has a schema, see 'mhp schema --list'; "
        "did you mean 'plan'?\n"
    )
