"""Base class of the layers for signals and tables."""

from collections.abc import Sequence
from typing import Any

from keras_strategies._internal import checks
from keras_strategies._internal.keras_private import backend_ops
from keras_strategies._internal.types import Config, Tensor, Tensors
from keras_strategies.augmentation._base.seeded_layer import SeededLayer


class Draws:
    """Random numbers of one call, float32."""

    def __init__(self, backend: Any, seed: Any) -> None:
        self._random, self._seed = backend.random, seed

    def uniform(self, shape: Sequence[Any], low: float = 0.0, high: float = 1.0) -> Any:
        """Returns numbers in `[low, high)`."""
        return self._random.uniform(shape, low, high, dtype="float32", seed=self._seed)

    def normal(
        self, shape: Sequence[Any], mean: float = 0.0, stddev: float = 1.0
    ) -> Any:
        """Returns normally distributed numbers."""
        return self._random.normal(
            shape, mean, stddev, dtype="float32", seed=self._seed
        )


class RandomLayer(SeededLayer):
    """Base of layers that change a batch of arrays of `_RANK - 1` axes at random.

    They take a batch, a single array or a dict with the arrays under `_KEY`; other keys
    pass through. A subclass changes a batch in `_augment(x, draws, ops)`, or, if labels
    change too, overrides `_augment_with_labels`. Draws and changes are as those of
    image layers: `training` defaults to `True`, as for Keras's random layers, and
    seeded layers repeat in parallel pipelines.
    """

    _RANK = 3
    _KEY = "signals"
    _AXES = "(batch, time, channels)"
    _NEEDS_BATCH = False

    def call(self, data: Tensors, training: bool = True) -> Tensors:
        ops = backend_ops(self.backend)
        is_dict = isinstance(data, dict)
        if is_dict and self._KEY not in data:
            fix = f"Give the arrays as data[{self._KEY!r}], or alone."
            rule = f"`data` must have the key {self._KEY!r}"
            checks.fail(rule, fix=fix, keys=sorted(data))
        arrays = data[self._KEY] if is_dict else data
        arrays = ops.cast(ops.convert_to_tensor(arrays), self.compute_dtype)
        labels = data.get("labels") if is_dict else None
        if training:
            arrays, labels = self._changed(arrays, labels, ops)
        if not is_dict:
            return arrays
        changed = {**data, self._KEY: arrays}
        return changed if labels is None else {**changed, "labels": labels}

    def _changed(self, arrays: Tensor, labels: Any, ops: Any) -> Any:
        rank = len(arrays.shape)
        is_single = rank == self._RANK - 1
        if (is_single and self._NEEDS_BATCH) or rank not in (
            self._RANK - 1,
            self._RANK,
        ):
            single = "" if self._NEEDS_BATCH else " or one element of it"
            shape = tuple(arrays.shape)
            fix = "Add the axis that is missing; in tf.data, map after batch."
            rule = f"`{self._KEY}` must be {self._AXES}{single}"
            checks.fail(rule, fix=fix, shape=shape)
        draws = Draws(self.backend, self._seeds(arrays))
        batch = ops.expand_dims(arrays, 0) if is_single else arrays
        if labels is not None:
            labels = ops.convert_to_tensor(labels)
        batch, labels = self._augment_with_labels(batch, labels, draws, ops)
        batch = ops.cast(batch, self.compute_dtype)
        return (ops.squeeze(batch, 0) if is_single else batch), labels

    def _augment_with_labels(
        self, batch: Tensor, labels: Any, draws: Draws, ops: Any
    ) -> tuple[Tensor, Any]:
        return self._augment(batch, draws, ops), labels

    def _augment(self, batch: Tensor, draws: Draws, ops: Any) -> Tensor:
        raise NotImplementedError

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> Config:
        return {**super().get_config(), "seed": self.seed}
