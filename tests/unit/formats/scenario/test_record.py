"""Records: what a class declares is what is read, refused, compared and shown."""

import pickle
from collections.abc import Mapping
from typing import Annotated

import pytest

from memhotplug.formats.scenario.fields import BOOL, NAME, integer
from memhotplug.formats.scenario.problems import Problem
from memhotplug.formats.scenario.ranges import EXPECTED_NAME
from memhotplug.formats.scenario.record import NO_OPTIONS, Inner, Record, mapping_of, read_record
from memhotplug.formats.scenario.refusal import RefusedError


class Wheel(Record, summary="A wheel."):
    spokes: Annotated[int, integer(1, 99, "a number of spokes").says("How many.")]


def _wheels(value: object) -> object:
    if isinstance(value, int):
        return [{"spokes": value}, {"spokes": value}]
    raise RefusedError("spokes, or a list of wheels") if value == "round" else RefusedError("wheels", where=(1,))


class Vehicle(Record, summary="What all vehicles have."):
    fast: Annotated[bool, BOOL.says("Whether it is fast.")] = False


class Bicycle(Vehicle, summary="A bicycle."):
    owner: Annotated[str, NAME.says("Whose it is.")]
    spare: Annotated[Wheel | None, Inner(Wheel, "Another wheel.")] = None
    wheels: Annotated[tuple[Wheel, ...], Inner(Wheel, "Its wheels.", many=True, prepare=_wheels)] = ()
    options: Mapping[str, object] = NO_OPTIONS


def read(**data: object) -> tuple[Bicycle | None, list[Problem]]:
    """Return the bicycle and what is wrong with it."""
    problems: list[Problem] = []
    return read_record(Bicycle, data, problems), problems


def test_values_are_read_and_the_rest_is_as_declared() -> None:
    """Own keys come first; what is put there by the reader is no key."""
    bicycle, problems = read(owner="ada", wheels=32, fast=True, spare={"spokes": 16})

    assert problems == []
    assert bicycle == Bicycle(
        owner="ada", fast=True, spare=Wheel(spokes=16), wheels=(Wheel(spokes=32), Wheel(spokes=32))
    )
    assert Bicycle.key_names() == ["owner", "spare", "wheels", "fast"]
    assert read(owner="ada")[0] == Bicycle(owner="ada", fast=False, spare=None, wheels=(), options={})


@pytest.mark.parametrize(
    ("data", "found"),
    [
        ({}, [Problem(("owner",), EXPECTED_NAME, "missing")]),
        (
            {"owner": "ada", "bell": 1},
            [Problem(("bell",), "one of the keys: owner, spare, wheels, fast", "key",
                     names=("owner", "spare", "wheels", "fast"))],
        ),
        ({"owner": "ada", "spare": 3}, [Problem(("spare",), "a mapping with the keys: spokes")]),
        ({"owner": "ada", "spare": {}}, [Problem(("spare", "spokes"), "a number of spokes from 1 to 99", "missing")]),
        (
            {"owner": "ada", "spare": {"spokes": 0}},
            [Problem(("spare", "spokes"), "a number of spokes from 1 to 99")],
        ),
        ({"owner": "ada", "wheels": 100}, [
            Problem(("wheels", 0, "spokes"), "a number of spokes from 1 to 99"),
            Problem(("wheels", 1, "spokes"), "a number of spokes from 1 to 99"),
        ]),
        ({"owner": "ada", "wheels": "round"}, [Problem(("wheels",), "spokes, or a list of wheels")]),
        ({"owner": "ada", "wheels": None}, [Problem(("wheels", 1), "wheels")]),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_the_way_there(data: dict[str, object], found: list[Problem]) -> None:
    """Everything that is wrong, and no record then."""
    bicycle, problems = read(**data)

    assert bicycle is None
    assert problems == found


def test_records_are_values() -> None:
    """Compared by class and values, hashed likewise, shown in full, pickled, and never changed."""
    one, same, other = Wheel(spokes=32), Wheel(spokes=32), Wheel(spokes=36)

    assert (one == same, one == other, one == 32, hash(one) == hash(same)) == (True, False, False, True)
    assert Vehicle() != Bicycle(owner="ada")
    assert repr(one) == "Wheel(spokes=32)"
    assert pickle.loads(pickle.dumps(Bicycle(owner="ada"))) == Bicycle(owner="ada")
    assert one.replaced(spokes=36) == other
    assert mapping_of(Wheel) == "a mapping with the keys: spokes"
    with pytest.raises(AttributeError, match="Wheel is frozen"):
        one.spokes = 36  # type: ignore[misc]
    with pytest.raises(AttributeError, match="Wheel is frozen"):
        del one.spokes


def test_a_record_that_is_made_by_hand_needs_its_keys() -> None:
    """Values are taken as they are; names are not."""
    with pytest.raises(TypeError, match=r"Wheel: missing \['spokes'\], unknown \['size'\]"):
        Wheel(size=3)  # type: ignore[call-arg]
