"""What guests took against what is predicted: never more, and never a GiB less."""

from __future__ import annotations

import json

import pytest

from tools import capacity


def test_no_guest_is_promised_more_than_it_took(capsys: pytest.CaptureFixture[str]) -> None:
    """Twelve sizes, each within one GiB of the least that was measured."""
    assert capacity.main(["--json"]) == 0

    document = json.loads(capsys.readouterr().out)
    assert (document["schema"], document["ok"], len(document["guests"])) == (1, True, 12)
    assert {one["margin"] for one in document["guests"]} <= {-1, 0}
    assert [one["boot"] >> 20 for one in document["guests"] if not one["recorded"]] == [896, 1280]


def test_a_promise_that_kills_fails_the_tool(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One row is enough; the table shows it."""
    unsafe = capacity.Row(
        boot=896 << 20, measured=(43, 44), next_gib=45, ends="kills the guest", predicted=44, recorded=False
    )
    safe = capacity.Row(boot=1 << 30, measured=(51,), next_gib=None, ends=None, predicted=51, recorded=True)
    monkeypatch.setattr(capacity, "rows", lambda: [unsafe, safe])

    assert capacity.main([]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "BOOT MEASURED PREDICTED MARGIN FROM           NEXT",
        "896M    43-44        44      1 its neighbours 45 kills the guest",
        "  1G       51        51      0 its boot state -",
    ]
