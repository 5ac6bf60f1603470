"""Base class of layers that draw random numbers, with a seed or without."""

from typing import Any

import keras

from keras_strategies._internal import bases, checks
from keras_strategies._internal.types import Tensor
from keras_strategies.augmentation._base.element_seeds import Visits, in_data_pipeline


class SeededLayer(bases.DataLayer):
    """Base of layers whose draws repeat with a seed, in parallel pipelines too."""

    def __init__(self, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seed: int | None = checks.integer("seed", seed, optional=True)
        self.generator: keras.random.SeedGenerator = keras.random.SeedGenerator(
            self.seed
        )
        self._visits: Visits | None = None

    def _seeds(self, element: Tensor) -> Any:
        """Returns the generator of seeds for a call with an element."""
        if self.seed is not None and in_data_pipeline():
            self._visits = self._visits or Visits()
            return self._visits.seeds(element, self.seed)
        return self._get_seed_generator(self.backend.name)
