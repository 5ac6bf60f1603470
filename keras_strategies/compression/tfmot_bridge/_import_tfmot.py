"""`import_tfmot`: TensorFlow Model Optimization, imported without side effects."""

import contextlib
import os
import types
import warnings
from collections.abc import Iterator

_VARIABLE = "TF_USE_LEGACY_KERAS"


@contextlib.contextmanager
def quarantine() -> Iterator[None]:
    """Keeps `tf.keras` as it is: TFMOT sets a variable that would change it."""
    import tensorflow as tf

    tf.keras.__version__  # noqa: B018  (loads it now, before the variable is set)
    original = os.environ.get(_VARIABLE)
    try:
        yield
    finally:
        os.environ.pop(_VARIABLE, None)
        if original is not None:
            os.environ[_VARIABLE] = original


def import_tfmot() -> types.ModuleType:
    """Imports and returns `tensorflow_model_optimization` without side effects.

    Importing TFMOT sets `TF_USE_LEGACY_KERAS=1`, after which `tf.keras` becomes
    tf_keras, also in processes started later. Here `tf.keras` is loaded first and
    the variable restored.

    Example:

    ```python
    from keras_strategies.compression import import_tfmot

    tfmot = import_tfmot()
    print(tfmot.__version__)
    ```
    """
    with quarantine(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it uses much that is deprecated
        import tensorflow_model_optimization as tfmot

        # Its parts are loaded on first use and set the variable then.
        tfmot.sparsity.keras.PruningPolicy  # noqa: B018
        tfmot.clustering.keras.CentroidInitialization  # noqa: B018
        tfmot.quantization.keras.QuantizeConfig  # noqa: B018
        return tfmot
