"""Protocol by which a custom layer takes part in quantization-aware training."""

from collections.abc import Sequence
from typing import Any

import keras


class QuantizeConfig:
    """What of a custom layer is rounded in quantization-aware training.

    Set it as the attribute `quantize_config` of a layer of your own, and
    `quantize_aware` takes the layer: its inputs are rounded to 8 bits, then the weights
    that `get_weights` names, and its outputs. What it computes in between stays in
    float, as LiteRT may have other operations for it than for the layers of Keras. The
    default rounds no weights, only the outputs. Any object with the two methods will
    do; this class has their defaults.

    Example:

    ```python
    import keras
    from keras_strategies import compression

    class Kernel(compression.QuantizeConfig):
        def get_weights(self, layer):
            return [layer.kernel]

    @keras.saving.register_keras_serializable("mine")
    class Mix(keras.layers.Layer):
        quantize_config = Kernel()

        def build(self, input_shape):
            self.kernel = self.add_weight(shape=(input_shape[-1], 4), name="kernel")

        def call(self, inputs):
            return inputs @ self.kernel

    model = keras.Sequential([keras.Input((8,)), Mix(), keras.layers.Dense(2)])
    aware = compression.quantize_aware(model)
    ```
    """

    def get_weights(self, layer: Any) -> Sequence[keras.Variable]:
        """Returns the weights of `layer` that are rounded to symmetric integers.

        Args:
            layer: The layer.
        """
        return []

    def quantizes_outputs(self, layer: Any) -> bool:
        """Returns whether what `layer` returns is rounded to 8 bits.

        Args:
            layer: The layer.
        """
        return True
