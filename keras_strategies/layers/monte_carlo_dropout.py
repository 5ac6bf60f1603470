"""Monte Carlo dropout and predictions with uncertainty."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import layers

from keras_strategies._internal import bases, checks
from keras_strategies._internal.model_graph import Rewriter, rebuild_reason
from keras_strategies._internal.registration import serializable
from keras_strategies._internal.traversal import all_layers
from keras_strategies._internal.types import Shape, Tensor, Tensors
from keras_strategies.layers._drop_block import DropBlock
from keras_strategies.layers.concrete_dropout import ConcreteDropout
from keras_strategies.layers.stochastic_depth import StochasticDepth

_RANDOM = (
    layers.Dropout,
    layers.SpatialDropout1D,
    layers.SpatialDropout2D,
    layers.SpatialDropout3D,
    layers.AlphaDropout,
    layers.GaussianDropout,
    ConcreteDropout,
    DropBlock,
    StochasticDepth,
)


@serializable
class MonteCarloDropout(bases.Dropout):
    """Dropout that stays active at inference.

    Repeated predictions of the same input differ, and their spread estimates the
    uncertainty of the network: an approximation of Bayesian inference.
    `predict_with_uncertainty` computes mean and standard deviation. A single `predict`
    is random: use `Dropout` where that is not intended, as in an exported model.

    ```
    output = inputs * keep / (1 - rate),  keep ~ Bernoulli(1 - rate), always
    ```

    Reference:

    - [Gal & Ghahramani, 2016, Dropout as a Bayesian Approximation](
      https://arxiv.org/abs/1506.02142)

    Args:
        rate: Fraction of the inputs to drop, in `[0, 1)`.
        noise_shape: Shape of the mask, as for `keras.layers.Dropout`. Defaults to
            `None`.
        seed: Integer that makes the random decisions reproducible, or `None`. Defaults
            to `None`.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Call arguments:
        inputs: Tensor of any rank.
        training: Ignored.

    Input shape:
        Any.

    Output shape:
        The shape of the input.

    Raises:
        ValueError: If `rate` is outside `[0, 1)`.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies.layers import MonteCarloDropout, predict_with_uncertainty

    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(32, activation="relu"),
            MonteCarloDropout(0.2),
            keras.layers.Dense(1),
        ]
    )
    mean, deviation = predict_with_uncertainty(model, np.ones((3, 4)), samples=5)
    ```
    """

    def __init__(
        self,
        rate: float,
        noise_shape: Sequence[int | None] | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        rate = checks.real("rate", rate, low=0, high=1, high_open=True)
        super().__init__(rate, noise_shape=noise_shape, seed=seed, **kwargs)

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        return super().call(inputs, training=True)


class _Active(bases.Wrapper):
    """Calls a layer as in training, independent of the model around it."""

    def call(self, inputs: Tensors, training: bool = True) -> Tensor:
        return self.layer(inputs, training=True)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return self.layer.compute_output_shape(input_shape)


class _Activation(Rewriter):
    """Puts the layers that drop at random into `_Active`."""

    def clone(self, layer: Any, path: str) -> Any:
        copy = super().clone(layer, path)
        return _Active(copy, name=layer.name) if isinstance(layer, _RANDOM) else copy

    def fill(self, old: Any, new: Any) -> None:
        super().fill(old, new.layer if type(new) is _Active else new)


def _random_model(model: keras.Model) -> keras.Model:
    """Returns the model if it is random at inference, else a copy that is."""
    layers_of_model = all_layers(model)
    if any(isinstance(layer, MonteCarloDropout) for layer in layers_of_model):
        return model
    if not any(isinstance(layer, _RANDOM) for layer in layers_of_model):
        checks.fail(
            "The model must have a dropout layer",
            model=model.name,
            fix="Add Dropout or MonteCarloDropout and train it so.",
        )
    if rebuild_reason(model) is not None:
        checks.fail(
            "A model that cannot be rebuilt needs MonteCarloDropout in place of its "
            f"Dropout, but {rebuild_reason(model)}",
            model=model.name,
            fix="Only Sequential and functional models can be rebuilt with it.",
        )
    return _Activation(model).rebuild()


def predict_with_uncertainty(
    model: keras.Model, x: Tensors, samples: int = 30, batch_size: int | None = None
) -> tuple[Any, Any]:
    """Returns mean and standard deviation of repeated random predictions.

    The spread of predictions with active dropout estimates the uncertainty of a
    network. If the model has `MonteCarloDropout` layers, only these are random.
    Otherwise all its dropout layers (`Dropout` and its variants, `ConcreteDropout`,
    `DropBlock2D`, `StochasticDepth`) act as in training, in a copy of the model; batch
    normalization and all other layers act as at inference. The model itself is not
    changed.

    ```
    mean      = sum of f[s](x) / samples
    deviation = sqrt(sum of (f[s](x) - mean)**2 / (samples - 1))
    ```

    where `f[s]` is the network with the random decisions of sample `s`. For class
    probabilities the mean is also the better calibrated prediction.

    Reference:

    - [Gal & Ghahramani, 2016, Dropout as a Bayesian Approximation](
      https://arxiv.org/abs/1506.02142)

    Args:
        model: Built Keras model; without `MonteCarloDropout` a Sequential or
            Functional one.
        x: Input as for `model.predict`, but no generator: it is read `samples` times.
        samples: Number of predictions, at least 2. Defaults to `30`.
        batch_size: Batch size, as for `model.predict`. Defaults to `None`.

    Returns:
        `(mean, deviation)`: arrays, or the structure of arrays that `predict` returns.

    Raises:
        ValueError: If the model has no dropout layer, or cannot be copied.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies.layers import predict_with_uncertainty

    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dropout(0.2), keras.layers.Dense(1)]
    )
    mean, deviation = predict_with_uncertainty(model, np.ones((3, 4)), samples=5)
    ```
    """
    samples = checks.integer("samples", samples, low=2)
    if hasattr(x, "__next__"):
        checks.fail("`x` must be readable several times", x=type(x).__name__)
    model, tree = _random_model(model), keras.tree
    mean = squares = None
    for count in range(1, samples + 1):
        prediction = model.predict(x, batch_size=batch_size, verbose=0)
        prediction = tree.map_structure(lambda a: a.astype("float64"), prediction)
        if mean is None:
            mean, squares = prediction, tree.map_structure(np.zeros_like, prediction)
            continue
        # Welford's update (1962): stores no prediction and avoids cancellation.
        previous = mean
        mean = tree.map_structure(
            lambda m, p, n=count: m + (p - m) / n, mean, prediction
        )
        squares = tree.map_structure(
            lambda s, old, new, p: s + (p - old) * (p - new),
            squares,
            previous,
            mean,
            prediction,
        )
    deviation = tree.map_structure(lambda s: np.sqrt(s / (samples - 1)), squares)
    return tuple(
        tree.map_structure(lambda a: a.astype("float32"), each)
        for each in (mean, deviation)
    )
