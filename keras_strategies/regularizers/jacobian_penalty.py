"""A model that is trained to change its outputs little where its inputs change."""

import math

import keras
from keras import ops

from keras_strategies._internal import checks
from keras_strategies._internal.registration import serializable
from keras_strategies.regularizers._input_gradients import InputGradientPenalty


@serializable
class JacobianPenalty(InputGradientPenalty):
    """Trains a model with a penalty on its input-output Jacobian.

    A model whose outputs change little where its inputs change a little withstands
    noise and adversarial perturbations better and often generalizes better from few
    samples. A step costs two to four times as much. In training the loss becomes

    ```
    loss + factor * 1/2 * mean over samples ||J||_F^2
    ||J||_F^2 ~ C * mean over projections ||d (v . z) / d x||^2
    ```

    with `J` the Jacobian of the `C` outputs `z` of a sample with respect to its
    floating-point inputs `x`, `|| ||_F` the Frobenius norm and `v` a random direction
    of length one, another in each sample and step, so that the estimate is right on
    average. Give the model logits as outputs, not probabilities, as in the paper: a
    softmax that is sure has hardly a gradient. In evaluation the loss is the plain
    one. `sample_weight` does not weigh the penalty.

    The wrapped model shares its weights: use `model` itself to predict, to save or to
    export it after training. A `train_step` or `compute_loss` of its own is not used.

    Reference:

    - [Hoffman et al., 2019, Robust Learning with Jacobian
      Regularization](https://arxiv.org/abs/1908.02729)

    Args:
        model: A Keras model. Compile this object, not the model.
        factor: Strength of the penalty, at least 0; the paper uses 0.01 for images.
            Defaults to `0.01`.
        projections: Number of random directions for each sample, at least 1; each
            costs one more pass. One is enough for batches of usual size. Defaults to
            `1`.
        seed: Integer seed of the directions. Defaults to `None`, random.
        name: Name of the model. Defaults to `None`, a name from the class.

    Input shape:
        That of `model`.

    Output shape:
        That of `model`.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If an argument is out of its range or, in training, if the inputs
            have no floating-point numbers.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies.regularizers import JacobianPenalty

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    robust = JacobianPenalty(model, factor=0.1)
    robust.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    robust.fit(np.ones((16, 4)), np.ones((16,)), verbose=0)
    print(model.predict(np.ones((2, 4)), verbose=0).shape)  # (2, 3)
    ```
    """

    def __init__(self, model, factor=0.01, projections=1, seed=None, name=None):
        super().__init__(model, factor, name)
        self.projections = checks.integer("projections", projections, low=1)
        self.seed = checks.integer("seed", seed, optional=True)
        self.seed_generator = keras.random.SeedGenerator(self.seed)

    def penalty(self, x, y, y_pred):
        outputs = keras.tree.flatten(y_pred)
        squares = 0.0
        for _ in range(self.projections):
            # Drawn here, as the pass below drops what it does to random states.
            directions = self._directions(outputs)
            squares = squares + self.squared_input_gradients(
                x, lambda z, v=directions: _product(v, z)
            )
        return ops.mean(squares) / (2 * self.projections)

    def _directions(self, outputs):
        """`sqrt(C) v` in the shapes of the outputs."""
        shapes = [ops.shape(z) for z in outputs]
        v = [keras.random.normal(s, seed=self.seed_generator) for s in shapes]
        flat = [
            ops.reshape(part, (s[0], -1)) for part, s in zip(v, shapes, strict=True)
        ]
        squares = sum(ops.sum(ops.square(part), axis=1) for part in flat)
        count = ops.cast(sum(math.prod(s[1:]) for s in shapes), "float32")
        factor = ops.sqrt(count / squares)
        return [
            part * ops.reshape(factor, (-1,) + (1,) * (len(s) - 1))
            for part, s in zip(v, shapes, strict=True)
        ]

    def get_config(self):
        return {
            **super().get_config(),
            "projections": self.projections,
            "seed": self.seed,
        }


def _product(directions, outputs):
    pairs = zip(directions, outputs, strict=True)
    return sum(ops.sum(v * ops.cast(z, "float32")) for v, z in pairs)
