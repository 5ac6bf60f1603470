"""Optional dependencies: imported when used, or named in the error."""

import importlib
from typing import Any

# module -> the extra of this package that brings it
_EXTRAS = {
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
