"""Which input is changed."""

from keras_strategies._internal import checks
from keras_strategies.explain._engine.explained import Explained


def only_input(explained: Explained, name: str | None = None) -> int:
    """The position of the input to change: the only one with floats, or as named."""
    inputs = explained.inputs
    if name is not None:
        names = sorted(inputs.structure) if isinstance(inputs.structure, dict) else []
        specs = getattr(explained.model, "inputs", None) or []
        names = names or [spec.name for spec in specs]
        position = names.index(name) if name in names else -1
        if position not in inputs.differentiable:
            checks.fail(
                "`input_name` must name an input of floating-point numbers",
                input_name=name,
                inputs=names,
            )
        return position
    if not inputs.differentiable:
        checks.fail(
            "The inputs must have floating-point numbers that can be hidden",
            fix="For tokens use explain.token_attributions.",
            dtypes=[str(array.dtype) for array in inputs.flat],
        )
    if len(inputs.differentiable) > 1:
        checks.fail(
            "The model has several inputs that could be changed",
            fix="Name one by `input_name`; the others stay as they are.",
            shapes=[inputs.flat[i].shape for i in inputs.differentiable],
        )
    return inputs.differentiable[0]
