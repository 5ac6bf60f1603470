"""Sharpness-aware minimization (SAM, ASAM)."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_strategies._internal import checks
from keras_strategies._internal.keras_private.two_passes import two_pass_step
from keras_strategies._internal.registration import serializable
from keras_strategies._internal.types import Config, Tensor
from keras_strategies._internal.wrapping import WrapperModel
from keras_strategies.optimizers._gradients import sharpness_perturbation


@serializable
class SharpnessAware(WrapperModel):
    """Trains a model by sharpness-aware minimization (SAM, ASAM).

    Minima whose whole neighbourhood has a low loss tend to generalize better than sharp
    ones. Each step moves to the point of highest loss nearby and uses the gradient at
    that point. A step costs two passes, so about twice the time.

    ```
    e = rho * g / ||g||                                             SAM
    e = rho * t * t * g / ||t * g||,  t = |w| + 0.01 for kernels    ASAM
    w <- optimizer(w, gradient of the loss at w + e)
    ```

    with `g` the gradients at `w` and `||.||` over all of them together; `t` is 1 for
    weights of rank 0 and 1. Loss, metrics, moving statistics and random numbers are
    those of the pass at `w`, and dropout masks are the same in both. Any optimizer and
    loss can be used. The wrapper shares its weights with `model`: use `model` itself to
    predict, save or export after training.

    A model with a `train_step` or `compute_loss` of its own is refused: the wrapper's
    step would not call it. Training with several replicas of `tf.distribute` is not
    supported.

    Reference:

    - [Foret et al., 2021, Sharpness-Aware Minimization for Efficiently Improving
      Generalization](https://arxiv.org/abs/2010.01412)
    - [Kwon et al., 2021, ASAM: Adaptive Sharpness-Aware
      Minimization](https://arxiv.org/abs/2102.11600)

    Args:
        model: A Keras model. Compile this object, not the model.
        rho: Radius of the neighbourhood, greater than 0. The papers use 0.05 for SAM
            and 0.5 to 2 for ASAM. Defaults to `0.05`.
        adaptive: Whether the neighbourhood scales with the weights (ASAM). Defaults
            to `False`.
        name: Name of the model. Defaults to `None`, the name of the class.

    Input shape:
        That of `model`.

    Output shape:
        That of `model`.

    Raises:
        TypeError: If `model` is no Keras model.
        ValueError: If `rho` is out of its range, or if the class of `model` overrides
            the training step.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies import optimizers

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    flat = optimizers.SharpnessAware(model, rho=0.05)
    flat.compile("adam", loss="mse")
    flat.fit(np.ones((16, 4)), np.ones((16, 1)), epochs=2, verbose=0)
    print(model.predict(np.ones((2, 4)), verbose=0).shape)  # (2, 1)
    ```
    """

    def __init__(
        self,
        model: keras.Model,
        rho: float = 0.05,
        adaptive: bool = False,
        name: str | None = None,
    ) -> None:
        super().__init__(model, name)
        _refuse_own_step(model)
        self.rho: float = checks.real("rho", rho, low=0, low_open=True)
        self.adaptive: bool = checks.boolean("adaptive", adaptive)

    def train_step(self, *args: Any) -> Any:
        return two_pass_step(self, args, self._perturbations)

    def _perturbations(
        self, gradients: Sequence[Tensor], weights: Sequence[Tensor]
    ) -> list[Tensor]:
        return sharpness_perturbation(gradients, weights, self.rho, self.adaptive)

    def get_config(self) -> Config:
        return {**super().get_config(), "rho": self.rho, "adaptive": self.adaptive}


def _refuse_own_step(model: keras.Model) -> None:
    """Refuses a model whose part of the training would silently be left out."""
    for method in ("train_step", "compute_loss"):
        if getattr(type(model), method) is not getattr(keras.Model, method):
            checks.fail(
                f"`model` has a `{method}` of its own, which SharpnessAware would not "
                "call",
                fix="Wrap a model with Keras's training step, and put the custom loss "
                "into `compile`.",
                model=type(model).__name__,
            )
