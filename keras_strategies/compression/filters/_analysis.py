"""Analysis of a model: which channels can be removed, and what is cut with them."""

from typing import Any, Literal

import keras
import numpy as np

from keras_strategies._internal import model_graph
from keras_strategies._internal.model_graph import Call, Tensor
from keras_strategies._internal.select import Target
from keras_strategies.compression._common import compressible_weights
from keras_strategies.compression.filters import _layer_rules
from keras_strategies.compression.filters._channel_groups import (
    ChannelGroups,
    Channels,
)


class LayerPlan:
    """What removing channels means for one layer.

    Attributes:
        target: The layer as `include=` and `exclude=` select it.
        units: Channel ids of its own units if it makes channels, else `None`.
        kernel: The weight and axis that make them, to score the units by.
        round_to: Units are kept in multiples of this, `None` for the caller's number.
        width: Channel ids of the outputs of attention, whose units are heads.
        slices: `{index in layer.weights: {axis: channel ids}}`.
        sizes: `[(configuration key, index or None, channel ids)]` to recount.
    """

    def __init__(self, target: Target) -> None:
        self.target, self.layer, self.path = target, target.item, target.path
        self.units: Any = None
        self.kernel: Any = None
        # Of attention: heads are few, and none of any number is slower than another.
        self.round_to: int | None = None
        self.width: Any = None
        self.slices: dict[int, dict[int, np.ndarray]] = {}
        self.sizes: list[tuple[str, int | None, np.ndarray]] = []


