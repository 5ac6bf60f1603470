"""`tfmot.clustering.keras` for Keras 3."""

import contextlib
from collections.abc import Iterator
from typing import Any

import keras

from keras_strategies import compression
from keras_strategies._internal import bases, checks
from keras_strategies.compat.tfmot import _arguments
from keras_strategies.compat.tfmot.clustering import (
    _resume,
    clusterable_layer,
    experimental,
)
from keras_strategies.compat.tfmot.clustering._cluster_weights import (
    CentroidInitialization,
    cluster,
)
from keras_strategies.compat.tfmot.clustering.clusterable_layer import ClusterableLayer
from keras_strategies.compression._common.update_constraint import (
    constrained_weights,
    is_replaceable,
)
from keras_strategies.compression.clustering._cluster import is_clustered

__all__ = [
    "CentroidInitialization",
    "ClusterableLayer",
    "ClusteringSummaries",
    "cluster_scope",
    "cluster_weights",
    "clusterable_layer",
    "experimental",
    "strip_clustering",
]


def cluster_weights(
    to_cluster: Any,
    number_of_clusters: int,
    cluster_centroids_init: CentroidInitialization = (
        CentroidInitialization.KMEANS_PLUS_PLUS
    ),
    **kwargs: Any,
) -> Any:
    """Makes the kernels of a model, layer or list of layers share few values.

    Args:
        to_cluster: A `keras.Model`, a layer or a list of them, changed in place;
            layers that are not built yet are clustered when they are.
        number_of_clusters: Values of each kernel, at least 2.
        cluster_centroids_init: A `CentroidInitialization`. Defaults to
            `KMEANS_PLUS_PLUS`.
        **kwargs: `cluster_per_channel`, for values of each output channel of a
            convolution, and `input_shape` of an unbuilt layer or Sequential.

    Returns:
        `to_cluster` itself.
    """
    per_channel = checks.boolean(
        "cluster_per_channel", kwargs.pop("cluster_per_channel", False)
    )
    return cluster(
        to_cluster,
        number_of_clusters,
        cluster_centroids_init,
        False,
        per_channel,
        kwargs,
    )


def strip_clustering(model: keras.Model) -> keras.Model:
    """Ends the clustering of `model`, in place; returns it.

    A model that is not being clustered is returned as it is, as in the original.
    """
    _arguments.check_instance("model", model, keras.Model)
    weights = constrained_weights(model)
    if any(is_clustered(weight) or is_replaceable(weight) for weight in weights):
        compression.strip(model)
    return model


@contextlib.contextmanager
def cluster_scope() -> Iterator[None]:
    """Makes models that are loaded inside the block keep their shared values.

    Weights of one value move together when the model is trained on. To let weights
    change clusters too, call `cluster_weights` on the loaded model.
    """
    with _resume.holding_what_is_loaded():
        yield


class ClusteringSummaries(bases.TensorBoard):
    """TensorBoard, with the number of values of each kernel after each epoch.

    Args:
        log_dir: Folder of the logs. Defaults to `"logs"`.
        cluster_update_freq: Must be `"epoch"`: counting values takes a sort of the
            weights.
        **kwargs: As for `keras.callbacks.TensorBoard`.
    """

    def __init__(
        self,
        log_dir: str = "logs",
        cluster_update_freq: str = "epoch",
        **kwargs: Any,
    ) -> None:
        super().__init__(log_dir=log_dir, **kwargs)
        self.cluster_update_freq: str = checks.choice(
            "cluster_update_freq", cluster_update_freq, ("epoch",)
        )

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Writes the logs and the numbers of values."""
        rows = compression.cluster_report(self.model).rows
        values = {f"cluster_values/{row['weight']}": row["values"] for row in rows}
        super().on_epoch_end(epoch, {**(logs or {}), **values})
