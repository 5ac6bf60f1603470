"""Recipes against the plain networks of the article, on the same data.

    scripts/benchmark recipes [--seeds 5] [--only image text table series]
                              [--texts FILE.tsv] [--samples 2000]

Each side trains on the same samples, validates on the same part of them, and is judged
by a test part that nothing is chosen by. The article's networks train for its 20
epochs with Adam: 128 units with dropout of 0.5 for images (its listing of dropout), 64
units for tables and series (its listing of regularization), its LSTM of two layers
with vectors of 100 and 128 units for texts. A figure is the difference in points of
accuracy, or in percent of the mean absolute error, paired by seed, with its interval
of 95 %. Texts come from FILE, with a label and a text in each line and a tab between.
"""

import argparse
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from scipy import stats

from keras_strategies import recipes

L = keras.layers


def split(count, seed, test=0.3):
    order = np.random.default_rng(seed).permutation(count)
    border = round(count * test)
    return order[border:], order[:border]


def fit_plain(model, x, y, loss, metric):
    model.compile(optimizer="adam", loss=loss, metrics=[metric])
    model.fit(x, y, epochs=20, validation_split=0.2, verbose=0)
    return model


def fit_recipe(recipe):
    recipe.model.fit(**recipe.fit_arguments, verbose=0)
    return recipe.model


def score(model, x, y):
    return model.evaluate(x, y, verbose=0)[1]


def image(seed, options):
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    x = x.reshape(-1, 8, 8, 1).astype("float32")
    train, test = split(len(y), seed)
    plain = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            L.Rescaling(1 / 16),
            L.Flatten(),
            L.Dense(128, activation="relu"),
            L.Dropout(0.5),
            L.Dense(10, activation="softmax"),
        ]
    )
    loss = "sparse_categorical_crossentropy"
    fit_plain(plain, x[train], y[train], loss, "accuracy")
    ours = fit_recipe(recipes.image_classification(x[train], y[train], seed=seed))
    return [score(model, x[test], y[test]) for model in (plain, ours)]


def read_texts(options):
    with open(options.texts, encoding="utf-8") as file:
        rows = [line.rstrip("\n").split("\t", 1) for line in file if "\t" in line]
    kinds = sorted({label for label, _ in rows})
    labels = np.array([kinds.index(label) for label, _ in rows])
    return np.array([text for _, text in rows], object), labels


def text(seed, options):
    import tensorflow as tf

    texts, y = read_texts(options)
    order, test = split(len(y), seed)
    train, test = order[: options.samples], test[:2000]
    vectorization = L.TextVectorization(5000, output_sequence_length=40)
    vectorization.adapt(list(texts[train]))
    tokens = np.asarray(vectorization(list(texts[train])))
    held = np.asarray(vectorization(list(texts[test])))
    plain = keras.Sequential(
        [
            keras.Input((40,), dtype="int32"),
            L.Embedding(5000, 100),
            L.LSTM(128, return_sequences=True),
            L.Dropout(0.5),
            L.LSTM(128),
            L.Dense(1, activation="sigmoid"),
        ]
    )
    fit_plain(plain, tokens, y[train], "binary_crossentropy", "accuracy")
    results = [score(plain, held, y[test])]
    for network in ("lstm", "transformer"):
        recipe = recipes.text_classification(
            list(texts[train]), y[train], network=network, seed=seed
        )
        model = fit_recipe(recipe)
        inputs = tf.constant(list(texts[test]))
        if keras.backend.backend() != "tensorflow":
            inputs = np.asarray(recipe.preprocessing(list(texts[test])))
        results.append(score(model, inputs, y[test]))
    return results


