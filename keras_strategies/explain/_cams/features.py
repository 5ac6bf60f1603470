"""Feature maps of a model's last convolution, and gradients by them."""

import dataclasses

import numpy as np

from keras_strategies._internal import checks
from keras_strategies._internal.select import Selector
from keras_strategies.explain._engine.cam_layers import (
    CamLayer,
    cam_layer,
    spatial_inputs,
)
from keras_strategies.explain._engine.explained import Explained
from keras_strategies.explain._engine.positions import positions_shape
from keras_strategies.explain._engine.resizing import resize


@dataclasses.dataclass(frozen=True)
class Site:
    """Where a class activation map is made.

    Attributes:
        explained: The model with its inputs.
        position: Which input the map is for.
        layer: The layer whose features it is made of.
    """

    explained: Explained
    position: int
    layer: CamLayer

    @property
    def image(self) -> np.ndarray:
        return self.explained.inputs.flat[self.position]

    def last(self, features: np.ndarray) -> np.ndarray:
        """Features with their channels on the last axis."""
        return features if self.layer.channels_last else np.moveaxis(features, 1, -1)

    def resized(self, maps: np.ndarray) -> np.ndarray:
        """Maps in the size of the input."""
        return resize(maps, positions_shape(self.image))


def site(explained: Explained, layer: Selector | None) -> Site:
    """The layer to take features from, and the input a map of it is for."""
    inputs = explained.inputs
    positions = spatial_inputs(inputs.flat)
    rank = inputs.flat[positions[0]].ndim
    if len(positions) > 1 and layer is None:
        checks.fail(
            "`layer` must be given for a model with several images",
            fix="The map is of the image that the layer sees.",
            shapes=[array.shape for array in inputs.flat],
        )
    chosen = cam_layer(explained.model, explained.example, rank, layer)
    if len(positions) > 1:
        order = inputs.order or range(len(inputs.flat))
        sources = chosen.sources
        seen = [i for i in positions if sources is None or order[i] in sources]
        if len(seen) != 1:
            checks.fail(
                "`layer` must see one of the images",
                fix="Use saliency or integrated_gradients, which explain all inputs.",
                layer=chosen.path,
                images=len(seen),
            )
        positions = seen
    return Site(explained, positions[0], chosen)


def features_and_gradients(where: Site) -> tuple[np.ndarray, np.ndarray]:
    """Features and the gradients of the scores by them, channels last."""
    _, features, gradients = where.explained.gradients_at(where.layer.layer)
    return where.last(features), where.last(gradients)


def features_of(where: Site) -> np.ndarray:
    """Features alone, channels last."""
    return where.last(where.explained.features_of(where.layer.layer))
