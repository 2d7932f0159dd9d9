"""Who has the wheel and no source tree can follow the tutorial, and how-tos that need no extra.

The environment has broken plugins, too, which nobody asks for and which therefore disturb nobody.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.docs.examples import ROOT, blocks_of, shows_real_output, write_files
from tests.packaging.conftest import Installed


@pytest.mark.parametrize("page", ["tutorial.md", "howto/ci-gate.md", "howto/try-a-policy.md"])
def test_a_page_can_be_followed(page: str, installed: Installed, tmp_path: Path) -> None:
    """From its top to its end, in an empty folder."""
    document = ROOT / "docs" / page
    write_files(document, tmp_path)
    blocks = blocks_of(document, "console")
    assert blocks
    for block in blocks:
        shows_real_output(block, tmp_path, installed.bin)
