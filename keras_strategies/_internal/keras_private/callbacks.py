"""What callbacks change inside a compiled training step, and change back."""

import functools

import keras

from keras_strategies._internal.keras_private.optimizers import carry, stop_carrying


class _HeldNumber(keras.Variable):
    """A variable in the place of a number that optimizers compare with 0.

    `if self.momentum != 0` is asked while the step is traced, where a variable has
    no value: the answer is that of a positive number, so that a number that
    falls to 0 later leaves the step as it was traced.
    """

    def __bool__(self):
        return True

    def __ne__(self, other):
        return True if other == 0 else super().__ne__(other)

    def __gt__(self, other):
        return True if other == 0 else super().__gt__(other)


def hold_number(optimizer, name, outer, dtype):
    """Replaces the number `optimizer.<name>` by a variable of its step.

    Optimizers keep momentum, weight decay and the like as Python numbers that are
    read when the step is traced. A variable in their place changes without another
    trace; the class's code casts it as it casts the number. `outer` are the
    optimizers around this one. The config and the files of the optimizer keep the
    number. Returns the variable. On Torch nothing is traced and the kernels want a
    number: it stays one, to be set by assignment, and `None` is returned.
    Keras 3.12 to 3.15.
    """
    number = getattr(optimizer, name)
    optimizer.__dict__.setdefault("_held_numbers", {})[name] = number
    optimizer.__dict__["get_config"] = functools.partial(_config_of_numbers, optimizer)
    if keras.backend.backend() == "torch":
        return None
    variable = _HeldNumber(
        number or 0,
        dtype=dtype,
        trainable=False,
        aggregation="only_first_replica",
        name=f"held_{name}",
    )
    # Not by setattr, which tracks it, so that it would be saved.
    optimizer.__dict__[name] = variable
    carry(optimizer, [variable], outer)
    return variable


def release_number(optimizer, name, outer):
    """Undoes `hold_number`."""
    variable = optimizer.__dict__[name]
    if isinstance(variable, _HeldNumber):
        stop_carrying(optimizer, [variable], outer)
    held = optimizer.__dict__["_held_numbers"]
    optimizer.__dict__[name] = held.pop(name)
    if not held:
        del optimizer.__dict__["_held_numbers"], optimizer.__dict__["get_config"]


def _config_of_numbers(optimizer):
    """The config that the optimizer has without the variables."""
    held = optimizer.__dict__["_held_numbers"]
    variables = {name: optimizer.__dict__[name] for name in held}
    optimizer.__dict__.update(held)
    try:
        return type(optimizer).get_config(optimizer)
    finally:
        optimizer.__dict__.update(variables)
