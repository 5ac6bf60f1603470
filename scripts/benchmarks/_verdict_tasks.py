"""Small tasks with labels, of many kinds, for `scripts/benchmark verdict`.

A task makes labelled data from a seed, builds a compiled model, and has a score of the
outputs against the labels, in points where one point is a hundredth: the worst of the
figures that someone with this task would look at.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import average_precision_score

L = keras.layers
# Added to every seed: another set of data, labels and models.
SHIFT = 0


@dataclasses.dataclass
class Task:
    """One task.

    Attributes:
        name: Its name.
        kind: The family in the table.
        data: `data(count, seed) -> (x, y)`; `y` a dict by output name.
        build: Returns a compiled model.
        scores: Output name -> list of functions `(y, outputs) -> points`, higher is
            better.
        epochs: Epochs of training.
    """

    name: str
    kind: str
    data: Callable[[int, int], tuple[np.ndarray, dict[str, np.ndarray]]]
    build: Callable[[], keras.Model]
    scores: dict[str, list[Callable[[np.ndarray, np.ndarray], float]]]
    epochs: int = 12
    samples: int = 1500


# Scores ----------------------------------------------------------------------


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def sigmoid(x):
    return 0.5 * (1 + np.tanh(0.5 * np.asarray(x, "float64")))


def accuracy(y, p):
    return 100 * float((p.argmax(-1) == y).mean())


def brier(y, p):
    """Brier skill of class probabilities."""
    p, y = p.reshape(-1, p.shape[-1]).astype("float64"), y.reshape(-1)
    p = p / np.maximum(p.sum(-1, keepdims=True), 1e-9)
    truth = np.eye(p.shape[1])[y]
    base = truth.mean(0)
    return 100 * (1 - np.square(p - truth).sum(1).mean() / (1 - (base**2).sum()))


def brier_logits(y, z):
    return brier(y, softmax(z.astype("float64")))


def worst_recall(y, p):
    """Recall of the worst class of at least 1 %, at a quarter of the weight."""
    top, points = p.argmax(-1), []
    for c in range(p.shape[-1]):
        if (y == c).mean() >= 0.01:
            points.append(100 * float((top[y == c] == c).mean()))
    return min(points) / 4


def yes_no(y, p):
    return 100 * float(((p > 0.5) == y).mean())


def yes_no_logits(y, z):
    return yes_no(y, sigmoid(z))


def mean_precision(y, p):
    y, p = y.reshape(len(y), -1), p.reshape(len(p), -1)
    return 100 * float(
        np.mean([average_precision_score(a, b) for a, b in zip(y.T, p.T, strict=True)])
    )


def pixel_precision(y, p):
    """Average precision over all pixels of the first images."""
    return mean_precision(y[:100].reshape(-1, 1), p[:100].reshape(-1, 1))


def binary_brier(y, p):
    base = y.reshape(len(y), -1).mean(0)
    return 100 * (1 - np.square(p - y).mean() / (base * (1 - base)).mean())


def binary_brier_logits(y, z):
    return binary_brier(y, sigmoid(z))


def mean_f1(y, p):
    r = p > 0.5
    hits = (r & (y > 0)).sum(0)
    return 100 * float(np.mean(2 * hits / np.maximum(r.sum(0) + y.sum(0), 1)))


def mean_f1_logits(y, z):
    return mean_f1(y, sigmoid(z))


def mean_iou(y, p):
    """Mean IoU of the classes of a segmentation."""
    top = p.argmax(-1)
    parts = [
        ((top == c) & (y == c)).sum() / max(((top == c) | (y == c)).sum(), 1)
        for c in range(p.shape[-1])
    ]
    return 100 * float(np.mean(parts))


def foreground_iou(y, p):
    r = p > 0.5
    return 100 * float((r & (y > 0)).sum() / max((r | (y > 0)).sum(), 1))


def r2(channel):
    def score(y, p):
        y, p = y[..., channel].astype("float64"), p[..., channel]
        return 100 * float(1 - np.square(y - p).mean() / y.var())

    return score


def whole_r2(y, p):
    y, p = (v.reshape(len(v), -1).astype("float64") for v in (y, p))
    return 100 * float(1 - np.square(y - p).sum() / np.square(y - y.mean(0)).sum())


def retrieval(y, e):
    """Nearest neighbours of the same class, in points."""
    return gallery_retrieval(y, e, e)


def gallery_retrieval(y, e, gallery):
    """The same in a gallery that another model embedded, most often the server's."""
    y = y[:1500]
    e, gallery = (
        z[:1500] / np.maximum(np.linalg.norm(z[:1500], axis=1, keepdims=True), 1e-9)
        for z in (e.astype("float64"), gallery.astype("float64"))
    )
    s = e @ gallery.T
    np.fill_diagonal(s, -9)
    return 100 * float((y[s.argmax(1)] == y).mean())


