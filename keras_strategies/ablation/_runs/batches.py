"""Batches of training data in an order that only the seed and the epoch decide.

`fit` shuffles arrays with a generator of the backend, which layers and strategies draw
from too on Torch and JAX. With an order of their own, two trainings of a pair see the
same samples in the same batches, whatever else is random in them.
"""

from typing import Any

import keras
import numpy as np

from keras_strategies import augmentation
from keras_strategies.ablation._runs.samples import Samples

# Called with labels too, which they mix.
_LABEL_MIXERS = (
    keras.layers.MixUp,
    keras.layers.CutMix,
    augmentation.RandomMosaic,
)


class Batches(keras.utils.PyDataset):
    """Batches of arrays, changed by layers.

    Args:
        samples: The training samples.
        batch_size: Samples in a batch; the last one of an epoch may be smaller.
        seed: Seed of the order.
        layers: Layers that change each batch.
    """

    def __init__(self, samples: Samples, batch_size: int, seed: int, layers=()):
        super().__init__()
        self._samples = samples
        self._batch_size = batch_size
        self._seed = seed
        self._layers = tuple(layers)
        self._epoch = -1
        self.on_epoch_end()

    def __len__(self) -> int:
        return -(-len(self._samples) // self._batch_size)

    def on_epoch_end(self) -> None:
        self._epoch += 1
        rng = np.random.default_rng([self._seed, self._epoch])
        self._order = rng.permutation(len(self._samples))

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        start = index * self._batch_size
        batch = self._samples.rows(self._order[start : start + self._batch_size])
        x, y = batch.x, batch.y
        for layer in self._layers:
            x, y = _changed(layer, x, y)
        return (x, y) if batch.weight is None else (x, y, batch.weight)


def _changed(layer, x, y):
    if isinstance(layer, _LABEL_MIXERS):
        mixed = layer({"images": x, "labels": y}, training=True)
        return _numpy(mixed["images"]), _numpy(mixed["labels"])
    return _numpy(layer(x, training=True)), y


def _numpy(nest):
    return keras.tree.map_structure(keras.ops.convert_to_numpy, nest)


def fresh_layer(layer: keras.layers.Layer, seed: int) -> keras.layers.Layer:
    """A copy of a layer whose random numbers begin with the seed of the run."""
    config = layer.get_config()
    if "seed" in config:
        config["seed"] = seed
    return type(layer).from_config(config)
