"""Probabilities from the outputs of a classifier."""

from typing import Any

import keras
import numpy as np

from keras_strategies.tuning.hypermodels._compiling import takes_logits


def probabilities(
    outputs: Any, model: keras.Model, multilabel: bool = False
) -> np.ndarray:
    """Class probabilities from the outputs of a classifier, a column for each class.

    Args:
        outputs: Outputs of the model.
        model: The compiled model, whose loss tells whether they are logits.
        multilabel: Whether each class is a question of its own.
    """
    outputs = np.asarray(outputs)
    is_single = outputs.shape[-1] == 1
    if takes_logits(model):
        activation = keras.ops.sigmoid if multilabel or is_single else keras.ops.softmax
        outputs = keras.ops.convert_to_numpy(activation(outputs))
    if is_single and not multilabel:
        return np.concatenate([1 - outputs, outputs], axis=-1)
    return outputs


def log_odds(columns: np.ndarray) -> np.ndarray:
    """Returns `log(p / (1 - p))`, finite where a probability is rounded to 0 or 1."""
    smallest = np.finfo("float64").tiny
    p = columns.astype("float64")
    return np.log(np.maximum(p, smallest)) - np.log(np.maximum(1 - p, smallest))
