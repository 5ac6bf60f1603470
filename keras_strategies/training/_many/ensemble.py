"""An ensemble: the mean and the spread of several models' predictions."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_strategies._internal import bases, checks
from keras_strategies._internal.registration import serializable
from keras_strategies.surgery import rename


@serializable
class MeanAndSpread(bases.Layer):
    """Mean and standard deviation over a list of tensors of one shape."""

    def call(self, inputs: Any) -> tuple[Any, Any]:
        stacked = ops.stack(list(inputs))
        mean = ops.mean(stacked, axis=0)
        spread = ops.sqrt(ops.mean(ops.square(stacked - mean), axis=0))
        return mean, spread


class Ensemble:
    """Several trained models of one task as one: mean and spread of predictions.

    Members that differ in their random start agree where the data decide and differ
    where they do not: the mean is more accurate than a member, and the spread (the
    standard deviation over members) is large on inputs that are unlike the training
    data. Source: Lakshminarayanan, Pritzel and Blundell (2017), "Simple and Scalable
    Predictive Uncertainty Estimation using Deep Ensembles",
    https://arxiv.org/abs/1612.01474.

    Average probabilities, not logits, for a classifier: let the models end in softmax
    or sigmoid.

    Args:
        models: At least two built models with inputs and outputs of the same shapes.
            They are copied.

    Attributes:
        model: A functional Keras model of the inputs with the outputs `mean` and
            `spread` (for several outputs `NAME_mean` and `NAME_spread`): save it, or
            export it by `export.to_tflite`.

    Raises:
        TypeError: If a member is no model.
        ValueError: If there are fewer than two, or their shapes differ.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies import training

    def build():
        return keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])

    ensemble = training.Ensemble([build(), build(), build()])
    mean, spread = ensemble.predict(np.ones((5, 4)))
    mean.shape, spread.shape  # (5, 2), (5, 2)
    ```
    """

    def __init__(self, models: Sequence[keras.Model]):
        checks.instance("models", models, (list, tuple))
        for number, model in enumerate(models):
            checks.instance(f"models[{number}]", model, keras.Model)
        if len(models) < 2:
            checks.fail("`models` must have at least two members", models=len(models))
        first = _shapes(models[0])
        for number, model in enumerate(models[1:], start=1):
            if _shapes(model) != first:
                checks.fail(
                    "the models must have inputs and outputs of the same shapes",
                    first=first,
                    other=_shapes(model),
                    number=number,
                )
        self.model: keras.Model
        self.model, self._structure, self._names = _joined(models)

    def predict(
        self, x: Any, batch_size: int | None = None, verbose: Any = 0
    ) -> tuple[Any, Any]:
        """Returns `(mean, spread)`, each in the structure of a member's outputs.

        Args:
            x: Inputs, as for `model.predict`.
            batch_size: Rows at once. Defaults to `None`, Keras's 32.
            verbose: As for `model.predict`. Defaults to `0`.
        """
        outputs = self.model.predict(x, batch_size=batch_size, verbose=verbose)
        mean, spread = (
            keras.tree.pack_sequence_as(
                self._structure,
                [np.asarray(outputs[name + kind]) for name in self._names],
            )
            for kind in ("mean", "spread")
        )
        return mean, spread


def _shapes(model):
    if not model.built or not getattr(model, "inputs", None):
        checks.fail(
            "the models must be built, with inputs that are known",
            fix="Begin a Sequential model with `keras.Input`.",
            model=model.name,
        )
    return [
        [tuple(tensor.shape) for tensor in tensors]
        for tensors in (model.inputs, model.outputs)
    ]


def _joined(models):
    """The model, the structure of a member's outputs, and prefixes of their names."""
    # A Sequential model has no `input` before it is called.
    is_list = isinstance(models[0], keras.Sequential)
    structure = models[0].inputs[0] if is_list else models[0].input
    inputs = keras.tree.map_structure(
        lambda tensor: keras.Input(
            batch_shape=tensor.shape, dtype=tensor.dtype, name=tensor.name
        ),
        structure,
    )
    flat: list[list[Any]] = []
    called: Any = None
    for number, model in enumerate(models):
        # Keras refuses two layers of one name.
        copy = rename(model, {}, name=f"member_{number}")
        called = copy(inputs)
        flat.append(keras.tree.flatten(called))
    # Sequential models have one output, and no name of it.
    names = [""] if len(flat[0]) == 1 else list(models[0].output_names)
    prefixes = [f"{name}_" if name else "" for name in names]
    outputs = {}
    for prefix, tensors in zip(prefixes, zip(*flat, strict=True), strict=True):
        # In half precision squares of small differences are 0, of large ones infinite.
        layer = MeanAndSpread(name=f"{prefix}mean_and_spread", dtype="float32")
        mean, spread = layer(list(tensors))
        outputs[f"{prefix}mean"], outputs[f"{prefix}spread"] = mean, spread
    structure = keras.tree.map_structure(lambda tensor: 0, called)
    return keras.Model(inputs, outputs, name="ensemble"), structure, prefixes
