"""What transfer learning and distillation gain, and what stored features save.

- cache: the first phase of `fine_tune` on MobileNetV2 at 96 px with features computed
  once against without, `weights=None`, in turns in one process;
- digits: a network trained on the digits 0-4 learns 5-9 from 20 images a class:
  `fine_tune` against the same network from scratch, and against two short scripts;
- distill: students with a teacher against the same students without.

    scripts/benchmark transfer [--only cache|digits|distill] [--seeds N] [--first N]
                               [--images N] [--epochs N ...] [--rounds N] [--data F.npz]
                               [--results F.jsonl]

Figures of `digits` and `distill` are differences in points of test accuracy, paired by
seed, with their interval of 95 % (Student's t). `--first` is the first seed: settings
were chosen on seeds from 100 on, the table has the seeds from 0 on. `--data` is a file
with MNIST's arrays, a third data set for `distill`; `KERAS_BACKEND` is the backend.
"""

import argparse
import functools
import json
import os
import pathlib
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from keras import layers as kl
from scipy import stats
from sklearn.datasets import load_digits, make_classification

from keras_strategies import training

LOSS = "sparse_categorical_crossentropy"


def interval(differences):
    """`(mean, half width)` of the 95 % interval of differences in points."""
    values = 100 * np.asarray(differences)
    half = stats.sem(values) * stats.t.ppf(0.975, len(values) - 1)
    return values.mean(), half


def told(name, scores, baseline=None):
    """A line: the mean of `scores`, and what it has more than `baseline`."""
    line = f"{name:>34} {100 * np.mean(scores):>7.2f}"
    if baseline is not None:
        mean, half = interval(np.subtract(scores, baseline))
        line += f"   {mean:+.2f} ({mean - half:+.2f} to {mean + half:+.2f})"
    print(line, flush=True)


def accuracy(model, x, y):
    return float(np.mean(model.predict(x, verbose=0).argmax(axis=-1) == y))


def seeds(given, name, once):
    """What `once(seed)` returns for each seed; results in the file are not repeated."""
    rows = {}
    path = pathlib.Path(given.results) if given.results else None
    if path is not None and path.exists():
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        rows = {line["seed"]: line["scores"] for line in lines if line["name"] == name}
    numbers = range(given.first, given.first + given.seeds)
    for seed in numbers:
        if seed not in rows:
            rows[seed] = once(seed)
            if path is not None:
                line = {"name": name, "seed": seed, "scores": rows[seed]}
                with path.open("a") as file:
                    file.write(json.dumps(line) + "\n")
    return [rows[seed] for seed in numbers]


# ---- cache


def cache(given):
    """Seconds of the first phase, with and without stored features."""
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 255, (given.images, 96, 96, 3)).astype("float32")
    y = np.arange(given.images) % 5
    print(f"{'epochs':>6} {'without':>9} {'with':>9}  ratio  of processor time")
    for epochs in given.epochs:
        rows = [_first_phases(x, y, epochs) for _ in range(given.rounds)]
        walls = [(plain[0], stored[0]) for plain, stored in rows]
        ratio = statistics.median(a / b for a, b in walls)
        work = statistics.median(plain[1] / stored[1] for plain, stored in rows)
        plain, stored = (
            statistics.median(column) for column in zip(*walls, strict=True)
        )
        print(f"{epochs:>6} {plain:>9.1f} {stored:>9.1f} {ratio:>6.2f} {work:>6.2f}")


def _first_phases(x, y, epochs):
    """`(seconds, processor seconds)` without and with; the heads must be the same."""
    times, heads = [], []
    for stored in (False, True):
        keras.utils.clear_session()
        keras.utils.set_random_seed(0)
        network = keras.applications.MobileNetV2(
            weights=None, include_top=False, input_shape=(96, 96, 3)
        )
        model = training.attach_head(network, classes=5, dropout=0.0)
        wall, work = time.perf_counter(), time.process_time()
        training.fine_tune(
            model,
            (x, y),
            epochs=(epochs, 0),
            cache_features=stored,
            seed=0,
            verbose=0,
        )
        times.append((time.perf_counter() - wall, time.process_time() - work))
        heads.append(model.get_layer("head_output").get_weights()[0])
    largest = np.abs(heads[0] - heads[1]).max()
    if largest > 1e-4:
        raise SystemExit(f"the heads differ by {largest}")
    return times


