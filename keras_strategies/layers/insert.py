import keras

from keras_strategies._internal import checks
from keras_strategies._internal.copying import (
    compile_objects,
    copy_layer,
    copy_state,
    value_of,
)
from keras_strategies._internal.keras_private import graph_nodes, operation_calls
from keras_strategies._internal.walking import all_layers


def insert(model, after, layer_fn):
    """A copy of a model with new layers behind some of its layers.

    Adds dropout, normalization or noise to a network that exists, such as one of
    `keras.applications` or from a file, without writing it again. The copy shares
    nothing with the model, which stays as it is: it has copies of its layers under
    their names, with their weights and `trainable`.

    A copy of a compiled model is compiled with the same optimizer settings, loss and
    metrics. If no new layer has weights to train, the optimizer goes on where that of
    the model is; otherwise it starts anew, at step 0 and with empty moments.

    Args:
        model: A built Sequential or functional `keras.Model`, compiled or not. Models
            nested in it are copied too and get their layers; subclassed layers and
            models in it stay whole.
        after: A regular expression that is searched in the path of each layer: its
            name, behind the names of the models around it (`"backbone/conv_1"`). Input
            layers count. Use `"^conv_1$"` for exactly one. The new layer follows all of
            the layer, its activation too.
        layer_fn: Function that is called with each layer found and returns a new
            layer for behind it, or `None` for none. That layer must keep the shape. A
            layer that is called several times has one new layer for all its calls.

    Returns:
        The new model. Inserted layers whose names are taken are renamed (`dropout_1`).

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If the model is subclassed or not built, if `after` finds nothing,
            if a new layer changes the shape or stands in the model already, or if an
            output changes its name by which a loss or metric is assigned.

    Example:

    ```python
    import keras
    from keras_strategies import layers

    model = keras.Sequential([
        keras.Input((8,)),
        keras.layers.Dense(16, activation="relu", name="hidden"),
        keras.layers.Dense(1, name="head"),
    ])
    model = layers.insert(model, "^hidden$", lambda layer: keras.layers.Dropout(0.2))
    ```
    """
    checks.instance("model", model, keras.Model)
    checks.instance("after", after, str, fix="Give a regular expression.")
    if not callable(layer_fn) or isinstance(layer_fn, keras.layers.Layer):
        checks.fail(
            "`layer_fn` must be a function that returns a new layer",
            error=TypeError,
            layer_fn=layer_fn,
            fix="Such as lambda layer: keras.layers.Dropout(0.2).",
        )
    if not model.built or not _is_graph(model):
        checks.fail(
            "`model` must be a built Sequential or functional model",
            model=model.name,
            type=type(model).__name__,
            built=model.built,
            fix="A subclassed model has no graph to insert into.",
        )
    insertion = _Insertion(model, checks.pattern("after", after), layer_fn)
    copy = insertion.copy(model, "")
    if not insertion.new:
        checks.fail(
            "`after` must find a layer for which `layer_fn` returns one",
            after=after,
            paths=insertion.paths,
        )
    insertion.restore()
    _compile(model, copy, insertion.new)
    return copy


def _is_graph(layer):
    return isinstance(layer, keras.Model) and graph_nodes(layer) is not None


