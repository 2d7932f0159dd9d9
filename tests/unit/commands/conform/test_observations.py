"""What agrees is counted at once, and is what going through it one by one would have found."""

from __future__ import annotations

from pathlib import Path

import pytest

from memhotplug.commands.conform.observation import Agreed, Observation, Observations, Reason
from memhotplug.commands.conform.worlds import replay_file

RECORDINGS = sorted((Path(__file__).parents[3] / "data" / "recordings").glob("*.json.xz"))


def seen(number: int, *, matches: bool = True) -> Observation:
    """An observation of a number."""
    return Observation.equal(number, Reason.ZONE, "node 0", number, number if matches else -1)


def test_observations_are_a_sequence_of_all_of_them() -> None:
    """In the order in which they were compared, those that agree among the others."""
    found = Observations(
        [
            seen(0),
            Agreed(Reason.ZONE, 2, lambda: [seen(1), seen(2)]),
            seen(3, matches=False),
            Agreed(Reason.BLOCK, 0, lambda: ()),
        ]
    )

    assert [one.step for one in found] == [0, 1, 2, 3]
    assert (len(found), found[2], found[-1].matches, found[1:3]) == (4, seen(2), False, [seen(1), seen(2)])
    assert found == Observations([seen(0), seen(1), seen(2), seen(3, matches=False)]) != Observations([seen(0)])
    assert found.single == [seen(0), seen(3, matches=False)]
    with pytest.raises(IndexError):
        found[4]


@pytest.mark.parametrize("path", RECORDINGS[::4], ids=lambda path: path.name.partition(".json")[0])
def test_what_agrees_is_as_many_things_as_were_counted(path: Path) -> None:
    """Each of which matches, without a word beside."""
    result = replay_file(path)
    parts = [part for part in result.observations.seen if isinstance(part, Agreed)]

    assert parts
    for part in parts:
        listed = list(part.one_by_one())
        assert len(listed) == part.things
        assert all(one == Observation.equal(*one[:5]) and one.expected == one.got for one in listed)
    assert len(list(result.observations)) == len(result.observations)
