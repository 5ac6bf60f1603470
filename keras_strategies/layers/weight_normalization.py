"""Weight normalization wrapper."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_strategies._internal import bases, checks
from keras_strategies._internal.registration import serializable
from keras_strategies._internal.types import Config, Shape, Tensor


def norm(v: Tensor, axes: Sequence[int]) -> Tensor:
    """Returns the Euclidean norm over all axes but `axes`, in float32 at least."""
    precise = ops.cast(v, keras.backend.result_type(v.dtype, "float32"))
    reduced = tuple(i for i in range(len(v.shape)) if i not in axes)
    squares = ops.sum(ops.square(precise), axis=reduced, keepdims=True)
    # The gradient of a column of zeros must not be NaN.
    return ops.sqrt(ops.maximum(squares, 1e-24))


def normalize(v: Tensor, g: Tensor, axes: Sequence[int]) -> Tensor:
    """Returns `g * v / norm(v)`; `g` has size 1 along the reduced axes."""
    factor = ops.cast(g, "float32") / ops.cast(norm(v, axes), "float32")
    return v * ops.cast(factor, v.dtype)


@serializable
class WeightNormalization(bases.Wrapper):
    """Trains norm and direction of each weight vector separately.

    A wrapper around `Dense` or a convolution. It conditions gradient steps as batch
    normalization does, but independently of the batch, so that it is suitable for
    recurrent networks, reinforcement learning and generative models.

    For each output unit, with the wrapped layer's kernel as `v`:

    ```
    kernel = g * v / norm(v)
    ```

    `g` is initialized as `norm(v)`, so that wrapping does not change the output.
    Regularizers and constraints of the wrapped layer act on `v`. The data-dependent
    initialization of the paper is not implemented.

    Reference:

    - [Salimans & Kingma, 2016, Weight Normalization](https://arxiv.org/abs/1602.07868)

    Args:
        layer: Layer with a `kernel`, such as `Dense` or `Conv2D`.
        axis: Axis or axes of the kernel that number the output units. Defaults to `-1`;
            `-2` for transposed convolutions, `(-2, -1)` for depthwise ones.
        **kwargs: Base layer arguments, such as `name` and `dtype`. The dtype
            defaults to that of the wrapped layer.

    Call arguments:
        inputs: Input of the wrapped layer.

    Input shape:
        That of the wrapped layer.

    Output shape:
        That of the wrapped layer.

    Raises:
        ValueError: If the wrapped layer has no kernel, or no such axis.

    Example:

    ```python
    import keras
    from keras_strategies.layers import WeightNormalization

    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            WeightNormalization(keras.layers.Conv2D(16, 3, activation="relu")),
            keras.layers.Flatten(),
            WeightNormalization(keras.layers.Dense(10)),
        ]
    )
    ```
    """

    def __init__(
        self, layer: keras.layers.Layer, axis: int | Sequence[int] = -1, **kwargs: Any
    ) -> None:
        checks.instance("layer", layer, keras.layers.Layer)
        kwargs.setdefault("dtype", layer.dtype_policy)
        # The wrapped layer is called by `stateless_call`: the wrapper adds this
        # penalty.
        kwargs.setdefault("activity_regularizer", layer.activity_regularizer)
        super().__init__(layer, **kwargs)
        axes = axis if isinstance(axis, list | tuple) else [axis]
        self.axis: list[int] = [checks.integer("axis", number) for number in axes]
        self.supports_masking: bool = layer.supports_masking

    def build(self, input_shape: Shape) -> None:
        super().build(input_shape)
        kernel = getattr(self.layer, "kernel", None)
        if not isinstance(kernel, keras.Variable):
            checks.fail(
                "The wrapped layer must have a kernel",
                layer=self.layer,
                fix="Wrap Dense, EinsumDense or a convolution.",
            )
        rank = len(kernel.shape)
        if any(not -rank <= axis < rank for axis in self.axis):
            checks.fail("`axis` must be of the kernel", axis=self.axis, rank=rank)
        self.g: keras.Variable = self.add_weight(
            name="g",
            shape=tuple(
                size if i in self._axes(rank) else 1
                for i, size in enumerate(kernel.shape)
            ),
            # The norm of the kernel as it is, so that wrapping changes no output.
            initializer=lambda shape, dtype: ops.cast(
                norm(ops.convert_to_tensor(kernel), self._axes(rank)), dtype
            ),
            autocast=False,
        )
        self.built = True

    def _axes(self, rank: int) -> list[int]:
        return [axis % rank for axis in self.axis]

    def call(self, inputs: Tensor) -> Tensor:
        layer, kernel = self.layer, self.layer.kernel
        weights = normalize(
            ops.convert_to_tensor(kernel), self.g, self._axes(len(kernel.shape))
        )

        def values(variables: Sequence[keras.Variable]) -> list[Any]:
            return [weights if v is kernel else v.value for v in variables]

        # Called with the normalized kernel as the value of its variable: gradients
        # reach both factors, and the variable itself remains `v`.
        outputs, _ = layer.stateless_call(
            values(layer.trainable_variables),
            values(layer.non_trainable_variables),
            inputs,
        )
        return outputs

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return self.layer.compute_output_shape(input_shape)

    def get_config(self) -> Config:
        return {**super().get_config(), "axis": self.axis}
