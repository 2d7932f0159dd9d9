"""Profiles as plugins: found by name, and refused if a step of theirs does not exist or is called otherwise."""

from __future__ import annotations

import inspect
from copy import copy
from functools import lru_cache
from types import FunctionType

from memhotplug.engine.profile import STEPS, KernelProfile
from memhotplug.engine.profile_answers import check_answers, wrong_attribute
from memhotplug.errors import PluginError, nearest
from memhotplug.manager import Candidate, Plugins, ask_alone, choose, shown

__all__ = ["profile_by", "profile_in", "profile_of"]


def profile_in(plugins: Plugins) -> KernelProfile:
    """Return the profile of a machine's plugins, under the plugin's name; what it answers is checked from then on.

    Raises:
        PluginError: the plugin's answer is no profile, or one with a step or an attribute that cannot be.
    """
    profile: KernelProfile = copy(plugins.ask(plugins.profile, "kernel_profile", KernelProfile))
    problem = _problem(profile)
    if problem is not None:
        raise plugins.blame(plugins.profile, problem)
    profile.name = plugins.profile.partition(":")[2]
    check_answers(profile, lambda text: plugins.blame(plugins.profile, text))
    return profile


def profile_of(name: str) -> type[KernelProfile]:
    """Return the class of an installed profile, to be subclassed; it is made without arguments.

    A subclass overrides the steps on which its kernel differs and inherits all others, so that one
    rule is changed in a few lines.

    Raises:
        PluginError: there is no such profile, it is broken, or its class cannot be made so.
    """
    candidate = choose("profiles", name)
    kind = type(profile_by(candidate))
    try:
        kind()
    except TypeError as problem:
        raise PluginError(str(candidate), f"its class cannot be made without arguments: {problem}") from problem
    return kind


def profile_by(candidate: Candidate) -> KernelProfile:
    """Return what a profile plugin answers before any machine exists.

    Raises:
        PluginError: it is broken, or its answer is no profile, or one with a step or an attribute that cannot be.
    """
    profile = ask_alone(candidate, "kernel_profile")
    if not isinstance(profile, KernelProfile):
        raise PluginError(str(candidate), f"hook kernel_profile answered {shown(profile)}, which is no KernelProfile")
    problem = _problem(profile)
    if problem is not None:
        raise PluginError(str(candidate), problem)
    return profile


def _problem(profile: KernelProfile) -> str | None:
    return _wrong_step(type(profile)) or wrong_attribute(profile)  # type: ignore[arg-type]  # classes can be hashed


@lru_cache(maxsize=64)
def _wrong_step(kind: type) -> str | None:
    """Say which public method of a profile no kernel calls, or none with what it takes; None if there is no such."""
    for name in dir(kind):
        step = getattr(kind, name)
        if name[0] == "_" or not isinstance(step, FunctionType):
            continue
        if name not in STEPS:
            near = nearest(name, sorted(STEPS))
            hint = f"; did you mean {near!r}?" if near else ""
            return f"its profile has a step {name!r}, which no kernel has{hint}"
        problem = _other_words(step, getattr(KernelProfile, name))
        if problem is not None:
            return f"its profile's step {name!r} {problem}"
    return None


@lru_cache(maxsize=256)  # kernels share most of their steps
def _other_words(step: FunctionType, declared: FunctionType) -> str | None:
    """Say what a step takes if it cannot be called as the engine calls it, None if it can."""
    takes, gets = inspect.signature(step), inspect.signature(declared)
    return None if _takes(takes, gets) else f"takes {_words(takes)}, but gets {_words(gets)}"


def _takes(step: inspect.Signature, called: inspect.Signature) -> bool:
    """Return whether a method can be called as the engine does: what has a default may be left out, or named."""
    parameters = called.parameters.values()
    optional = [one.name for one in parameters if one.default is not one.empty]
    placed = [one.name for one in parameters if one.kind is not one.KEYWORD_ONLY]
    needed = [name for name in placed if name not in optional]
    named = dict.fromkeys(name for name in called.parameters if name not in placed and name not in optional)
    try:
        step.bind(*needed, **named)
        step.bind(*needed, **named, **dict.fromkeys(optional))
        step.bind(*placed, **named)
    except TypeError:
        return False
    return True


def _words(signature: inspect.Signature) -> str:
    shown = [str(one.replace(annotation=one.empty)) for one in signature.parameters.values()]
    return f"({', '.join(shown[1:])})"
