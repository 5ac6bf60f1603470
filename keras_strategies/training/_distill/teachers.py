"""Teachers: models that answer without being trained."""

import contextlib
import types
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_strategies._internal import bases
from keras_strategies._internal.model_graph.clone import save_and_load
from keras_strategies.training._distill.capturing import capturing
from keras_strategies.training._distill.objective import Answers


def answers(model: keras.Model, layers: Sequence[Any], x: Any) -> Answers:
    """What a teacher says about a batch, at inference and without gradients."""
    with _without_gradients(), capturing(layers) as features:
        outputs = model(x, training=False)
    stop = ops.stop_gradient
    return Answers(
        [stop(output) for output in keras.tree.flatten(outputs)],
        [stop(feature) for feature in features],
    )


def _without_gradients():
    """Torch would build a graph through the teacher; the others drop it unused."""
    if keras.backend.backend() != "torch":
        return contextlib.nullcontext()
    import torch

    return torch.no_grad()


def copy_of(student: keras.Model) -> keras.Model:
    """A model of the same architecture and weights that is never trained."""
    copy = save_and_load(student)
    copy.trainable = False
    return copy


def move_average(teacher: keras.Model, student: keras.Model, momentum: float) -> None:
    """`teacher <- momentum * teacher + (1 - momentum) * student`, for all weights.

    Statistics of BatchNormalization move along; integers are copied.
    """
    with _without_gradients():
        for average, weight in zip(teacher.weights, student.weights, strict=True):
            new = ops.stop_gradient(ops.convert_to_tensor(weight))
            if keras.backend.is_float_dtype(average.dtype):
                old = ops.convert_to_tensor(average)
                new = old + ops.cast(1 - momentum, old.dtype) * (new - old)
            average.assign(new)


class TeacherView(bases.Model):
    """Returns outputs and features of a teacher, to be stored by `predict`."""

    def __init__(self, teacher: keras.Model, layers: Sequence[Any]):
        super().__init__()
        self.teacher = teacher
        # In an object, so that Keras does not track what is in it.
        self._layer_box = types.SimpleNamespace(content=list(layers))
        self.built = True

    def call(self, x):
        found = answers(self.teacher, self._layer_box.content, x)
        return {"outputs": list(found.outputs), "features": list(found.features)}
