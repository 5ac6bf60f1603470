"""Annealed gradient noise."""

from collections.abc import Sequence

import keras
from keras import ops

from keras_strategies._internal import checks, keras_private
from keras_strategies._internal.registration import serializable
from keras_strategies._internal.types import Config, Tensor
from keras_strategies.optimizers import _gradients
from keras_strategies.optimizers.transform import Transform


@serializable
class AddNoise(Transform):
    """Adds normal noise to the gradients, with a variance that decays.

    Helps very deep or poorly initialized networks to leave poor regions of the loss.

    ```
    g + normal(0, sigma),   sigma ** 2 = eta / (1 + t) ** gamma,   t the number of
    updates
    ```

    The state of the random generator is saved with the optimizer, so that a loaded
    model continues with the same noise as an uninterrupted run.

    Reference:

    - [Neelakantan et al., 2015, Adding Gradient Noise Improves Learning for Very Deep
      Networks](https://arxiv.org/abs/1511.06807)

    Args:
        eta: Variance of the noise at the first update, at least 0. The paper tries
            0.01, 0.3 and 1.0. Defaults to `0.01`.
        gamma: Exponent of the decay, at least 0. Defaults to `0.55`.
        seed: Integer seed, or `None` for a random one. Defaults to `None`.
        name: Name of the transform. Defaults to the name of the class.

    Raises:
        ValueError: If an argument is out of its range.

    Example:

    ```python
    import keras
    from keras_strategies import optimizers

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(2)])
    noise = optimizers.AddNoise(eta=0.3, seed=1)
    model.compile(optimizers.GradientTransform("sgd", [noise]), loss="mse")
    ```
    """

    def __init__(
        self,
        eta: float = 0.01,
        gamma: float = 0.55,
        seed: int | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(name)
        self.eta: float = checks.real("eta", eta, low=0)
        self.gamma: float = checks.real("gamma", gamma, low=0)
        self.seed: int | None = checks.integer("seed", seed, low=0, optional=True)

    def build(
        self, optimizer: keras.optimizers.Optimizer, variables: Sequence[keras.Variable]
    ) -> None:
        self._generator = keras.random.SeedGenerator(self.seed)
        keras_private.track(optimizer, self._generator.state)

    def transform(
        self,
        gradients: list[Tensor],
        variables: Sequence[keras.Variable],
        step: Tensor,
    ) -> list[Tensor]:
        stddev = _gradients.stddev_of_noise(step, self.eta, self.gamma)
        return [
            gradient
            + ops.cast(stddev, gradient.dtype)
            * keras.random.normal(
                gradient.shape, dtype=gradient.dtype, seed=self._generator
            )
            for gradient in gradients
        ]

    def get_config(self) -> Config:
        return {
            "eta": self.eta,
            "gamma": self.gamma,
            "seed": self.seed,
            "name": self.name,
        }
