"""Transformer encoder and decoder-only blocks."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_strategies._internal import bases, checks
from keras_strategies._internal.registration import serializable
from keras_strategies._internal.types import (
    Activation,
    Config,
    Serialized,
    Shape,
    Tensor,
)
from keras_strategies.layers import _templates
from keras_strategies.layers.gated_linear_unit import GatedLinearUnit
from keras_strategies.layers.layer_scale import LayerScale
from keras_strategies.layers.stochastic_depth import StochasticDepth


@serializable
class TransformerBlock(bases.Layer):
    """Self-attention and feed-forward network, each with a residual connection.

    The encoder block of text, time series and vision transformers, and with
    `causal=True` the block of decoder-only language models. Attention is computed by
    `keras.layers.MultiHeadAttention`.

    ```
    post-norm (2017):  x = norm(x + attention(x));  output = norm(x + feed_forward(x))
    pre-norm:          x = x + attention(norm(x));  output = x + feed_forward(norm(x))
    feed_forward(x)  = W2 activation(W1 x + b1) + b2,  or gated: W2 GLU(x) + b2
    ```

    Pre-norm trains without a warm-up and at great depth; add one more normalization
    after the last block.

    Reference:

    - [Vaswani et al., 2017, Attention Is All You Need](
      https://arxiv.org/abs/1706.03762)
    - [Xiong et al., 2020, On Layer Normalization in the Transformer Architecture](
      https://arxiv.org/abs/2002.04745)

    Args:
        intermediate_dim: Hidden units of the feed-forward network, often 4 times the
            features.
        num_heads: Number of attention heads, at least 1.
        dropout: Dropout rate of attention weights, hidden units and both branches, in
            `[0, 1)`. Defaults to `0.0`.
        activation: Activation of the feed-forward network. Defaults to `"gelu"`.
        layer_norm_epsilon: Epsilon of the layer normalizations. Defaults to `1e-5`.
        normalize_first: Pre-norm if `True`, post-norm if `False`. Defaults to `True`.
        key_dim: Size of each head. Defaults to `None`: features / `num_heads`.
        causal: Whether a step attends only to itself and earlier steps. Defaults to
            `False`.
        gated: Whether the feed-forward network is a `GatedLinearUnit` with the
            activation as its gate (`"silu"`: SwiGLU). Defaults to `False`.
        drop_path_rate: Drop rate of stochastic depth, in `[0, 1)`. Defaults to `0.0`.
        layer_scale: Initial value of a `LayerScale` at the end of both branches, or
            `None` for none. Defaults to `None`.
        normalization: Template of another normalization, such as
            `keras.layers.RMSNormalization()`; the block creates copies. Defaults to
            `None`: `LayerNormalization`.
        seed: Integer that makes dropout and stochastic depth reproducible, or `None`.
            Defaults to `None`.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Call arguments:
        inputs: Tensor of rank 3.
        attention_mask: Boolean tensor `(batch, steps, steps)`: which steps (last axis)
            each step attends to. Defaults to `None`.
        mask: Boolean tensor `(batch, steps)`: which steps are valid. Set by Keras
            after a `Masking` or `Embedding` layer.

    Input shape:
        `(batch, steps, features)`.

    Output shape:
        The shape of the input.

    Raises:
        ValueError: If an argument is out of range, or if the features are unknown or no
            multiple of `num_heads` without a `key_dim`.

    Example:

    ```python
    import keras
    from keras_strategies.layers import PositionalEmbedding, TransformerBlock

    model = keras.Sequential(
        [
            keras.Input((20,)),
            keras.layers.Embedding(100, 16),
            PositionalEmbedding(20),
            TransformerBlock(32, num_heads=2, dropout=0.1),
            keras.layers.LayerNormalization(),
        ]
    )
    ```
    """

    def __init__(
        self,
        intermediate_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        activation: Activation = "gelu",
        layer_norm_epsilon: float = 1e-5,
        normalize_first: bool = True,
        key_dim: int | None = None,
        causal: bool = False,
        gated: bool = False,
        drop_path_rate: float = 0.0,
        layer_scale: float | None = None,
        normalization: keras.layers.Layer | Serialized | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.intermediate_dim: int = checks.integer(
            "intermediate_dim", intermediate_dim, low=1
        )
        self.num_heads: int = checks.integer("num_heads", num_heads, low=1)
        unit_interval = {"low": 0, "high": 1, "high_open": True}
        self.dropout: float = checks.real("dropout", dropout, **unit_interval)
        self.activation: Callable[..., Any] = keras.activations.get(activation)
        self.layer_norm_epsilon: float = checks.real(
            "layer_norm_epsilon", layer_norm_epsilon, low=0, low_open=True
        )
        self.normalize_first: bool = checks.boolean("normalize_first", normalize_first)
        self.key_dim: int | None = checks.integer(
            "key_dim", key_dim, low=1, optional=True
        )
        self.causal: bool = checks.boolean("causal", causal)
        self.gated: bool = checks.boolean("gated", gated)
        self.drop_path_rate: float = checks.real(
            "drop_path_rate", drop_path_rate, **unit_interval
        )
        self.layer_scale: float | None = checks.real(
            "layer_scale", layer_scale, optional=True
        )
        self.normalization: Serialized | None = _templates.to_template(
            "normalization", normalization
        )
        self.seed: int | None = checks.integer("seed", seed, optional=True)
        self.input_spec: Any = keras.layers.InputSpec(ndim=3)
        self.supports_masking: bool = True

    def build(self, input_shape: Shape) -> None:
        features = input_shape[-1]
        if features is None or (self.key_dim is None and features % self.num_heads):
            checks.fail(
                "The features must be known, and a multiple of `num_heads`",
                features=features,
                num_heads=self.num_heads,
                fix="Give key_dim for heads of another size.",
            )
        policy = self.dtype_policy
        self.attention: keras.layers.MultiHeadAttention = (
            keras.layers.MultiHeadAttention(
                self.num_heads,
                self.key_dim or features // self.num_heads,
                dropout=self.dropout,
                seed=self.seed,
                name="attention",
                dtype=policy,
            )
        )
        self.attention.build(input_shape, input_shape)
        kind = GatedLinearUnit if self.gated else keras.layers.Dense
        inner = kind(self.intermediate_dim, self.activation, name="inner", dtype=policy)
        outer = keras.layers.Dense(features, name="outer", dtype=policy)
        self.feed_forward: list[keras.layers.Layer] = [
            inner,
            self._dropout("inner"),
            outer,
        ]
        _templates.build_all(self.feed_forward, input_shape)
        self.norms: list[keras.layers.Layer] = []
        self.ends: list[list[keras.layers.Layer]] = []
        self.merges: list[StochasticDepth] = []
        for part in ("attention", "feed_forward"):
            self.norms.append(self._normalization(f"{part}_norm"))
            self.ends.append([self._dropout(part)])
            if self.layer_scale is not None:
                scale = LayerScale(self.layer_scale, name=f"{part}_scale", dtype=policy)
                self.ends[-1].append(scale)
            self.merges.append(
                StochasticDepth(
                    self.drop_path_rate, self.seed, name=f"{part}_merge", dtype=policy
                )
            )
            _templates.build_all([self.norms[-1], *self.ends[-1]], input_shape)
            self.merges[-1].build([input_shape, input_shape])
        self.built = True

    def _dropout(self, part: str) -> keras.layers.Layer:
        return keras.layers.Dropout(
            self.dropout,
            seed=self.seed,
            name=f"{part}_dropout",
            dtype=self.dtype_policy,
        )

    def _normalization(self, name: str) -> keras.layers.Layer:
        template = self.normalization or _templates.to_template(
            "normalization",
            keras.layers.LayerNormalization(epsilon=self.layer_norm_epsilon),
        )
        return _templates.create(template, name, self.dtype_policy)

    def call(
        self,
        inputs: Tensor,
        attention_mask: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        if mask is not None:
            # `(batch, 1, steps)`: padded steps are hidden from all steps.
            valid = ops.expand_dims(mask, 1)
            if attention_mask is not None:
                valid = ops.logical_and(valid, ops.cast(attention_mask, "bool"))
            attention_mask = valid

        def attend(x: Tensor) -> Tensor:
            return self.attention(
                x, x, attention_mask=attention_mask, use_causal_mask=self.causal
            )

        def feed_forward(x: Tensor) -> Tensor:
            for layer in self.feed_forward:
                x = layer(x)
            return x

        x = inputs
        for part, branch in enumerate((attend, feed_forward)):
            norm, merge = self.norms[part], self.merges[part]
            y = branch(norm(x) if self.normalize_first else x)
            for layer in self.ends[part]:
                y = layer(y)
            x = merge([x, y])
            if not self.normalize_first:
                x = norm(x)
        return x

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def get_config(self) -> Config:
        names = (
            "intermediate_dim",
            "num_heads",
            "dropout",
            "layer_norm_epsilon",
            "normalize_first",
            "key_dim",
            "causal",
            "gated",
            "drop_path_rate",
            "layer_scale",
            "normalization",
            "seed",
        )
        return {
            **super().get_config(),
            **{name: getattr(self, name) for name in names},
            "activation": keras.activations.serialize(self.activation),
        }
