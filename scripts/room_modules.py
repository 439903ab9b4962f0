"""The rooms' parts of a command: modules at paths such as scripts/<room>/redrive.py."""

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType


def load(directory: Path, name: str) -> dict[str, ModuleType]:
    """The modules with this name in the folders of a directory, by folder; that of the platform is last."""
    modules = {}
    for path in sorted(directory.glob(f"*/{name}.py"), key=lambda path: (path.parent.name == "platform", path)):
        room = path.parent.name
        # It imports its neighbours by their names.
        if str(path.parent) not in sys.path:
            sys.path.append(str(path.parent))
        # Not imported by name, because `platform` is also a module of Python.
        spec = spec_from_file_location(f"{room}_{name}", path)
        modules[room] = sys.modules[spec.name] = module_from_spec(spec)
        spec.loader.exec_module(modules[room])
    return modules
