"""Clustering of a model or layer, under TFMOT's arguments."""

import enum
from typing import Any

import keras

from keras_strategies import compression
from keras_strategies._internal import checks
from keras_strategies.compat.tfmot import _arguments


class CentroidInitialization(enum.Enum):
    """Method of the initial centroids."""

    LINEAR = "linear"
    RANDOM = "random"
    DENSITY_BASED = "density"
    KMEANS_PLUS_PLUS = "kmeans++"


def cluster(
    target: Any,
    number: int,
    init: CentroidInitialization,
    preserve_sparsity: bool,
    per_channel: bool,
    extra: dict[str, Any],
) -> Any:
    """Clusters a model, layer or list of layers in place; returns it.

    `extra` has the further arguments that the caller was given.
    """
    # A setting of the original's internals, without a counterpart.
    extra.pop("cluster_gradient_aggregation", None)
    if extra:
        checks.fail(
            "`cluster_weights` takes no further arguments",
            fix="Give settings of the layer to the layer itself.",
            error=TypeError,
            arguments=sorted(extra),
        )
    init = checks.instance("cluster_centroids_init", init, CentroidInitialization)
    for item in _arguments.as_list(target):
        _arguments.check_target("to_cluster", item)
        model = item if isinstance(item, keras.Model) else _model_around(item)
        with _arguments.uncompiled(model):
            compression.cluster(
                model,
                number,
                init=init.value,
                preserve_sparsity=preserve_sparsity,
                per_channel=per_channel,
            )
    return _arguments.like_given(target)


def _model_around(layer):
    """A model of one layer, which holds no state that clustering needs later."""
    if not layer.built:
        fix = "Build the model first: its weights are what is clustered."
        checks.fail("`to_cluster` must have weights", fix=fix, layer=layer.name)
    model = keras.Sequential([layer], name=f"{layer.name}_alone")
    # Its weights exist; building it would need an input shape.
    model.built = True
    return model
