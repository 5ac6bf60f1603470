"""Which channels of a model can go, and what has to be cut along with them."""

import keras
import numpy as np

from keras_strategies._internal import model_graph
from keras_strategies.compression import _filters_layers, _prunable
from keras_strategies.compression._filters_channels import Atoms, Channels


class Plan:
    """What removing channels means for one layer.

    Attributes:
        target: The layer as `include=` and `exclude=` select it.
        units: Atoms of its own units if it makes channels, else `None`.
        kernel: The weight and axis that make them, to score the units by.
        slices: `{index in layer.weights: {axis: atoms}}`.
        sizes: `[(configuration key, index or None, atoms)]` to count anew.
    """

    def __init__(self, target):
        self.target, self.layer, self.path = target, target.item, target.path
        self.units = self.kernel = None
        self.slices, self.sizes = {}, []


class Analysis:
    """The channels of every tensor of a graph and the plan of every layer.

    Attributes:
        model: The model.
        graph: Its calls.
        atoms: The union-find over all units.
        tensors: `{tensor: Channels}`, where channels are followed.
        plans: `{id(layer): Plan}` in the order of the graph.
        entries: `{id(nested model): [Channels or None]}`, one for each input.
    """

    def __init__(self, model):
        model_graph.check_rebuildable(model)
        _prunable.check_built(model)
        self.model, self.graph = model, model_graph.read(model)
        self.atoms = Atoms()
        self._targets = model_graph.call_targets(self.graph)
        self.tensors = {}
        self.plans, self.entries = {}, {}
        self._fixed = dict.fromkeys(self.graph.inputs, "an input of the model")
        for call in self.graph.calls:
            self._visit(call)
        for tensor in self.graph.outputs:
            self.hold(tensor, "output of the model", first=True)

    def _visit(self, call):
        if call.is_entry:
            self._enter(call)
        elif not _filters_layers.follow(self, call):
            kind = type(call.operation).__name__
            for tensor in call.inputs:
                self.hold(tensor, f"{call.path} ({kind}) is not followed")
            for tensor in call.outputs:
                self.tensors.pop(tensor, None)
                self._fixed[tensor] = f"{call.path} ({kind})"

    def _enter(self, call):
        """A nested model that is called again sees the same channels again."""
        found = [self.tensors.get(tensor) for tensor in call.outputs]
        known = self.entries.setdefault(id(call.operation), found)
        for slot, (one, other) in enumerate(zip(known, found, strict=True)):
            same = one is not None and other is not None and one.axis == other.axis
            if same:
                self.atoms.join(one.atoms, other.atoms)
            elif one is not other:
                for channels in (one, other):
                    if channels is not None:
                        self.atoms.pin(channels.atoms, f"{call.path} is called twice")
                known[slot] = None

    def hold(self, tensor, reason, *, first=False):
        """Keeps all channels of a tensor."""
        channels = self.tensors.get(tensor)
        if channels is not None:
            self.atoms.pin(channels.atoms, reason, first=first)

    def at(self, call, axis, slot=0):
        """The atoms of an input along `axis`: pinned ones if it is not followed."""
        tensor = call.inputs[slot]
        channels = self.tensors.get(tensor)
        if channels is not None and channels.axis == axis:
            return channels.atoms
        self.hold(tensor, f"{call.path} works along another axis")
        atoms = self.atoms.new(tensor.shape[axis])
        source = self._fixed.get(tensor, "a tensor of another layout")
        self.atoms.pin(atoms, f"{call.path} joins it with {source}")
        return atoms

    def put(self, call, axis, atoms=None):
        """Gives the output its channels: `Channels`, an axis with atoms, or `None`."""
        channels = axis if atoms is None else Channels(axis, atoms)
        for tensor in call.outputs:
            self.tensors[tensor] = channels
            if channels is None:
                self._fixed[tensor] = self._fixed.get(call.inputs[0], call.path)
        return True

    def plan(self, layer, call):
        """The plan of a layer, which all its calls share."""
        return self.plans.setdefault(id(layer), Plan(self._targets[call]))

    def slice(self, layer, call, atoms, **axes):
        """Cuts the named weights, if there, along an axis; joins on a later call."""
        for name, axis in axes.items():
            weight = getattr(layer, name, None)
            if weight is not None:
                found = [w is weight for w in layer.weights].index(True)
                self._slice(self.plan(layer, call), found, axis % weight.ndim, atoms)

    def slice_all(self, layer, call, atoms):
        """Cuts all weights of a layer, which are vectors with one value a channel."""
        for index in range(len(layer.weights)):
            self._slice(self.plan(layer, call), index, 0, atoms)

    def _slice(self, plan, index, axis, atoms):
        known = plan.slices.setdefault(index, {}).setdefault(axis, atoms)
        if known is not atoms:
            self.atoms.join(known, atoms)

    def resize(self, layer, call, key, atoms, index=None):
        """Counts a number in the configuration of a layer anew."""
        plan = self.plan(layer, call)
        for known_key, known_index, known in plan.sizes:
            if (known_key, known_index) == (key, index):
                self.atoms.join(known, atoms)
                return
        plan.sizes.append((key, index, atoms))

    def units(self, call, count, key, kernel, axis):
        """The atoms of the units of a layer that makes channels."""
        layer = call.operation
        plan = self.plan(layer, call)
        if plan.units is None:
            plan.units = self.atoms.new(count)
            plan.kernel = (getattr(layer, kernel), axis)
            self.slice(layer, call, plan.units, **{kernel: axis}, bias=0)
            self.resize(layer, call, key, plan.units)
            if not _filters_layers.is_elementwise(layer.activation):
                self.atoms.pin(plan.units, "its activation mixes channels")
        return plan.units

    def produce(self, call, axis, count, key, kernel):
        """A layer with a kernel from the channels at `axis` to new ones there."""
        into, out = kernel
        self.slice(call.operation, call, self.at(call, axis), kernel=into)
        return self.put(call, axis, self.units(call, count, key, "kernel", out))


def producers(analysis):
    """The plans of the layers that make channels."""
    return [plan for plan in analysis.plans.values() if plan.units is not None]


def kept_reason(analysis, plan):
    """Why no unit of a layer can be removed, or `None` if some can."""
    reasons = [analysis.atoms.reason(atom) for atom in plan.units]
    return None if None in reasons else reasons[0]


def positions(analysis, atoms, removed):
    """The places of `atoms` that stay when the groups `removed` go."""
    return np.flatnonzero(~np.isin(analysis.atoms.roots(atoms), list(removed)))


def weight_values(variable):
    """A weight as a NumPy array, in float32 at least."""
    array = keras.ops.convert_to_numpy(variable.value)
    return array if array.dtype == np.float64 else array.astype("float32")
