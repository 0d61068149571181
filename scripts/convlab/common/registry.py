"""Plugin registry: the modules of a package, listed by name and imported on demand.

A dataset kind, a model family or a probe is registered by its place in its package. Loading by name leaves no import
that ``code_digests`` could read, so that a job depends only on the plugin that it uses (``loaded`` there).
"""

import importlib
import pkgutil
from functools import cache
from types import ModuleType


@cache
def names(package: str) -> tuple[str, ...]:
    """Names of the modules and packages in ``package``, in sorted order."""
    folders = importlib.import_module(package).__path__
    return tuple(sorted(module.name for module in pkgutil.iter_modules(folders) if not module.name.startswith("_")))


@cache
def folders(package: str) -> tuple[str, ...]:
    """Names of the packages in ``package``, in sorted order: plugins that are a folder each."""
    paths = importlib.import_module(package).__path__
    return tuple(sorted(module.name for module in pkgutil.iter_modules(paths) if module.ispkg))


def load(package: str, name: str) -> ModuleType:
    """Import the module ``name`` of ``package``. Raises KeyError for a name that is not in ``names``."""
    if name.partition(".")[0] not in names(package):
        raise KeyError(name)
    return importlib.import_module(f"{package}.{name}")
