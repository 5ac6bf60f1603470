"""Quantization of whole models and of marked layers, under TFMOT's names."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import keras

from keras_strategies import compression
from keras_strategies._internal import checks
from keras_strategies._internal.model_graph import Rewriter
from keras_strategies.compat.tfmot import _arguments, _scopes
from keras_strategies.compat.tfmot.quantization import _ranges, _schemes
from keras_strategies.compat.tfmot.quantization._config import QuantizeConfig
from keras_strategies.compression.quantization._quantize_wrapper import QuantizeWrapper

_MARK = "_tfmot_annotated"
_PREFIX = "quant_"


def quantize_model(
    to_quantize: keras.Model, quantized_layer_name_prefix: str = _PREFIX
) -> keras.Model:
    """Returns a copy of a model that trains for int8; `to_quantize` is unchanged.

    Args:
        to_quantize: A built Functional or Sequential `keras.Model`.
        quantized_layer_name_prefix: Layers keep their names, so only the original's
            default is accepted.

    Returns:
        An uncompiled model, of `compression.quantize_aware`.
    """
    _check_prefix(quantized_layer_name_prefix)
    fix = "Use `quantize_annotate_layer` for single layers."
    _arguments.check_instance("to_quantize", to_quantize, keras.Model, fix)
    return compression.quantize_aware(to_quantize)


def quantize_annotate_layer(
    to_annotate: Any, quantize_config: QuantizeConfig | None = None
) -> Any:
    """Marks a layer for `quantize_apply`; returns it.

    Args:
        to_annotate: A `keras.layers.Layer`.
        quantize_config: A `QuantizeConfig` for this layer, instead of the default.
    """
    _arguments.check_instance("to_annotate", to_annotate, keras.layers.Layer)
    if isinstance(to_annotate, keras.Model):
        fix = "Mark its layers, or use quantize_annotate_model."
        checks.fail("`to_annotate` must not be a model", fix=fix, model=to_annotate)
    if quantize_config is not None:
        _arguments.check_instance("quantize_config", quantize_config, QuantizeConfig)
    # On the layer itself: TFMOT's wrapper would change its name and type.
    setattr(to_annotate, _MARK, quantize_config or True)
    return to_annotate


def quantize_annotate_model(to_annotate: keras.Model) -> keras.Model:
    """Marks all layers of a model for `quantize_apply`; returns it.

    Layers that are marked already keep their `QuantizeConfig`.

    Args:
        to_annotate: A `keras.Model`.
    """
    _arguments.check_instance("to_annotate", to_annotate, keras.Model)
    for layer in _all_layers(to_annotate):
        if not hasattr(layer, _MARK):
            setattr(layer, _MARK, True)
    return to_annotate


def quantize_apply(
    model: keras.Model,
    scheme: _schemes.QuantizeScheme | None = None,
    quantized_layer_name_prefix: str = _PREFIX,
) -> keras.Model:
    """Returns a copy of a model that trains its marked layers for int8.

    Args:
        model: A built Functional or Sequential `keras.Model` with layers that were
            marked by `quantize_annotate_layer` or `quantize_annotate_model`.
        scheme: A `QuantizeScheme`. Defaults to `None`, `Default8BitQuantizeScheme()`.
        quantized_layer_name_prefix: As for `quantize_model`.

    Returns:
        An uncompiled model, of `compression.quantize_aware`.
    """
    _arguments.check_instance("model", model, keras.Model)
    checks.instance("scheme", scheme, _schemes.QuantizeScheme, optional=True)
    _check_prefix(quantized_layer_name_prefix)
    scheme = scheme or _schemes.Default8BitQuantizeScheme()
    _check_layout(scheme)
    if not any(hasattr(layer, _MARK) for layer in _all_layers(model)):
        fix = "Mark layers with quantize_annotate_layer, or use quantize_model."
        checks.fail("`model` must have annotated layers", fix=fix, model=model.name)
    configs = _configs(model, scheme.get_quantize_registry())
    with _ranges.class_scope(configs.values()):
        return compression.quantize_aware(
            _wrapped(model, configs) if configs else model,
            include=lambda layer: hasattr(layer, _MARK),
            **scheme.native_for(model),
        )


@contextlib.contextmanager
def quantize_scope(*args: Mapping[str, Any]) -> Iterator[None]:
    """Registers custom objects inside the block; quantized layers always are.

    It nests with scopes of Keras around and inside it.

    Args:
        *args: Dicts of name and object.
    """
    objects = {name: item for entry in args for name, item in entry.items()}
    with _scopes.nested_scope(objects):
        yield


def _all_layers(model):
    """The layers of a model and of the models inside it, without inputs."""
    layers = []
    for layer in model.layers:
        layers += _all_layers(layer) if isinstance(layer, keras.Model) else [layer]
    return [x for x in layers if not isinstance(x, keras.layers.InputLayer)]


def _check_prefix(prefix):
    if prefix != _PREFIX:
        checks.fail(
            "`quantized_layer_name_prefix` must be its default",
            fix="Layers keep their names.",
            quantized_layer_name_prefix=prefix,
        )


def _check_layout(scheme):
    layout = scheme.get_layout_transformer()
    if not isinstance(layout, _schemes.Default8BitQuantizeLayoutTransform):
        checks.fail(
            "`get_layout_transformer` must return Default8BitQuantizeLayoutTransform()",
            fix="Folding and fusing are done by compression.quantize_aware.",
            returned=type(layout).__name__,
        )


def _configs(model, registry):
    """`{id of a marked layer: its own QuantizeConfig}`."""
    # The default registry is what `compression.quantize_aware` does by itself.
    is_default = type(registry) is _schemes.Default8BitQuantizeRegistry
    native_config = _schemes.NativeConfig
    configs = {}
    for layer in _all_layers(model):
        config = getattr(layer, _MARK, None)
        if config is True and not is_default:
            config = registry.get_quantize_config(layer)
            checks.instance("get_quantize_config(layer)", config, QuantizeConfig)
        # `NoOpQuantizeConfig` is a subclass: it does change what is done.
        if isinstance(config, QuantizeConfig) and type(config) is not native_config:
            configs[id(layer)] = config
    return configs


class _WrappedCopy(Rewriter):
    """Copies a model with layers that have a config in a `QuantizeWrapper`."""

    def __init__(self, model: keras.Model, configs: Mapping[int, Any]) -> None:
        super().__init__(model)
        self.configs = configs

    def clone(self, layer: Any, path: str) -> Any:
        copy = super().clone(layer, path)
        if id(layer) in self.configs:
            copy = QuantizeWrapper(copy, self.configs[id(layer)], name=layer.name)
        # Copies are marked without their config, which the wrapper has.
        mark = getattr(layer, _MARK, None)
        if mark is not None:
            setattr(copy, _MARK, True)
        return copy

    def fill(self, old: Any, new: Any) -> None:
        super().fill(old, new.layer if isinstance(new, QuantizeWrapper) else new)


def _wrapped(model, configs):
    inner = [layer for layer in model.layers if isinstance(layer, keras.Model)]
    nested = [m.name for m in inner if any(id(x) in configs for x in _all_layers(m))]
    if nested:
        checks.fail(
            "A layer with a QuantizeConfig must not be in a nested model",
            fix="Call the layers of the nested model in the outer one.",
            nested_models=nested,
        )
    return _WrappedCopy(model, configs).rebuild()
