"""Replacement of NaN and infinite gradients."""

from collections.abc import Sequence

import keras

from keras_strategies._internal.registration import serializable
from keras_strategies._internal.types import Tensor
from keras_strategies.optimizers import _gradients
from keras_strategies.optimizers.transform import Transform


@serializable
class ZeroNonFinite(Transform):
    """Replaces NaN and infinite elements of the gradients by 0.

    For losses that are undefined at single points. A single bad element no longer
    corrupts a weight, but a defect that makes all gradients NaN is hidden: prefer
    `SkipLargeUpdates` where that can happen. In `mixed_float16` it acts after loss
    scaling, which has already skipped such steps.

    ```
    g if isfinite(g) else 0          elementwise
    ```

    Args:
        name: Name of the transform. Defaults to the name of the class.

    Example:

    ```python
    import keras
    from keras_strategies import optimizers

    optimizer = optimizers.GradientTransform(
        keras.optimizers.SGD(1.0), [optimizers.ZeroNonFinite()]
    )
    weight = keras.Variable([0.0, 0.0])
    optimizer.apply([keras.ops.convert_to_tensor([float("nan"), 2.0])], [weight])
    print(keras.ops.convert_to_numpy(weight))  # [ 0. -2.]
    ```
    """

    def transform(
        self,
        gradients: list[Tensor],
        variables: Sequence[keras.Variable],
        step: Tensor,
    ) -> list[Tensor]:
        return [_gradients.zero_non_finite(gradient) for gradient in gradients]
