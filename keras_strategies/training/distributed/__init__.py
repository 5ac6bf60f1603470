"""Training over several devices and machines, on the engines that Keras has.

`launch` starts a script in several processes, on one host or many, watches them and
restarts all of them from the last checkpoint when one has died. Inside the script
`scope` chooses what Keras trains with: `tf.distribute` on TensorFlow,
`keras.distribution` on JAX. `layout` proposes how to divide weights that do not fit
into one device. Keras has neither for Torch.

Example:

```python
import keras
import numpy as np
from keras_strategies.training import distributed

if keras.backend.backend() != "torch":
    with distributed.scope():
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        model.compile("adam", "mse")
        model.fit(np.ones((12, 3)), np.ones((12, 1)), batch_size=6, verbose=0)
```
"""

from typing import TYPE_CHECKING

from keras_strategies._internal.lazy import lazy_names

if TYPE_CHECKING:
    from keras_strategies.training.distributed._launch import launch
    from keras_strategies.training.distributed._layout import layout
    from keras_strategies.training.distributed._position import (
        is_chief,
        rank,
        world_size,
    )
    from keras_strategies.training.distributed._scope import scope

_MODULES = {
    "is_chief": "_position",
    "launch": "_launch",
    "layout": "_layout",
    "rank": "_position",
    "scope": "_scope",
    "world_size": "_position",
}

__all__ = ["is_chief", "launch", "layout", "rank", "scope", "world_size"]

__getattr__ = lazy_names(__name__, _MODULES)


def __dir__() -> list[str]:
    return sorted(__all__)