class Analysis:
    """The channels of every tensor of a graph and the plan of every layer.

    Calls are visited in the order of the graph, each by the rule of its layer
    (`_layer_rules`), which follows channels from inputs to outputs. Channels that
    reach an operation without a rule are frozen there.

    Attributes:
        model: The model.
        graph: Its calls.
        groups: The `ChannelGroups` of all units.
        channels: `{tensor: Channels}`, where channels are followed.
        plans: `{id(layer): LayerPlan}` in the order of the graph.
        entries: `{id(nested model): [Channels or None]}`, one for each input.
    """

    def __init__(self, model: keras.Model) -> None:
        model_graph.check_rebuildable(model)
        compressible_weights.check_built(model)
        self.model, self.graph = model, model_graph.read(model)
        self.groups = ChannelGroups()
        self._targets = model_graph.call_targets(self.graph)
        self.channels: dict[Tensor, Channels | None] = {}
        self.plans: dict[int, LayerPlan] = {}
        self.entries: dict[int, list[Channels | None]] = {}
        # Where channels that are not followed come from, for reasons.
        self._origins = dict.fromkeys(self.graph.inputs, "an input of the model")
        for call in self.graph.calls:
            self._visit(call)
        # Last, but as the first reason: that a layer makes an output says more than
        # that something else takes its channels too.
        for tensor in self.graph.outputs:
            self.keep_all(tensor, "output of the model", first=True)

    def _visit(self, call):
        if call.is_entry:
            self._enter(call)
        elif not _layer_rules.follow(self, call):
            kind = type(call.operation).__name__
            for tensor in call.inputs:
                self.keep_all(tensor, f"{call.path} ({kind}) is not followed")
            for tensor in call.outputs:
                self.channels.pop(tensor, None)
                self._origins[tensor] = f"{call.path} ({kind})"

    def _enter(self, call):
        """Joins the channels that a nested model gets in each of its calls.

        Its layers exist once, so channel `i` must be removed in all calls or in none.
        """
        current = [self.channels.get(tensor) for tensor in call.outputs]
        earlier = self.entries.setdefault(id(call.operation), current)
        for slot, (old, new) in enumerate(zip(earlier, current, strict=True)):
            if old is not None and new is not None and old.axis == new.axis:
                self.groups.join(old.ids, new.ids)
            elif old is not new:
                for channels in (old, new):
                    if channels is not None:
                        reason = f"{call.path} is called twice"
                        self.groups.freeze(channels.ids, reason)
                earlier[slot] = None

    def keep_all(self, tensor: Tensor, reason: str, *, first: bool = False) -> None:
        """Keeps all channels of a tensor."""
        channels = self.channels.get(tensor)
        if channels is not None:
            self.groups.freeze(channels.ids, reason, first=first)

    def input_channels(self, call: Call, axis: int, slot: int = 0) -> np.ndarray:
        """The channel ids of an input along `axis`; frozen ones if not followed."""
        tensor = call.inputs[slot]
        channels = self.channels.get(tensor)
        if channels is not None and channels.axis == axis:
            return channels.ids
        # Fresh ids stand for channels that are not followed; as they are frozen, all
        # that is joined with them stays.
        self.keep_all(tensor, f"{call.path} works along another axis")
        size: Any = tensor.shape[axis]
        ids = self.groups.new(size)
        source = self._origins.get(tensor, "a tensor of another layout")
        self.groups.freeze(ids, f"{call.path} joins it with {source}")
        return ids

    def set_output_channels(
        self, call: Call, channels: Channels | None
    ) -> Literal[True]:
        """Notes the channels of the outputs, or that they have none."""
        for tensor in call.outputs:
            self.channels[tensor] = channels
            if channels is None:
                origin = self._origins.get(call.inputs[0], call.path)
                self._origins[tensor] = origin
        return True

    def plan(self, layer: Any, call: Call) -> LayerPlan:
        """The plan of a layer, which all its calls share."""
        return self.plans.setdefault(id(layer), LayerPlan(self._targets[call]))

    def slice_weights(
        self, layer: Any, call: Call, ids: np.ndarray, **axes: int
    ) -> None:
        """Cuts the named weights, if present, along an axis; joins on a later call."""
        for name, axis in axes.items():
            weight = getattr(layer, name, None)
            if weight is not None:
                # By identity: `==` of variables compares their values.
                index = [w is weight for w in layer.weights].index(True)
                self._slice(self.plan(layer, call), index, axis % weight.ndim, ids)

    def slice_weight(
        self, call: Call, weight: keras.Variable, axis: int, ids: np.ndarray
    ) -> None:
        """Cuts a weight of a layer, or of one inside it, along an axis."""
        layer = call.operation
        index = [w is weight for w in layer.weights].index(True)
        self._slice(self.plan(layer, call), index, axis, ids)

    def slice_all_weights(self, layer: Any, call: Call, ids: np.ndarray) -> None:
        """Cuts all weights of a layer, which are vectors with one value a channel."""
        for index in range(len(layer.weights)):
            self._slice(self.plan(layer, call), index, 0, ids)

    def _slice(self, plan, index, axis, ids):
        # A shared layer has one kernel: its inputs lose the same channels in each call.
        earlier = plan.slices.setdefault(index, {}).setdefault(axis, ids)
        if earlier is not ids:
            self.groups.join(earlier, ids)

    def recount(
        self,
        layer: Any,
        call: Call,
        key: str,
        ids: np.ndarray,
        index: int | None = None,
    ) -> None:
        """Marks a number in the configuration of a layer as a count of channels."""
        plan = self.plan(layer, call)
        for other_key, other_index, other_ids in plan.sizes:
            if (other_key, other_index) == (key, index):
                self.groups.join(other_ids, ids)
                return
        plan.sizes.append((key, index, ids))

    def units(
        self, call: Call, count: int, key: str, kernel: str, axis: int
    ) -> np.ndarray:
        """The channel ids of the units of a layer that makes channels."""
        layer = call.operation
        plan = self.plan(layer, call)
        if plan.units is None:
            plan.units = self.groups.new(count)
            plan.kernel = (getattr(layer, kernel), axis)
            self.slice_weights(layer, call, plan.units, **{kernel: axis}, bias=0)
            self.recount(layer, call, key, plan.units)
            # Without one unit, a softmax would give the others other values.
            if not _layer_rules.is_elementwise(layer.activation):
                self.groups.freeze(plan.units, "its activation mixes channels")
        return plan.units

    def produce(
        self, call: Call, axis: int, count: int, key: str, kernel: tuple[int, int]
    ) -> Literal[True]:
        """A layer with a kernel from the channels at `axis` to new ones there."""
        input_axis, output_axis = kernel
        ids = self.input_channels(call, axis)
        self.slice_weights(call.operation, call, ids, kernel=input_axis)
        units = self.units(call, count, key, "kernel", output_axis)
        return self.set_output_channels(call, Channels(axis, units))


def producers(analysis: Analysis) -> list[LayerPlan]:
    """The plans of the layers that make channels."""
    return [plan for plan in analysis.plans.values() if plan.units is not None]


def frozen_reason(analysis: Analysis, plan: LayerPlan) -> str | None:
    """Why no unit of a layer can be removed, or `None` if some can."""
    # One unit that is free is enough: groups may freeze only some of a layer.
    reasons = [analysis.groups.frozen_reason(channel) for channel in plan.units]
    return None if None in reasons else reasons[0]


def kept_positions(
    analysis: Analysis, ids: np.ndarray, removed: set[int]
) -> np.ndarray:
    """The indices of `ids` that stay when the groups `removed` are removed."""
    return np.flatnonzero(~np.isin(analysis.groups.roots(ids), list(removed)))


def weight_values(variable: keras.Variable) -> np.ndarray:
    """A weight as a NumPy array, in float32 at least."""
    array = keras.ops.convert_to_numpy(variable.value)
    return array if array.dtype == np.float64 else array.astype("float32")
