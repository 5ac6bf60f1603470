"""Distances between a student and its teacher, one number a sample, on `keras.ops`."""

from typing import Any

import keras
from keras import ops

# What float32 can tell from 0, and from 1.
_ABOVE_ZERO, _BELOW_ONE = 1e-12, 1e-7
# Added to the logit of the true class to take it out of a softmax.
_MASKED = -1e9


def log_probabilities(
    values: Any, kind: str, from_logits: bool, temperature: float = 1.0
) -> Any:
    """Logarithms of the softened probabilities of outputs, in float32.

    ```
    log softmax(z / T)                              kind="categorical"
    (log sigmoid(z / T), log sigmoid(-z / T))       kind="binary", one more axis
    ```

    Outputs that are probabilities already stand for their logarithms, which are logits
    but for a constant that cancels.
    """
    values = ops.cast(values, "float32")
    if kind == "categorical":
        logits = values if from_logits else ops.log(ops.maximum(values, _ABOVE_ZERO))
        return ops.log_softmax(logits / temperature, axis=-1)
    if not from_logits:
        values = ops.clip(values, _BELOW_ONE, 1 - _BELOW_ONE)
        values = ops.log(values) - ops.log1p(-values)
    values = values / temperature
    return ops.stack([ops.log_sigmoid(values), ops.log_sigmoid(-values)], axis=-1)


def by_sample(values: Any) -> Any:
    """The mean over all axes but that of the samples."""
    axes = list(range(1, len(values.shape)))
    return ops.mean(values, axis=axes) if axes else values


def logits_loss(
    student: Any,
    teacher: Any,
    kind: str = "categorical",
    from_logits: bool = True,
    temperature: float = 1.0,
    teacher_from_logits: bool | None = None,
) -> Any:
    """The divergence of softened outputs, or the mean square of other outputs.

    ```
    T**2 * KL(p_teacher || p_student),   p = softmax(z / T)      Hinton et al.
    mean((student - teacher)**2)                                 kind="values"
    ```

    `T**2` keeps the gradient as large as that of the plain loss. Axes beside the
    samples are averaged.
    """
    if teacher_from_logits is None:
        teacher_from_logits = from_logits
    if kind == "values":
        student, teacher = (ops.cast(v, "float32") for v in (student, teacher))
        return by_sample(ops.square(student - teacher))
    log_s = log_probabilities(student, kind, from_logits, temperature)
    log_t = log_probabilities(teacher, kind, teacher_from_logits, temperature)
    divergence = ops.sum(ops.exp(log_t) * (log_t - log_s), axis=-1)
    return by_sample(temperature**2 * divergence)


def decoupled_loss(
    student: Any,
    teacher: Any,
    labels: Any,
    from_logits: bool = True,
    temperature: float = 1.0,
    target_weight: float = 1.0,
    other_weight: float = 8.0,
    teacher_from_logits: bool | None = None,
) -> Any:
    """Decoupled distillation: the true class and the others, weighed on their own.

    ```
    T**2 * (a * KL(b_teacher || b_student) + c * KL(q_teacher || q_student))
    b = (p_y, 1 - p_y),   q = softmax(z / T) over the classes other than y
    ```

    In the plain loss the second part has the weight `1 - p_y` of the teacher, which is
    small where the teacher is sure.

    Args:
        labels: Integers, or one number for each class of which the largest counts.
    """
    if teacher_from_logits is None:
        teacher_from_logits = from_logits
    log_s = log_probabilities(student, "categorical", from_logits, temperature)
    log_t = log_probabilities(teacher, "categorical", teacher_from_logits, temperature)
    true = _one_hot(labels, log_s.shape)
    target = _binary_divergence(_true_class(log_t, true), _true_class(log_s, true))
    masked = _MASKED * true
    log_s, log_t = (ops.log_softmax(v + masked, axis=-1) for v in (log_s, log_t))
    # The masked class adds 0: its probabilities are 0 and its logarithms finite.
    others = ops.sum(ops.exp(log_t) * (log_t - log_s) * (1 - true), axis=-1)
    return by_sample(temperature**2 * (target_weight * target + other_weight * others))


def _one_hot(labels, shape):
    if len(labels.shape) == len(shape) and labels.shape[-1] == shape[-1] != 1:
        labels = ops.argmax(labels, axis=-1)
    elif len(labels.shape) == len(shape):
        labels = ops.squeeze(labels, axis=-1)
    return ops.one_hot(ops.cast(labels, "int32"), shape[-1], dtype="float32")


def _true_class(log_p, true):
    return ops.sum(log_p * true, axis=-1)


