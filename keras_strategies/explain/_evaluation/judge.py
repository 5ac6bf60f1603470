"""Measures maps of one model, target and set of samples."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_strategies._internal import checks
from keras_strategies.explain import _methods
from keras_strategies.explain._engine.explained import Explained
from keras_strategies.explain._engine.positions import (
    by_position,
    over_channels,
    position_axes,
    positions_shape,
    substitute,
)
from keras_strategies.explain._evaluation import measures
from keras_strategies.explain._evaluation.random_weights import random_weights
from keras_strategies.explain._perturbations.single_input import only_input


class Judge:
    """Measures maps of one model, target and set of samples."""

    def __init__(
        self,
        explained: Explained,
        inputs: Any,
        target: Any,
        masks: Any,
        batch_size: int,
        seed: int,
        logits: bool,
    ) -> None:
        self.explained: Explained = explained
        self.position: int = only_input(explained)
        self.array: np.ndarray = explained.inputs.flat[self.position]
        self.shape: tuple[int, ...] = positions_shape(self.array)
        self.seed: int = seed
        self.inputs: Any = inputs
        self.options: dict[str, Any] = {"logits": logits, "batch_size": batch_size}
        indices = explained.indices
        self.target: Any = target if indices is None else _with_indices(target, indices)
        self.plain: Explained = Explained(
            explained.model, inputs, self.target, logits=False, batch_size=batch_size
        )
        self.masks: np.ndarray | None = None
        if masks is not None:
            self.masks = np.asarray(masks).astype(bool)
            expected = (len(self.array), *self.shape)
            if self.masks.shape != expected or not (
                self.masks.reshape(len(self.array), -1).any(axis=1).all()
            ):
                checks.fail(
                    "`masks` must have an object for each sample in its positions",
                    masks=self.masks.shape,
                    inputs=self.array.shape,
                )

    def maps(self, name: str, method: Any) -> np.ndarray:
        """The maps of a method: with channels if it has them."""
        if method is None:
            random = np.random.default_rng(self.seed)
            return random.random((len(self.array), *self.shape)).astype("float32")
        if callable(method):
            found = _methods.run(
                method, self.explained.model, self.inputs, self.target, **self.options
            )
        else:
            found = method
        flat = keras.tree.flatten(found) if isinstance(found, list | dict) else [found]
        maps = np.asarray(flat[self.position if len(flat) > 1 else 0], "float32")
        fits = maps.shape in (self.array.shape, (len(self.array), *self.shape))
        if not fits or not np.isfinite(maps).all():
            checks.fail(
                "Maps must be finite and have the shape of the inputs, or of their "
                "positions",
                method=name,
                maps=maps.shape,
                inputs=self.array.shape,
            )
        return maps

    def _by_position(self, maps):
        return by_position(maps, self.array)

    def filled(self, baseline: Any) -> np.ndarray:
        """The samples of the baseline."""
        return substitute(self.array, baseline)

    def blurred(self, sigma: float, baseline: Any) -> np.ndarray:
        """The samples blurred along their positions; of a table the baseline."""
        if self.array.ndim == 2:
            return self.filled(baseline)
        from scipy.ndimage import gaussian_filter

        return gaussian_filter(self.array, sigma, axes=position_axes(self.array))

    def curve(
        self, maps: np.ndarray, other: np.ndarray, comes: bool, steps: int
    ) -> np.ndarray:
        """Outputs `(samples, steps + 1)` while positions change from or to `other`.

        The samples come, or go, in the order of the maps.
        """
        random = np.random.default_rng(self.seed)
        ranks = measures.ranks_of_positions(self._by_position(maps), random)
        count = ranks.shape[1]
        # Positions are ranked once; a step of the curve changes those below its limit.
        limits = np.round(np.linspace(0, count, steps + 1)).astype(int)

        def make(positions):
            # One list of all samples and steps, so that batches of any size are cut
            # from it.
            rows, numbers = np.divmod(positions, steps + 1)
            changed = ranks[rows] < limits[numbers][:, None]
            changed = changed.reshape(-1, *self.shape)
            mask = over_channels(changed if comes else ~changed, self.array)
            flat = [x[rows] for x in self.plain.inputs.flat]
            flat[self.position] = np.where(mask, flat[self.position], other[rows])
            return flat, rows

        scores = self.plain.scores(len(maps) * (steps + 1), make)
        return scores.reshape(-1, steps + 1)

    def infidelity(self, maps: np.ndarray, draws: int, noise: float) -> np.ndarray:
        """The scaled infidelity of each sample."""
        full = maps
        if maps.shape != self.array.shape:
            full = over_channels(maps, self.array)
        axes = tuple(range(1, self.array.ndim))
        spread = noise * np.ptp(self.array, axis=axes, keepdims=True)
        spread = np.where(spread > 0, spread, noise)
        products = np.zeros((len(maps), draws))

        def draw(rows, numbers):
            """The noise of a sample and draw, the same whatever the batch."""
            return np.stack(
                [
                    np.random.default_rng([self.seed, row, number]).standard_normal(
                        self.array.shape[1:], dtype="float32"
                    )
                    for row, number in zip(rows, numbers, strict=True)
                ]
            ) * spread[rows].astype("float32")

        def make(positions):
            rows, numbers = np.divmod(positions, draws)
            change = draw(rows, numbers)
            products[rows, numbers] = (change * full[rows]).sum(axis=axes)
            flat = [x[rows] for x in self.explained.inputs.flat]
            flat[self.position] = flat[self.position] - change
            return flat, rows

        before = self.explained.scores()
        after = self.explained.scores(len(maps) * draws, make).reshape(-1, draws)
        return measures.infidelity(products, before[:, None] - after)

    def hits(self, maps: np.ndarray) -> np.ndarray:
        """Whether the largest value of each map is in its mask."""
        masks = np.asarray(self.masks)
        return measures.hits(self._by_position(maps), masks)

    def randomization(self, method: Callable[..., Any], maps: np.ndarray) -> float:
        """The mean rank correlation with the maps of shuffled weights."""
        with random_weights(self.explained.model, self.seed):
            other = self.maps("randomization", method)
        first, second = self._by_position(maps), self._by_position(other)
        return float(measures.rank_correlation(first, second).mean())


def _with_indices(target, indices):
    return {next(iter(target)): indices} if isinstance(target, dict) else indices
