"""Capabilities as files: the modules of a package, listed by their names and loaded when they are asked for.

A kind of dataset, a family of models or a probe is registered by lying in its package. Loading by name leaves no import
that ``code_digests`` could read, so that a job depends on the capability that it uses (``loaded`` there), no other.
"""

import importlib
import pkgutil
from functools import cache
from types import ModuleType


@cache
def names(package: str) -> tuple[str, ...]:
    """Names of the modules and packages that lie in ``package``, in sorted order."""
    folders = importlib.import_module(package).__path__
    return tuple(sorted(module.name for module in pkgutil.iter_modules(folders) if not module.name.startswith("_")))


@cache
def folders(package: str) -> tuple[str, ...]:
    """Names of the packages that lie in ``package``, in sorted order: of capabilities that are a folder each."""
    paths = importlib.import_module(package).__path__
    return tuple(sorted(module.name for module in pkgutil.iter_modules(paths) if module.ispkg))


def load(package: str, name: str) -> ModuleType:
    """The module ``name`` of ``package``. Raises KeyError for a name that is none of ``names``."""
    if name.partition(".")[0] not in names(package):
        raise KeyError(name)
    return importlib.import_module(f"{package}.{name}")