# Data ------------------------------------------------------------------------


def _teacher(seed, inputs, outputs, width=24):
    rng = np.random.default_rng(seed + SHIFT)
    a = rng.normal(size=(inputs, width)) * 1.5 / np.sqrt(inputs)
    b = rng.normal(size=(width, outputs)) / np.sqrt(width)
    return lambda x: np.tanh(x @ a) @ b


def _features(count, seed, size=12):
    return (
        np.random.default_rng(seed + SHIFT).normal(size=(count, size)).astype("float32")
    )


def _class_data(seed, classes, sharpness, prior=None):
    teacher = _teacher(seed, 12, classes)
    prior = np.zeros(classes) if prior is None else np.asarray(prior)

    def data(count, draw):
        x = _features(count, 1000 * seed + draw)
        rng = np.random.default_rng(7000 * seed + draw + SHIFT)
        z = sharpness * teacher(x) + prior
        y = (z + rng.gumbel(size=z.shape)).argmax(-1)
        return x, {"out": y}

    return data


def _label_data(seed, labels, sharpness, bias):
    teacher = _teacher(seed, 12, labels)

    def data(count, draw):
        x = _features(count, 1000 * seed + draw)
        rng = np.random.default_rng(7000 * seed + draw + SHIFT)
        p = sigmoid(sharpness * teacher(x) + bias)
        return x, {"out": (rng.random(p.shape) < p).astype("float32")}

    return data


def _value_data(seed, scales, noise, heavy=False):
    teacher = _teacher(seed, 12, len(scales))

    def data(count, draw):
        x = _features(count, 1000 * seed + draw)
        rng = np.random.default_rng(7000 * seed + draw + SHIFT)
        z = teacher(x)
        z = z + noise * rng.normal(size=z.shape)
        z = np.sign(z) * np.expm1(1.5 * np.abs(z)) if heavy else z
        return x, {"out": (z * np.asarray(scales)).astype("float32")}

    return data


_DIGITS: dict[str, np.ndarray] = {}


def _digits(count, draw):
    """Digits, shifted and noisy, so that there are as many as wanted."""
    if not _DIGITS:
        bunch = load_digits()
        _DIGITS["x"], _DIGITS["y"] = bunch.images / 16, bunch.target
    rng = np.random.default_rng(31 + draw + SHIFT)
    rows = rng.integers(0, len(_DIGITS["y"]), count)
    x = np.zeros((count, 12, 12), "float32")
    places = rng.integers(0, 5, size=(count, 2))
    for index, (row, (top, left)) in enumerate(zip(rows, places, strict=True)):
        x[index, top : top + 8, left : left + 8] = _DIGITS["x"][row]
    clean = x.copy()
    x = np.clip(x + 0.15 * rng.normal(size=x.shape), 0, 1).astype("float32")
    return x[..., None], clean, _DIGITS["y"][rows], places


