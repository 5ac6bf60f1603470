"""Layer that is quantized by a `QuantizeConfig` of the user, TFMOT's protocol."""

import inspect
import types
from typing import Any

import keras
from keras import ops

from keras_strategies._internal import bases, checks
from keras_strategies._internal.registration import serializable
from keras_strategies._internal.wrapping import deserialized

# TFMOT's `layer.add_weight` has the name first; Keras 3 has the shape.
_OLD_ORDER = ("name", "shape", "dtype", "initializer", "regularizer", "trainable")
# Activations whose inputs, and whose outputs, are rounded, as LiteRT computes them.
_BEFORE = ("softmax", "sigmoid", "tanh", "gelu")
_AFTER = ("linear", "relu", "relu6", "silu", "swish", "gelu")


@serializable
class QuantizeWrapper(bases.Layer):
    """Quantizes a layer as a `QuantizeConfig` says, on every backend.

    The quantizers of the config are called on the weights, around the activations
    and on the outputs, and their variables belong to this layer. The values of the
    weights are replaced during the call only, so `set_quantize_weights` of the config
    is not needed.

    Args:
        layer: The layer.
        quantize_config: Has the methods of TFMOT's `QuantizeConfig`.
        name_prefix: Prefix of the name if none is given. Defaults to `"quant_"`.
        **kwargs: As for `keras.layers.Layer`.
    """

    def __init__(
        self,
        layer: Any,
        quantize_config: Any,
        name_prefix: str = "quant_",
        **kwargs: Any,
    ) -> None:
        layer, quantize_config = deserialized(layer), deserialized(quantize_config)
        kwargs.setdefault("name", f"{name_prefix}{layer.name}")
        super().__init__(**kwargs)
        self.layer: Any = layer
        self.quantize_config: Any = quantize_config
        self.name_prefix: str = name_prefix
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        """Builds the layer and the variables of all quantizers."""
        if not self.layer.built:
            self.layer.build(input_shape)
        config = self.quantize_config
        variables = {id(w) for w in self.layer.variables}
        # Not a list, or the variables would be taken for weights of this layer.
        plan = self._plan = types.SimpleNamespace(weights=[], before=[], after=[])
        for weight, quantizer in config.get_weights_and_quantizers(self.layer):
            if id(weight) not in variables:
                checks.fail(
                    "`get_weights_and_quantizers` must give variables of the layer",
                    fix="For example [(layer.kernel, LastValueQuantizer(...))].",
                    layer=self.layer.name,
                    weight=type(weight).__name__,
                )
            state = quantizer.build(weight.shape, weight.name, self)
            plan.weights.append((weight, quantizer, state))
        activations = list(config.get_activations_and_quantizers(self.layer))
        plan.activations = [activation for activation, _ in activations]
        for activation, quantizer in activations:
            name = _activation_name(activation)
            for names, side in ((_BEFORE, "before"), (_AFTER, "after")):
                label = "pre_activation" if side == "before" else "post_activation"
                applies = name in names
                state = quantizer.build(None, label, self) if applies else None
                getattr(plan, side).append((applies, quantizer, state))
        plan.outputs = list(config.get_output_quantizers(self.layer))[:1]
        if plan.outputs:
            shape = self.layer.compute_output_shape(input_shape)
            plan.output_variables = plan.outputs[0].build(shape, "output", self)

    def add_weight(self, *args: Any, **kwargs: Any) -> keras.Variable:
        """As in Keras; a name is accepted as the first argument, as in TFMOT."""
        if args and isinstance(args[0], str):
            kwargs = dict(zip(_OLD_ORDER, args, strict=False)) | kwargs
            args = ()
        if isinstance(kwargs.get("shape"), int):
            kwargs["shape"] = (kwargs["shape"],)
        return super().add_weight(*args, **kwargs)

    def call(self, inputs: Any, training: bool | None = None, **kwargs: Any) -> Any:
        """Calls the layer with quantized weights, activations and outputs."""
        is_training, plan = bool(training), self._plan
        replaced = {
            id(weight): _quantized(quantizer, weight, is_training, state)
            for weight, quantizer, state in plan.weights
        }
        wrapped = [
            self._activation(number, is_training)
            for number in range(len(plan.activations))
        ]
        # The layer has the wrapped activations during this call only, so that saving
        # and calling it elsewhere see the original ones.
        if wrapped:
            self.quantize_config.set_quantize_activations(self.layer, wrapped)
        try:
            outputs = self._run_layer(replaced, is_training, inputs, kwargs)
        finally:
            if wrapped:
                originals = list(plan.activations)
                self.quantize_config.set_quantize_activations(self.layer, originals)
        if plan.outputs:
            state = plan.output_variables
            outputs = _quantized(plan.outputs[0], outputs, is_training, state)
        return outputs

    def compute_output_shape(self, input_shape: Any) -> Any:
        """That of the layer."""
        return self.layer.compute_output_shape(input_shape)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """That of the layer."""
        return self.layer.compute_mask(inputs, mask)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        save = keras.saving.serialize_keras_object
        config = {
            "layer": save(self.layer),
            "quantize_config": save(self.quantize_config),
            "name_prefix": self.name_prefix,
        }
        return super().get_config() | config

    @property
    def quantizes_outputs(self) -> bool:
        """Whether outputs are quantized."""
        return bool(self._plan.outputs) or bool(self._plan.activations)

    @property
    def simulated_quantization(self) -> dict[str, Any]:
        """The description that `_internal.quantized` reads."""
        bits = [getattr(q, "num_bits", 8) for _, q, _ in self._plan.weights]
        entry = {"kind": "weights", "name": self.name, "range": None}
        return entry | {"bits": min(bits, default=8)}

    def _activation(self, number, training):
        plan = self._plan
        before, after = plan.before[number], plan.after[number]
        original = plan.activations[number]

        def quantized(step, values):
            applies, quantizer, state = step
            return _quantized(quantizer, values, training, state) if applies else values

        def activation(values, *args, **kwargs):
            values = original(quantized(before, values), *args, **kwargs)
            return quantized(after, values)

        return activation

    def _run_layer(self, replaced, training, inputs, kwargs):
        """Calls the layer with other values for some weights.

        In a stateless scope, whose other changes (such as moving averages of the
        layer) are assigned afterwards.
        """
        if "training" in inspect.signature(self.layer.call).parameters:
            kwargs = kwargs | {"training": training}
        variables = self.variables
        mapping = [(v, replaced.get(id(v), v.value)) for v in variables]
        with keras.StatelessScope(state_mapping=mapping) as scope:
            before = [scope.get_current_value(variable) for variable in variables]
            outputs = self.layer(inputs, **kwargs)
        for variable, old in zip(variables, before, strict=True):
            new = scope.get_current_value(variable)
            if new is not old and id(variable) not in replaced:
                variable.assign(new)
        return outputs


def _activation_name(activation):
    name = getattr(activation, "__name__", type(activation).__name__)
    if name not in (*_BEFORE, *_AFTER):
        checks.fail(
            "An activation to be quantized must be one of Keras's that LiteRT knows",
            fix="Give no activations in `get_activations_and_quantizers` and quantize "
            "the output by `get_output_quantizers`.",
            activation=name,
            known=sorted({*_BEFORE, *_AFTER}),
        )
    return name


def _quantized(quantizer, values, training, variables):
    values = ops.convert_to_tensor(values)
    try:
        result = quantizer(values, training, weights=variables)
    except Exception as error:
        raise RuntimeError(
            f"The quantizer {type(quantizer).__name__} failed: {error!r}. It must be "
            "written on keras.ops, or for the backend in use."
        ) from error
    if getattr(result, "shape", None) != values.shape:
        checks.fail(
            "A quantizer must return a tensor of the shape that it was given",
            error=TypeError,
            quantizer=type(quantizer).__name__,
            shape=tuple(values.shape),
            returned=type(result).__name__,
        )
    return result
