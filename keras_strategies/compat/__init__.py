"""Other libraries' names for what this package does on Keras 3 models.

`tfmot` has the names of TensorFlow Model Optimization and `hyperopt` those of
hyperopt, so that a script written for it runs with one changed import.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keras_strategies.compat import hyperopt, tfmot

__all__ = ["hyperopt", "tfmot"]


def __getattr__(name: str) -> Any:
    # `hyperopt` needs KerasTuner, which scripts for `tfmot` do not.
    if name in __all__:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
