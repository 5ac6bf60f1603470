"""Optional dependencies: imported when used, or named in the error."""

import importlib
import importlib.util
from collections.abc import Sequence
from typing import Any

# module -> the extra of this package that brings it
_EXTRAS = {
    "array_record": "array-record",
    "cloudpickle": "tuning",
    "cmaes": "tuning",
    "fsspec": "cloud",
    "gymnasium": "rl",
    "jax": "jax",
    "litert_quantizer": "quantizer",
    "matplotlib": "plots",
    "nltk": "text",
    "optuna": "tuning",
    "pandas": "tuning",
    "shap": "explain",
    "shtab": "completion",
    "sklearn": "tuning",
    "torch": "torch",
}


def require(module: str, purpose: str) -> Any:
    """Imports and returns `module`, or raises an `ImportError` that helps.

    Args:
        module: Dotted module name, for example `"matplotlib.pyplot"`.
        purpose: What needs it, the start of the error sentence, for example
            `"`schedules.plot`"`.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        top = module.partition(".")[0]
        extra = _EXTRAS.get(top)
        target = f"keras-strategies[{extra}]" if extra else "keras-strategies"
        raise ImportError(
            f"{purpose} needs `{top}`, which cannot be imported ({error}). "
            f"Install it with: pip install '{target}'"
        ) from error


def missing_message(modules: Sequence[str], purpose: str) -> str | None:
    """Returns what to install for modules that are not there, `None` if all are.

    Nothing is imported.

    Args:
        modules: Names of top-level modules.
        purpose: What needs them, the start of the sentence.
    """
    absent = [name for name in modules if importlib.util.find_spec(name) is None]
    if not absent:
        return None
    extras = ",".join(sorted({_EXTRAS[name] for name in absent}))
    names = " and ".join(f"`{name}`" for name in absent)
    return (
        f"{purpose} needs {names}, which cannot be imported. "
        f"Install with: pip install 'keras-strategies[{extras}]'"
    )
