"""Weight normalization wrapper."""

import inspect
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_strategies._internal import bases, checks, keras_private
from keras_strategies._internal.registration import serializable
from keras_strategies._internal.types import Config, Shape, Tensor
from keras_strategies._internal.weights.kernel_axes import as_float32
from keras_strategies._internal.weights.values import host_value


def norm(v: Tensor, axes: Sequence[int]) -> Tensor:
    """Returns the Euclidean norm over all axes but `axes`, in float32 at least."""
    precise = as_float32(v)
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

    A wrapper around `Dense`, a convolution or a recurrent layer. It conditions gradient
    steps as batch normalization does, but independently of the batch, so that it is
    suitable for recurrent networks, reinforcement learning and generative models.

    For each output unit, with the wrapped layer's kernel as `v`:

    ```
    kernel = g * v / norm(v)
    ```

    `g` is initialized as `norm(v)`, so that wrapping does not change the output, or by
    `initialize` from a batch of data, as in the paper. Regularizers and constraints of
    the wrapped layer act on `v`. Of a recurrent layer it is the recurrent kernel that
    is normalized, as in TensorFlow Addons, unless `weight` names the other one.
    `remove` gives the wrapped layer back, with the kernel that was trained.

    Reference:

    - [Salimans & Kingma, 2016, Weight Normalization](https://arxiv.org/abs/1602.07868)

    Args:
        layer: Layer with a `kernel`, such as `Dense`, `Conv2D` or `LSTM`.
        axis: Axis or axes of the kernel that number the output units. Defaults to `-1`;
            `-2` for transposed convolutions, `(-2, -1)` for depthwise ones.
        weight: Name of the weight to normalize, an attribute of the layer or of its
            cell. Defaults to `None`: `"recurrent_kernel"` of a recurrent layer,
            `"kernel"` of any other.
        **kwargs: Base layer arguments, such as `name` and `dtype`. The dtype
            defaults to that of the wrapped layer.

    Call arguments:
        inputs: Input of the wrapped layer.
        initial_state: Initial state of a recurrent layer. Defaults to `None`.
        mask: Mask of the wrapped layer, as a recurrent one takes it. Set by Keras
            after a `Masking` or `Embedding` layer.
        training: Whether the wrapped layer trains. Set by Keras in `fit`, `evaluate`
            and `predict`.

    Input shape:
        That of the wrapped layer.

    Output shape:
        That of the wrapped layer.

    Raises:
        ValueError: If the wrapped layer has no such weight, or the weight no such axis;
            for a recurrent layer with `stateful=True`.

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

    With the initialization of the paper, layer by layer:

    ```python
    import keras
    import numpy as np
    from keras_strategies.layers import WeightNormalization

    x = np.random.default_rng(0).normal(3.0, 2.0, (64, 8))
    layer = WeightNormalization(keras.layers.Dense(4))
    layer.initialize(x)
    outputs = keras.ops.convert_to_numpy(layer(x))
    print(abs(outputs.mean(0)).max() < 1e-3, abs(outputs.std(0) - 1).max() < 1e-3)
    # True True
    ```
    """

    def __init__(
        self,
        layer: keras.layers.Layer,
        axis: int | Sequence[int] = -1,
        weight: str | None = None,
        **kwargs: Any,
    ) -> None:
        checks.instance("layer", layer, keras.layers.Layer)
        kwargs.setdefault("dtype", layer.dtype_policy)
        # The wrapped layer is called by `stateless_call`: the wrapper adds this
        # penalty.
        kwargs.setdefault("activity_regularizer", layer.activity_regularizer)
        if getattr(layer, "stateful", False):
            checks.fail(
                "`layer` must not be stateful: its states would not be kept",
                layer=layer.name,
                fix="Use stateful=False, with `initial_state` and `return_state`.",
            )
        super().__init__(layer, **kwargs)
        axes = axis if isinstance(axis, list | tuple) else [axis]
        self.axis: list[int] = [checks.integer("axis", number) for number in axes]
        checks.instance("weight", weight, str, optional=True)
        self.weight: str | None = weight
        self.supports_masking: bool = layer.supports_masking

    def build(self, input_shape: Shape) -> None:
        super().build(input_shape)
        kernel = self._kernel()
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

    def _kernel(self) -> keras.Variable:
        """Returns the variable whose value is `v`."""
        is_recurrent = isinstance(self.layer, keras.layers.RNN)
        owner = self.layer.cell if is_recurrent else self.layer
        weight = self.weight or ("recurrent_kernel" if is_recurrent else "kernel")
        kernel = getattr(owner, weight, None)
        if not isinstance(kernel, keras.Variable):
            checks.fail(
                f"The wrapped layer must have a {weight}",
                layer=self.layer,
                fix="Wrap Dense, EinsumDense, a convolution or a recurrent layer, or "
                "give `weight` the name of another weight.",
            )
        return kernel

    def _axes(self, rank: int) -> list[int]:
        return [axis % rank for axis in self.axis]

    def _normalized(self, kernel: keras.Variable) -> Tensor:
        value = ops.convert_to_tensor(kernel)
        return normalize(value, self.g, self._axes(len(kernel.shape)))

    def call(
        self,
        inputs: Tensor,
        initial_state: Any = None,
        mask: Tensor | None = None,
        training: bool | None = None,
    ) -> Tensor:
        layer, kernel = self.layer, self._kernel()
        weights = self._normalized(kernel)

        def values(variables: Sequence[keras.Variable]) -> list[Any]:
            return [weights if v is kernel else v.value for v in variables]

        # `stateless_call` hands on what it gets, and nothing by itself.
        arguments = {"initial_state": initial_state, "mask": mask, "training": training}
        accepted = inspect.signature(layer.call).parameters
        arguments = {
            name: value
            for name, value in arguments.items()
            if value is not None and name in accepted
        }
        others = layer.non_trainable_variables
        before = values(others)
        # Called with the normalized kernel as the value of its variable: gradients
        # reach both factors, and the variable itself remains `v`.
        outputs, after = layer.stateless_call(
            values(layer.trainable_variables), before, inputs, **arguments
        )
        # The random states of dropout move on.
        for variable, old, new in zip(others, before, after, strict=True):
            if new is not old and variable is not kernel:
                keras_private.assign_in_a_call(variable, new)
        return outputs

    def initialize(self, inputs: Any) -> None:
        """Sets `g` and the bias from a batch, so that units have mean 0, variance 1.

        The initialization of the paper (section 3), of what the unit computes before
        its activation. Call it once before training, in a deep model layer by layer,
        with the outputs of the initialized layers before.

        Args:
            inputs: A batch of inputs of this layer, of some hundred samples.

        Raises:
            ValueError: If the layer is recurrent, has no bias, or if a unit is the
                same for all inputs.
        """
        layer = self.layer
        inputs = ops.convert_to_tensor(inputs, dtype=self.compute_dtype)
        if not self.built:
            self.build(tuple(inputs.shape))
        kernel = self._kernel()
        axes = self._axes(len(kernel.shape))
        bias = getattr(layer, "bias", None)
        if not isinstance(bias, keras.Variable) or not hasattr(layer, "activation"):
            checks.fail(
                "`initialize` needs a layer with a bias and an activation",
                layer=layer,
                fix="Give the layer a bias; recurrent layers start from their kernels.",
            )
        activation = layer.activation
        old = [host_value(variable) for variable in (self.g, bias)]
        self.g.assign(np.ones(self.g.shape))
        bias.assign(np.zeros(bias.shape))
        try:
            layer.activation = keras.activations.linear
            units = keras.ops.convert_to_numpy(ops.cast(self(inputs), "float32"))
        finally:
            layer.activation = activation
            self.g.assign(old[0])
            bias.assign(old[1])
        channels = _unit_axis(layer, units.ndim)
        others = tuple(i for i in range(units.ndim) if i != channels)
        mean, deviation = units.mean(others), units.std(others)
        if not (deviation > 0).all() or not np.isfinite(deviation).all():
            checks.fail(
                "Each unit must vary over the inputs, and be finite",
                deviations=deviation.tolist(),
                fix="Give a larger batch of real inputs.",
            )
        sizes = [size if i in axes else 1 for i, size in enumerate(kernel.shape)]
        self.g.assign(np.reshape(1 / deviation, sizes))
        bias.assign(np.reshape(-mean / deviation, bias.shape))

    def remove(self) -> keras.layers.Layer:
        """Returns the wrapped layer with the normalized kernel as its weight.

        For inference and export: the layer alone then computes what this one does. The
        wrapper still does so too, as its factors are adapted.

        Returns:
            The wrapped layer, which is not copied.

        Raises:
            ValueError: If the layer is not built.
        """
        if not self.built:
            checks.fail(
                "The layer must be built to remove its normalization",
                fix="Call the layer or its `build` first.",
                layer=self.name,
            )
        kernel = self._kernel()
        kernel.assign(self._normalized(kernel))
        axes = self._axes(len(kernel.shape))
        self.g.assign(norm(ops.convert_to_tensor(kernel), axes))
        return self.layer

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return self.layer.compute_output_shape(input_shape)

    def get_config(self) -> Config:
        return {**super().get_config(), "axis": self.axis, "weight": self.weight}


def _unit_axis(layer: keras.layers.Layer, rank: int) -> int:
    """Returns the axis of a layer's output that numbers its units."""
    is_first = getattr(layer, "data_format", None) == "channels_first"
    return 1 if is_first and rank > 2 else rank - 1
