import math

import keras
from keras import ops

from keras_strategies._internal import checks
from keras_strategies._internal.registration import serializable


def masked_softmax(scores, mask=None):
    """Softmax over the second axis of `(batch, places, 1)`, in float32 or better."""
    dtype = keras.backend.result_type(scores.dtype, "float32")
    exact = ops.cast(scores, dtype)
    if mask is not None:
        exact = ops.where(ops.expand_dims(mask, -1), exact, -1e9)
    return ops.cast(ops.softmax(exact, axis=1), scores.dtype)


@serializable
class AttentionPooling(keras.layers.Layer):
    """Averages a sequence, a bag or a feature map with weights that are learned.

    In place of `GlobalAveragePooling`: the network learns which steps matter, and the
    weights show them. Also the pooling of multiple-instance learning, where a bag of
    instances has one label.

    For the vectors `h[k]` of one sample:

    ```
    score[k] = w^T tanh(V h[k] + b)                               plain
    score[k] = w^T (tanh(V h[k] + b) * sigmoid(U h[k] + c))       gated
    output   = sum of softmax(score)[k] * h[k]
    ```

    Reference:

    - [Ilse et al., 2018, Attention-based Deep Multiple Instance Learning](
      https://arxiv.org/abs/1802.04712)

    Args:
        units: Size of the inner layer, at least 1. Defaults to `64`.
        gated: Whether the inner layer has a gate. Defaults to `False`.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Call arguments:
        inputs: Tensor of rank 3 or more.
        mask: Boolean tensor of the shape of `inputs` without the features: what
            counts. Comes from a `Masking` or `Embedding` layer by itself.
        return_attention_scores: Whether the weights are returned too. Defaults to
            `False`.

    Input shape:
        `(batch, ..., features)`; all axes between are places.

    Output shape:
        `(batch, features)`, and with `return_attention_scores` the weights
        `(batch, places)`.

    Raises:
        ValueError: If an argument is out of range, or if the input has no place axis.

    Example:

    ```python
    import keras
    from keras_strategies.layers import AttentionPooling

    model = keras.Sequential(
        [
            keras.Input((None,)),
            keras.layers.Embedding(1000, 16, mask_zero=True),
            AttentionPooling(8, gated=True),
            keras.layers.Dense(1),
        ]
    )
    ```
    """

    def __init__(self, units=64, gated=False, **kwargs):
        super().__init__(**kwargs)
        self.units = checks.integer("units", units, low=1)
        self.gated = checks.boolean("gated", gated)
        # Takes a mask, and passes none on.
        self.supports_masking = True

    def build(self, input_shape):
        if len(input_shape) < 3 or input_shape[-1] is None:
            checks.fail(
                "The input of AttentionPooling must be (batch, ..., features)",
                input_shape=tuple(input_shape),
            )
        Dense, policy = keras.layers.Dense, self.dtype_policy
        self.hidden = Dense(self.units, "tanh", name="hidden", dtype=policy)
        self.score = Dense(1, use_bias=False, name="score", dtype=policy)
        self.hidden.build((None, None, input_shape[-1]))
        self.score.build((None, None, self.units))
        if self.gated:
            self.gate = Dense(self.units, "sigmoid", name="gate", dtype=policy)
            self.gate.build((None, None, input_shape[-1]))
        self.built = True

    def call(self, inputs, mask=None, return_attention_scores=False):
        x = inputs
        if len(x.shape) > 3:
            places = x.shape[1:-1]
            first = -1 if None not in places else ops.shape(x)[0]
            number = math.prod(places) if None not in places else -1
            x = ops.reshape(x, (first, number, x.shape[-1]))
            if mask is not None:
                mask = ops.reshape(mask, (first, number))
        hidden = self.hidden(x)
        if self.gated:
            hidden = hidden * self.gate(x)
        weights = masked_softmax(self.score(hidden), mask)
        pooled = ops.sum(weights * x, axis=1)
        if return_attention_scores:
            return pooled, ops.squeeze(weights, -1)
        return pooled

    def compute_mask(self, inputs, mask=None):
        return None

    def get_config(self):
        return {**super().get_config(), "units": self.units, "gated": self.gated}
