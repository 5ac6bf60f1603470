"""Clustering of a model or layer, under TFMOT's arguments."""

import enum
import functools
from typing import Any

import keras

from keras_strategies import compression
from keras_strategies._internal import checks
from keras_strategies.compat.tfmot import _arguments
from keras_strategies.compression._common import compressible_weights
from keras_strategies.compression.clustering._cluster import CLUSTERABLE


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
    init = checks.instance("cluster_centroids_init", init, CentroidInitialization)
    least = 3 if preserve_sparsity else 2
    checks.integer("number_of_clusters", number, low=least)
    targets = _arguments.as_list(target)
    for item in targets:
        _arguments.check_target("to_cluster", item)
    _arguments.take_input_shape("cluster_weights", target, extra)

    def apply(model: keras.Model) -> None:
        with _arguments.uncompiled(model):
            compression.cluster(
                model,
                number,
                init=init.value,
                preserve_sparsity=preserve_sparsity,
                per_channel=per_channel,
            )

    models = []
    for item in targets:
        if isinstance(item, keras.Model) and item.built:
            models.append(item)
            continue
        for layer in _arguments.layers_of(item):
            if _arguments.check_supported(
                "to_cluster",
                layer,
                lambda part: compressible_weights.can_be_compressed(part, CLUSTERABLE),
                "tfmot.clustering.keras.ClusterableLayer",
            ):
                models.append(layer)
    for item in models:
        if isinstance(item, keras.Model):
            apply(item)
        elif item.built:
            apply(_model_around(item))
        else:
            _cluster_when_built(item, apply)
    return _arguments.like_given(target)


def _cluster_when_built(layer, apply):
    """Clusters a layer as soon as it has weights."""
    build = layer.build

    @functools.wraps(build)  # Keras reads its arguments
    def build_and_cluster(*args: Any, **kwargs: Any) -> None:
        build(*args, **kwargs)
        layer.built = True
        apply(_model_around(layer))

    layer.build = build_and_cluster


def _model_around(layer):
    """A model of one layer, which holds no state that clustering needs later."""
    model = keras.Sequential([layer], name=f"{layer.name}_alone")
    # Its weights exist; building it would need an input shape.
    model.built = True
    return model
