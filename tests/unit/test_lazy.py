"""numpy comes with the first thing that is asked of it, and is numpy then."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import get_args

import numpy
import pytest

from memhotplug import lazy, plugin


def test_what_it_gives_is_numpys_own() -> None:
    assert lazy.np.int64 is numpy.int64
    assert lazy.np.concatenate is numpy.concatenate


def test_plugin_authors_get_the_same_object() -> None:
    assert plugin.np is lazy.np


def test_a_name_is_looked_up_once() -> None:
    lazy.np.searchsorted  # noqa: B018  # asked for, not called

    assert vars(lazy.np)["searchsorted"] is numpy.searchsorted


def test_a_name_that_numpy_lacks_is_said_as_numpy_says_it() -> None:
    with pytest.raises(AttributeError, match=r"^module 'numpy' has no attribute 'pfn'"):
        getattr(lazy.np, "pfn")  # noqa: B009  # no type checker lets it through otherwise


def test_the_model_is_there_without_numpy_until_it_computes() -> None:
    code = (
        "import sys\n"
        "from memhotplug.plugin import BlockState, ExtentSet, Geometry, Zone\n"
        "before = 'numpy' in sys.modules\n"
        "starts, ends = ExtentSet.of((1, 3)).clip(5, 9)\n"
        "print(before, 'numpy' in sys.modules, starts.dtype, len(starts), starts.flags.writeable)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)

    assert done.stdout.split() == ["False", "True", "int64", "0", "False"]


def test_types_of_arrays_may_stand_in_other_types() -> None:
    """An alias is evaluated when a plugin is imported, numpy or no numpy."""
    for kind in (plugin.Array, plugin.PageArray):
        assert get_args(kind | None) == (kind, type(None))
        assert get_args(Callable[[kind], Sequence[int] | kind])[0] == [kind]
