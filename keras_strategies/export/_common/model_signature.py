"""Inputs and outputs of a Keras model as flat lists of named tensors."""

import contextlib
import dataclasses
import inspect
from collections.abc import Iterable, Iterator
from typing import Any

import keras

from keras_strategies._internal import checks, keras_private, traversal

_HALF_PRECISION = ("float16", "bfloat16")
# What LiteRT's kernels do not compute in.
_NOT_FLOAT32 = (*_HALF_PRECISION, "float64")


@dataclasses.dataclass(frozen=True)
class Spec:
    """One input: its name in the signature, shape (free axes `None`) and dtype."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str


def tensor_name(name: str) -> str:
    """Returns `name` as TensorFlow's signatures spell it: letters, digits, `_`."""
    text = "".join(c if c.isalnum() and c.isascii() else "_" for c in name)
    return text if text[:1].isalpha() else "arg_" + text


def input_specs(model: keras.Model, example: Any = None) -> tuple[Any, list[Spec]]:
    """Returns `(structure, specs)`: the call's arguments and their flat specs.

    The first axis of each shape is the batch, `None` unless the model fixes it.
    Unnamed inputs are called `input_0`, `input_1`, ... Half precision inputs
    become float32, which is what devices feed.

    Args:
        model: A built model.
        example: Inputs of any size, a dict by input name or a list. They are needed for
            a subclassed model whose `call` takes several arguments, of which Keras
            keeps the shape of the first alone. Defaults to `None`.
    """
    structure = _complete_structure(
        model, keras_private.input_signature(model), example
    )
    paths = keras.tree.flatten_with_path(structure)
    batch_size = fixed_batch(model)
    names: set[str] = set()
    specs = []
    for index, (path, spec) in enumerate(paths):
        name = spec.name or (path[-1] if isinstance(path[-1], str) else "")
        if not name or name.startswith("keras_tensor"):
            name = f"input_{index}"
        name = tensor_name(name)
        while name in names:
            name += f"_{index}"
        names.add(name)
        dtype = keras.backend.standardize_dtype(spec.dtype)
        # Devices feed float32; LiteRT has no half precision arithmetic.
        dtype = "float32" if dtype in _NOT_FLOAT32 else dtype
        specs.append(Spec(name, (batch_size, *spec.shape[1:]), dtype))
    return structure, specs


def _complete_structure(model, structure, example):
    """The arguments of a call, those that Keras forgets from an example of them."""
    if isinstance(example, tuple) and len(example) == 2:
        # Inputs and labels, unless both are arrays of inputs.
        is_pair = isinstance(example[0], dict | list)
        example = example[0] if is_pair else example
    names = _argument_names(model, example)
    if len(names) <= len(structure):
        return structure
    arrays = None
    if isinstance(example, dict) and set(example) == set(names):
        arrays = [example[name] for name in names]
    elif isinstance(example, list | tuple) and len(example) == len(names):
        arrays = list(example)
    if arrays is None or not all(hasattr(x, "shape") and len(x.shape) for x in arrays):
        form = "{" + ", ".join(f"'{name}': array" for name in names) + "}"
        shapes = ", ".join(f"{name}_shape" for name in names)
        checks.fail(
            "The shapes of all arguments of `model.call` must be known; Keras keeps "
            "that of the first alone",
            fix=f"Give the inputs as {form} where data are taken, or define "
            f"build(self, {shapes}) in the model's class.",
            model=model.name,
            call=f"({', '.join(names)})",
        )
    return [
        keras.layers.InputSpec(
            shape=(None, *array.shape[1:]), dtype=_fed_dtype(model, array), name=name
        )
        for name, array in zip(names, arrays, strict=True)
    ]


def keras_forgets_arguments(model: keras.Model, structure: Any) -> bool:
    """Whether `structure` has arguments that came from an example, not from Keras."""
    return len(structure) > len(keras_private.input_signature(model))


def _argument_names(model, example):
    """Tensor arguments of a call of a subclassed model, optional ones if given."""
    if keras_private.has_input_structure(model):
        return []
    parameters = [
        parameter
        for parameter in inspect.signature(model.call).parameters.values()
        if parameter.kind
        in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
        and parameter.name not in ("training", "mask")
    ]
    required = [x.name for x in parameters if x.default is x.empty]
    if isinstance(example, dict) and len(example) > len(required):
        names = [x.name for x in parameters[: len(example)]]
        if set(names) == set(example):
            return names
    return required


def _fed_dtype(model, array):
    """The type that a device feeds; integers of NumPy are longer than needed."""
    dtype = keras.backend.standardize_dtype(array.dtype)
    if "float" in dtype:
        return model.input_dtype
    return "int32" if dtype == "int64" else dtype