def _binary_divergence(log_p, log_q):
    """`KL((p, 1 - p) || (q, 1 - q))` from `log p` and `log q`."""
    log_p, log_q = (ops.minimum(v, -_BELOW_ONE) for v in (log_p, log_q))
    rest_p, rest_q = (ops.log(-ops.expm1(v)) for v in (log_p, log_q))
    return ops.exp(log_p) * (log_p - log_q) + ops.exp(rest_p) * (rest_p - rest_q)


def hint_loss(student: Any, teacher: Any) -> Any:
    """The mean square between features of one shape."""
    student, teacher = (ops.cast(v, "float32") for v in (student, teacher))
    return by_sample(ops.square(student - teacher))


def attention_map(features: Any, channels_last: bool = True) -> Any:
    """Where features are large: `mean_c F**2` over all places, as a unit vector.

    Features `(batch, places..., channels)`; the result is `(batch, places)`.
    """
    features = ops.cast(features, "float32")
    energy = ops.mean(ops.square(features), axis=-1 if channels_last else 1)
    flat = ops.reshape(energy, (ops.shape(energy)[0], -1))
    norm = ops.sqrt(ops.sum(ops.square(flat), axis=-1, keepdims=True))
    return flat / ops.maximum(norm, _ABOVE_ZERO)


def attention_loss(student: Any, teacher: Any, channels_last: bool = True) -> Any:
    """The mean square between the attention maps of two features."""
    student, teacher = (attention_map(v, channels_last) for v in (student, teacher))
    return ops.mean(ops.square(student - teacher), axis=-1)


def relational_loss(
    student: Any,
    teacher: Any,
    distance_weight: float = 1.0,
    angle_weight: float = 2.0,
) -> Any:
    """The distances and angles between the samples of a batch, held to the teacher's.

    ```
    d[i, j]    = ||f_i - f_j|| / mean of the positive distances
    a[i, j, k] = cos of the angle at i between j and k
    w_d * mean_j huber(d_s - d_t) + w_a * mean_jk huber(a_s - a_t)
    ```

    The features of the two may have different sizes. What belongs to sample `i` is the
    mean over its rows, so that the mean over samples is that of the paper.
    """
    student, teacher = (_flat(v) for v in (student, teacher))
    total = 0.0
    if distance_weight:
        apart = _huber(relative_distances(student) - relative_distances(teacher))
        total = total + distance_weight * ops.mean(apart, axis=-1)
    if angle_weight:
        turned = _huber(cosines(student) - cosines(teacher))
        total = total + angle_weight * ops.mean(turned, axis=(1, 2))
    return total


def _flat(features):
    features = ops.cast(features, "float32")
    return ops.reshape(features, (ops.shape(features)[0], -1))


def relative_distances(features: Any) -> Any:
    """Distances between all samples over their mean positive one, `(n, n)`."""
    differences = ops.expand_dims(features, 0) - ops.expand_dims(features, 1)
    squares = ops.sum(ops.square(differences), axis=-1)
    # The gradient of a square root is infinite at 0: on the diagonal, for equal rows.
    positive = squares > 0
    distances = ops.where(positive, ops.sqrt(ops.where(positive, squares, 1.0)), 0.0)
    count = ops.maximum(ops.sum(ops.cast(positive, "float32")), 1.0)
    mean = ops.maximum(ops.sum(distances) / count, _ABOVE_ZERO)
    return distances / mean


def cosines(features: Any) -> Any:
    """Cosines of the angles of all triples, `(n, n, n)`; the first is at the corner."""
    differences = ops.expand_dims(features, 0) - ops.expand_dims(features, 1)
    squares = ops.sum(ops.square(differences), axis=-1, keepdims=True)
    units = differences / ops.sqrt(ops.where(squares > 0, squares, 1.0))
    return ops.matmul(units, ops.transpose(units, (0, 2, 1)))


def _huber(difference):
    size = ops.abs(difference)
    return ops.where(size < 1.0, 0.5 * ops.square(size), size - 0.5)


def same_places(student: Any, teacher: Any, channels_last: bool = True) -> Any:
    """Both features at the smaller of their two resolutions, by averaging.

    Only maps are resized; vectors and sequences must have equal lengths.
    """
    if len(student.shape) != 4 or len(teacher.shape) != 4:
        return student, teacher
    axes = slice(1, 3) if channels_last else slice(2, 4)
    sides = [tuple(v.shape[axes]) for v in (student, teacher)]
    if sides[0] == sides[1] or None in (*sides[0], *sides[1]):
        return student, teacher
    target = tuple(min(pair) for pair in zip(*sides, strict=True))
    layout = "channels_last" if channels_last else "channels_first"
    return tuple(
        value
        if side == target
        else ops.image.resize(
            ops.cast(value, "float32"), target, antialias=True, data_format=layout
        )
        for value, side in zip((student, teacher), sides, strict=True)
    )


def channels_last() -> bool:
    """Whether Keras's layers put the channels last."""
    return keras.config.image_data_format() == "channels_last"
