"""R1 gradient penalty for discriminators."""

import keras
from keras import ops

from keras_strategies._internal import checks, keras_private
from keras_strategies._internal.registration import serializable
from keras_strategies._internal.types import Config, Tensor, Tensors
from keras_strategies.regularizers._input_gradients import InputGradientPenalty


@serializable
class R1(InputGradientPenalty):
    """Trains a discriminator with the R1 gradient penalty, which stabilizes GANs.

    Where the generator already produces the data distribution, a discriminator should
    be flat around real samples; otherwise training oscillates around the solution. R1
    is the common remedy, simpler than the penalty of WGAN-GP because it needs no
    interpolated samples. A training step costs two to four times as much. In training
    the loss becomes

    ```
    loss + factor * 1/2 * mean over real samples ||d D(x) / d x||^2
    ```

    with `D` the outputs of the model for a sample, summed, and `x` its floating-point
    inputs. The outputs of the discriminator should be logits, not probabilities. Real
    samples are those whose target is `real`; a batch without any has no penalty. In
    evaluation the loss has no penalty. `sample_weight` does not weight the penalty.

    The wrapper shares its weights with `model`: use `model` itself inside a GAN, to
    predict or to save. A custom `train_step` or `compute_loss` of it is not called.

    Reference:

    - [Mescheder et al., 2018, Which Training Methods for GANs do actually
      Converge?](https://arxiv.org/abs/1801.04406), whose gamma is `factor`

    Args:
        model: A Keras model, the discriminator. Compile this object, not the model.
        factor: Strength of the penalty, at least 0; the paper uses 10. Defaults to
            `10.0`.
        real: Target of real samples, a number; targets must then be one number per
            sample. `None` treats every sample as real. Defaults to `1.0`.
        name: Name of the model. Defaults to `None`, the name of the class.

    Input shape:
        That of `model`.

    Output shape:
        That of `model`.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If `factor` is out of its range or, in training, if the inputs
            have no floating-point numbers or a target is not one number.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies.regularizers import R1

    discriminator = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model = R1(discriminator, factor=10.0)
    model.compile("adam", keras.losses.BinaryCrossentropy(from_logits=True))
    x, y = np.random.normal(size=(16, 4)), np.repeat([0.0, 1.0], 8)
    model.fit(x, y, verbose=0)
    print(discriminator.predict(x, verbose=0).shape)  # (16, 1)
    ```
    """

    def __init__(
        self,
        model: keras.Model,
        factor: float = 10.0,
        real: float | None = 1.0,
        name: str | None = None,
    ) -> None:
        super().__init__(model, factor, name)
        self.real: float | None = checks.real("real", real, optional=True)

    def penalty(self, x: Tensors, y: Tensors, y_pred: Tensors) -> Tensor:
        squares = self.squared_input_gradients(
            x, lambda outputs: sum(ops.sum(ops.cast(z, "float32")) for z in outputs)
        )
        if self.real is None:
            return ops.mean(squares) / 2
        is_real = ops.cast(self._targets(y) == self.real, "float32")
        return keras_private.batch_mean(squares, is_real) / 2

    def _targets(self, y: Tensors) -> Tensor:
        shape = getattr(y, "shape", None)
        if shape is None or any(side != 1 for side in shape[1:]):
            checks.fail(
                "The target of a sample must be one number",
                shape=shape,
                fix="Give targets of shape (batch,) or (batch, 1), or `real=None`.",
            )
        return ops.reshape(ops.cast(y, "float32"), (-1,))

    def get_config(self) -> Config:
        return {**super().get_config(), "real": self.real}
