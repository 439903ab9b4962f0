"""The names of MiniStack that the layers replace and use, read from the layers' source.

MiniStack has no interface for layers, so any version can remove a name. ``python -m local_cloud.names``
prints the table in ``README.md``.
"""

import ast
import importlib
from importlib.metadata import PackageNotFoundError, version
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import local_cloud


class Name(NamedTuple):
    """A name of a module of MiniStack, and whether the layer assigns to it."""

    module: str
    name: str
    is_replaced: bool


def names() -> dict[str, list[Name]]:
    """The names by the file of the package that has them."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return {file.name: found for file in files if (found := _names(ast.parse(file.read_text())))}


def problem() -> str | None:
    """Why the installed MiniStack can't take the layers, and what to do; ``None`` when it can."""
    wanted = f"pip install 'ministack[full]=={local_cloud.MINISTACK}'"
    try:
        installed = version("ministack")
    except PackageNotFoundError:
        return f"MiniStack is not installed: {wanted}"
    if installed != local_cloud.MINISTACK:
        return f"The layers are made for MiniStack {local_cloud.MINISTACK}, and {installed} is installed: {wanted}"
    for file, found in names().items():
        for name in found:
            if not hasattr(importlib.import_module(name.module), name.name):
                return f"MiniStack {installed} has no {name.module}.{name.name}, which {file} needs: {wanted}"
    return None


def table() -> str:
    """The names in Markdown."""
    rows = ["| file | replaces | uses |", "|---|---|---|"]
    for file, found in names().items():
        replaced = [name for name in found if name.is_replaced]
        used = [name for name in found if not name.is_replaced]
        rows.append(f"| `{file}` | {_listed(replaced)} | {_listed(used)} |")
    return "\n".join(rows) + "\n"


def _listed(found: list[Name]) -> str:
    by_module = groupby(found, lambda name: name.module.removeprefix("ministack."))
    return "; ".join(f"{module}: {', '.join(f'`{name.name}`' for name in group)}" for module, group in by_module)


def _names(tree: ast.Module) -> list[Name]:
    imported = {
        alias.asname or alias.name: (node.module, alias.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "ministack"
        for alias in node.names
    }
    attributes = [
        (".".join(imported[node.value.id]), node.attr, isinstance(node.ctx, ast.Store))
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in imported
    ]
    modules = {module for module, _, _ in attributes}
    used = {(module, name) for module, name, _ in attributes}
    used |= {name for name in imported.values() if ".".join(name) not in modules}
    return [Name(*name, is_replaced=(*name, True) in attributes) for name in sorted(used)]


if __name__ == "__main__":
    print(table(), end="")
