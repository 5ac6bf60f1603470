"""Clustering of a model or layer, under TFMOT's arguments."""

import enum

import keras

from keras_strategies import compression
from keras_strategies._internal import checks
from keras_strategies.compat.tfmot import _deferred


class CentroidInitialization(enum.Enum):
    """Where centroids start."""

    LINEAR = "linear"
    RANDOM = "random"
    DENSITY_BASED = "density"
    KMEANS_PLUS_PLUS = "kmeans++"


def cluster(given, number, init, preserve_sparsity, per_channel, more):
    """Clusters `given` in place; returns it."""
    # A setting of the original's internals, without a counterpart.
    more.pop("cluster_gradient_aggregation", None)
    if more:
        checks.fail(
            "`cluster_weights` takes no further arguments",
            fix="Give settings of the layer to the layer itself.",
            error=TypeError,
            arguments=sorted(more),
        )
    init = checks.instance("cluster_centroids_init", init, CentroidInitialization)

    several = isinstance(given, list | tuple)
    for one in given if several else [given]:
        _deferred.check("to_cluster", one)
        model = one
        if not isinstance(one, keras.Model):
            if not one.built:
                fix = "Build the model first: its weights are what is clustered."
                checks.fail("`to_cluster` must have weights", fix=fix, layer=one.name)
            model = keras.Sequential([one], name=f"{one.name}_alone")
            model.built = True
        with _deferred.uncompiled(model):
            compression.cluster(
                model,
                number,
                init=init.value,
                preserve_sparsity=preserve_sparsity,
                per_channel=per_channel,
            )
    return list(given) if several else given