class _Insertion:
    """Copies models, each layer once, and puts the new layers between."""

    def __init__(self, model, pattern, layer_fn):
        self.pattern, self.layer_fn = pattern, layer_fn
        self.known = {id(layer) for layer in [model, *all_layers(model)]}
        self.paths, self.new = [], []
        self.copies = {}  # id(old layer) -> (old layer, its copy), the inner ones first
        self.behind = {}  # id(old layer) -> the new layer behind it, or None

    def copy(self, layer, path):
        """The copy of a layer, or of a model with all in it."""
        if id(layer) not in self.copies:
            self.copies[id(layer)] = (layer, self._copy(layer, path))
        return self.copies[id(layer)][1]

    def _copy(self, layer, path):
        if not _is_graph(layer):
            return copy_layer(layer)
        make = self._functional
        if isinstance(layer, keras.Sequential):
            make = self._sequential
        with keras.saving.custom_object_scope(compile_objects(layer)):
            made = make(layer, f"{path}/" if path else "")
        if type(made) is not type(layer):
            checks.fail(
                "A model must be of a class that Keras can make from its graph",
                model=layer.name,
                type=type(layer).__name__,
            )
        return made

    def _sequential(self, model, prefix):
        source = next(
            operation
            for operation, _ in operation_calls(model)
            if isinstance(operation, keras.layers.InputLayer)
        )
        names = {source.name, *(layer.name for layer in model.layers)}
        layers = []
        for layer in [source, *model.layers]:
            path = prefix + layer.name
            layers.append(self.copy(layer, path))
            new = self._behind(layer, path, names)
            if new is not None:
                layers.append(new)
        copy = keras.Sequential(layers, name=model.name)
        for new in layers:
            if any(new is each for each in self.new):
                _check_shape(new, new.input, new.output)
        return copy

    def _functional(self, model, prefix):
        names = {operation.name for operation in model.operations}
        inputs, fed, new = {}, {}, {}
        for layer in model.layers:
            if isinstance(layer, keras.layers.InputLayer):
                path = prefix + layer.name
                tensor = inputs[id(layer.output)] = self.copy(layer, path).output
                fed[id(tensor)] = _follow(tensor, self._behind(layer, path, names))

        def copied(layer):
            path = prefix + layer.name
            copy = self.copy(layer, path)
            if isinstance(layer, keras.layers.Layer):
                new[id(copy)] = self._behind(layer, path, names)
            return copy

        def call(copy, *args, **kwargs):
            args, kwargs = keras.tree.map_structure(
                lambda tensor: fed.get(id(tensor), tensor), (args, kwargs)
            )
            return _follow(copy(*args, **kwargs), new.get(id(copy)))

        return keras.models.clone_model(
            model,
            input_tensors=keras.tree.map_structure(
                lambda tensor: inputs[id(tensor)], model.input
            ),
            clone_function=copied,
            call_function=call,
        )

    def _behind(self, layer, path, names):
        """The new layer for behind a layer, under a free name, or `None`."""
        if id(layer) not in self.behind:
            self.paths.append(path)
            new = self.layer_fn(layer) if self.pattern.search(path) else None
            if new is not None:
                self._take(new, path, names)
            self.behind[id(layer)] = new
        return self.behind[id(layer)]

    def _take(self, new, path, names):
        if not isinstance(new, keras.layers.Layer):
            checks.fail(
                "`layer_fn` must return a layer or None", error=TypeError, returned=new
            )
        if any(new is each for each in self.new) or id(new) in self.known:
            checks.fail(
                "`layer_fn` must return another layer each time, and none of the model",
                layer=new.name,
                behind=path,
            )
        name, count = new.name, 0
        while new.name in names:
            count += 1
            new.name = f"{name}_{count}"
        names.add(new.name)
        self.new.append(new)

    def restore(self):
        """Gives the copies the weights and flags of what they are copies of."""
        for old, new in reversed(self.copies.values()):
            if _is_graph(old) and new.trainable != old.trainable:
                new.trainable = old.trainable
        for old, new in self.copies.values():
            if not _is_graph(old):
                copy_state(old, new)


def _follow(tensor, new):
    if new is None:
        return tensor
    after = new(tensor)
    _check_shape(new, tensor, after)
    return after


def _check_shape(layer, before, after):
    shapes = [getattr(tensor, "shape", None) for tensor in (before, after)]
    if None in shapes or tuple(shapes[0]) != tuple(shapes[1]):
        checks.fail(
            "A new layer must have one input and one output of the same shape",
            layer=layer.name,
            input=before,
            output=after,
        )


def _compile(model, copy, new):
    if not model.compiled:
        return
    config = model.get_compile_config()
    _check_outputs(model, copy, config)
    with keras.saving.custom_object_scope(compile_objects(model)):
        copy.compile_from_config(config)
    if not model.optimizer.built or any(layer.trainable_weights for layer in new):
        return
    state, own = model.optimizer.variables, copy.optimizer.variables
    if [v.shape for v in state] == [v.shape for v in own]:
        for variable, value in zip(own, state, strict=True):
            variable.assign(value_of(value))


def _check_outputs(model, copy, config):
    """Losses and metrics may be assigned by the names of outputs."""
    gone = {*getattr(model, "output_names", ())} - {*getattr(copy, "output_names", ())}
    if not isinstance(model, keras.Sequential) and isinstance(model.output, dict):
        gone -= set(model.output)
    for name in ("loss", "loss_weights", "metrics", "weighted_metrics"):
        given = config.get(name)
        if isinstance(given, dict) and gone & set(given):
            checks.fail(
                f"`after` must not find outputs whose `{name}` is assigned by name",
                outputs=sorted(gone),
                fix="Insert before them, or compile the model without a dict.",
            )
