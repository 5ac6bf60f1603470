"""`tfmot.clustering.keras.experimental` for Keras 3."""

from typing import Any

from keras_strategies.compat.tfmot.clustering._cluster_weights import (
    CentroidInitialization,
    cluster,
)

__all__ = ["cluster_weights"]


def cluster_weights(
    to_cluster: Any,
    number_of_clusters: int,
    cluster_centroids_init: CentroidInitialization = (
        CentroidInitialization.KMEANS_PLUS_PLUS
    ),
    preserve_sparsity: bool = False,
    cluster_per_channel: bool = False,
    **kwargs: Any,
) -> Any:
    """As `clustering.keras.cluster_weights`, with zeros and channels kept apart.

    Args:
        to_cluster: A built `keras.Model`, a layer or a list of layers.
        number_of_clusters: Values of each kernel.
        cluster_centroids_init: A `CentroidInitialization`.
        preserve_sparsity: Keep zeros exactly zero. Defaults to `False`.
        cluster_per_channel: Values for each output channel of a convolution.
            Defaults to `False`.

    Returns:
        `to_cluster` itself.
    """
    return cluster(
        to_cluster,
        number_of_clusters,
        cluster_centroids_init,
        preserve_sparsity,
        cluster_per_channel,
        kwargs,
    )
