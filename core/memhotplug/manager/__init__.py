"""Plugins: found, chosen, loaded and called, with the blame put where it belongs.

Three steps that must not be confused: *discover* reads entry points and imports nothing; *load*
imports one chosen plugin into a plugin manager of its own, once for all machines; *register* lets one
machine use it. A plugin that is broken but not chosen harms nobody.
"""

from memhotplug.manager.blame import frames_of, is_below, module_of, place_of, shown, told
from memhotplug.manager.discovery import GROUPS, Candidate, candidates, choose, files_in_use, left_out, names, using
from memhotplug.manager.loading import hooks_of
from memhotplug.manager.plugins import Plugins, Tracer, tracing
from memhotplug.manager.running import running
from memhotplug.manager.traits import arch_traits, ask_about, ask_alone, driver_traits, own_keys

__all__ = [
    "GROUPS",
    "Candidate",
    "Plugins",
    "Tracer",
    "arch_traits",
    "ask_about",
    "ask_alone",
    "candidates",
    "choose",
    "driver_traits",
    "files_in_use",
    "frames_of",
    "hooks_of",
    "is_below",
    "left_out",
    "module_of",
    "names",
    "own_keys",
    "place_of",
    "running",
    "shown",
    "told",
    "tracing",
    "using",
]