def _shapes(count, draw, size=12, rare=False):
    """Images with a square and a disc; the class of each pixel."""
    rng = np.random.default_rng(77 + draw + SHIFT)
    yy, xx = np.mgrid[:size, :size]
    x = 0.2 * rng.normal(size=(count, size, size, 3))
    y = np.zeros((count, size, size), int)
    for i in range(count):
        for c in (1, 2):
            radius = rng.uniform(0.8, 1.3) if rare else rng.uniform(1.5, 3)
            cy, cx = rng.uniform(2, size - 2, 2)
            inside = (
                np.maximum(abs(yy - cy), abs(xx - cx)) < radius
                if c == 1
                else np.hypot(yy - cy, xx - cx) < radius
            )
            y[i][inside] = c
        x[i][y[i] == 1] += [0.7, 0.2, 0.0]
        x[i][y[i] == 2] += [0.1, 0.6, 0.4]
    return x.astype("float32"), y


def _series(count, draw, channels=1, steps=24, horizon=6):
    rng = np.random.default_rng(99 + draw + SHIFT)
    t = np.arange(steps + horizon)
    parts = []
    for c in range(channels):
        phase, rate = rng.random((count, 1)) * 6.3, rng.uniform(0.2, 0.6, (count, 1))
        wave = np.sin(rate * t + phase) + 0.3 * np.sin(2.1 * rate * t)
        drift = np.cumsum(0.1 * rng.normal(size=wave.shape), axis=1)
        parts.append((wave + drift) * (1 + 9 * c))
    values = np.stack(parts, -1).astype("float32")
    return values[:, :steps], values[:, steps:]


def _tokens(count, draw, vocabulary=16, steps=12):
    """A Markov chain of order two."""
    table = np.random.default_rng(5 + SHIFT).dirichlet(
        np.full(vocabulary, 0.15), size=(vocabulary, vocabulary)
    )
    cumulative = table.cumsum(-1)
    rng = np.random.default_rng(123 + draw + SHIFT)
    ids = rng.integers(0, vocabulary, size=(count, steps + 1))
    for t in range(2, steps + 1):
        u = rng.random((count, 1))
        rows = cumulative[ids[:, t - 2], ids[:, t - 1]]
        ids[:, t] = np.minimum((u > rows).sum(1), vocabulary - 1)
    return ids[:, :-1].astype("int32"), ids[:, 1:]


def _tags(count, draw):
    ids, _ = _tokens(count, draw)
    rng = np.random.default_rng(321 + draw + SHIFT)
    previous = np.concatenate([ids[:, :1], ids[:, :-1]], axis=1)
    y = np.where((ids == 3) & (previous % 2 == 0), 1, 0)  # about 3 %
    y = np.where(ids % 4 == 2, 2, y)
    y = np.where(ids > 12, 3, y)
    swap = rng.random(y.shape) < 0.03
    return ids, np.where(swap, rng.integers(0, 4, y.shape), y)


# Models ----------------------------------------------------------------------


def _mlp(outputs, activation, loss, scale=None, width=32):
    def build():
        layers = [keras.Input((12,), name="x")]
        layers += [L.Dense(width, activation="relu") for _ in range(2)]
        last = L.Dense(outputs, activation=activation, name="out")
        if scale is not None:
            last.name = "raw"
            layers += [last, L.Rescaling(np.asarray(scale, "float32"), name="out")]
        else:
            layers.append(last)
        return _compiled(keras.Sequential(layers), loss)

    return build


def _compiled(model, loss):
    model.compile(keras.optimizers.Adam(3e-3), loss)
    return model


def _cnn(head, loss, shape=(12, 12, 1)):
    def build():
        x = keras.Input(shape, name="x")
        h = L.Conv2D(12, 3, activation="relu")(x)
        h = L.Conv2D(16, 3, strides=2, activation="relu")(h)
        h = L.Dense(48, activation="relu")(L.Flatten()(h))
        return _compiled(keras.Model(x, head(h)), loss)

    return build


def _fcn(head, loss, channels):
    def build():
        x = keras.Input((12, 12, channels), name="x")
        h = L.Conv2D(12, 3, padding="same", activation="relu")(x)
        h = L.Conv2D(12, 3, padding="same", activation="relu")(h)
        return _compiled(keras.Model(x, head(h)), loss)

    return build


