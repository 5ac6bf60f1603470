"""What a fine-tuning trains, at which rate: chosen before anything is changed."""

import dataclasses
from typing import Any

import keras

from keras_strategies._internal import checks
from keras_strategies._internal.select import (
    Selection,
    Selector,
    layer_targets,
)
from keras_strategies.layers import GhostBatchNormalization
from keras_strategies.training._fine_tune import depth as depths
from keras_strategies.training._fine_tune import families, lora

NORMALIZATIONS = (keras.layers.BatchNormalization, GhostBatchNormalization)


@dataclasses.dataclass
class Plan:
    """The layers of a fine-tuning.

    Attributes:
        backbone: All layers of the backbone, containers included.
        thawing: Those that train in the second phase, in stages: the first stage from
            its beginning, the others one after another.
        adapted: Those that get LoRA in the second phase.
        multipliers: Of the learning rate, by path of the weight.
        depth: Depth in the graph, by `id` of the layer.
    """

    backbone: list[Any]
    thawing: list[list[Any]]
    adapted: list[Any]
    multipliers: dict[str, float]
    depth: dict[int, int]

    @property
    def thawed(self) -> list[Any]:
        return [layer for stage in self.thawing for layer in stage]


def make_plan(
    model: keras.Model,
    *,
    backbone: Selector | None,
    unfreeze: str | float,
    include: Selector | None,
    exclude: Selector | None,
    batch_norm: str,
    stages: int,
    layer_decay: float | None,
    rank: int | None,
) -> Plan:
    """Chooses the layers by the graph of the model."""
    targets = backbone_targets(model, backbone)
    layers = [target.item for target in targets]
    depth = depths.depths(model)
    chosen = Selection(include, exclude).choose(targets)
    weighted = depths.weighted([target.item for target in chosen])
    fraction = 1.0 if unfreeze == "all" else float(unfreeze)
    thawed = depths.nearest_output(weighted, fraction, depth)
    if batch_norm == "frozen":
        thawed = [layer for layer in thawed if not isinstance(layer, NORMALIZATIONS)]
    if not thawed and fraction > 0:
        checks.fail(
            "The second phase must have a layer of the backbone to train",
            fix='Choose others by `include` and `exclude`, or give batch_norm="adapt".',
            unfreeze=unfreeze,
            chosen=[target.path for target in chosen],
        )
    if rank is not None:
        adapted, thawing = lora.adaptable(thawed), []
    else:
        adapted, thawing = [], _with_containers(targets, thawed, stages, depth)
    multipliers = {}
    if layer_decay is not None:
        multipliers = _multipliers(layers, layer_decay, depth)
    return Plan(layers, thawing, adapted, multipliers, depth)


def backbone_targets(model: keras.Model, backbone: Selector | None) -> list[Any]:
    """The targets of the backbone: the nested model, or what the user chose."""
    targets = layer_targets(model)
    if backbone is not None:
        selection = Selection(backbone, names=("backbone", "exclude"))
        return selection.choose(targets)
    nested = [
        layer
        for layer in model.layers
        if isinstance(layer, keras.Model)
        and layer.weights
        and layer.name != families.MODEL_NAME
    ]
    if len(nested) != 1:
        checks.fail(
            "`backbone` must say which layers are the backbone, unless it is the only "
            "model nested in the model",
            fix='Give a regular expression such as "^block", or put a head on the '
            "backbone by attach_head.",
            nested=[layer.name for layer in nested],
            layers=[layer.name for layer in model.layers],
        )
    return Selection(nested[0]).choose(targets)


def _with_containers(targets, thawed, stages, depth):
    """Stages of layers; a layer that only draws, such as Dropout, thaws with its depth.

    Containers have no weights of their own: their flags follow what is inside them.
    """
    parts = depths.stages(thawed, stages, depth)
    if not parts:
        return []
    # A layer without weights works as in training if what is behind it trains.
    ends = [max(depth[id(layer)] for layer in part) for part in parts]
    for target in targets:
        layer = target.item
        idle = not layer.weights and id(layer) in depth
        if idle and depth[id(layer)] <= ends[-1]:
            stage = next(i for i, end in enumerate(ends) if depth[id(layer)] <= end)
            parts[stage].append(layer)
    return parts


def _multipliers(layers, decay, depth):
    """`decay ** (group + 1)` for each weight of the backbone; the head has 1."""
    weighted = depths.weighted(layers)
    group = depths.groups(weighted, depth)
    return {
        variable.path: decay ** (group[id(layer)] + 1)
        for layer in weighted
        for variable in layer.weights
    }
