"""A model's inputs and outputs as flat lists of named tensors."""

import contextlib
import dataclasses

import keras

from keras_strategies._internal import keras_private, walking

_HALF = ("float16", "bfloat16")


@dataclasses.dataclass(frozen=True)
class Spec:
    """One input: its name in the signature, shape (free axes `None`) and dtype."""

    name: str
    shape: tuple
    dtype: str


def tensor_name(name):
    """Returns `name` as TensorFlow's signatures spell it: letters, digits, `_`."""
    text = "".join(c if c.isalnum() and c.isascii() else "_" for c in name)
    return text if text[:1].isalpha() else "arg_" + text


def input_specs(model):
    """Returns `(structure, specs)`: the call's arguments and their flat specs.

    The first axis of each shape is the batch, `None` unless the model fixes it.
    Unnamed inputs are called `input_0`, `input_1`, ... Half precision inputs
    become float32, which is what devices feed.
    """
    structure = keras_private.input_signature(model)
    paths = keras.tree.flatten_with_path(structure)
    fixed = fixed_batch(model)
    names, specs = set(), []
    for index, (path, spec) in enumerate(paths):
        name = spec.name or (path[-1] if isinstance(path[-1], str) else "")
        if not name or name.startswith("keras_tensor"):
            name = f"input_{index}"
        name = tensor_name(name)
        while name in names:
            name += f"_{index}"
        names.add(name)
        dtype = keras.backend.standardize_dtype(spec.dtype)
        dtype = "float32" if dtype in _HALF else dtype
        specs.append(Spec(name, (fixed, *spec.shape[1:]), dtype))
    return structure, specs


def fixed_batch(model):
    """Returns the batch size that `keras.Input(batch_size=...)` fixed, or None."""
    inputs = getattr(model, "inputs", None) or []
    sizes = [tensor.shape[0] for tensor in inputs if len(tensor.shape)]
    return next((size for size in sizes if size is not None), None)


def named_outputs(model, outputs):
    """Returns the outputs of one call as a flat dict of unique names.

    Keys of a dict output, else the output layers of a Functional model, else
    `output_0`, `output_1`, ...
    """
    flat = keras.tree.flatten(outputs)
    names = [f"output_{index}" for index in range(len(flat))]
    known = list(outputs) if isinstance(outputs, dict) else None
    if known is not None:
        paths = keras.tree.flatten_with_path(outputs)
        known = [str(path[0]) for path, _ in paths]
    elif not isinstance(model, keras.Sequential):
        known = getattr(model, "output_names", None)
    if known and len(known) == len(flat):
        safe = [tensor_name(str(name)) for name in known]
        names = safe if len(set(safe)) == len(safe) else names
    return dict(zip(names, flat, strict=True))


def call(model, structure, tensors):
    """Calls `model` at inference on flat `tensors`; returns named outputs."""
    arguments = keras.tree.pack_sequence_as(structure, list(tensors))
    return named_outputs(model, model(*arguments, training=False))


@contextlib.contextmanager
def float32_compute(model):
    """Lets every half precision layer compute in float32 inside the block.

    LiteRT's kernels have no float16 or bfloat16 arithmetic; the variables of a
    mixed precision model are float32 anyhow.
    """
    kept = []
    try:
        for layer in [*walking.all_layers(model), model]:
            policy = layer.dtype_policy
            if policy.compute_dtype in _HALF and policy.quantization_mode is None:
                kept.append((layer, policy))
                layer.dtype_policy = "float32"
        yield bool(kept)
    finally:
        for layer, policy in kept:
            layer.dtype_policy = policy


def half_precision(model):
    """Whether any layer computes in float16 or bfloat16."""
    layers = [*walking.all_layers(model), model]
    return any(layer.dtype_policy.compute_dtype in _HALF for layer in layers)