def _normalized_mse(scale):
    scale = np.asarray(scale, "float32")

    def loss(y, p):
        return keras.ops.mean(keras.ops.square((y - p) / scale), axis=-1)

    return loss


def _detection_loss(y, p):
    boxes = keras.ops.mean(keras.ops.square((y[:, :4] - p[:, :4]) / 640), axis=-1)
    return 20 * boxes + keras.losses.binary_crossentropy(y[:, 4:], p[:, 4:])


def _detector(x):
    box = L.Rescaling(640.0)(L.Dense(4, activation="sigmoid")(x))
    return L.Concatenate(name="out")([box, L.Dense(1, activation="sigmoid")(x)])


def _detection_data(count, draw):
    x, _, digit, places = _digits(count, draw)
    boxes = np.concatenate([places, places + 8], axis=1) / 12 * 640
    score = (digit[:, None] % 2).astype("float32")
    return x, {"out": np.hstack([boxes, score]).astype("float32")}


def _recurrent(outputs, loss, activation=None, embed=False):
    def build():
        if embed:
            x = keras.Input((12,), dtype="int32", name="x")
            h = L.Embedding(16, 16)(x)
        else:
            x = keras.Input((24, 1), name="x")
            h = x
        h = L.Conv1D(24, 3, padding="causal", activation="relu")(h)
        h = L.Conv1D(24, 3, padding="causal", activation="relu")(h)
        if not embed:
            h = L.Dense(32, activation="relu")(L.Flatten()(h))
        out = L.Dense(outputs, activation=activation, name="out")(h)
        return _compiled(keras.Model(x, out), loss)

    return build


def _attention(vocabulary):
    def build():
        x = keras.Input((12,), dtype="int32", name="x")
        h = L.Embedding(vocabulary, 24)(x)
        h = h + L.Embedding(12, 24)(keras.ops.arange(12))
        h = L.LayerNormalization()(
            h + L.MultiHeadAttention(2, 12)(h, h, use_causal_mask=True)
        )
        h = L.LayerNormalization()(h + L.Dense(24)(L.Dense(48, activation="gelu")(h)))
        out = L.Dense(vocabulary, name="out")(h)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        return _compiled(keras.Model(x, out), loss)

    return build


class _Proxies(keras.losses.Loss):
    """Proxies on the unit sphere: the class whose proxy is nearest."""

    def __init__(self, size):
        super().__init__(name="proxies")
        proxies = np.random.default_rng(2).normal(size=(10, size))
        proxies /= np.linalg.norm(proxies, axis=1, keepdims=True)
        self.proxies = keras.ops.convert_to_tensor(proxies.T.astype("float32"))

    def call(self, y_true, y_pred):
        logits = 10 * keras.ops.matmul(y_pred, self.proxies)
        labels = keras.ops.reshape(y_true, (-1,))
        return keras.losses.sparse_categorical_crossentropy(
            labels, logits, from_logits=True
        )


def _several():
    def build():
        x = keras.Input((12, 12, 1), name="x")
        h = L.Conv2D(12, 3, activation="relu")(x)
        h = L.Conv2D(16, 3, strides=2, activation="relu")(h)
        h = L.Dense(48, activation="relu")(L.Flatten()(h))
        outputs = {
            "digit": L.Dense(10, activation="softmax", name="digit")(h),
            "place": L.Dense(2, name="place")(h),
            "even": L.Dense(1, activation="sigmoid", name="even")(h),
        }
        losses = {
            "digit": "sparse_categorical_crossentropy",
            "place": "mse",
            "even": "binary_crossentropy",
        }
        return _compiled(keras.Model(x, outputs), losses)

    def data(count, draw):
        x, _, digit, places = _digits(count, draw)
        even = (digit[:, None] % 2 == 0).astype("float32")
        return x, {"digit": digit, "place": places.astype("float32"), "even": even}

    scores = {
        "digit": [accuracy, brier],
        "place": [r2(0), r2(1)],
        "even": [yes_no, binary_brier, mean_precision, mean_f1],
    }
    return Task("three outputs", "several outputs", data, build, scores)


