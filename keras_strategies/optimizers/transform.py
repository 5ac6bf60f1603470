"""Base class of gradient transforms."""

from collections.abc import Sequence
from typing import Self

import keras

from keras_strategies._internal import checks
from keras_strategies._internal.registration import serializable
from keras_strategies._internal.types import Config, Tensor


@serializable
class Transform:
    """Base class of the transforms that `GradientTransform` applies.

    Subclass it for a custom transform: override `transform`, and `build` if it has
    variables. Register the subclass with `keras.saving.register_keras_serializable` and
    define `get_config` to save models that use it. This class itself changes nothing.

    A transform belongs to one optimizer. Its methods run inside the compiled training
    step: compute with `keras.ops`.

    Args:
        name: Name of the transform. Defaults to the name of its class.

    Raises:
        ValueError: If it is added to a second optimizer.

    Example:

    ```python
    import keras
    from keras_strategies import optimizers

    @keras.saving.register_keras_serializable(package="example")
    class Sign(optimizers.Transform):
        def transform(self, gradients, variables, step):
            return [keras.ops.sign(gradient) for gradient in gradients]

    optimizer = optimizers.GradientTransform(keras.optimizers.SGD(0.1), [Sign()])
    weight = keras.Variable([1.0, 1.0])
    optimizer.apply([keras.ops.convert_to_tensor([5.0, -0.2])], [weight])
    print(keras.ops.convert_to_numpy(weight))  # [0.9 1.1]
    ```
    """

    def __init__(self, name: str | None = None) -> None:
        if name is not None:
            checks.instance("name", name, str)
        self.name: str = name or type(self).__name__
        self._optimizer = None

    def attach(
        self, optimizer: keras.optimizers.Optimizer, variables: Sequence[keras.Variable]
    ) -> None:
        """Builds the transform for an optimizer; called once, by the optimizer.

        Args:
            optimizer: The `GradientTransform`.
            variables: The variables that will be updated.
        """
        if self._optimizer is not None:
            checks.fail(
                f"`{self.name}` must belong to one optimizer",
                fix="Construct one for each optimizer.",
                first=self._optimizer,
                second=optimizer.name,
            )
        self._optimizer = optimizer.name
        self.build(optimizer, variables)

    def build(
        self, optimizer: keras.optimizers.Optimizer, variables: Sequence[keras.Variable]
    ) -> None:
        """Creates variables with `optimizer.add_variable`; the optimizer saves them.

        Args:
            optimizer: The `GradientTransform`.
            variables: The variables that will be updated.
        """

    def transform(
        self,
        gradients: list[Tensor],
        variables: Sequence[keras.Variable],
        step: Tensor,
    ) -> list[Tensor]:
        """Returns the transformed gradients.

        Args:
            gradients: List of tensors.
            variables: List of their variables; without those given to `build` that
                have no gradient.
            step: `optimizer.iterations`, a tensor.

        Returns:
            A list of tensors as long as `gradients`.
        """
        return gradients

    def accept(
        self,
        gradients: Sequence[Tensor],
        variables: Sequence[keras.Variable],
        step: Tensor,
    ) -> Tensor | None:
        """Returns whether to update at all: a boolean tensor, or `None` for yes.

        Args:
            gradients: List of tensors, after the transforms so far.
            variables: As in `transform`.
            step: As in `transform`.
        """
        return

    def initial_multipliers(
        self, variables: Sequence[keras.Variable]
    ) -> list[float] | None:
        """Returns a factor for the update of each variable, or `None` for 1.

        Args:
            variables: The variables that will be updated.
        """
        return

    def initially_frozen(
        self, variables: Sequence[keras.Variable]
    ) -> list[bool] | None:
        """Returns for each variable whether it is frozen at first; `None` for no.

        Args:
            variables: The variables that will be updated.
        """
        return

    def get_config(self) -> Config:
        return {"name": self.name}

    @classmethod
    def from_config(cls, config: Config) -> Self:
        return cls(**config)
