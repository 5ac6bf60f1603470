"""Learned and sinusoidal positional embeddings."""

from typing import Any, Literal

import keras
import numpy as np
from keras import initializers, ops

from keras_strategies._internal import bases, checks
from keras_strategies._internal.registration import serializable
from keras_strategies._internal.types import Config, Initializer, Shape, Tensor

_METHODS = ("learned", "sinusoidal")


def sinusoids(length: Any, features: int, max_wavelength: float) -> Tensor:
    """Returns sines in the even and cosines in the odd columns (Vaswani et al.)."""
    # Columns 2i and 2i + 1 have the same frequency.
    even = np.arange(features) // 2 * 2
    frequencies = (1.0 / max_wavelength ** (even / features)).astype("float32")
    steps = ops.cast(ops.arange(length), "float32")
    angles = ops.expand_dims(steps, 1) * ops.expand_dims(ops.array(frequencies), 0)
    is_sine = np.arange(features)[None] % 2 == 0
    return ops.where(is_sine, ops.sin(angles), ops.cos(angles))


@serializable
class PositionalEmbedding(bases.Layer):
    """Adds to each step of a sequence an embedding of its position.

    Attention is invariant to the order of its input; this layer is used between the
    token embedding and the first transformer block.

    ```
    learned:     output[t] = inputs[t] + E[t],  E trained, sequence_length rows
    sinusoidal:  output[t, 2i]     = inputs[t, 2i]     + sin(t / w**(2i / features))
                 output[t, 2i + 1] = inputs[t, 2i + 1] + cos(t / w**(2i / features))
    ```

    with `w = max_wavelength`. Learned embeddings support sequences of up to
    `sequence_length` steps, sinusoidal ones any length.

    Reference:

    - [Vaswani et al., 2017, Attention Is All You Need](
      https://arxiv.org/abs/1706.03762)

    Args:
        sequence_length: Longest sequence; needed for `"learned"`. Defaults to `None`.
        method: `"learned"` or `"sinusoidal"`. Defaults to `"learned"`.
        initializer: Initializer of the learned embeddings. Defaults to
            `"glorot_uniform"`.
        max_wavelength: Longest wavelength of the sinusoids divided by 2 pi, above 0.
            Defaults to `10000`.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Input shape:
        `(batch, steps, features)`.

    Output shape:
        The shape of the input.

    Raises:
        ValueError: If an argument is out of range, if `sequence_length` is missing, or
            if a sequence is longer.

    Example:

    ```python
    import keras
    from keras_strategies.layers import PositionalEmbedding

    model = keras.Sequential(
        [
            keras.Input((None,)),
            keras.layers.Embedding(1000, 16),
            PositionalEmbedding(128),
        ]
    )
    ```
    """

    def __init__(
        self,
        sequence_length: int | None = None,
        method: Literal["learned", "sinusoidal"] = "learned",
        initializer: Initializer = "glorot_uniform",
        max_wavelength: float = 10000,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.method: str = checks.choice("method", method, _METHODS)
        self.sequence_length: int | None = checks.integer(
            "sequence_length",
            sequence_length,
            low=1,
            optional=method == "sinusoidal",
            fix="Learned embeddings need the length of the longest sequence.",
        )
        self.initializer: keras.initializers.Initializer = initializers.get(initializer)
        self.max_wavelength: float = checks.real(
            "max_wavelength", max_wavelength, low=0, low_open=True
        )
        self.input_spec: Any = keras.layers.InputSpec(ndim=3)
        self.supports_masking: bool = True

    def build(self, input_shape: Shape) -> None:
        steps, features = input_shape[1:]
        longest = self.sequence_length
        if features is None:
            checks.fail("The features must be known", input_shape=tuple(input_shape))
        if None not in (steps, longest) and steps > longest:
            checks.fail(
                "A sequence must not be longer than `sequence_length`",
                steps=steps,
                sequence_length=longest,
                fix="Increase it, or use method='sinusoidal'.",
            )
        if self.method == "learned":
            self.embeddings: keras.Variable = self.add_weight(
                name="embeddings",
                shape=(longest, features),
                initializer=self.initializer,
            )
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        steps = ops.shape(inputs)[1]
        if self.method == "learned":
            embeddings = ops.convert_to_tensor(self.embeddings)[:steps]
        else:
            embeddings = sinusoids(steps, inputs.shape[-1], self.max_wavelength)
        return inputs + ops.cast(embeddings, inputs.dtype)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def get_config(self) -> Config:
        return {
            **super().get_config(),
            "sequence_length": self.sequence_length,
            "method": self.method,
            "initializer": initializers.serialize(self.initializer),
            "max_wavelength": self.max_wavelength,
        }
