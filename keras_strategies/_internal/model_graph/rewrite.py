"""Rebuilding of models, layer by layer, nested models included."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras

from keras_strategies._internal import checks
from keras_strategies._internal.keras_private import trusting_object_scope
from keras_strategies._internal.model_graph.clone import (
    clone_layer,
    compile_objects,
    copy_state,
    save_and_load,
)
from keras_strategies._internal.model_graph.compiling import (
    compile_like,
    copy_optimizer_state,
)
from keras_strategies._internal.model_graph.graph import read, substitute
from keras_strategies._internal.model_graph.predicates import (
    check_rebuildable,
    construction_class,
    input_layers,
    is_open,
    lost_methods,
    rebuild_reason,
)


@dataclasses.dataclass
class Step:
    """What is called where the old model calls a layer.

    Attributes:
        layer: What takes the arguments of the call. `None` drops it: the first
            argument is passed on.
        before: Layers on the first argument.
        after: Layers on the output.
        kwargs: Other keyword arguments than those of the call, or `None`.
    """

    layer: Any
    before: Sequence[Any] = ()
    after: Sequence[Any] = ()
    kwargs: dict[str, Any] | None = None


class Rewriter:
    """Rebuilds a model with some of its layers changed; the old one stays as it is.

    Each layer is copied once, however often it is called, and keeps its name, its
    weights and `trainable`. Nested models are rebuilt too; opaque ones, such as
    subclassed models, are copied as a whole. Subclasses say what changes by
    overriding `step`, `clone`, `clone_input` or `fill`.

    Attributes:
        model: The old model.
        copies: `{id(old): (old, new)}` of all layers and models, the inner ones first.
    """

    def __init__(self, model: keras.Model) -> None:
        check_rebuildable(model)
        self.model = model
        self.copies: dict[int, tuple[Any, Any]] = {}
        self._steps: dict[int, tuple[Any, Step]] = {}

    def rebuild(self) -> keras.Model:
        """Returns the new model, which is not compiled."""
        copy = self._model(self.model, "")
        self.copies[id(self.model)] = (self.model, copy)
        self.restore()
        return copy

    # What subclasses change.

    def step(self, layer: Any, path: str) -> Step:
        """What is called in place of a layer, a nested model or an input layer."""
        return Step(self.copied(layer, path))

    def clone(self, layer: Any, path: str) -> Any:
        """The copy of a layer or operation that is no opened model."""
        return clone_layer(layer)

    def clone_input(self, layer: Any, path: str) -> Any:
        """The copy of an input layer."""
        return clone_layer(layer)

    def fill(self, old: Any, new: Any) -> None:
        """Gives a copy the state of its layer."""
        if type(old) is type(new):
            copy_state(old, new)

    def name(self, model: keras.Model) -> str:
        """The name of the copy of a model."""
        return model.name

    def kind(self, model: keras.Model) -> type:
        """The class of the copy of a model."""
        return construction_class(model)

    def check_added(self, layer: Any, before: Any, after: Any) -> None:
        """Called with each layer that is added, what it takes and what it makes."""

    # What stays.

    def copied(self, layer: Any, path: str) -> Any:
        """The copy of a layer, or the rebuilt one of a nested model."""
        if id(layer) not in self.copies:
            if isinstance(layer, keras.layers.InputLayer):
                new = self.clone_input(layer, path)
            elif is_open(layer):
                new = self._model(layer, f"{path}/")
            else:
                new = self.clone(layer, path)
            self.copies[id(layer)] = (layer, new)
        return self.copies[id(layer)][1]

    def restore(self) -> None:
        """Gives the copies the weights and flags of their layers."""
        opened = [pair for pair in self.copies.values() if is_open(pair[0])]
        # From the outside to the inside: a model hands `trainable` on.
        for old, new in reversed(opened):
            if isinstance(new, keras.layers.Layer) and new.trainable != old.trainable:
                new.trainable = old.trainable
        for old, new in self.copies.values():
            if not is_open(old):
                self.fill(old, new)

    def _model(self, model, prefix):
        make = self._functional
        if isinstance(model, keras.Sequential):
            make = self._sequential
        with trusting_object_scope(compile_objects(model)):
            return make(model, prefix)

    def _step(self, layer, path):
        # Once a layer, not once a call: a shared layer must not get two new neighbours.
        if id(layer) not in self._steps:
            self._steps[id(layer)] = (layer, self.step(layer, path))
        return self._steps[id(layer)][1]

    def _sequential(self, model, prefix):
        layers, added = [], []
        for layer in [*input_layers(model), *model.layers]:
            step = self._step(layer, prefix + layer.name)
            own = [] if step.layer is None else [step.layer]
            layers += [*step.before, *own, *step.after]
            added += [*step.before, *step.after]
        copy = self.kind(model)(layers, name=self.name(model))
        for layer in added:
            self.check_added(layer, layer.input, layer.output)
        return copy

    def _functional(self, model, prefix):
        # Nested models are one call here: `copied` rebuilds each as a model of its own.
        graph = read(model, open_nested=False)
        values, inputs = {}, []
        for layer, tensor in zip(input_layers(model), graph.inputs, strict=True):
            step = self._step(layer, prefix + layer.name)
            inputs.append(step.layer.output)
            values[tensor] = self._chained(step.after, step.layer.output)
        for call in graph.calls:
            step = self._step(call.operation, prefix + call.path)
            args, kwargs = substitute((call.args, call.kwargs), values)
            made = keras.tree.flatten(self._run(step, args, kwargs))
            values.update(zip(call.outputs, made, strict=True))
        pack = keras.tree.pack_sequence_as
        outputs = [values[tensor] for tensor in graph.outputs]
        return self.kind(model)(
            pack(model.input, inputs),
            pack(model.output, outputs),
            name=self.name(model),
        )

    def _run(self, step, args, kwargs):
        if step.kwargs is not None:
            kwargs = step.kwargs
        if step.before:
            args = (self._chained(step.before, args[0]), *args[1:])
        if step.layer is not None:
            value = step.layer(*args, **kwargs)
        else:
            value = self._passed_on(args)
        return self._chained(step.after, value)

    def _passed_on(self, args):
        """What a dropped layer was given."""
        if len(keras.tree.flatten(args)) != 1:
            checks.fail(
                "A layer to remove must have one input",
                fix="Replace it by another layer that joins its inputs.",
                inputs=[tuple(leaf.shape) for leaf in keras.tree.flatten(args)],
            )
        return args[0]

    def _chained(self, layers, value):
        for layer in layers:
            after = layer(value)
            self.check_added(layer, value, after)
            value = after
        return value


def assemble(
    model: keras.Model, inputs: Any, outputs: Any, name: str | None = None
) -> keras.Model:
    """A model over a graph made anew, of the class of `model` if that matters.

    A Sequential becomes a Functional model, but for a subclass with methods of its
    own, which stays what it is as long as its layers are a chain.
    """
    kind = construction_class(model)
    name = name or model.name
    if not issubclass(kind, keras.Sequential):
        return kind(inputs, outputs, name=name)
    functional = keras.Model(inputs, outputs, name=name)
    if kind is keras.Sequential or lost_methods(kind, keras.Sequential) is None:
        return functional
    graph = read(functional, open_nested=False)
    chain = all(
        len(call.inputs) == 1 and len(t.consumers) + t.is_output == 1
        for call in graph.calls
        for t in call.outputs
    )
    if not chain:
        checks.fail(
            "`model` must stay a chain of layers, as its class has methods of its own",
            fix="Give a plain keras.Sequential.",
            model=model.name,
            type=kind.__name__,
        )
    layers = [clone_layer(layer) for layer in functional.layers]
    copy = kind(layers, name=name)
    for old, new in zip(functional.layers, layers, strict=True):
        copy_state(old, new)
    return copy


def clone_model(model: keras.Model) -> keras.Model:
    """A copy of a model with its weights, compiled as it is.

    By its graph where that says what the model computes, else by saving and loading.
    The optimizer of the copy goes on where that of the model is.
    """
    checks.instance("model", model, keras.Model)
    if rebuild_reason(model) is None:
        copy = Rewriter(model).rebuild()
    else:
        copy = save_and_load(model)
    compile_like(copy, model)
    copy_optimizer_state(model, copy)
    return copy
