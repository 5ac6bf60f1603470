"""A model, its inputs and what of its output is explained, ready to be evaluated."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_strategies._internal import checks, keras_private
from keras_strategies._internal.interception import intercepting
from keras_strategies.explain._engine import targets
from keras_strategies.explain._engine.checked_inputs import CheckedInputs, check_inputs
from keras_strategies.explain._engine.final_activation import (
    FinalActivation,
    final_activations,
    without,
)
from keras_strategies.explain._engine.programs import program

#: From positions in a list of evaluations to the inputs there and the samples they are
#: variants of.
Make = Callable[[np.ndarray], tuple[list[np.ndarray], np.ndarray]]


@dataclasses.dataclass(frozen=True, eq=False)
class Plan:
    """What a compiled program computes, without the model and without numbers."""

    skeleton: Any
    inputs: int
    differentiable: tuple[int, ...]
    output: int
    score: targets.Score
    activation: FinalActivation | None

    @property
    def key(self) -> tuple[Any, ...]:
        operation = None if self.activation is None else self.activation.operation
        score = self.score.key
        return (repr(self.skeleton), self.differentiable, self.output, score, operation)

    def run(self, model: keras.Model, flat: Sequence[Any]) -> Any:
        """The output that is explained."""
        structure = keras.tree.map_structure(lambda i: flat[i], self.skeleton)
        with without(self.activation):
            outputs = model(structure, training=False)
        return keras.tree.flatten(outputs)[self.output]

    def scores(self, model: keras.Model, flat: Sequence[Any], arrays: list[Any]) -> Any:
        """The score of each sample."""
        output = self.run(model, flat)
        return targets.compute(self.score.kind, self.score.function, output, arrays)


class Explained:
    """Scores of a model's output and their gradients, in batches.

    Args:
        model: The model.
        inputs: Its inputs, samples first.
        target: What of the output is explained.
        logits: Whether the values before a last softmax or sigmoid are taken.
        batch_size: Samples that the model is run on at once.
    """

    def __init__(
        self,
        model: keras.Model,
        inputs: Any,
        target: Any = None,
        *,
        logits: bool = True,
        batch_size: int = 32,
    ) -> None:
        self.inputs: CheckedInputs = check_inputs(model, inputs)
        self.batch_size: int = checks.integer("batch_size", batch_size, low=1)
        checks.boolean("logits", logits)
        self.model: keras.Model = model
        self.example: Any = self.inputs.call_structure(
            [x[:1] for x in self.inputs.flat]
        )
        self.plan: Plan = self._plan(target, logits)

    def _plan(self, target, logits):
        shapes = _output_shapes(self.model, self.example)
        output, target = targets.output_of(self.model, target, len(shapes))
        activation = final_activations(self.model, self.example)[output]
        if activation is None and logits:
            self._check_no_probabilities(output)
        count = len(self.inputs.flat)
        plan = Plan(
            self.inputs.skeleton,
            count,
            self.inputs.differentiable,
            output,
            targets.Score("top"),
            activation if logits else None,
        )
        score = targets.check_target(
            target,
            shapes[output],
            self.inputs.count,
            functools.partial(self._embeddings, plan),
        )
        return dataclasses.replace(plan, score=score)

    def _check_no_probabilities(self, output):
        """Refuses to take for logits what a softmax has made that is not in sight."""
        found = keras.tree.flatten(self.model(self.example, training=False))[output]
        values = np.asarray(ops.convert_to_numpy(found), "float64")
        size = values.shape[-1] if values.ndim > 1 else 1
        sums = values.sum(axis=-1)
        if size > 1 and values.min() >= 0 and np.abs(sums - 1).max() < 1e-3:
            checks.fail(
                "The values before the softmax cannot be found in a model whose "
                "outputs are probabilities",
                fix="Explain the probabilities, with logits=False, or let the last "
                'layer have activation="softmax".',
                model=self.model.name,
            )

    def _embeddings(self, plan, reference):
        inputs = check_inputs(self.model, reference, "reference")
        # Not by the constructor, which would check a target: only the output is asked
        # for.
        other = object.__new__(Explained)
        other.model, other.inputs, other.plan = self.model, inputs, plan
        other.batch_size = self.batch_size
        return other.outputs()

    @property
    def count(self) -> int:
        """The number of samples."""
        return self.inputs.count

    def originals(self, positions: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
        """The samples themselves, as evaluations."""
        return [array[positions] for array in self.inputs.flat], positions

    def fix_target(self) -> None:
        """Chooses the target now where it is the highest output of each sample.

        For what runs the model on changed inputs, whose highest output may be another.
        """
        if self.plan.score.kind == "top":
            outputs = self.outputs()
            outputs = outputs[:, None] if outputs.ndim == 1 else outputs
            indices = outputs.argmax(axis=-1).astype("int32")
            score = targets.Score("index", (indices,))
            self.plan = dataclasses.replace(self.plan, score=score)

    @property
    def indices(self) -> np.ndarray | None:
        """The index of the output that is explained for each sample, if it is one."""
        self.fix_target()
        return self.plan.score.arrays[0] if self.plan.score.kind == "index" else None

    def outputs(self) -> np.ndarray:
        """The output that is explained, of all samples."""
        plan = self.plan

        def function(model, arrays):
            return [plan.run(model, arrays[: plan.inputs])]

        key = ("outputs", *plan.key)
        return self.evaluate(key, function, self.count, self.originals)[0]

    def scores(self, count: int | None = None, make: Make | None = None) -> np.ndarray:
        """The scores of evaluations, `(count,)`; by default of the samples."""
        plan = self.plan

        def function(model, arrays):
            return [plan.scores(model, arrays[: plan.inputs], arrays[plan.inputs :])]

        key = ("scores", *plan.key)
        [result] = self.evaluate(key, function, *self._all(count, make))
        return result

    def gradients(
        self, count: int | None = None, make: Make | None = None
    ) -> tuple[np.ndarray, list[np.ndarray]]:
        """Scores, and their gradients by each differentiable input."""
        self.inputs.check_differentiable()
        function = functools.partial(_input_gradients, self.plan)
        key = ("gradients", *self.plan.key)
        scores, *gradients = self.evaluate(key, function, *self._all(count, make))
        return scores, gradients

    def features_of(self, layer: Any, make: Make | None = None) -> np.ndarray:
        """What a layer or operation returns at its first call, for each sample."""
        function = functools.partial(_output_at, self.plan, layer)
        key = ("features", layer, *self.plan.key)
        make = self.originals if make is None else make
        [features] = self.evaluate(key, function, self.count, make)
        return features

    def gradients_at(
        self,
        layer: Any,
        key: Any = None,
        edit: Callable[[Any, list[Any]], Any] | None = None,
        count: int | None = None,
        make: Make | None = None,
        extra: Sequence[np.ndarray] = (),
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Scores, the output of a layer, and the gradients of the scores by it.

        Args:
            layer: A layer or operation that is called once.
            key: Tells programs with different `edit` apart.
            edit: What is done with the output before it goes on, as a function of it
                and of `extra`. Defaults to `None`, nothing.
            count: Number of evaluations. Defaults to `None`, the samples.
            make: The inputs of evaluations.
            extra: Arrays with a row for each evaluation.
        """
        function = functools.partial(_gradients_at, self.plan, layer, edit, len(extra))
        full_key = ("at", layer, key, *self.plan.key)
        count, make = self._all(count, make)
        scores, values, gradients = self.evaluate(
            full_key, function, count, make, extra
        )
        return scores, values, gradients

    def _all(self, count: int | None, make: Make | None) -> tuple[int, Make]:
        if count is None or make is None:
            return self.count, self.originals
        return count, make

    def evaluate(
        self,
        key: Any,
        function: Callable[[keras.Model, list[Any]], list[Any]],
        count: int,
        make: Make,
        extra: Sequence[np.ndarray] = (),
    ) -> list[np.ndarray]:
        """Runs a program over `count` evaluations; returns its results, joined.

        The last batch is filled up, so that all have one shape and the program is
        compiled once.
        """
        run = program(self.model, key, function)
        parts: list[list[np.ndarray]] = []
        for begin in range(0, count, self.batch_size):
            positions = np.arange(begin, min(begin + self.batch_size, count))
            size = len(positions)
            # The last batch is filled up: another size would be compiled anew on JAX.
            if count > self.batch_size:
                positions = np.resize(positions, self.batch_size)
            flat, rows = make(positions)
            arrays = [array[rows] for array in self.plan.score.arrays]
            more = [array[positions] for array in extra]
            results = run([*flat, *arrays, *more])
            parts.append([result[:size] for result in results])
        return [np.concatenate(column) for column in zip(*parts, strict=True)]