_SPARSE = "sparse_categorical_crossentropy"
_LOGITS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
_BINARY_LOGITS = keras.losses.BinaryCrossentropy(from_logits=True)


def _classification(name, seed, classes, sharpness, prior=None, logits=False, **more):
    return Task(
        name,
        "classes",
        _class_data(seed, classes, sharpness, prior),
        _mlp(classes, None if logits else "softmax", _LOGITS if logits else _SPARSE),
        {"out": [accuracy, brier_logits if logits else brier, worst_recall]},
        **more,
    )


def _multi_label(name, seed, labels, sharpness, bias, logits=False):
    scores = [yes_no, binary_brier, mean_precision, mean_f1]
    if logits:
        scores = [yes_no_logits, binary_brier_logits, mean_precision, mean_f1_logits]
    return Task(
        name,
        "yes or no",
        _label_data(seed, labels, sharpness, bias),
        _mlp(
            labels,
            None if logits else "sigmoid",
            _BINARY_LOGITS if logits else "binary_crossentropy",
        ),
        {"out": scores},
    )


def _regression(name, seed, scales, noise, heavy=False):
    return Task(
        name,
        "values",
        _value_data(seed, scales, noise, heavy),
        _mlp(len(scales), None, _normalized_mse(scales), scales),
        {"out": [r2(c) for c in range(len(scales))]},
        epochs=20,
    )


