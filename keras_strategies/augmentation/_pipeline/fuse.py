"""Stacks of Keras's geometric layers as one `RandomAffine`."""

import collections
from collections.abc import Sequence
from typing import Any

import keras

from keras_strategies._internal import checks
from keras_strategies._internal.model_graph import (
    NOT_BUILT,
    Rewriter,
    Step,
    construction_class,
    is_open,
    opaque_reason,
    read,
)
from keras_strategies.augmentation._pipeline.fused import describe, merge

_KINDS = "RandomFlip, RandomRotation, RandomTranslation, RandomShear and RandomZoom"


def fuse(
    model_or_layers: keras.Model | keras.layers.Pipeline | Sequence[Any],
) -> Any:
    """Replaces stacks of Keras's geometric layers by the equivalent `RandomAffine`.

    Each of `RandomFlip`, `RandomRotation`, `RandomTranslation`, `RandomShear` and
    `RandomZoom` resamples the images anew, blurs them a bit more, and most switch XLA
    off for the whole model. Their maps `M1, M2, ...` multiply into one:

    ```
    y(p) = x(M1 M2 ... p)
    ```

    so that `RandomAffine`, with the same factors in the same order, draws from the
    same distribution of maps and reads each image once. Fill modes then act once too,
    on the composed map, and the pictures are sharper. The draws themselves are other
    ones.

    A list of layers must fuse into one. In a Sequential or Functional model and in a
    `keras.layers.Pipeline` every run of such layers is replaced, inside nested ones
    too; a run is split where a kind repeats or the fill differs. A `RandomFlip` that
    stands alone remains. The result augments wherever the layers that it replaces do:
    called directly, in `tf.data`, in `fit`; not in `predict` and `evaluate`.

    Args:
        model_or_layers: A list of layers, first one first, a Sequential or Functional
            model, or a Pipeline.

    Returns:
        A `RandomAffine` for a list. For a model a new model, not compiled, and for a
        Pipeline a new Pipeline, that shares all other layers with the old one and
        leaves the old one as it was; the same one if there is nothing to replace.

    Raises:
        ValueError: If a layer of the list is of another class, a kind repeats, or
            layers differ in fill mode, interpolation, format or dtype; the message
            says which. Also if the model has no graph that can be rebuilt.

    Example:

    ```python
    import keras
    from keras_strategies import augmentation

    stack = [
        keras.layers.RandomZoom(0.2),
        keras.layers.RandomRotation(0.1),
        keras.layers.RandomFlip("horizontal"),
    ]
    affine = augmentation.fuse(stack)
    model = keras.Sequential([keras.Input((32, 32, 3)), *stack])
    assert len(augmentation.fuse(model).layers) == 1
    ```
    """
    if isinstance(model_or_layers, list | tuple):
        return _fuse_list(model_or_layers)
    if isinstance(model_or_layers, keras.Model):
        return _fuse_model(model_or_layers)
    if isinstance(model_or_layers, keras.layers.Pipeline):
        return _fuse_pipeline(model_or_layers)
    kinds = (list, tuple, keras.Model, keras.layers.Pipeline)
    return checks.instance("model_or_layers", model_or_layers, kinds)


def _fuse_list(layers):
    described = []
    for layer in layers:
        one = describe(layer)
        if one is None:
            fix = f"Only {_KINDS} of Keras can be fused."
            name = type(layer).__name__
            checks.fail("every layer must be geometric", fix=fix, layer=name)
        described.append(one)
    if not described:
        checks.fail("`model_or_layers` must hold a layer", model_or_layers=layers)
    total = described[0]
    for one in described[1:]:
        total, reason = merge(total, one)
        if reason:
            fix = "Fuse the layers before and after apart."
            checks.fail(f"layers must fit into one: {reason}", fix=fix, layers=layers)
    return total.build()


