"""Strategies that train Keras 3 models better and fit them on a phone.

Importing this package registers every serializable class, so that a saved model
that uses one loads with `keras.models.load_model`. Subpackages that need a heavy
third party (`keras_strategies.tuning`), or that few need, are imported when first
used.
"""

from typing import TYPE_CHECKING, Any

from keras_strategies import (
    augmentation,
    callbacks,
    compression,
    constraints,
    initializers,
    layers,
    optimizers,
    regularizers,
    schedules,
    surgery,
    training,
)

if TYPE_CHECKING:
    from keras_strategies import ablation, compat, explain, export, recipes, tuning

    __version__: str

_LAZY = ("ablation", "compat", "explain", "export", "recipes", "tuning")

__all__ = [
    "__version__",
    "ablation",
    "augmentation",
    "callbacks",
    "compat",
    "compression",
    "constraints",
    "explain",
    "export",
    "initializers",
    "layers",
    "optimizers",
    "recipes",
    "regularizers",
    "schedules",
    "surgery",
    "training",
    "tuning",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        import importlib

        return importlib.import_module(f"{__name__}.{name}")
    if name == "__version__":
        from importlib.metadata import version

        return version("keras-strategies")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