def table(seed, options):
    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer(as_frame=True)
    x, y = data.data, data.target.to_numpy()
    train, test = split(len(y), seed)
    plain = keras.Sequential(
        [
            keras.Input((x.shape[1],)),
            L.Dense(64, activation="relu"),
            L.Dense(1, activation="sigmoid"),
        ]
    )
    values = x.to_numpy("float32")
    fit_plain(plain, values[train], y[train], "binary_crossentropy", "accuracy")
    recipe = recipes.tabular(x.iloc[train], y[train], seed=seed)
    fit_recipe(recipe)
    rows = {str(k): v.to_numpy("float32") for k, v in x.iloc[test].items()}
    encoded = np.asarray(recipe.preprocessing(rows))
    predicted = recipe.network.predict(encoded, verbose=0).argmax(-1)
    return [score(plain, values[test], y[test]), float((predicted == y[test]).mean())]


def series(seed, options):
    """Two seasons, a trend and noise; the next six steps from 48."""
    rng = np.random.default_rng(seed)
    t = np.arange(3000)
    values = 50 + 10 * np.sin(t / 24 * 2 * np.pi) * (
        1 + 0.3 * np.sin(t / 168 * 2 * np.pi)
    )
    values = (
        values + 0.004 * t + np.convolve(rng.normal(size=3000), [0.6, 0.3, 0.1])[:3000]
    )
    values = values.astype("float32")[:, None]
    past, future = values[:2400], values[2400 - 48 :]
    view = np.lib.stride_tricks.sliding_window_view(past[:, 0], 54)
    plain = keras.Sequential(
        [keras.Input((48,)), L.Dense(64, activation="relu"), L.Dense(6)]
    )
    fit_plain(plain, view[:, :48], view[:, 48:], "mse", "mae")
    test = np.lib.stride_tricks.sliding_window_view(future[:, 0], 54)
    results = [score(plain, test[:, :48], test[:, 48:])]
    for network in ("gru", "conv"):
        recipe = recipes.time_series(past, horizon=6, network=network, seed=seed)
        model = fit_recipe(recipe)
        results.append(score(model, test[:, :48, None], test[:, 48:, None]))
    return results


SIDES = {
    "image": (image, ["image_classification"], True),
    "text": (
        text,
        ["text_classification, lstm", "text_classification, transformer"],
        True,
    ),
    "table": (table, ["tabular"], True),
    "series": (series, ["time_series, gru", "time_series, conv"], False),
}


def report(name, rows):
    _, ours, accuracy = SIDES[name]
    rows = np.array(rows)
    for index, label in enumerate(ours, 1):
        plain, mine = rows[:, 0], rows[:, index]
        unit = "points" if accuracy else "%"
        difference = 100 * (mine - plain) if accuracy else 100 * (mine / plain - 1)
        half = stats.sem(difference) * stats.t.ppf(0.975, len(rows) - 1)
        scale = 100 if accuracy else 1
        better = int(((mine > plain) if accuracy else (mine < plain)).sum())
        figures = f"{scale * plain.mean():.2f} | {scale * mine.mean():.2f}"
        change = f"{difference.mean():+.2f} ± {half:.2f} {unit}"
        row = f"| `{label}` | {figures} | {change} | {better} of {len(rows)} |"
        print(row, flush=True)


def main():
    parser = argparse.ArgumentParser(
        prog="benchmark recipes", description=__doc__.split("\n\n")[0]
    )
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", nargs="+", default=list(SIDES), choices=list(SIDES))
    parser.add_argument("--texts", help="a .tsv of labels and texts")
    parser.add_argument("--samples", type=int, default=2000, help="texts to train on")
    options = parser.parse_args()
    print("| Recipe | Plain | Recipe's | Difference | Better |\n|---|---|---|---|---|")
    for name in options.only:
        if name == "text" and not options.texts:
            print("| texts: give --texts FILE.tsv | | | | |")
            continue
        start, rows = time.perf_counter(), []
        for seed in range(options.seeds):
            keras.utils.set_random_seed(seed)
            rows.append(SIDES[name][0](seed, options))
        report(name, rows)
        print(f"<!-- {name}: {time.perf_counter() - start:.0f} s -->", flush=True)


if __name__ == "__main__":
    main()
