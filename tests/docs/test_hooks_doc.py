"""docs/hooks.md has every hook with its exact signature, and every service, and nothing else."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

from memhotplug import hookspecs, plugin
from memhotplug.engine.kernel import Kernel

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "hooks.md").read_text(encoding="utf-8")
SPECS = ("ArchSpec", "ProfileSpec", "DriverSpec", "PolicySpec", "NotifierSpec")


def specified() -> dict[str, str]:
    """Return every hook's signature as its specification has it, ``self`` apart."""
    found = {}
    for node in ast.walk(ast.parse(inspect.getsource(hookspecs))):
        if isinstance(node, ast.ClassDef) and node.name in SPECS:
            for function in node.body:
                if isinstance(function, ast.FunctionDef) and function.returns is not None:
                    arguments = re.sub(r"^self(, )?", "", ast.unparse(function.args))
                    found[function.name] = f"{function.name}({arguments}) -> {ast.unparse(function.returns)}"
    return found


def documented() -> dict[str, str]:
    """Return the signature under each heading that is a hook's name."""
    return dict(re.findall(r"^### `(\w+)`\n\n```text\n(.+)\n```$", TEXT, re.MULTILINE))


def test_every_hook_is_documented_with_its_signature() -> None:
    """Names, arguments, types and order are those of the specification."""
    assert len(specified()) == 26
    assert documented() == specified()


def test_every_service_is_documented() -> None:
    """Each public method and property of Kernel is in the table, and the table names no other."""
    table = TEXT.split("## Services of `Kernel`")[1]
    named = {name for cell in re.findall(r"^\| (.+?) \|", table, re.MULTILINE) for name in re.findall(r"`(\w+)", cell)}
    assert named == {name for name in dir(Kernel) if not name.startswith("_")}


def test_every_attribute_is_documented() -> None:
    """What Kernel's own documentation lists as attributes stands here too."""
    sentence = TEXT.split("Attributes: ")[1].split("\n\n")[0]
    own = set(re.findall(r"^    (\w+): ", inspect.getdoc(Kernel) or "", re.MULTILINE))
    assert own
    assert own <= set(re.findall(r"`(\w+)`", sentence))


def test_names_that_a_plugin_is_told_to_import_exist() -> None:
    """Whatever the page says is in memhotplug.plugin is there."""
    sentence = TEXT.split("Beside it `memhotplug.plugin` has")[1]
    assert set(re.findall(r"`(\w+)`", sentence)) <= set(plugin.__all__)
