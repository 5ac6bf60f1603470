"""Knowledge distillation: outputs of a teacher as additional targets."""

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
from keras import ops

# Distances that float32 resolves from 0, and from 1.
_FROM_ZERO, _FROM_ONE = 1e-12, 1e-7
# Losses whose outputs are a distribution over classes, or one for each number.
_CATEGORICAL = ("categoricalcrossentropy", "categoricalfocalcrossentropy")
_BINARY = ("binarycrossentropy", "binaryfocalcrossentropy")


def output_kind(loss: Any) -> tuple[str, bool]:
    """`(kind, from_logits)` of the outputs that a compiled loss is made for.

    `kind` is `"categorical"`, `"binary"` or, for every other loss, `"values"`.
    """
    resolved = keras.losses.get(loss)
    name = getattr(resolved, "__name__", type(resolved).__name__)
    name = name.replace("_", "").lower().removeprefix("sparse")
    from_logits = False
    if isinstance(resolved, keras.losses.Loss):
        from_logits = bool(resolved.get_config().get("from_logits", False))
    if name in _CATEGORICAL:
        return "categorical", from_logits
    return ("binary" if name in _BINARY else "values"), from_logits


def distillation_loss(
    outputs: Any,
    targets: Any,
    kind: str,
    from_logits: bool = False,
    temperature: float = 1.0,
) -> Any:
    """The distance of a student's outputs from its teacher's, for each sample.

    For classes `T**2 * KL(softmax(t / T), softmax(s / T))` with the logits `t` of the
    teacher and `s` of the student and the temperature `T`, whose square keeps the
    gradient as large as that of the plain loss; for single probabilities the same
    of `(p, 1 - p)`; for other values the mean square of the difference. Axes beside
    the samples are averaged.

    Reference: Hinton, Vinyals and Dean, "Distilling the knowledge in a neural
    network" (2015), https://arxiv.org/abs/1503.02531.
    """
    outputs, targets = (ops.cast(value, "float32") for value in (outputs, targets))
    if kind == "values":
        distance = ops.square(outputs - targets)
    else:
        log_probabilities = _log_softmax if kind == "categorical" else _log_sigmoid
        student = log_probabilities(outputs, from_logits, temperature)
        teacher = log_probabilities(targets, from_logits, temperature)
        distance = ops.sum(ops.exp(teacher) * (teacher - student), axis=-1)
        distance = temperature**2 * distance
    axes = list(range(1, len(distance.shape)))
    return ops.mean(distance, axis=axes) if axes else distance


def _log_softmax(values, from_logits, temperature):
    # Logarithms of probabilities are logits, but for a constant that cancels.
    logits = values if from_logits else ops.log(ops.maximum(values, _FROM_ZERO))
    return ops.log_softmax(logits / temperature, axis=-1)


def _log_sigmoid(values, from_logits, temperature):
    if not from_logits:
        values = ops.clip(values, _FROM_ONE, 1 - _FROM_ONE)
        values = ops.log(values) - ops.log1p(-values)
    values = values / temperature
    return ops.stack([ops.log_sigmoid(values), ops.log_sigmoid(-values)], axis=-1)


@contextlib.contextmanager
def distilling(
    student: keras.Model, teacher: keras.Model, temperature: float, alpha: float
) -> Iterator[None]:
    """Context in which `student` trains on its own loss and on outputs of `teacher`.

    The loss is `(1 - alpha) * own + alpha * distillation`. The student's
    `compute_loss` is replaced meanwhile, so that a custom training step, XLA and
    every backend work as before; the teacher is not part of a model and is not
    trained.
    """
    original = student.compute_loss
    kind, from_logits = output_kind(student.loss)

    def compute_loss(x=None, y=None, y_pred=None, sample_weight=None, **training):
        own = original(x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, **training)
        targets = ops.stop_gradient(teacher(x, training=False))
        distance = distillation_loss(y_pred, targets, kind, from_logits, temperature)
        if sample_weight is not None:
            distance = distance * _weight_per_sample(sample_weight)
        return (1 - alpha) * own + alpha * ops.mean(distance)

    student.compute_loss = compute_loss
    try:
        yield
    finally:
        del student.compute_loss


def _weight_per_sample(weights):
    """One weight a sample, the mean of those of its parts."""
    weights = ops.cast(weights, "float32")
    axes = list(range(1, len(weights.shape)))
    return ops.mean(weights, axis=axes) if axes else weights