# ---- digits

SAMPLES, BATCH = 20, 16
EPOCHS, RATES = (5, 25), (1e-2, 5e-3)


def _digits():
    x, y = load_digits(return_X_y=True)
    return (x.reshape(-1, 8, 8, 1) / 16).astype("float32"), y.astype("int32")


def _network():
    """Four convolutions with BatchNormalization."""
    x = inputs = keras.Input((8, 8, 1))
    for number, (filters, stride) in enumerate(((16, 1), (16, 1), (32, 2), (32, 1))):
        x = kl.Conv2D(filters, 3, stride, padding="same", use_bias=False)(x)
        x = kl.BatchNormalization()(x)
        x = kl.ReLU(name=f"block_{number}")(x)
    return keras.Model(inputs, x, name="backbone")


def _with_head(backbone):
    return training.attach_head(backbone, classes=5, dropout=0.0)


def _listing(model):
    """The backbone frozen, its maps flattened, 256 units: one phase, as often shown."""
    backbone = model.get_layer("backbone")
    backbone.trainable = False
    head = [kl.Flatten(), kl.Dense(256, "relu"), kl.Dense(5, "softmax")]
    return keras.Sequential([backbone, *head])


def _trained(model, x, y, epochs, batch_size=BATCH, rate=1e-3):
    """Plain Keras: one `compile`, one `fit`."""
    model.compile(keras.optimizers.Adam(rate), LOSS, metrics=["accuracy"])
    model.fit(x, y, batch_size=batch_size, epochs=epochs, verbose=0)
    return model


def _split(y, rng):
    """20 images of each class, and the others."""
    train = np.concatenate(
        [rng.permutation(np.flatnonzero(y == k))[:SAMPLES] for k in range(5)]
    )
    return train, np.setdiff1d(np.arange(len(y)), train)


def digits_once(seed):
    """Test accuracies by way of training."""
    x, y = _digits()
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    source = _with_head(_network())
    _trained(source, x[y < 5], y[y < 5], 20, 32)
    start = source.get_layer("backbone").get_weights()
    x, y = x[y > 4], y[y > 4] - 5
    train, test = _split(y, np.random.default_rng(seed))
    data, total = (x[train], y[train]), sum(EPOCHS)

    def model(pretrained=True):
        keras.utils.set_random_seed(seed + 1000)
        backbone = _network()
        if pretrained:
            backbone.set_weights(start)
        return _with_head(backbone)

    models = {}
    models["from scratch"] = _trained(model(False), *data, total)
    models["from scratch, 4 times the epochs"] = _trained(
        model(False), *data, 4 * total
    )
    models["everything at once"] = _trained(model(), *data, total)
    at_once = _trained(model(), *data, total, rate=RATES[1])
    models["everything at once, Adam at 0.005"] = at_once
    frozen = model()
    frozen.get_layer("backbone").trainable = False
    models["backbone frozen throughout"] = _trained(frozen, *data, total)
    models["the article's listing"] = _trained(_listing(model()), *data, total)
    ours = model()
    training.fine_tune(
        ours,
        data,
        epochs=EPOCHS,
        learning_rate=RATES,
        batch_size=BATCH,
        seed=seed,
        verbose=0,
    )
    models["fine_tune"] = ours
    return {name: accuracy(item, x[test], y[test]) for name, item in models.items()}


def digits(given):
    rows = seeds(given, "digits", digits_once)
    scores = {name: [row[name] for row in rows] for name in rows[0]}
    ours = scores.pop("fine_tune")
    told("fine_tune", ours)
    for name, values in scores.items():
        told(name, values, ours)


# ---- distill


