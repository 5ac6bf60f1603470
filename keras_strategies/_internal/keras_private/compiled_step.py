"""What a compiled training step takes from the objects it is traced with."""

import contextlib
import functools
import types
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras

from keras_strategies._internal.interception import replacing

# What Keras keeps in an object beside what a bare object of its class has.
_OF_MODELS = (
    *("history", "optimizer", "loss", "output_names", "compiled", "stop_training"),
    *("stop_evaluating", "stop_predicting", "steps_per_execution"),
    *("train_function", "test_function", "predict_function"),
    *("unrolled_steps_per_execution", "_jit_compile", "_run_eagerly"),
    *("_inputs", "_inputs_struct", "_outputs", "_outputs_struct", "_functional"),
    *("_nodes", "_nodes_by_depth", "_operations", "_operations_by_depth"),
    *("_compile_config", "_compile_loss", "_compile_metrics", "_loss_tracker"),
    *("_compiled_trainable_state", "_initial_epoch", "_eval_epoch_iterator"),
    *("_jax_state", "_jax_state_synced", "_distribute_strategy"),
    *("_compute_loss_has_training_arg", "_epoch_iterator", "_functional_layers"),
)
_OF_OPTIMIZERS = (
    *("name", "built", "_lock", "_tracker", "_variables", "_trainable_variables"),
    *("_trainable_variables_indices", "_distribution_strategy"),
    *("_exclude_from_weight_decay", "_exclude_from_weight_decay_pattern"),
    "_exclude_from_weight_decay_cache",
)
# What this package keeps in models and optimizers from fit to fit: compiled steps, and
# parts of them that a callback takes again.
_OURS = ("_kept_parts", "_traced_steps", "_ongoing_choice", "_execution_plan")


def own_attributes(item: Any) -> dict[str, Any]:
    """Attributes of an object beyond those that Keras keeps for itself.

    Which names of a layer or optimizer are Keras's own no public name tells; most are
    what a bare object of the base class has. Keras 3.12 to 3.15.
    """
    names = next(
        (names for kind, names in _bookkeeping().items() if isinstance(item, kind)), ()
    )
    # TensorFlow keeps what it saves under names of its own.
    return {
        name: value
        for name, value in getattr(item, "__dict__", {}).items()
        if name not in (*names, *_OURS) and not name.startswith("_self_")
    }


@functools.cache
def _bookkeeping():
    layer = {*vars(keras.layers.Layer(name="bare")), "_called", "_name"}
    layer -= {"activity_regularizer"}
    metric = vars(keras.metrics.Metric(name="bare"))
    return {
        keras.Model: frozenset((*layer, *_OF_MODELS)),
        keras.layers.Layer: frozenset(layer),
        keras.Operation: frozenset(vars(keras.Operation(name="bare"))),
        keras.optimizers.Optimizer: frozenset(_OF_OPTIMIZERS),
        keras.metrics.Metric: frozenset((*metric, "_built", "_build_input_shape")),
        keras.losses.Loss: frozenset({"name"}),
        keras.random.SeedGenerator: frozenset(
            {"_initial_seed", "seed", "backend", "name", "_tracker"}
        ),
    }


def decays(optimizer: Any, variables: Sequence[keras.Variable]) -> list[bool]:
    """Whether weight decay acts on each of some variables.

    `exclude_from_weight_decay` leaves no public trace, in no config either. Keras 3.12
    to 3.15.
    """
    return [bool(optimizer._use_weight_decay(variable)) for variable in variables]


@contextlib.contextmanager
def watching_steps(
    model: keras.Model, watch: Callable[[Callable[[], Any]], Any]
) -> Iterator[None]:
    """Runs `watch(call)` in the place of each Python call of a step of `model`.

    These are the calls that trace it. The methods of the class are replaced, as one on
    the object would count as a `train_step` of the user's; compiled functions keep what
    they were made of. Keras 3.12 to 3.15.
    """
    with contextlib.ExitStack() as stack:
        for name in ("train_step", "test_step"):
            owner = next(kind for kind in type(model).__mro__ if name in vars(kind))
            method = vars(owner)[name]

            @functools.wraps(method)
            def watched(this, *args, _method=method, **kwargs):
                if this is not model:
                    return _method(this, *args, **kwargs)
                return watch(functools.partial(_method, this, *args, **kwargs))

            setattr(owner, name, watched)
            stack.callback(setattr, owner, name, method)
        yield


@contextlib.contextmanager
def state_with(
    model: keras.Model, variables: Sequence[Any], slots: Sequence[Any]
) -> Iterator[None]:
    """Variables are part of a model's state in the block, and of none of its files.

    A step of JAX takes the values of the variables that Keras lists as arguments, any
    others as constants. Listed are variables of random generators, which neither
    `weights` nor a file has, and those of the optimizer. Keras 3.12 to 3.15.

    Args:
        model: A built and compiled model.
        variables: Variables that the forward pass and the losses use.
        slots: Variables that the update of the optimizer uses.
    """
    generators = [types.SimpleNamespace(state=variable) for variable in variables]
    optimizer, own = model.optimizer, model.optimizer._variables
    with contextlib.ExitStack() as stack:
        listed = [*model._seed_generators, *generators]
        stack.enter_context(replacing(model, "_seed_generators", listed))
        if slots:
            stack.enter_context(replacing(optimizer, "_variables", [*own, *slots]))
            for name in ("save_own_variables", "load_own_variables"):
                method = functools.partial(
                    _with_variables, optimizer, own, getattr(optimizer, name)
                )
                stack.enter_context(replacing(optimizer, name, method))
        yield


def _with_variables(optimizer, variables, method, store):
    with replacing(optimizer, "_variables", variables):
        method(store)


class HeldNumber(keras.Variable):
    """A number that is a variable, in the place of a Python number.

    Keras asks its numbers `momentum != 0`, `rate > 0` or `l1 != 0.0` while a step is
    traced, to leave out what a 0 makes needless. That has to be answered by Python: a
    held number is never 0. What a dropout keeps is computed in double precision, as
    Keras does: `kept`, on TensorFlow its inverse. Keras 3.12 to 3.15.
    """

    def __init__(self, number, name):
        # Not cast in mixed precision, where a draw is compared with all of its bits.
        kind = {"dtype": "float32", "trainable": False, "autocast": False}
        super().__init__(number, name=name, **kind)
        # Not by setattr: Keras tracks variables in attributes of variables.
        kept = keras.Variable(_kept(number), **kind)
        self.__dict__["kept"] = kept

    def assign_number(self, number: float) -> None:
        """Takes another value, and what belongs to it as a rate."""
        self.assign(number)
        self.__dict__["kept"].assign(_kept(number))

    def __eq__(self, other):
        return self is other

    def __ne__(self, other):
        return self is not other

    def __gt__(self, other):
        return True

    __hash__ = keras.Variable.__hash__


def _kept(rate):
    if not 0 <= rate < 1:
        return 1.0
    return 1 / (1 - rate) if keras.backend.backend() == "tensorflow" else 1 - rate
