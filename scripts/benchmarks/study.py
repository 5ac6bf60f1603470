"""What `ablation.study` finds, what it costs, and how often it is wrong.

scripts/benchmark study               twelve strategies on digits with noisy labels
scripts/benchmark study --simulate    error rates, power and savings on drawn scores
scripts/benchmark study --planted     studies with useless and strong strategies
scripts/benchmark study --kill        kill -9 at random moments, against a whole run
scripts/benchmark study --data F      twelve strategies on images, or on texts (.tsv)
"""

import argparse
import multiprocessing
import os
import pathlib
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Its files have names of packages, which others would import in their place.
sys.path.remove(os.path.dirname(os.path.abspath(__file__)))

import keras
import numpy as np
from keras import layers as kl

from keras_strategies import ablation

IMAGES = (
    *("l2", "dropout", "batch_normalization", "early_stopping", "label_smoothing"),
    *("cosine_decay", "clip_norm", "random_affine", "mixup", "gelu", "adamw", "ema"),
)
TEXTS = (
    *("l2", "dropout", "early_stopping", "label_smoothing", "cosine_decay", "warmup"),
    *("clip_norm", "eda", "adamw", "rmsprop", "ema", "small_batches"),
)
LOSS = "sparse_categorical_crossentropy"


def digits(samples, noise, seed=0):
    """Training images, a share of whose labels is wrong, and clean test images."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    x, y = (x.reshape(-1, 8, 8, 1) / 16).astype("float32"), y.astype("int32")
    return _parts(x, y, samples, noise, seed)


def _parts(x, y, samples, noise, seed):
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(x))
    train, test = order[:samples], order[samples:]
    labels = y[train].copy()
    wrong = rng.permutation(samples)[: round(noise * samples)]
    classes = int(y.max()) + 1
    labels[wrong] = (labels[wrong] + rng.integers(1, classes, len(wrong))) % classes
    return (x[train], labels), (x[test], y[test]), y[train]


def cnn(shape=(8, 8, 1)):
    """A convolution and two dense layers."""
    stack = [keras.Input(shape), kl.Conv2D(16, 3, activation="relu"), kl.MaxPooling2D()]
    stack += [kl.Flatten(), kl.Dense(32, activation="relu")]
    model = keras.Sequential([*stack, kl.Dense(10, activation="softmax")])
    model.compile(keras.optimizers.Adam(0.003), LOSS, metrics=["accuracy"])
    return model


def larger_cnn():
    """The same for images of 28 x 28."""
    return cnn((28, 28, 1))


def text_model(words=5000, length=40):
    """Means of word vectors."""
    stack = [keras.Input((length,), dtype="int32"), kl.Embedding(words, 16)]
    stack += [kl.GlobalAveragePooling1D(), kl.Dense(16, activation="relu")]
    model = keras.Sequential([*stack, kl.Dense(2, activation="softmax")])
    model.compile(keras.optimizers.Adam(0.003), LOSS, metrics=["accuracy"])
    return model


def mlp():
    """A dense network whose initial weights are far too large."""
    bad = keras.initializers.RandomNormal(stddev=2.0)
    stack = [keras.Input((8, 8, 1)), kl.Flatten()]
    stack += [kl.Dense(32, activation="relu", kernel_initializer=bad)]
    model = keras.Sequential([*stack, kl.Dense(10, activation="softmax")])
    model.compile(keras.optimizers.Adam(0.01), LOSS, metrics=["accuracy"])
    return model


def measured(build_fn, data, test_data, names, given):
    """One study with its processor time."""
    strategies = {name: ablation.catalog()[name] for name in names}
    begin, clock = time.process_time(), time.perf_counter()
    result = ablation.study(
        build_fn,
        data,
        strategies,
        metric="accuracy",
        epochs=given.epochs,
        test_data=test_data,
        directory=given.directory,
        workers=given.workers,
        seed=given.seed,
        verbose=2 if given.verbose else 0,
    )
    print(result.table())
    seconds = time.process_time() - begin
    print(
        f"{result.trainings} trainings, {seconds:.0f} s of processor time in this "
        f"process, {time.perf_counter() - clock:.0f} s",
        flush=True,
    )
    if given.best:
        print(result.best(verbose=0).table())
    return result


def study_digits(given):
    data, test_data, _ = digits(300, 0.2)
    measured(cnn, data, test_data, IMAGES, given)


def study_file(given):
    """A .npz of images, or a .tsv of labels and texts."""
    if given.data.endswith(".npz"):
        with np.load(given.data) as arrays:
            names = list(arrays.files)
            x, y = (arrays[name] for name in _names(names))
        x = (x.reshape(len(x), 28, 28, 1) / 255).astype("float32")
        data, test_data, _ = _parts(x, y.astype("int32"), 500, 0.0, 0)
        test_data = tuple(part[:3000] for part in test_data)
        measured(larger_cnn, data, test_data, IMAGES, given)
        return
    lines = pathlib.Path(given.data).read_text("utf-8").splitlines()
    pairs = [line.split("\t", 1) for line in lines]
    texts = np.array([text for _, text in pairs])
    y = np.array([int(label) for label, _ in pairs], "int32")
    x = _tokens(texts)
    data, test_data, _ = _parts(x, y, 1000, 0.0, 0)
    test_data = tuple(part[:3000] for part in test_data)
    measured(text_model, data, test_data, TEXTS, given)


def _names(names):
    pairs = (("x", "y"), ("x_train", "y_train"), ("images", "labels"))
    return next(pair for pair in pairs if set(pair) <= set(names))


def _tokens(texts, words=5000, length=40):
    """Numbers of the most frequent words, 0 behind the last one."""
    counts = {}
    for text in texts:
        for word in text.split():
            counts[word] = counts.get(word, 0) + 1
    frequent = sorted(counts, key=lambda word: (-counts[word], word))[: words - 2]
    numbers = {word: number for number, word in enumerate(frequent, start=2)}
    x = np.zeros((len(texts), length), "int32")
    for row, text in zip(x, texts, strict=True):
        tokens = [numbers.get(word, 1) for word in text.split()][:length]
        row[: len(tokens)] = tokens
    return x


def _renamed(model):
    """The same model with layers of other names."""
    copy = keras.models.clone_model(
        model,
        clone_function=lambda layer: type(layer).from_config(
            {**layer.get_config(), "name": f"other_{layer.name}"}
        ),
    )
    copy.set_weights(model.get_weights())
    return copy


def _redrawn(model):
    """Other initial weights of the same distribution."""
    for layer in model.layers:
        if hasattr(layer, "kernel"):
            config = layer.kernel_initializer.get_config()
            initializer = type(layer.kernel_initializer).from_config(
                {**config, "seed": None}
            )
            layer.kernel.assign(initializer(layer.kernel.shape, layer.kernel.dtype))


def _reordered(x, y):
    """Other batches."""
    order = np.random.permutation(len(x))
    return x[order], y[order]


def _he(model):
    for layer in model.layers[:-1]:
        if hasattr(layer, "kernel"):
            initializer = keras.initializers.HeNormal()
            layer.kernel.assign(initializer(layer.kernel.shape, layer.kernel.dtype))


def planted(given):
    """Studies with five useless strategies and two strong ones."""
    strategy = ablation.Strategy
    false, missed, trainings = 0, {"he": 0, "clean": 0}, 0
    began = time.process_time()
    for number in range(given.first, given.first + given.studies):
        data, test_data, clean = digits(300, 0.4, seed=number)
        truth = {
            image.tobytes(): label for image, label in zip(data[0], clean, strict=True)
        }

        def cleaned(x, y, truth=truth):
            return x, np.array([truth[image.tobytes()] for image in x], "int32")

        result = ablation.study(
            mlp,
            data,
            {
                "callback": strategy(
                    "callback", callbacks=lambda: [keras.callbacks.Callback()]
                ),
                "renamed": strategy("renamed", model=_renamed),
                "redrawn": strategy("redrawn", model=_redrawn),
                "reordered": strategy("reordered", data=_reordered),
                "both": strategy("both", model=_redrawn, data=_reordered),
                "he": strategy("he", model=_he),
                "clean": strategy("clean", data=cleaned),
            },
            metric="accuracy",
            epochs=6,
            batch_size=64,
            test_data=test_data,
            directory=given.directory and pathlib.Path(given.directory, str(number)),
            seed=number,
            verbose=0,
        )
        verdicts = {name: item.verdict for name, item in result.strategies.items()}
        useless = [name for name in verdicts if name not in missed]
        wrong = [name for name in useless if verdicts[name] == "helps"]
        false += bool(wrong)
        for name in missed:
            missed[name] += verdicts[name] != "helps"
        trainings += result.trainings
        print(number, verdicts, result.trainings, flush=True)
    print(
        f"{given.studies} studies, {trainings} trainings: {false} called a useless "
        f"strategy helpful; He initialization missed in {missed['he']}, clean labels "
        f"in {missed['clean']}; {time.process_time() - began:.0f} s of processor time"
    )


def short_study(directory):
    """A study that a process can be killed in."""
    data, test_data, _ = digits(150, 0.2)
    names = ("dropout", "adamw", "random_affine")
    return ablation.study(
        cnn,
        data,
        {name: ablation.catalog()[name] for name in names},
        metric="accuracy",
        seeds=3,
        max_seeds=8,
        epochs=5,
        test_data=test_data,
        directory=directory,
        seed=0,
        verbose=0,
    )


def without_times(result):
    """The table as data, without what depends on the machine."""
    rows = [dict(row) for row in result.to_dict()["rows"]]
    for row in rows:
        del row["time_ratio"]
    return rows


def _stored(directory):
    """Number of trainings that a study has stored."""
    path = directory / "trainings.jsonl"
    return len(path.read_text().splitlines()) if path.exists() else 0


def kill(given):
    """Kills the same study again and again, then lets it end."""
    rng = np.random.default_rng(given.seed)
    # Copies of this process, which has trained nothing yet: no time for imports.
    fork = multiprocessing.get_context("fork")
    with tempfile.TemporaryDirectory() as folder:
        directory = pathlib.Path(folder, "killed")
        ended = 0
        for _ in range(given.kills):
            # While it starts, or in a training after a few more.
            goal = _stored(directory) + int(rng.integers(0, 4))
            process = fork.Process(target=short_study, args=(directory,))
            process.start()
            while process.is_alive() and _stored(directory) < goal:
                time.sleep(0.01)
            time.sleep(float(rng.uniform(0, 1)))
            ended += not process.is_alive()
            process.kill()
            process.join()
            print(f"{_stored(directory)} trainings stored", flush=True)
        again = without_times(short_study(directory))
        whole = without_times(short_study(pathlib.Path(folder, "whole")))
    print(
        f"{given.kills} kills ({ended} came too late): the table is "
        f"{'identical' if again == whole else 'NOT identical'}"
    )
    return again == whole


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--simulate", action="store_true")
    parser.add_argument("--planted", action="store_true")
    parser.add_argument("--kill", action="store_true")
    parser.add_argument("--data", help="a .npz of images or a .tsv of texts")
    parser.add_argument("--studies", type=int, default=None)
    parser.add_argument("--first", type=int, default=0, help="number of the first")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--directory")
    parser.add_argument("--best", action="store_true")
    parser.add_argument("--verbose", action="store_true")
    given = parser.parse_args()
    if given.simulate:
        sys.path.append(str(pathlib.Path(__file__).parent))
        import _study_simulation

        _study_simulation.main(given.studies or 2000)
    elif given.planted:
        given.studies = given.studies or 20
        planted(given)
    elif given.kill:
        sys.exit(0 if kill(given) else 1)
    elif given.data:
        study_file(given)
    else:
        study_digits(given)


if __name__ == "__main__":
    main()
