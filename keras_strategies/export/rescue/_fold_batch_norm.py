"""`fold_batch_norm`: BatchNormalization as part of the layer before it."""

import keras

from keras_strategies._internal import checks
from keras_strategies.export.rescue._flat_copy import flat_copy


def fold_batch_norm(model: keras.Model) -> keras.Model:
    """Returns a copy of a model with BatchNormalization folded into the layers before.

    Use it before anything that looks at the weights that are deployed: the converter
    to `.tflite` folds them too, so that the kernels that are rounded are these. With
    `s = gamma / sqrt(variance + epsilon)` of each channel,

        s (w x + b - mean) + beta = (s w) x + (s (b - mean) + beta)

    Folded is what follows a linear Dense, Conv1D, Conv2D or DepthwiseConv directly,
    and nothing else takes its input; every other BatchNormalization stays. The copy
    computes what the model computes at inference, is flat (nested models are opened),
    and is not compiled. It is for export: BatchNormalization cannot be trained on.

    Reference: Jacob et al., "Quantization and training of neural networks for
    efficient integer-arithmetic-only inference" (2018), section 3.2,
    https://arxiv.org/abs/1712.05877.

    Args:
        model: A built Functional or Sequential `keras.Model`. It is not changed.

    Returns:
        A new, uncompiled `keras.Model`.

    Raises:
        TypeError: If `model` is no Keras model.
        ValueError: If the model cannot be rebuilt from its graph.

    Example:

    ```python
    import keras
    from keras_strategies import export

    model = keras.Sequential([
        keras.Input((8, 8, 1)),
        keras.layers.Conv2D(4, 3, use_bias=False),
        keras.layers.BatchNormalization(),
        keras.layers.ReLU(),
    ])
    folded = export.fold_batch_norm(model)
    print([layer.name for layer in folded.layers])
    ```
    """
    checks.instance("model", model, keras.Model)
    return flat_copy(model)
