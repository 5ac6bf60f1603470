"""What the older supported versions of Keras lack."""

import keras
import pytest


def need_multi_optimizer():
    """Skips the test on a Keras from before `MultiOptimizer`."""
    if not hasattr(keras.optimizers, "MultiOptimizer"):
        pytest.skip(f"Keras {keras.__version__} has no MultiOptimizer")
