"""`tfmot.clustering.keras.clusterable_layer` for Keras 3."""

import abc

__all__ = ["ClusterableLayer"]


class ClusterableLayer(abc.ABC):
    """Mix-in of a custom layer that says which of its weights can be clustered."""

    @abc.abstractmethod
    def get_clusterable_weights(self):
        """Returns a list of weights, or of `(name, weight)` pairs."""
