"""Gradient centralization."""

from collections.abc import Sequence

import keras

from keras_strategies._internal.registration import serializable
from keras_strategies._internal.types import Tensor
from keras_strategies.optimizers import _gradients
from keras_strategies.optimizers.transform import Transform


@serializable
class Centralize(Transform):
    """Subtracts from the gradient of each unit its mean.

    Smooths the loss surface and often trains image models slightly faster and to higher
    accuracy, at no cost. Biases and vectors of normalization layers are not changed.

    ```
    g - mean(g over all axes but the last)
    ```

    Reference:

    - [Yong et al., 2020, Gradient Centralization: A New Optimization Technique for
      Deep Neural Networks](https://arxiv.org/abs/2004.01461)

    Args:
        name: Name of the transform. Defaults to the name of the class.

    Example:

    ```python
    import keras
    from keras_strategies import optimizers

    optimizer = optimizers.GradientTransform(
        keras.optimizers.SGD(1.0), [optimizers.Centralize()]
    )
    kernel = keras.Variable([[0.0], [0.0]])
    optimizer.apply([keras.ops.convert_to_tensor([[1.0], [3.0]])], [kernel])
    print(keras.ops.convert_to_numpy(kernel).tolist())  # [[1.0], [-1.0]]
    ```
    """

    def transform(
        self,
        gradients: list[Tensor],
        variables: Sequence[keras.Variable],
        step: Tensor,
    ) -> list[Tensor]:
        return [_gradients.centralize(gradient) for gradient in gradients]
