"""The same machine under other parameters of memory_hotplug."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from memhotplug import InputError, Machine
from memhotplug.engine.boot.parameters import memmap_settings, under

Boot = Callable[..., Machine]


@pytest.mark.parametrize(
    ("kernel", "words"), [("v2-2019", []), ("linux-6.2", ["N", "Y"]), ("linux-6.12", ["N", "Y", "force"])]
)
def test_a_switch_takes_the_words_that_it_shows_again(boot: Boot, kernel: str, words: list[str]) -> None:
    """Up to 6.5 force is taken, but for a false; the 2019 series has no such parameter."""
    assert memmap_settings(boot(kernel=kernel).kernel) == words


def test_the_machine_itself_keeps_its_parameters(boot: Boot) -> None:
    """A copy has the other value, and a word that the kernel refuses is bad input."""
    kernel = boot(kernel="linux-6.12").kernel
    twin = under(kernel, "memmap_on_memory", "Y")

    assert twin.profile.module_parameters(twin)["memmap_on_memory"] == "Y\n"
    assert kernel.profile.module_parameters(kernel)["memmap_on_memory"] == "N\n"
    with pytest.raises(InputError):
        under(kernel, "memmap_on_memory", "maybe")
