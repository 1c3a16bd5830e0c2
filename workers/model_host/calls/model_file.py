"""A model in a file of its own, wherever that is: `MODEL=/path/to/file.py:Class`.

The file's folder comes first on `sys.path`, and the file is imported by its name without `.py`. That is how a process
that `multiprocessing` has spawned finds it, too, and whatever unpickles an object of the model's classes.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from typing import TYPE_CHECKING

from workers.model_host.calls.failures import NotLoadable

if TYPE_CHECKING:
    from types import ModuleType

_SUFFIX = ".py"


def is_file_name(module: str) -> bool:
    """Whether it names a file, and no module."""
    return module.endswith(_SUFFIX)


def import_file(path: str) -> ModuleType:
    """Imports a file; a relative path is one from the working directory. Raises NotLoadable, and what the file raises.

    Its name must be free: under the name of another module, one of the two would be imported in place of the other.
    """
    path = os.path.abspath(path)
    folder, file = os.path.split(path)
    name = file.removesuffix(_SUFFIX)
    if not os.path.isfile(path):
        raise NotLoadable(f"there is no file {path}")
    if not name.isidentifier():
        raise NotLoadable(f"{file} can't be imported: its name before {_SUFFIX} must be a Python identifier; rename it")
    _check_is_free(name, path)
    sys.path[:] = [folder, *(other for other in sys.path if other != folder)]
    importlib.invalidate_caches()
    _check_is_free(name, path)  # in its folder, a package of the same name would go first
    return importlib.import_module(name)


def _check_is_free(name: str, path: str) -> None:
    try:
        spec = importlib.util.find_spec(name)
    except ValueError:  # of a module that was not imported, such as __main__
        origin: str | None = "it is imported already"
    else:
        origin = spec.origin if spec is not None else None
    # A folder that is no package has no origin. A file of the same name goes before it.
    if origin is not None and not _is_same_file(origin, path):
        raise NotLoadable(f"{path} has the name of the module {name} ({origin}): rename the file")


def _is_same_file(one: str, other: str) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:  # such as "built-in"
        return False
