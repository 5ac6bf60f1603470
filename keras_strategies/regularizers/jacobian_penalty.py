"""Training with a penalty on the input-output Jacobian."""

import math

import keras
from keras import ops

from keras_strategies._internal import checks
from keras_strategies._internal.registration import serializable
from keras_strategies._internal.types import Config, Tensor, Tensors
from keras_strategies.regularizers._input_gradients import InputGradientPenalty


@serializable
class JacobianPenalty(InputGradientPenalty):
    """Trains a model with a penalty on its input-output Jacobian.

    A model whose outputs change little under small changes of its inputs is more robust
    to noise and adversarial perturbations and often generalizes better from few
    samples. A training step costs two to four times as much. In training the loss
    becomes

    ```
    loss + factor * 1/2 * mean over samples ||J||_F^2
    ||J||_F^2 ~ C * mean over projections ||d (v . z) / d x||^2
    ```

    with `J` the Jacobian of the `C` outputs `z` of a sample with respect to its
    floating-point inputs `x`, `|| ||_F` the Frobenius norm and `v` a random unit
    vector, a new one for each sample and step, so that the estimate is unbiased. The
    outputs of the model should be logits, not probabilities, as in the paper: a
    saturated softmax has a vanishing gradient. In evaluation the loss has no penalty.
    `sample_weight` does not weight the penalty.

    The wrapper shares its weights with `model`: use `model` itself to predict, save or
    export after training. A custom `train_step` or `compute_loss` of it is not called.

    Reference:

    - [Hoffman et al., 2019, Robust Learning with Jacobian
      Regularization](https://arxiv.org/abs/1908.02729)

    Args:
        model: A Keras model. Compile this object, not the model.
        factor: Strength of the penalty, at least 0; the paper uses 0.01 for images.
            Defaults to `0.01`.
        projections: Number of random directions for each sample, at least 1; each
            costs one more pass. One is enough for common batch sizes. Defaults to `1`.
        seed: Integer seed of the directions. Defaults to `None`, random.
        name: Name of the model. Defaults to `None`, the name of the class.

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

    def __init__(
        self,
        model: keras.Model,
        factor: float = 0.01,
        projections: int = 1,
        seed: int | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(model, factor, name)
        self.projections: int = checks.integer("projections", projections, low=1)
        self.seed: int | None = checks.integer("seed", seed, optional=True)
        self.seed_generator: keras.random.SeedGenerator = keras.random.SeedGenerator(
            self.seed
        )

    def penalty(self, x: Tensors, y: Tensors, y_pred: Tensors) -> Tensor:
        outputs = keras.tree.flatten(y_pred)
        squares = 0.0
        for _ in range(self.projections):
            # Drawn here: the pass below discards its updates of random states.
            directions = self._directions(outputs)
            squares = squares + self.squared_input_gradients(
                x, lambda z, v=directions: _product(v, z)
            )
        return ops.mean(squares) / (2 * self.projections)

    def _directions(self, outputs: list[Tensor]) -> list[Tensor]:
        """Returns `sqrt(C) v` in the shapes of the outputs."""
        shapes = [ops.shape(z) for z in outputs]
        # Normalized normal vectors are uniform on the sphere, over all outputs at once.
        v = [keras.random.normal(s, seed=self.seed_generator) for s in shapes]
        flat = [
            ops.reshape(tensor, (s[0], -1)) for tensor, s in zip(v, shapes, strict=True)
        ]
        squares = sum(ops.sum(ops.square(tensor), axis=1) for tensor in flat)
        size = ops.cast(sum(math.prod(s[1:]) for s in shapes), "float32")
        scale = ops.sqrt(size / squares)
        return [
            tensor * ops.reshape(scale, (-1,) + (1,) * (len(s) - 1))
            for tensor, s in zip(v, shapes, strict=True)
        ]

    def get_config(self) -> Config:
        return {
            **super().get_config(),
            "projections": self.projections,
            "seed": self.seed,
        }


def _product(directions: list[Tensor], outputs: list[Tensor]) -> Tensor:
    """Returns the sum of the products of directions and outputs."""
    pairs = zip(directions, outputs, strict=True)
    return sum(ops.sum(v * ops.cast(z, "float32")) for v, z in pairs)
