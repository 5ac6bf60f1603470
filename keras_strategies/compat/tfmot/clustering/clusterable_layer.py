"""`tfmot.clustering.keras.clusterable_layer` for Keras 3."""

import abc
from typing import Any

__all__ = ["ClusterableLayer"]


class ClusterableLayer(abc.ABC):
    """Mix-in of a custom layer that names its weights that can be clustered."""

    @abc.abstractmethod
    def get_clusterable_weights(self) -> list[Any]:
        """Returns a list of weights, or of `(name, weight)` pairs."""
