"""The inputs of a model, flat, with what can be differentiated."""

import dataclasses
from typing import Any

import keras
import numpy as np

from keras_strategies._internal import checks


@dataclasses.dataclass(frozen=True)
class CheckedInputs:
    """Inputs of a model.

    Attributes:
        structure: The inputs as they were given.
        flat: Their arrays, samples first, floating-point ones as float32.
        differentiable: Positions of the arrays that gradients exist for.
        skeleton: The positions of the arrays in the structure that the model is called
            on.
        order: For each array the position among the inputs of the model; `None` where
            that is not known.
    """

    structure: Any
    flat: list[np.ndarray]
    differentiable: tuple[int, ...]
    skeleton: Any
    order: tuple[int, ...] | None = None

    @property
    def count(self) -> int:
        """The number of samples."""
        return len(self.flat[0])

    def pack(self, arrays: list[Any]) -> Any:
        """Arrays in the structure of the inputs."""
        return keras.tree.pack_sequence_as(self.structure, arrays)

    def call_structure(self, arrays: list[Any]) -> Any:
        """Arrays in the structure that the model is called on."""
        return keras.tree.map_structure(lambda i: arrays[i], self.skeleton)

    def check_differentiable(self) -> None:
        """Refuses inputs that are all integers or strings."""
        if not self.differentiable:
            checks.fail(
                "The inputs must have floating-point numbers to differentiate by",
                fix="For tokens use explain.token_attributions, which differentiates "
                "by their embedding, or a method without gradients: occlusion or "
                "kernel_shap.",
                dtypes=[str(array.dtype) for array in self.flat],
            )


def check_inputs(
    model: keras.Model, inputs: Any, name: str = "inputs"
) -> CheckedInputs:
    """Checks the inputs of a model; returns them as `CheckedInputs`."""
    checks.instance("model", model, keras.Model, fix="Give a Keras model.")
    specs = _specs(model)
    several = isinstance(inputs, dict) or (
        isinstance(inputs, list | tuple)
        and (specs is None or len(specs) > 1 or _is_list_of_one(inputs, specs[0]))
    )
    structure = inputs if several else np.asarray(inputs)
    flat = [np.asarray(leaf) for leaf in keras.tree.flatten(structure)]
    if not flat or any(array.ndim == 0 for array in flat):
        checks.fail(f"`{name}` must be arrays, samples first", **{name: inputs})
    sizes = {len(array) for array in flat}
    if len(sizes) != 1 or 0 in sizes:
        checks.fail(
            f"`{name}` must have the same number of samples, at least one",
            samples=[len(array) for array in flat],
        )
    floats, order = [None] * len(flat), None
    if specs is not None:
        floats, order = _checked_shapes(specs, structure, flat, name)
    differentiable = tuple(
        position
        for position, (array, is_float) in enumerate(zip(flat, floats, strict=True))
        if array.dtype.kind == "f"
        or (array.dtype.kind in "iub" and is_float)
        # Without a specification: bytes are images, other integers are tokens.
        or (array.dtype == np.uint8 and is_float is None)
    )
    for position in differentiable:
        flat[position] = flat[position].astype("float32")
        if not np.isfinite(flat[position]).all():
            checks.fail(f"`{name}` must have finite numbers", position=position)
    for position in set(range(len(flat))) - set(differentiable):
        if flat[position].dtype == np.int64:  # Keras's own default for integers
            flat[position] = flat[position].astype("int32")
    skeleton = _skeleton(model, structure, order)
    return CheckedInputs(structure, flat, differentiable, skeleton, order)


def _is_list_of_one(inputs, spec):
    """Whether a list holds the array of the only input, not numbers of samples."""
    return len(inputs) == 1 and np.ndim(inputs[0]) == len(spec.shape)


def _skeleton(model, structure, order):
    """Positions in the structure of a Functional model, which warns of any other."""
    positions = list(range(len(keras.tree.flatten(structure))))
    if order is None or not isinstance(model, keras.Function):
        return keras.tree.pack_sequence_as(structure, positions)
    ordered = sorted(positions, key=lambda position: order[position])
    return keras.tree.pack_sequence_as(model.input, ordered)


def _specs(model):
    """The inputs that a model was built with, flat; `None` of a subclassed one."""
    return getattr(model, "inputs", None) or None


def _checked_shapes(specs, structure, flat, name):
    """Refuses other shapes than the model takes; which are floats, and their order."""
    order = list(range(len(specs)))
    if isinstance(structure, dict):
        by_name = {spec.name: index for index, spec in enumerate(specs)}
        if set(structure) <= set(by_name):
            order = [by_name[key] for key in sorted(structure)]
            specs = [specs[index] for index in order]
    if len(specs) != len(flat):
        checks.fail(
            f"`{name}` must have an array for each input of the model",
            inputs=[spec.name for spec in specs],
            arrays=len(flat),
        )
    for spec, array in zip(specs, flat, strict=True):
        pairs = zip(spec.shape[1:], array.shape[1:], strict=False)
        if len(spec.shape) != array.ndim or any(
            size is not None and size != given for size, given in pairs
        ):
            checks.fail(
                f"`{name}` must have the shape that the model takes",
                fix="The first axis is that of the samples: array[None] makes one of "
                "a single sample.",
                model=tuple(spec.shape),
                received=array.shape,
            )
    floats = [keras.backend.is_float_dtype(spec.dtype) for spec in specs]
    return floats, tuple(order)
