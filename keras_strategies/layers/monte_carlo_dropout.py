import keras
import numpy as np
from keras import layers

from keras_strategies._internal import checks
from keras_strategies._internal.model_graph import Rewriter, rebuild_reason
from keras_strategies._internal.registration import serializable
from keras_strategies._internal.walking import all_layers
from keras_strategies.layers._drop_block import DropBlock
from keras_strategies.layers.concrete_dropout import ConcreteDropout
from keras_strategies.layers.stochastic_depth import StochasticDepth

RANDOM = (
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
class MonteCarloDropout(keras.layers.Dropout):
    """Dropout that stays active at inference.

    Several predictions of the same input then differ, and their spread says how sure
    the network is: an approximation of Bayesian inference. `predict_with_uncertainty`
    computes mean and spread. A single `predict` is random, so use `Dropout` where that
    is not wanted, as in a model for a phone.

    ```
    output = inputs * keep / (1 - rate),  keep ~ Bernoulli(1 - rate), always
    ```

    Reference:

    - [Gal & Ghahramani, 2016, Dropout as a Bayesian Approximation](
      https://arxiv.org/abs/1506.02142)

    Args:
        rate: Part of the inputs to drop, in `[0, 1)`.
        noise_shape: Shape of the mask, as for `keras.layers.Dropout`. Defaults to
            `None`.
        seed: Integer that makes the decisions reproducible, or `None`. Defaults to
            `None`.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Call arguments:
        inputs: Tensor of any rank.
        training: Without effect.

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

    def __init__(self, rate, noise_shape=None, seed=None, **kwargs):
        rate = checks.real("rate", rate, low=0, high=1, high_open=True)
        super().__init__(rate, noise_shape=noise_shape, seed=seed, **kwargs)

    def call(self, inputs, training=False):
        return super().call(inputs, training=True)


class _Active(keras.layers.Wrapper):
    """Runs a layer as in training, whatever the model around it does."""

    def call(self, inputs, training=True):
        return self.layer(inputs, training=True)

    def compute_output_shape(self, input_shape):
        return self.layer.compute_output_shape(input_shape)


class _Activation(Rewriter):
    """Puts the layers that drop at random into `_Active`."""

    def clone(self, layer, path):
        copy = super().clone(layer, path)
        return _Active(copy, name=layer.name) if isinstance(layer, RANDOM) else copy

    def fill(self, old, new):
        super().fill(old, new.layer if type(new) is _Active else new)


def _random_model(model):
    """The model itself if it is random at inference, else a copy that is."""
    found = all_layers(model)
    if any(isinstance(layer, MonteCarloDropout) for layer in found):
        return model
    if not any(isinstance(layer, RANDOM) for layer in found):
        checks.fail(
            "The model must have a layer that drops at random",
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


def predict_with_uncertainty(model, x, samples=30, batch_size=None):
    """Mean and standard deviation of many random predictions.

    The spread of predictions with dropout active says how sure a network is. If the
    model has `MonteCarloDropout` layers, they are random, and they alone. Otherwise all
    its layers that drop (`Dropout` and its kin, `ConcreteDropout`, `DropBlock2D`,
    `StochasticDepth`) act as in training, in a copy of the model; batch normalization
    and all else act as at inference. The model itself is not changed.

    ```
    mean      = sum of f[s](x) / samples
    deviation = sqrt(sum of (f[s](x) - mean)**2 / (samples - 1))
    ```

    where `f[s]` is the network with the decisions of draw `s`. For class probabilities
    the mean is the better calibrated prediction too.

    Reference:

    - [Gal & Ghahramani, 2016, Dropout as a Bayesian Approximation](
      https://arxiv.org/abs/1506.02142)

    Args:
        model: Built Keras model; without `MonteCarloDropout` a Sequential or
            functional one.
        x: Input as for `model.predict`; no generator, as it is read `samples` times.
        samples: Number of predictions, at least 2. Defaults to `30`.
        batch_size: Samples a batch, as for `model.predict`. Defaults to `None`.

    Returns:
        `(mean, deviation)`: arrays, or the structure of arrays that `predict` returns.

    Raises:
        ValueError: If the model drops nothing, or cannot be copied.

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
        drawn = model.predict(x, batch_size=batch_size, verbose=0)
        drawn = tree.map_structure(lambda a: a.astype("float64"), drawn)
        if mean is None:
            mean, squares = drawn, tree.map_structure(np.zeros_like, drawn)
            continue
        # Welford's update: no draw is kept, and nothing cancels.
        before = mean
        mean = tree.map_structure(lambda m, d, n=count: m + (d - m) / n, mean, drawn)
        squares = tree.map_structure(
            lambda s, b, m, d: s + (d - b) * (d - m), squares, before, mean, drawn
        )
    deviation = tree.map_structure(lambda s: np.sqrt(s / (samples - 1)), squares)
    return tuple(
        tree.map_structure(lambda a: a.astype("float32"), each)
        for each in (mean, deviation)
    )