def validate_inputs(specs: Iterable[Spec], batch_size: int | None) -> None:
    """Refuses inputs that cannot be fed and a batch size that contradicts them."""
    for spec in specs:
        if spec.dtype == "string":
            checks.fail(
                "Inputs must be numbers or booleans",
                fix="Take text preprocessing out of the model and export the rest.",
                **{spec.name: spec.dtype},
            )
        if len(spec.shape) == 0:
            checks.fail("Inputs must have a batch axis", **{spec.name: spec.shape})
        model_size = spec.shape[0]
        if None not in (batch_size, model_size) and model_size != batch_size:
            checks.fail(
                f"`batch_size` must be {model_size} or None",
                fix=f"The model's inputs are built with batch size {model_size}.",
                batch_size=batch_size,
            )


def fixed_batch(model: keras.Model) -> int | None:
    """Returns the batch size that `keras.Input(batch_size=...)` fixed, or `None`."""
    inputs = getattr(model, "inputs", None) or []
    sizes = [tensor.shape[0] for tensor in inputs if len(tensor.shape)]
    return next((size for size in sizes if size is not None), None)


def named_outputs(model: keras.Model, outputs: Any) -> dict[str, Any]:
    """Returns the outputs of one call as a flat dict of unique names.

    Keys of a dict output, else the output layers of a Functional or Sequential model,
    else `output_0`, `output_1`, ...
    """
    tensors = keras.tree.flatten(outputs)
    names = [f"output_{index}" for index in range(len(tensors))]
    model_names = None
    if isinstance(outputs, dict):
        paths = keras.tree.flatten_with_path(outputs)
        model_names = [str(path[0]) for path, _ in paths]
    elif isinstance(model, keras.Sequential):
        # Keras itself calls the output of a Sequential by the name of its tensor.
        model_names = [layer.name for layer in model.layers[-1:]]
    else:
        model_names = getattr(model, "output_names", None)
    if model_names and len(model_names) == len(tensors):
        valid_names = [tensor_name(str(name)) for name in model_names]
        # Two names may become equal when they are spelled for TensorFlow.
        if len(set(valid_names)) == len(valid_names):
            names = valid_names
    return dict(zip(names, tensors, strict=True))


def call_model(
    model: keras.Model, structure: Any, tensors: Iterable[Any]
) -> dict[str, Any]:
    """Calls `model` at inference on flat `tensors`; returns named outputs."""
    arguments = keras.tree.pack_sequence_as(structure, list(tensors))
    return named_outputs(model, model(*arguments, training=False))


class _Float32Compute(keras.DTypePolicy):
    """Computes in float32, whatever the variables are: a layer then casts them."""

    def __init__(self, variable_dtype: str) -> None:
        super().__init__("float32")
        self.dtype_of_variables = variable_dtype

    @property
    def variable_dtype(self) -> str:
        return self.dtype_of_variables


@contextlib.contextmanager
def float32_compute(model: keras.Model) -> Iterator[bool]:
    """Lets every half or double precision layer compute in float32 inside the block.

    LiteRT's kernels have no float16, bfloat16 or float64 arithmetic; the variables of
    a mixed precision model are float32 anyhow.
    """
    changed = []
    try:
        for layer in [*traversal.all_layers(model), model]:
            policy = layer.dtype_policy
            is_other = policy.compute_dtype in _NOT_FLOAT32
            if is_other and policy.quantization_mode is None:
                changed.append((layer, policy))
                layer.dtype_policy = _Float32Compute(policy.variable_dtype)
        yield bool(changed)
    finally:
        for layer, policy in changed:
            layer.dtype_policy = policy


def computes_in_half_precision(model: keras.Model) -> bool:
    """Whether any layer computes in float16 or bfloat16."""
    layers = [*traversal.all_layers(model), model]
    return any(x.dtype_policy.compute_dtype in _HALF_PRECISION for x in layers)


def computes_in_float64(model: keras.Model) -> bool:
    """Whether any layer computes in float64."""
    layers = [*traversal.all_layers(model), model]
    return any(x.dtype_policy.compute_dtype == "float64" for x in layers)


def float8_layers(model: keras.Model) -> list[str]:
    """Names of the layers that Keras's own quantization rounds to float8."""
    layers = traversal.all_layers(model)
    return [x.name for x in layers if x.dtype_policy.quantization_mode == "float8"]


def rounds_activations(model: keras.Model) -> bool:
    """Whether Keras's own quantization rounds the activations of any layer."""
    layers = traversal.all_layers(model)
    return any(getattr(x, "inputs_quantizer", None) is not None for x in layers)


def as_float32_outputs(outputs: dict[str, Any]) -> dict[str, Any]:
    """Casts half precision outputs of a TensorFlow call, which LiteRT lacks.

    The others become new tensors: a signature must not return its own input.
    """
    import tensorflow as tf

    half = (tf.float16, tf.bfloat16)
    return {
        name: tf.cast(value, tf.float32) if value.dtype in half else tf.identity(value)
        for name, value in outputs.items()
    }