def _runs(layers):
    """`[(layers, fused or None)]`: neighbours that fuse, and all others alone."""
    runs, total = [], None
    for layer in layers:
        one = describe(layer)
        if one is None:
            runs.append(([layer], None))
            total = None
            continue
        together, reason = (None, "first") if total is None else merge(total, one)
        if reason:
            runs.append(([layer], one))
            total = one
        else:
            runs[-1] = (runs[-1][0] + [layer], together)
            total = together
    alone = [len(run) == 1 and _is_flip(run[0]) for run, _ in runs]
    return [
        (run, None if flip or one is None else one.build())
        for (run, one), flip in zip(runs, alone, strict=True)
    ]


def _is_flip(layer):
    return type(layer) is keras.layers.RandomFlip


class _Fusion(Rewriter):
    """Calls one `RandomAffine` in place of each run; all other layers are shared."""

    def __init__(self, model):
        super().__init__(model)
        # id(layer) -> the fused one for the first layer of a run, `None` for the rest
        self.replaced = {}
        self.changed = set()  # ids of the models with a run in them
        self._find(model)

    def _find(self, model):
        """Notes the runs in a model and the models inside it; says if there are any."""
        graph = read(model, open_nested=False)
        for chain in _chains(graph):
            for run, fused in _runs(chain):
                if fused is not None:
                    self.changed.add(id(model))
                    self.replaced.update({id(layer): None for layer in run[1:]})
                    self.replaced[id(run[0])] = fused
        for call in graph.calls:
            layer = call.operation
            if is_open(layer) and self._find(layer):
                self.changed.add(id(model))
            if isinstance(layer, keras.layers.Pipeline) and id(layer) not in (
                self.replaced
            ):
                fused = _fuse_pipeline(layer)
                if fused is not layer:
                    self.changed.add(id(model))
                    self.replaced[id(layer)] = fused
        return id(model) in self.changed

    def step(self, layer, path):
        if id(layer) in self.replaced:
            # Without the `training=True` that Keras notes, which is the default.
            return Step(self.replaced[id(layer)], kwargs={})
        return super().step(layer, path)

    def copied(self, layer, path):
        return super().copied(layer, path) if id(layer) in self.changed else layer

    def restore(self):
        """Nothing: the layers are the same ones."""


def _fuse_model(model):
    if isinstance(model, keras.Sequential) and opaque_reason(model) == NOT_BUILT:
        return _fuse_unbuilt(model)
    fusion = _Fusion(model)
    return fusion.rebuild() if fusion.changed else model


def _fuse_unbuilt(model):
    """A Sequential that has seen no input yet is its list of layers."""
    layers = _fuse_layers(model.layers)
    return (
        model if layers is None else construction_class(model)(layers, name=model.name)
    )


def _fuse_pipeline(pipeline):
    layers = _fuse_layers(pipeline.layers)
    if layers is None:
        return pipeline
    return type(pipeline)(layers, name=pipeline.name)


def _fuse_layers(layers):
    """The layers with every run fused, also in models among them, or `None`."""
    fused_layers = []
    for run, fused in _runs(layers):
        if fused is None and isinstance(run[0], keras.layers.Pipeline):
            fused = _fuse_pipeline(run[0])
        elif fused is None and _is_list(run[0]):
            fused = _fuse_model(run[0])
        fused_layers.append(run[0] if fused is None else fused)
    is_same = [id(layer) for layer in fused_layers] == [id(layer) for layer in layers]
    return None if is_same else fused_layers


def _is_list(layer):
    """Whether a layer is a model in which stacks can be fused."""
    return opaque_reason(layer) in (None, NOT_BUILT) and isinstance(layer, keras.Model)


def _chains(graph):
    """Lists of fusable layers, each of which feeds only the next one."""
    counts = collections.Counter(id(call.operation) for call in graph.calls)
    chains, ends = [], {}
    for call in graph.calls:
        usual = call.kwargs in ({}, {"training": True})
        # A layer that is called twice draws twice, one fused layer would draw once.
        single = counts[id(call.operation)] == 1 and len(call.inputs) == 1
        if describe(call.operation) is None or not single or not usual:
            continue
        chain = ends.pop(call.inputs[0], None)
        if chain is None:
            chain = []
            chains.append(chain)
        chain.append(call.operation)
        [output] = call.outputs
        if len(output.consumers) == 1 and not output.is_output:
            ends[output] = chain
    return chains
