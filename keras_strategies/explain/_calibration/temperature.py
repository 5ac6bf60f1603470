"""One number that makes probabilities right on the whole."""

from typing import Any

import keras
import numpy as np

from keras_strategies._internal import checks
from keras_strategies._internal.model_graph import clone_model
from keras_strategies.explain._calibration import errors
from keras_strategies.explain._calibration.labelled import Labelled, collect
from keras_strategies.explain._engine.checked_inputs import check_inputs
from keras_strategies.explain._engine.explained import Explained
from keras_strategies.explain._engine.final_activation import logits_layer

# exp of these: temperatures of 1/50 to 50.
_RANGE = (-np.log(50.0), np.log(50.0))


def temperature_scaling(
    model: keras.Model,
    validation_data: Any,
    *,
    return_temperature: bool = False,
    batch_size: int = 256,
) -> Any:
    """A copy of a classifier with better probabilities and the same predictions.

    Divides the logits by the one number, the temperature, that makes the validation
    labels most likely. Above 1 it takes back overconfidence. The order of the classes
    stays, and with it the accuracy; for labels of their own, each on its side of 0.5.

        p = softmax(z / T) or sigmoid(z / T)        T = argmin of the log loss

    The copy has the temperature inside: the weights of its last layer are divided by
    it, which is exactly the same and costs nothing, on a phone either.

    Source: Guo et al. (2017), "On Calibration of Modern Neural Networks",
    https://arxiv.org/abs/1706.04599.

    Args:
        model: A classifier that ends in a Dense, EinsumDense or convolution layer, with
            softmax or sigmoid in it or behind it, or with logits as its output.
        validation_data: `(x, y)` or a data set of such batches that the model was not
            trained on. Labels are class numbers, one-hot rows, or 0 and 1 for each
            label.
        return_temperature: Whether the temperature is returned too. Defaults to
            `False`.
        batch_size: Samples that the model is run on at once. Defaults to `256`.

    Returns:
        The new model, compiled as the old one, which stays as it is; with
        `return_temperature=True` a tuple of it and the temperature.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If the model does not end in such a layer, labels and outputs do
            not fit, or no temperature between 1/50 and 50 is best, as for labels that
            are all predicted right.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies import explain

    model = keras.Sequential([
        keras.Input((4,)), keras.layers.Dense(3, activation="softmax")
    ])
    x = np.random.default_rng(0).normal(size=(200, 4))
    y = model.predict(x, verbose=0).argmax(axis=1)
    y[::3] = 0  # a third of the labels is by chance
    better = explain.temperature_scaling(model, (x, y))
    ```
    """
    checks.instance("model", model, keras.Model, fix="Give a Keras model.")
    checks.boolean("return_temperature", return_temperature)
    found = _logits(model, validation_data, batch_size)
    temperature = best_temperature(found)
    copy = clone_model(model)
    example = _example(copy, validation_data)
    layer = logits_layer(copy, example)
    weights = [w for w in (layer.kernel, getattr(layer, "bias", None)) if w is not None]
    for weight in weights:
        weight.assign(np.array(keras.ops.convert_to_numpy(weight)) / temperature)
    return (copy, temperature) if return_temperature else copy


def best_temperature(found: Labelled) -> float:
    """The temperature that makes the labels most likely."""
    from scipy.optimize import minimize_scalar

    def loss(log_temperature):
        scaled = errors.probabilities(
            found.values / np.exp(log_temperature), found.kind
        )
        return errors.log_loss(scaled, found.labels, found.kind)

    # The loss is convex in 1 / T: one minimum, inside or at an end.
    result = minimize_scalar(loss, bounds=_RANGE, method="bounded")
    best = float(result.x)
    if min(best - _RANGE[0], _RANGE[1] - best) < 1e-2:
        checks.fail(
            "A temperature between 1/50 and 50 must be best on `validation_data`",
            fix="Give more samples that the model was not trained on: if all are "
            "predicted right, the most extreme probabilities are best; if the "
            "predictions are no better than chance, the least.",
            temperature=float(np.exp(best)),
        )
    return float(np.exp(best))


def _logits(model, data, batch_size):
    # Refuses early: nothing is run for a model that cannot be scaled.
    example = _example(model, data)
    logits_layer(model, example)
    activation = Explained(model, example, _everything).plan.activation
    kind = None if activation is None else activation.kind.removeprefix("log_")

    def predict(x):
        return Explained(model, x, _everything, batch_size=batch_size).outputs()

    return collect(predict, data, "validation_data", kind)


def _everything(output):
    """A target for `Explained`: outputs are asked for, not scores."""
    return output


def _example(model, data):
    x = data[0] if isinstance(data, tuple) else next(iter(data))[0]
    x = keras.tree.map_structure(keras.ops.convert_to_numpy, x)
    inputs = check_inputs(model, x, "validation_data")
    return inputs.call_structure([array[:1] for array in inputs.flat])
