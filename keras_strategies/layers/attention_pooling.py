"""Attention pooling."""

import math
from typing import Any

import keras
from keras import ops

from keras_strategies._internal import bases, checks
from keras_strategies._internal.registration import serializable
from keras_strategies._internal.types import Config, Shape, Tensor
from keras_strategies._internal.weights.kernel_axes import as_float32


def masked_softmax(scores: Tensor, mask: Tensor | None = None) -> Tensor:
    """Returns the softmax over the second axis of `(batch, positions, 1)`."""
    # In float32 at least: half precision has no large negative number for the mask.
    precise = as_float32(scores)
    if mask is not None:
        precise = ops.where(ops.expand_dims(mask, -1), precise, -1e9)
    return ops.cast(ops.softmax(precise, axis=1), scores.dtype)


@serializable
class AttentionPooling(bases.Layer):
    """Averages a sequence, a bag or a feature map with learned weights.

    Replaces `GlobalAveragePooling`: the network learns which positions are relevant,
    and the weights show them. Also the pooling of multiple-instance learning, where a
    bag of instances has one label.

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
        units: Size of the hidden layer, at least 1. Defaults to `64`.
        gated: Whether the hidden layer has a gate. Defaults to `False`.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Call arguments:
        inputs: Tensor of rank 3 or more.
        mask: Boolean tensor of the shape of `inputs` without the features: which
            positions are valid. Set by Keras after a `Masking` or `Embedding` layer.
        return_attention_scores: Whether to return the weights as well. Defaults to
            `False`.

    Input shape:
        `(batch, ..., features)`; all axes between are positions.

    Output shape:
        `(batch, features)`, and with `return_attention_scores` the weights
        `(batch, positions)`.

    Raises:
        ValueError: If an argument is out of range, or if the input has no axis of
            positions.

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

    def __init__(self, units: int = 64, gated: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units: int = checks.integer("units", units, low=1)
        self.gated: bool = checks.boolean("gated", gated)
        # Consumes a mask; `compute_mask` returns none.
        self.supports_masking: bool = True

    def build(self, input_shape: Shape) -> None:
        if len(input_shape) < 3 or input_shape[-1] is None:
            checks.fail(
                "The input of AttentionPooling must be (batch, ..., features)",
                input_shape=tuple(input_shape),
            )
        Dense, policy = keras.layers.Dense, self.dtype_policy
        self.hidden: keras.layers.Dense = Dense(
            self.units, "tanh", name="hidden", dtype=policy
        )
        self.score: keras.layers.Dense = Dense(
            1, use_bias=False, name="score", dtype=policy
        )
        self.hidden.build((None, None, input_shape[-1]))
        self.score.build((None, None, self.units))
        if self.gated:
            self.gate: keras.layers.Dense = Dense(
                self.units, "sigmoid", name="gate", dtype=policy
            )
            self.gate.build((None, None, input_shape[-1]))
        self.built = True

    def call(
        self,
        inputs: Tensor,
        mask: Tensor | None = None,
        return_attention_scores: bool = False,
    ) -> Tensor | tuple[Tensor, Tensor]:
        x = inputs
        if len(x.shape) > 3:
            sizes = x.shape[1:-1]
            # Only one size may be -1: the batch, unless a position axis is unknown.
            batch = -1 if None not in sizes else ops.shape(x)[0]
            positions = math.prod(sizes) if None not in sizes else -1
            x = ops.reshape(x, (batch, positions, x.shape[-1]))
            if mask is not None:
                mask = ops.reshape(mask, (batch, positions))
        # tanh is nearly linear near zero; the gate (equation 9 of the paper) is not.
        hidden = self.hidden(x)
        if self.gated:
            hidden = hidden * self.gate(x)
        weights = masked_softmax(self.score(hidden), mask)
        pooled = ops.sum(weights * x, axis=1)
        if return_attention_scores:
            return pooled, ops.squeeze(weights, -1)
        return pooled

    def compute_mask(self, inputs: Tensor, mask: Tensor | None = None) -> None:
        return None

    def get_config(self) -> Config:
        return {**super().get_config(), "units": self.units, "gated": self.gated}
