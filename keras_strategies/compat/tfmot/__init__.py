"""TensorFlow Model Optimization's names for Keras 3 models.

Change one import of a script, `import tensorflow_model_optimization as tfmot`, and run
it on Keras 3.

Example:

```python
import keras
from keras_strategies.compat import tfmot

model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)])
schedule = tfmot.sparsity.keras.PolynomialDecay(0.5, 0.8, begin_step=0, end_step=100)
model = tfmot.sparsity.keras.prune_low_magnitude(model, pruning_schedule=schedule)
model.compile("adam", "mse")
```

Differences from the original: models are changed in place and returned, their layers
keep their names and types, so that saving and loading need no scope, and callbacks
such as `UpdatePruningStep` are accepted and do nothing; only `quantization.keras`
returns a new model. A custom `QuantizeConfig` or `Quantizer` works if it is written on
`keras.ops` or for the backend in use; its `set_quantize_weights` is not called. The
transformations of graphs (`graph_transformations`, `default_8bit_transforms`), which
have no purpose here, and `ClusteringAlgorithm` do not exist. Silent failures of the
original on Keras 3, such as returning None, are errors.

Reference: https://www.tensorflow.org/model_optimization/api_docs/python/tfmot
"""

from keras_strategies.compat.tfmot import (
    clustering,
    experimental,
    quantization,
    sparsity,
)

__all__ = ["clustering", "experimental", "quantization", "sparsity"]