def _output_shapes(model, example):
    """The shapes of the outputs, flat."""
    outputs = getattr(model, "outputs", None)
    if not outputs or not model.built:
        outputs = keras.tree.flatten(model(example, training=False))
    return [tuple(output.shape) for output in outputs]


def _output_at(plan, layer, model, arrays):
    kept = []

    def keep(position, call, args, kwargs):
        kept.append(call(*args, **kwargs))
        return kept[-1]

    with intercepting([layer], keep):
        plan.run(model, arrays[: plan.inputs])
    return [ops.cast(kept[0], "float32")]


def _input_gradients(plan, model, arrays):
    flat, rest = list(arrays[: plan.inputs]), arrays[plan.inputs :]

    def score(tensors):
        for position, tensor in zip(plan.differentiable, tensors, strict=True):
            flat[position] = tensor
        scores = plan.scores(model, flat, rest)
        return ops.sum(scores), scores

    wanted = [flat[position] for position in plan.differentiable]
    _, scores, found = keras_private.first_gradients(score, wanted)
    if all(gradient is None for gradient in found):
        _no_gradient("the inputs")
    pairs = zip(found, wanted, strict=True)
    return [scores, *(ops.zeros_like(t) if g is None else g for g, t in pairs)]


def _gradients_at(plan, layer, edit, extras, model, arrays):
    end = len(arrays) - extras
    flat, rest = arrays[: plan.inputs], list(arrays[plan.inputs : end])
    extra = list(arrays[end:])

    def score(mark):
        calls = []

        def pass_mark(position, call, args, kwargs):
            value = call(*args, **kwargs)
            calls.append(value)
            _check_value(layer, value, len(calls))
            if edit is not None:
                value = edit(value, extra)
            return mark(value)

        with intercepting([layer], pass_mark):
            scores = plan.scores(model, flat, rest)
        if not calls:
            checks.fail("`layer` must be called by the model", layer=layer.name)
        return ops.sum(scores), scores

    _, scores, [value], [gradient] = keras_private.gradients_within(score)
    if gradient is None:
        _no_gradient(f"the layer {layer.name!r}")
    value, gradient = (ops.cast(x, "float32") for x in (value, gradient))
    return [scores, value, gradient]


def _check_value(layer, value, calls):
    if calls > 1:
        checks.fail(
            "`layer` must be called once in the model",
            fix="Give a layer that is not shared.",
            layer=layer.name,
        )
    dtype = getattr(value, "dtype", None)
    if dtype is None or not keras.backend.is_float_dtype(
        keras.backend.standardize_dtype(dtype)
    ):
        checks.fail(
            "`layer` must return one tensor of floating-point numbers",
            layer=layer.name,
            type=type(value).__name__,
        )


def _no_gradient(what):
    checks.fail(
        f"The output must depend on {what} by operations that have a gradient",
        fix="Rounding, integers and stop_gradient have none. A method without "
        "gradients explains such a model: occlusion, rise or score_cam.",
        gradient=None,
    )
