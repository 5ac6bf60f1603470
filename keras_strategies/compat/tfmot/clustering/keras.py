"""`tfmot.clustering.keras` for Keras 3."""

import abc
import contextlib

from keras_strategies import compression
from keras_strategies.compat.tfmot.clustering import experimental
from keras_strategies.compat.tfmot.clustering._weights import (
    CentroidInitialization,
    cluster,
)

__all__ = [
    "CentroidInitialization",
    "ClusterableLayer",
    "cluster_scope",
    "cluster_weights",
    "experimental",
    "strip_clustering",
]


class ClusterableLayer(abc.ABC):
    """Mix-in of a custom layer that says which of its weights can be clustered."""

    @abc.abstractmethod
    def get_clusterable_weights(self):
        """Returns a list of weights, or of `(name, weight)` pairs."""


def cluster_weights(
    to_cluster,
    number_of_clusters,
    cluster_centroids_init=CentroidInitialization.KMEANS_PLUS_PLUS,
    **kwargs,
):
    """Makes the kernels of a model, layer or list of layers share few values.

    Args:
        to_cluster: A built `keras.Model`, a built layer or a list of them, changed
            in place.
        number_of_clusters: Values of each kernel, at least 2.
        cluster_centroids_init: A `CentroidInitialization`. Defaults to
            `KMEANS_PLUS_PLUS`.

    Returns:
        `to_cluster` itself.
    """
    return cluster(
        to_cluster, number_of_clusters, cluster_centroids_init, False, False, kwargs
    )


def strip_clustering(model):
    """Ends the clustering of `model`, in place; returns it."""
    return compression.strip(model)


@contextlib.contextmanager
def cluster_scope():
    """Does nothing: clustered models load without a scope."""
    yield