def tasks() -> list[Task]:
    """All tasks, in the order of the table."""

    def digit_classes(count, draw):
        x, _, y, _ = _digits(count, draw)
        return x, {"out": y}

    def cleaned(count, draw):
        x, clean, _, _ = _digits(count, draw)
        return x, {"out": clean[..., None]}

    def flat_cleaned(count, draw):
        x, clean, _, _ = _digits(count, draw)
        return x, {"out": clean.reshape(count, -1)}

    def ink(count, draw):
        x, clean, _, _ = _digits(count, draw)
        return x, {"out": (clean[..., None] > 0.5).astype("float32")}

    def box(count, draw):
        x, _, _, places = _digits(count, draw)
        return x, {"out": np.concatenate([places, places + 8], 1).astype("float32")}

    def pixels(rare):
        def data(count, draw):
            x, y = _shapes(count, draw, rare=rare)
            return x, {"out": y}

        return data

    def forecast(channels):
        def data(count, draw):
            x, y = _series(count, draw)
            return x, {"out": y[..., 0][:, :channels]}

        return data

    def sequence(source):
        def data(count, draw):
            x, y = source(count, draw)
            return x, {"out": y}

        return data

    def unit(size):
        def head(h):
            return L.UnitNormalization(name="out")(L.Dense(size)(h))

        return head

    def dense(size, activation=None):
        return lambda h: L.Dense(size, activation=activation, name="out")(h)

    def conv(size, activation):
        return lambda h: L.Conv2D(size, 1, activation=activation, name="out")(h)

    reals = [r2(c) for c in range(4)]
    return [
        _classification("5 classes", 1, 5, 4.0),
        _classification("10 classes", 2, 10, 6.0),
        _classification("2 classes", 3, 2, 3.0),
        _classification("6 classes, rare ones", 4, 6, 4.0, [2, 1, 0, 0, -1, -1]),
        _classification("20 classes", 5, 20, 7.0, samples=3000),
        _classification("4 classes, noisy", 6, 4, 1.5),
        _classification("8 logits", 7, 8, 5.0, logits=True),
        _classification("3 logits", 8, 3, 3.0, logits=True),
        Task(
            "digits",
            "classes",
            digit_classes,
            _cnn(dense(10, "softmax"), _SPARSE),
            {"out": [accuracy, brier, worst_recall]},
        ),
        _multi_label("6 labels", 9, 6, 3.0, 0.0),
        _multi_label("10 rare labels", 10, 10, 3.0, -2.0),
        _multi_label("5 labels, logits", 11, 5, 4.0, -0.5, logits=True),
        _multi_label("yes or no", 12, 1, 4.0, 0.0),
        _multi_label("rarely yes", 13, 1, 4.0, -2.5),
        Task(
            "detection head",
            "heads",
            _detection_data,
            _cnn(_detector, _detection_loss),
            {
                "out": [
                    *reals,
                    lambda y, p: yes_no(y[:, 4], p[:, 4]),
                    lambda y, p: binary_brier(y[:, 4:], p[:, 4:]),
                ]
            },
        ),
        Task(
            "box of a digit",
            "values",
            box,
            _cnn(dense(4), "mse"),
            {"out": reals},
        ),
        Task(
            "ink, pixels",
            "pixels",
            ink,
            _fcn(conv(1, "sigmoid"), "binary_crossentropy", 1),
            {"out": [foreground_iou, yes_no, binary_brier, pixel_precision]},
            epochs=5,
        ),
        Task(
            "shapes, pixels",
            "pixels",
            pixels(False),
            _fcn(conv(3, "softmax"), _SPARSE, 3),
            {"out": [mean_iou, accuracy, brier]},
            epochs=5,
        ),
        Task(
            "rare shapes, pixels",
            "pixels",
            pixels(True),
            _fcn(conv(3, "softmax"), _SPARSE, 3),
            {"out": [mean_iou, accuracy, brier]},
            epochs=6,
        ),
        _regression("one value", 14, [1.0], 0.2),
        _regression("4 values, scales 1 to 1e4", 15, [1, 20, 500, 1e4], 0.2),
        _regression("3 values, noisy", 16, [1, 3, 10], 0.7),
        _regression("2 values, heavy tails", 17, [1, 5], 0.2, heavy=True),
        _regression("10 values", 18, np.logspace(0, 4, 10), 0.2),
        Task(
            "forecast, 4 steps",
            "forecasts",
            forecast(4),
            _recurrent(4, "mse"),
            {"out": reals},
        ),
        Task(
            "forecast, 6 steps",
            "forecasts",
            forecast(6),
            _recurrent(6, "mae"),
            {"out": [r2(c) for c in range(6)]},
        ),
        Task(
            "embedding of 16",
            "embeddings",
            digit_classes,
            _cnn(unit(16), _Proxies(16)),
            {"out": [retrieval]},
        ),
        Task(
            "embedding of 8",
            "embeddings",
            digit_classes,
            _cnn(unit(8), _Proxies(8)),
            {"out": [retrieval]},
        ),
        Task(
            "next token, convolutions",
            "tokens",
            sequence(_tokens),
            _recurrent(16, _LOGITS, embed=True),
            {"out": [accuracy, brier_logits]},
        ),
        Task(
            "next token, attention",
            "tokens",
            sequence(_tokens),
            _attention(16),
            {"out": [accuracy, brier_logits]},
        ),
        Task(
            "tags, a rare one",
            "tokens",
            sequence(_tags),
            _recurrent(4, _SPARSE, "softmax", embed=True),
            {"out": [accuracy, brier, worst_recall]},
        ),
        Task(
            "autoencoder, sigmoid pixels",
            "autoencoders",
            cleaned,
            _fcn(conv(1, "sigmoid"), "mse", 1),
            {"out": [whole_r2]},
            epochs=6,
        ),
        Task(
            "autoencoder, linear",
            "autoencoders",
            flat_cleaned,
            _cnn(dense(144), "mse"),
            {"out": [whole_r2]},
        ),
        _several(),
    ]


def scores(task: Task, labels: Any, outputs: Any, reference: Any) -> dict[str, Any]:
    """Returns the scores of each output, in points."""
    found = {
        name: [score(labels[name], outputs[name]) for score in functions]
        for name, functions in task.scores.items()
    }
    if task.kind == "embeddings":
        for name, values in outputs.items():
            found[name].append(gallery_retrieval(labels[name], values, reference[name]))
    return found
