"""Answers of teachers that are computed once and come with the training data."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_strategies._internal import bases, checks
from keras_strategies._internal.keras_private import own_variables_of_layer
from keras_strategies._internal.traversal import all_layers
from keras_strategies.export import TFLiteModel
from keras_strategies.training._data.arrays import num_batches
from keras_strategies.training._distill import outputs as output_kinds
from keras_strategies.training._distill.capturing import layer_at
from keras_strategies.training._distill.distillation_trainer import INPUTS, TEACHERS
from keras_strategies.training._distill.teachers import TeacherView


class Respondent:
    """A teacher that answers for arrays: a Keras model or a `.tflite` file.

    Args:
        teacher: The model, or a `TFLiteModel`.
        student: The student, whose outputs say in which order those of a file come.
        pairs: Paths of layers, the teacher's first.
    """

    def __init__(
        self, teacher: Any, student: keras.Model, pairs: Sequence[tuple[str, str]]
    ):
        self.teacher, self.student = teacher, student
        self.view = None
        if isinstance(teacher, TFLiteModel):
            if pairs:
                checks.fail(
                    "A .tflite teacher has no layers to compare",
                    fix='Use kind="logits" or "decoupled".',
                    layers=pairs,
                )
            return
        layers = [layer_at(teacher, path, "teacher") for path, _ in pairs]
        self.view = TeacherView(teacher, layers)

    def answer(self, x: Any, batch_size: int) -> dict[str, list[np.ndarray]]:
        """Outputs and features for all samples of `x`."""
        if self.view is None:
            return {"outputs": self._of_file(x, batch_size)}
        found = self.view.predict(x, batch_size=batch_size, verbose=0)
        return {name: list(values) for name, values in found.items() if len(values)}

    def _of_file(self, x, batch_size):
        found = self.teacher.predict(x, batch_size=batch_size, verbose=0)
        if not isinstance(found, dict):
            return [found]
        keys = output_kinds.keys_in_order(self.student, list(found))
        return [found[key] for key in keys]

    def gives_logits(self, answers: dict[str, Any], kinds: Sequence[Any]) -> list[bool]:
        """Whether each output is logits, if for classes; of a file by the numbers."""
        if self.view is not None:
            return output_kinds.gives_logits(self.teacher, len(kinds))
        return [
            kind is not None
            and kind[0] != "values"
            and output_kinds.are_logits(values, kind[0])
            for values, kind in zip(answers["outputs"], kinds, strict=True)
        ]


def joined(x: Any, answers: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The inputs of a trainer whose answers are stored.

    Tuples throughout: `tf.data`, which carries a PyDataset on TensorFlow, takes a list
    for one tensor.
    """
    teachers = [
        {name: tuple(values) for name, values in found.items()} for found in answers
    ]
    return {INPUTS: tuple(x) if isinstance(x, list) else x, TEACHERS: tuple(teachers)}


class AugmentedData(bases.PyDataset):
    """Batches that are augmented the same in each `rounds`-th epoch.

    Order and augmentation of a batch come from the seed, the number of the round and
    that of the batch, so that a stored answer is the teacher's to exactly this batch.

    Args:
        x: Inputs, samples first.
        rest: Targets and, if any, sample weights.
        augment: A Keras layer or model.
        respondents: Teachers whose answers are stored; none for augmentation alone.
        rounds: Epochs until the augmentation repeats; `None` for never.
        batch_size: Samples in a batch.
        seed: Seed of orders and augmentation.
    """

    def __init__(
        self,
        x: Any,
        rest: Sequence[Any],
        augment: keras.layers.Layer | None,
        respondents: Sequence[Respondent],
        rounds: int | None,
        batch_size: int,
        seed: int,
    ):
        super().__init__()
        self.x, self.rest, self.augment = x, rest, augment
        self.respondents, self.rounds = respondents, rounds
        self.batch_size, self.seed, self.epoch = batch_size, seed, 0
        self.samples = len(keras.tree.flatten(rest[0])[0])
        self.stored: dict[tuple[int, int], list[dict[str, Any]]] = {}
        self.generators = [] if augment is None else _seed_states(augment)

    def __len__(self) -> int:
        return num_batches(self.samples, self.batch_size)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        number = self.epoch % self.rounds if self.rounds else self.epoch
        order = np.random.default_rng([self.seed, number]).permutation(self.samples)
        rows = order[index * self.batch_size : (index + 1) * self.batch_size]
        x = keras.tree.map_structure(lambda value: value[rows], self.x)
        x = self._augmented(x, number, index)
        batch = tuple(
            keras.tree.map_structure(lambda value: value[rows], part)
            for part in self.rest
        )
        if not self.respondents:
            return (x, *batch)
        key = (number, index)
        if key not in self.stored:
            self.stored[key] = [
                respondent.answer(x, self.batch_size) for respondent in self.respondents
            ]
        return (joined(x, self.stored[key]), *batch)

    def on_epoch_end(self) -> None:
        self.epoch += 1

    def _augmented(self, x, number, index):
        if self.augment is None:
            return x
        for position, state in enumerate(self.generators):
            # Set, not advanced: batches are asked for in any order and by several
            # workers, and a stored answer must meet the same images again.
            words = np.random.SeedSequence([self.seed, number, index, position])
            state.assign(words.generate_state(2).astype(state.dtype))
        return keras.tree.map_structure(
            keras.ops.convert_to_numpy, self.augment(x, training=True)
        )


def _seed_states(augment):
    """The states of all random generators in a layer."""
    states = []
    for layer in [augment, *all_layers(augment)]:
        weights = {id(weight) for weight in layer.weights}
        _, others = own_variables_of_layer(layer)
        states += [v for v in others if id(v) not in weights]
    return states