def _few_digits(seed):
    """300 digits to learn from; the teacher has 1,000."""
    x, y = _digits()
    order = np.random.default_rng(seed).permutation(len(x))
    x, y = x[order], y[order]
    return (x[:1000], y[:1000]), 300, (x[1000:], y[1000:])


def _clusters(seed):
    """Ten overlapping classes of generated points."""
    x, y = make_classification(
        6000,
        20,
        n_informative=10,
        n_redundant=4,
        n_classes=10,
        n_clusters_per_class=2,
        class_sep=1.5,
        random_state=seed,
    )
    x, y = x.astype("float32"), y.astype("int32")
    return (x[:2000], y[:2000]), 500, (x[2000:], y[2000:])


def _file(path):
    with np.load(path) as arrays:
        parts = [arrays[k] for k in ("x_train", "y_train", "x_test", "y_test")]
    x, y, x_test, y_test = parts
    y, y_test = (v.astype("int32") for v in (y, y_test))
    x, x_test = ((v / 255.0).astype("float32")[..., None] for v in (x, x_test))

    def load(seed):
        order = np.random.default_rng(seed).permutation(len(x))[:3000]
        return (x[order], y[order]), 500, (x_test, y_test)

    return load


def _classifier(shape, *units):
    stack = [keras.Input(shape), kl.Flatten()]
    stack += [kl.Dense(count, activation="relu") for count in units]
    return keras.Sequential([*stack, kl.Dense(10, activation="softmax")])


def distill_once(load, seed):
    """Test accuracies of the teacher and of the students."""
    keras.utils.clear_session()
    (x, y), samples, (x_test, y_test) = load(seed)
    shape = x.shape[1:]
    keras.utils.set_random_seed(1000 + seed)
    teacher = _trained(_classifier(shape, 128, 128), x, y, 20, 32)
    labelled = x[:samples], y[:samples]
    scores = {"teacher": accuracy(teacher, x_test, y_test)}

    def student():
        keras.utils.set_random_seed(seed)
        model = _classifier(shape, 10)
        model.compile(keras.optimizers.Adam(3e-3), LOSS)
        return model

    plain = student()
    plain.fit(*labelled, batch_size=32, epochs=100, verbose=0)
    scores["labels alone"] = accuracy(plain, x_test, y_test)
    # Of the others only the teacher knows something: with `alpha=1` no label counts.
    unlabelled = x, np.zeros(len(x), "int32")
    ways = {
        "logits": (labelled, {"alpha": 0.7}),
        "decoupled": (
            labelled,
            {"alpha": 0.7, "kind": "decoupled", "decoupled": (1.0, 2.0)},
        ),
        "logits, more images without labels": (unlabelled, {"alpha": 1.0}),
    }
    for name, (data, way) in ways.items():
        model = student()
        epochs = 100 * samples // len(data[0])  # as many steps for all
        training.distill(
            teacher, model, data, epochs=epochs, seed=seed, verbose=0, **way
        )
        scores[name] = accuracy(model, x_test, y_test)
    return scores


def distill(given):
    sets = {"digits": _few_digits, "generated points": _clusters}
    if given.data:
        sets[os.path.basename(given.data)] = _file(given.data)
    for name, load in sets.items():
        rows = seeds(given, name, functools.partial(distill_once, load))
        scores = {key: [row[key] for row in rows] for key in rows[0]}
        teacher, plain = scores.pop("teacher"), scores.pop("labels alone")
        print(f"{name}: teacher {100 * np.mean(teacher):.2f}")
        told("labels alone", plain)
        for key, values in scores.items():
            told(key, values, plain)


PARTS = {"cache": cache, "digits": digits, "distill": distill}


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", choices=list(PARTS))
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--epochs", type=int, nargs="+", default=[10, 30])
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--data")
    parser.add_argument("--results", help="file of results by seed, to go on from")
    given = parser.parse_args()
    for name in [given.only] if given.only else PARTS:
        PARTS[name](given)


if __name__ == "__main__":
    main()
