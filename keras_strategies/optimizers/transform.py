"""The base class of the gradient transforms."""

from keras_strategies._internal import checks
from keras_strategies._internal.registration import serializable


@serializable
class Transform:
    """One change of the gradients, to be put into `GradientTransform`.

    Subclass it for a change of your own: override `transform`, and `build` if it
    keeps variables. Register the subclass with
    `keras.saving.register_keras_serializable` and give it `get_config`, then models
    that use it can be saved. This class itself changes nothing.

    A transform belongs to one optimizer. Its methods run inside the compiled training
    step: compute with `keras.ops`.

    Args:
        name: Name of the transform. Defaults to the name of its class.

    Raises:
        ValueError: If it is used in a second optimizer.

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

    def __init__(self, name=None):
        if name is not None:
            checks.instance("name", name, str)
        self.name = name or type(self).__name__
        self._optimizer = None

    def attach(self, optimizer, variables):
        """Called once by the optimizer, when it is built."""
        if self._optimizer is not None:
            checks.fail(
                f"`{self.name}` must belong to one optimizer",
                fix="Make a new one for each optimizer.",
                first=self._optimizer,
                second=optimizer.name,
            )
        self._optimizer = optimizer.name
        self.build(optimizer, variables)

    def _detach(self):
        """Lets the same optimizer be built again, for other variables."""
        self._optimizer = None

    def build(self, optimizer, variables):
        """Makes variables with `optimizer.add_variable`; saved with the optimizer.

        Args:
            optimizer: The `GradientTransform`.
            variables: The variables that will be updated.
        """

    def transform(self, gradients, variables, step):
        """Returns the changed gradients.

        Args:
            gradients: List of tensors.
            variables: List of the variables that they belong to; not all of those
                given to `build` if some have no gradient.
            step: `optimizer.iterations`, a tensor.

        Returns:
            A list of tensors as long as `gradients`.
        """
        return gradients

    def accept(self, gradients, variables, step):
        """Returns whether to update at all: a boolean tensor, or `None` for always.

        Args:
            gradients: List of tensors, changed by the transforms before this one.
            variables: As in `transform`.
            step: As in `transform`.
        """
        return

    def multipliers(self, variables):
        """Returns how much of each update to keep: numbers, or `None` for all of it.

        Args:
            variables: The variables that will be updated.
        """
        return

    def frozen(self, variables):
        """Returns which variables are frozen at first: booleans, or `None` for none.

        Args:
            variables: The variables that will be updated.
        """
        return

    def get_config(self):
        return {"name": self.name}

    @classmethod
    def from_config(cls, config):
        return cls(**config)
