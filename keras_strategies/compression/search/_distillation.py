"""Knowledge distillation: the outputs of a teacher as further targets."""

import contextlib

import keras
from keras import ops

# What float32 can tell from 0, and from 1.
_ABOVE_ZERO, _BELOW_ONE = 1e-12, 1e-7
# Losses whose outputs are one distribution over classes, or one for each number.
_CATEGORICAL = ("categoricalcrossentropy", "categoricalfocalcrossentropy")
_BINARY = ("binarycrossentropy", "binaryfocalcrossentropy")


def kind_of(loss):
    """`(kind, from_logits)` of the outputs that a compiled loss is made for.

    `kind` is `"categorical"`, `"binary"` or, for every other loss, `"values"`.
    """
    found = keras.losses.get(loss)
    name = getattr(found, "__name__", type(found).__name__)
    name = name.replace("_", "").lower().removeprefix("sparse")
    from_logits = False
    if isinstance(found, keras.losses.Loss):
        from_logits = bool(found.get_config().get("from_logits", False))
    if name in _CATEGORICAL:
        return "categorical", from_logits
    return ("binary" if name in _BINARY else "values"), from_logits


def distillation_loss(outputs, targets, kind, from_logits=False, temperature=1.0):
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
        logs = _log_softmax if kind == "categorical" else _log_sigmoid
        student = logs(outputs, from_logits, temperature)
        teacher = logs(targets, from_logits, temperature)
        distance = ops.sum(ops.exp(teacher) * (teacher - student), axis=-1)
        distance = temperature**2 * distance
    axes = list(range(1, len(distance.shape)))
    return ops.mean(distance, axis=axes) if axes else distance


def _log_softmax(values, from_logits, temperature):
    # Logarithms of probabilities are logits, but for a constant that cancels.
    logits = values if from_logits else ops.log(ops.maximum(values, _ABOVE_ZERO))
    return ops.log_softmax(logits / temperature, axis=-1)


def _log_sigmoid(values, from_logits, temperature):
    if not from_logits:
        values = ops.clip(values, _BELOW_ONE, 1 - _BELOW_ONE)
        values = ops.log(values) - ops.log1p(-values)
    values = values / temperature
    return ops.stack([ops.log_sigmoid(values), ops.log_sigmoid(-values)], axis=-1)


@contextlib.contextmanager
def distilling(student, teacher, temperature, alpha):
    """Within it `student` trains on its own loss and on the outputs of `teacher`.

    The loss is `(1 - alpha) * plain + alpha * distillation`. The student's
    `compute_loss` is replaced for the time, so that a training step of its own, XLA
    and every backend go on as before; the teacher is part of no model and is not
    trained.
    """
    plain = student.compute_loss
    kind, from_logits = kind_of(student.loss)

    def compute_loss(x=None, y=None, y_pred=None, sample_weight=None, **training):
        own = plain(x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, **training)
        targets = ops.stop_gradient(teacher(x, training=False))
        far = distillation_loss(y_pred, targets, kind, from_logits, temperature)
        if sample_weight is not None:
            far = far * _by_sample(sample_weight)
        return (1 - alpha) * own + alpha * ops.mean(far)

    student.compute_loss = compute_loss
    try:
        yield
    finally:
        del student.compute_loss


def _by_sample(weights):
    weights = ops.cast(weights, "float32")
    axes = list(range(1, len(weights.shape)))
    return ops.mean(weights, axis=axes) if axes else weights
