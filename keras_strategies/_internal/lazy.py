"""Names of a package that are imported when they are first used."""

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any


def lazy_names(package: str, modules: Mapping[str, str]) -> Callable[[str], Any]:
    """Returns the `__getattr__` of a package for names from modules below it.

    Importing a package must not cost what few of its users need. Names that type
    checkers and `__all__` shall see are imported under `TYPE_CHECKING` as well.

    Args:
        package: `__name__` of the package.
        modules: `{name: module}`, the module relative to the package, or with its
            whole name for a name that another package shares.
    """

    def get(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        path, root = modules[name], package.partition(".")[0]
        is_whole = path.startswith(f"{root}.")
        module = importlib.import_module(path if is_whole else f"{package}.{path}")
        value = getattr(module, name)
        setattr(sys.modules[package], name, value)
        return value

    return get
