"""Ranges of the inputs and outputs of a quantized model."""

from collections.abc import Callable, Container, Iterable
from contextlib import AbstractContextManager
from typing import Any

import keras

from keras_strategies._internal import checks
from keras_strategies._internal.model_graph import Rewriter, clone_layer
from keras_strategies._internal.weights import quantized
from keras_strategies.compat.tfmot._scopes import nested_scope
from keras_strategies.compression.quantization._activation_layers import FakeQuantize


def fix_input_output_range(
    model: keras.Model,
    num_bits: int = 8,
    input_min: float = 0.0,
    input_max: float = 1.0,
    output_min: float = 0.0,
    output_max: float = 1.0,
    narrow_range: bool = False,
) -> keras.Model:
    """Returns a copy of a quantized model with fixed ranges of inputs and outputs.

    An output of softmax or sigmoid has the range from 0 to 1 in any case, of tanh
    from -1 to 1, as LiteRT fixes them.

    Args:
        model: A model of `quantize_model` or `quantize_apply`.
        num_bits: From 2 to 8. Defaults to 8.
        input_min: Smallest value of the inputs. Defaults to 0.0.
        input_max: Largest value of the inputs. Defaults to 1.0.
        output_min: Smallest value of the outputs. Defaults to 0.0.
        output_max: Largest value of the outputs. Defaults to 1.0.
        narrow_range: Whether the ranges have one value less. Defaults to `False`.

    Returns:
        An uncompiled model.
    """
    bits = checks.integer("num_bits", num_bits, low=2, high=8)
    checks.boolean("narrow_range", narrow_range)
    ends = (
        ("input", _interval("input", input_min, input_max), _input_ranges),
        ("output", _interval("output", output_min, output_max), _output_ranges),
    )
    _check(model)
    fixed = {}
    for name, limits, ranges_of in ends:
        layers = ranges_of(model)
        # 0 to 1 is the range that softmax and sigmoid have in any case.
        if not layers and not (name == "output" and limits == (0.0, 1.0)):
            checks.fail(
                f"`model` must have a range at its {name} that can be fixed",
                fix="The range of softmax, sigmoid and tanh is LiteRT's."
                if name == "output"
                else "Quantize the layer that takes the input.",
                model=model.name,
            )
        fixed |= {layer.name: limits for layer in layers}

    # With a momentum of 1 a range never moves once it is set.
    settings = {"momentum": 1.0, "bits": bits, "narrow_range": narrow_range}
    copy = _ReplacedCopy(
        model, lambda old: clone_layer(old, **settings), fixed
    ).rebuild()
    for name, limits in fixed.items():
        copy.get_layer(name).range.assign(limits)
    return copy


def remove_input_range(model: keras.Model) -> keras.Model:
    """Returns a copy of a quantized model that does not round its inputs.

    Args:
        model: A model of `quantize_model` or `quantize_apply`.

    Returns:
        An uncompiled model.
    """
    _check(model)
    names = {layer.name for layer in _input_ranges(model)}
    if not names:
        checks.fail("`model` must have a range at its input", model=model.name)

    return _ReplacedCopy(
        model, lambda layer: keras.layers.Identity(name=layer.name), names
    ).rebuild()


class _ReplacedCopy(Rewriter):
    """Copies a model with replacements of the layers of some names."""

    def __init__(
        self,
        model: keras.Model,
        replacement: Callable[[Any], Any],
        names: Container[str],
    ) -> None:
        super().__init__(model)
        self.replacement, self.names = replacement, names

    def clone(self, layer: Any, path: str) -> Any:
        is_replaced = path in self.names
        return self.replacement(layer) if is_replaced else super().clone(layer, path)


def _interval(name, low, high):
    low, high = checks.real(f"{name}_min", low), checks.real(f"{name}_max", high)
    if not (low <= 0.0 <= high and low < high):
        checks.fail(
            f"`{name}_min` and `{name}_max` must be a range that contains 0",
            **{f"{name}_min": low, f"{name}_max": high},
        )
    return float(low), float(high)


def _check(model):
    checks.instance("model", model, keras.Model)
    if not quantized.is_quantize_aware(model):
        fix = "Give a model of quantize_model or quantize_apply."
        checks.fail("`model` must be quantized", fix=fix, model=model.name)


def _input_ranges(model):
    inputs = {id(tensor) for tensor in model.inputs}
    return [layer for layer in _range_layers(model) if id(layer.input) in inputs]


def _output_ranges(model):
    outputs = {id(tensor) for tensor in model.outputs}
    return [layer for layer in _range_layers(model) if id(layer.output) in outputs]


def _range_layers(model):
    return [layer for layer in model.layers if isinstance(layer, FakeQuantize)]


def class_scope(configs: Iterable[Any]) -> AbstractContextManager[Any]:
    """A scope in which copies of layers find the classes of these configs."""
    classes = {type(config).__name__: type(config) for config in configs}
    return nested_scope(classes)
