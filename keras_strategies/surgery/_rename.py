"""Renaming of the layers of a model."""

from collections.abc import Callable, Mapping

import keras

from keras_strategies._internal import checks
from keras_strategies._internal.model_graph import (
    Rewriter,
    check_output_names,
    check_rebuildable,
    clone_layer,
    compile_like,
    copy_optimizer_state,
)
from keras_strategies._internal.select import Selection
from keras_strategies.surgery._targets import layer_targets


def rename(
    model: keras.Model,
    names: Mapping[str, str] | Callable[[str], str | None],
    *,
    name: str | None = None,
) -> keras.Model:
    """Returns a copy of `model` whose layers have other names.

    Use it before two networks with equal names of layers are joined in one model, or
    to give outputs names that losses and metrics are assigned by. The names in the
    paths of weights follow.

    Args:
        model: A built Sequential or functional `keras.Model`, compiled or not. A
            compiled one must not have losses or metrics assigned by names that change.
        names: `{regular expression: new name}`, where the expression is searched in
            the path of each layer (`"^backbone/conv_1$"`) and must select one; or a
            function of the path that returns a new name, or `None` to keep the old.
        name: New name of the model itself. Defaults to `None`, the old one.

    Returns:
        The new model, with the weights and the compilation of the old one.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If the model cannot be rebuilt from its graph, if an expression does
            not select exactly one layer, or if a name would stand twice in one model.

    Example:

    ```python
    import keras
    from keras_strategies import surgery

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(3, name="dense")])
    model = surgery.rename(model, {"^dense$": "head"}, name="classifier")
    print([layer.name for layer in model.layers])  # ['head']
    ```
    """
    check_rebuildable(model)
    checks.instance("name", name, str, optional=True)
    targets = layer_targets(model)
    chosen = _chosen(targets, names)
    _check_free(targets, chosen)
    if name is not None:
        chosen[id(model)] = name
    copy = _Renaming(model, chosen).rebuild()
    check_output_names(model, copy)
    compile_like(copy, model)
    copy_optimizer_state(model, copy)
    return copy


def _chosen(targets, names):
    """`{id of a layer: its new name}`."""
    if isinstance(names, Mapping):
        chosen = {}
        for expression, name in names.items():
            selection = Selection(expression, inside=False, names=("names", "exclude"))
            found = selection.choose(targets)
            if len(found) > 1:
                checks.fail(
                    "Each expression in `names` must select one layer",
                    fix="Such as '^conv_1$'.",
                    expression=expression,
                    paths=[target.path for target in found],
                )
            chosen[id(found[0].item)] = name
    elif callable(names):
        pairs = ((id(target.item), names(target.path)) for target in targets)
        chosen = {key: name for key, name in pairs if name is not None}
    else:
        checks.fail(
            "`names` must be a dict of new names or a function of a path",
            error=TypeError,
            names=names,
        )
    for name in chosen.values():
        checks.instance("names", name, str, fix="New names are strings.")
        if not name or "/" in name:
            checks.fail("A name must be a word without '/'", name=name)
    return chosen


def _check_free(targets, chosen):
    """Refuses a name that would stand twice in one model."""
    seen = {}
    for target in targets:
        prefix = target.path.rpartition("/")[0]
        key = (prefix, chosen.get(id(target.item), target.item.name))
        if key in seen:
            checks.fail(
                "Names must be different within one model",
                name=key[1],
                layers=[seen[key], target.path],
            )
        seen[key] = target.path


class _Renaming(Rewriter):
    """Copies layers under new names."""

    def __init__(self, model, chosen):
        super().__init__(model)
        self.chosen = chosen

    def clone(self, layer, path):
        if id(layer) not in self.chosen:
            return clone_layer(layer)
        return clone_layer(layer, name=self.chosen[id(layer)])

    def clone_input(self, layer, path):
        return self.clone(layer, path)

    def name(self, model):
        return self.chosen.get(id(model), model.name)
