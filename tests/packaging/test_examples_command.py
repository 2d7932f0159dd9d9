"""The examples of an installation: what the wheel brings works without the source tree."""

from __future__ import annotations

import json

from tests.packaging.conftest import ROOT, Installed


def test_a_wheel_has_them_all(installed: Installed) -> None:
    """The same as the checkout, and from the installation itself."""
    done = installed.mhp("examples", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["examples"]
    assert [entry["name"] for entry in found] == sorted(path.stem for path in (ROOT / "scenarios").glob("*.yaml"))
    assert all(str(installed.folder) in entry["file"] for entry in found)


def test_they_run_from_where_they_are_copied_to(installed: Installed) -> None:
    """Those with a plugin of their own, too."""
    assert installed.mhp("examples", "-o", "all").returncode == 0
    for name in ("cover-letter-device", "policy-by-size", "profile-large-only"):
        done = installed.mhp("run", f"all/scenarios/{name}.yaml")
        assert done.returncode == 0, done.stderr


def test_a_report_needs_no_source_tree(installed: Installed) -> None:
    """Its page, style and script are in the wheel."""
    installed.mhp("examples", "cover-letter-device", "-o", "one")
    done = installed.mhp("report", "one/scenarios/cover-letter-device.yaml", "-o", "r.html")
    assert done.returncode == 0, done.stderr
    assert (installed.folder / "r.html").stat().st_size > 10_000
