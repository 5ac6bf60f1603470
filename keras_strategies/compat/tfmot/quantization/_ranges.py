"""The ranges of what goes into and comes out of a quantized model."""

import keras

from keras_strategies._internal import checks, quantized
from keras_strategies._internal.model_graph import Rewriter, clone_layer
from keras_strategies.compression._qat_layers import FakeQuantize


def fix_input_output_range(
    model,
    num_bits=8,
    input_min=0.0,
    input_max=1.0,
    output_min=0.0,
    output_max=1.0,
    narrow_range=False,
):
    """Returns a copy of a quantized model with given ranges at its ends.

    An output of softmax or sigmoid has the range from 0 to 1 in any case, of tanh
    from -1 to 1, as LiteRT fixes them.

    Args:
        model: A model of `quantize_model` or `quantize_apply`.
        num_bits: From 2 to 8. Defaults to 8.
        input_min: Smallest value of the inputs. Defaults to 0.0.
        input_max: Largest value of the inputs. Defaults to 1.0.
        output_min: Smallest value of the outputs. Defaults to 0.0.
        output_max: Largest value of the outputs. Defaults to 1.0.
        narrow_range: Must be `False`: int8 activations have 256 values.

    Returns:
        An uncompiled model.
    """
    bits = checks.integer("num_bits", num_bits, low=2, high=8)
    checks.choice("narrow_range", narrow_range, (False,))
    ends = (
        ("input", _interval("input", input_min, input_max), _first),
        ("output", _interval("output", output_min, output_max), _last),
    )
    _check(model)
    chosen = {}
    for name, limits, find in ends:
        layers = find(model)
        if not layers and not (name == "output" and limits == (0.0, 1.0)):
            checks.fail(
                f"`model` must have a range at its {name} that can be fixed",
                fix="The range of softmax, sigmoid and tanh is LiteRT's."
                if name == "output"
                else "Quantize the layer that takes the input.",
                model=model.name,
            )
        chosen |= {layer.name: limits for layer in layers}

    # Such a range never moves once it is set.
    settings = {"momentum": 1.0, "bits": bits}
    copy = _Changing(model, lambda old: clone_layer(old, **settings), chosen).rebuild()
    for name, limits in chosen.items():
        copy.get_layer(name).range.assign(limits)
    return copy


def remove_input_range(model):
    """Returns a copy of a quantized model that takes its inputs as they are.

    Args:
        model: A model of `quantize_model` or `quantize_apply`.

    Returns:
        An uncompiled model.
    """
    _check(model)
    names = {layer.name for layer in _first(model)}
    if not names:
        checks.fail("`model` must have a range at its input", model=model.name)

    return _Changing(
        model, lambda layer: keras.layers.Identity(name=layer.name), names
    ).rebuild()


class _Changing(Rewriter):
    """Copies a model with other copies of the layers of some names."""

    def __init__(self, model, copy, names):
        super().__init__(model)
        self.copy, self.names = copy, names

    def clone(self, layer, path):
        return self.copy(layer) if path in self.names else super().clone(layer, path)


def _interval(name, low, high):
    low, high = checks.real(f"{name}_min", low), checks.real(f"{name}_max", high)
    if not (low <= 0.0 <= high and low < high):
        checks.fail(
            f"`{name}_min` and `{name}_max` must be a range that holds 0",
            **{f"{name}_min": low, f"{name}_max": high},
        )
    return float(low), float(high)


def _check(model):
    checks.instance("model", model, keras.Model)
    if not quantized.is_quantize_aware(model):
        fix = "Give a model of quantize_model or quantize_apply."
        checks.fail("`model` must be quantized", fix=fix, model=model.name)


def _first(model):
    ends = {id(tensor) for tensor in model.inputs}
    return [layer for layer in _ranges(model) if id(layer.input) in ends]


def _last(model):
    ends = {id(tensor) for tensor in model.outputs}
    return [layer for layer in _ranges(model) if id(layer.output) in ends]


def _ranges(model):
    return [layer for layer in model.layers if isinstance(layer, FakeQuantize)]


def known(configs):
    """A scope in which copies of layers find the classes of these configs."""
    classes = {type(config).__name__: type(config) for config in configs}
    return keras.saving.custom_object_scope(classes)
