"""Recipes learn, are ordinary Keras models, and refuse what does not fit."""

import keras
import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_digits

from keras_strategies import export, recipes

TENSORFLOW = keras.backend.backend() == "tensorflow"
WORDS = {0: ("dull", "bore", "awful"), 1: ("fine", "lovely", "great")}


def images():
    x, y = load_digits(return_X_y=True)
    return x.reshape(-1, 8, 8)[:400], y[:400]


def texts(count=300, seed=0):
    """Texts whose class is that of one word among neutral ones."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, count)
    neutral = ["the", "film", "was", "a", "and", "it", "seen", "there"]

    def text(label):
        words = list(rng.choice(neutral, rng.integers(3, 9)))
        words.insert(rng.integers(len(words)), str(rng.choice(WORDS[label])))
        return " ".join(words)

    return [text(label) for label in y], y


def table(count=300, seed=0):
    rng = np.random.default_rng(seed)
    columns = {
        "size": rng.normal(50, 10, count),
        "rooms": rng.integers(1, 5, count),
        "town": rng.choice(["Ulm", "Bonn", "Jena"], count),
        "garden": rng.random(count) < 0.5,
    }
    worth = columns["size"] / 10 + 2 * (columns["town"] == "Bonn") + columns["garden"]
    return columns, worth


def series(count=400):
    t = np.arange(count)
    return 20 + 5 * np.sin(t / 4) + 0.02 * t


def image_recipe(**options):
    settings = {"filters": 8, "epochs": 12, "batch_size": 32} | options
    return recipes.image_classification(*images(), **settings)


def text_recipe(**options):
    settings = {"units": 8, "embedding_dim": 16, "epochs": 6, "batch_size": 16}
    settings |= {"learning_rate": 1e-2}
    return recipes.text_classification(*texts(), **(settings | options))


def table_recipe(**options):
    columns, worth = table()
    return recipes.tabular(columns, worth, **({"epochs": 30} | options))


def series_recipe(**options):
    settings = {"window": 16, "units": 12, "epochs": 8, "horizon": 2}
    settings |= {"batch_size": 16, "learning_rate": 1e-2} | options
    return recipes.time_series(series(), **settings)


def train(recipe, **options):
    return recipe.model.fit(**(recipe.fit_arguments | options), verbose=0)


def test_images(tmp_path):
    recipe = image_recipe()
    train(recipe)
    _, accuracy = recipe.model.evaluate(recipe.validation, verbose=0)
    assert accuracy > 0.6
    check_saving(recipe, images()[0][:5, ..., None].astype("float32"), tmp_path)


@pytest.mark.parametrize(
    "network", ["lstm", pytest.param("transformer", marks=pytest.mark.slow)]
)
def test_texts(network, tmp_path):
    recipe = text_recipe(network=network)
    train(recipe)
    _, accuracy = recipe.model.evaluate(recipe.validation, verbose=0)
    assert accuracy > 0.9
    new = ["a lovely film", "it was awful and there was a bore", "unseen words great"]
    if TENSORFLOW:
        import tensorflow as tf

        inputs = tf.constant(new)  # strings, with the .keras file alone
    else:
        inputs = np.asarray(recipe.preprocessing(new))
    predicted = check_saving(recipe, inputs, tmp_path)
    assert predicted.argmax(-1).tolist() == [1, 0, 1]


def test_a_text_is_judged_alike_however_long_the_padding():
    recipe = text_recipe(epochs=1)
    rng = np.random.default_rng(0)
    weights = recipe.network.get_weights()
    recipe.network.set_weights([rng.normal(0, 0.5, w.shape) for w in weights])
    tokens = np.asarray(recipe.preprocessing(["a lovely film"]))
    shorter = recipes.text_classification(
        *texts(),
        units=8,
        embedding_dim=16,
        epochs=1,
        sequence_length=tokens.shape[1] + 5,
    ).network
    shorter.set_weights(recipe.network.get_weights())
    longer = np.pad(tokens, ((0, 0), (0, 5)))
    np.testing.assert_allclose(
        recipe.network.predict(tokens, verbose=0),
        shorter.predict(longer, verbose=0),
        atol=1e-6,
    )


def test_tables(tmp_path):
    recipe = table_recipe()
    train(recipe)
    _, error = recipe.model.evaluate(recipe.validation, verbose=0)
    worth = table()[1]
    assert error < 0.6 * np.abs(worth - worth.mean()).mean()
    rows = {name: column[:5] for name, column in table()[0].items()}
    rows["town"] = np.array(["Ulm", "Bonn", "Jena", "Rome", "Ulm"])  # one is new
    rows["garden"] = rows["garden"].astype("int64")
    if TENSORFLOW:
        rows = {k: v.reshape(-1, 1) for k, v in rows.items()}
        rows = {
            k: keras.ops.array(v) if v.dtype.kind != "U" else _strings(v)
            for k, v in rows.items()
        }
    else:
        rows = np.asarray(recipe.preprocessing(rows))
    check_saving(recipe, rows, tmp_path)


def _strings(values):
    import tensorflow as tf

    return tf.constant(values.tolist())


def test_tables_into_classes():
    columns, worth = table()
    y = (worth > np.median(worth)).astype(int)
    recipe = recipes.tabular(columns, y, epochs=15)
    train(recipe)
    _, accuracy = recipe.model.evaluate(recipe.validation, verbose=0)
    assert accuracy > 0.8
    assert recipe.network.output_shape == (None, 2)


def test_real_table_in_its_own_unit():
    data = load_diabetes(as_frame=True)
    recipe = recipes.tabular(data.data, data.target, epochs=20)
    train(recipe)
    mse, _ = recipe.model.evaluate(recipe.validation, verbose=0)
    held = np.concatenate([np.asarray(y) for _, y in recipe.validation])
    assert mse < 0.75 * held.var()


@pytest.mark.parametrize(
    "network", [pytest.param("gru", marks=pytest.mark.slow), "conv"]
)
def test_series(network, tmp_path):
    recipe = series_recipe(network=network)
    window, after = next(iter(recipe.validation.take(1)))
    window, after = np.asarray(window), np.asarray(after)
    # Before training it says that nothing changes.
    np.testing.assert_allclose(
        recipe.model.predict(window, verbose=0),
        np.repeat(window[:, -1:], 2, axis=1),
        rtol=1e-5,
    )
    unchanged = np.abs(after - window[:, -1:]).mean()
    train(recipe)
    _, error = recipe.model.evaluate(recipe.validation, verbose=0)
    assert error < 0.75 * unchanged
    check_saving(recipe, window, tmp_path)


def test_windows_do_not_reach_across_the_border():
    values = np.arange(100.0)
    recipe = recipes.time_series(
        np.stack([values, -values], 1), window=5, horizon=2, targets=[1]
    )
    x, y = next(iter(recipe.train.unbatch().batch(1000)))
    x, y = np.asarray(x), np.asarray(y)
    assert len(x) == 80 - 7 + 1 and y.shape == (74, 2, 1)
    assert x.max() == 78 - 1 and y.min() == -79
    np.testing.assert_array_equal(y[:, 0, 0], x[:, -1, 1] - 1)
    np.testing.assert_array_equal(y[:, 1, 0], x[:, -1, 1] - 2)
    x, _ = next(iter(recipe.validation))
    assert np.asarray(x)[..., 0].min() == 80


def check_saving(recipe, inputs, folder):
    """The saved model predicts the same; a new process needs the package alone."""
    predicted = recipe.model.predict(inputs, verbose=0)
    recipe.model.save(folder / "model.keras")
    loaded = keras.models.load_model(folder / "model.keras")
    np.testing.assert_allclose(loaded.predict(inputs, verbose=0), predicted, atol=1e-5)
    return predicted


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    ("make", "options"),
    [
        pytest.param(image_recipe, {}, marks=pytest.mark.slow),
        (text_recipe, {"network": "lstm"}),
        (table_recipe, {}),
        pytest.param(text_recipe, {"network": "transformer"}, marks=pytest.mark.slow),
        pytest.param(series_recipe, {"network": "gru"}, marks=pytest.mark.slow),
        pytest.param(series_recipe, {"network": "conv"}, marks=pytest.mark.slow),
    ],
    ids=["image", "lstm", "table", "transformer", "gru", "conv"],
)
def test_each_network_is_exported(make, options, tmp_path):
    recipe = make(**options)
    train(recipe, epochs=1)
    batch = next(iter(recipe.validation))[0]
    if recipe.preprocessing is not None:
        batch = recipe.preprocessing(batch)
    inputs = np.asarray(batch)[:8]
    export.to_tflite(recipe.network, tmp_path / "network.tflite", batch_size=1)
    network = export.TFLiteModel(tmp_path / "network.tflite")
    np.testing.assert_allclose(
        network.predict(inputs),
        recipe.network.predict(inputs, verbose=0),
        rtol=1e-3,
        atol=1e-4,
    )


def test_splits_are_stratified_and_reproducible():
    x, y = images()
    first, second = (image_recipe(epochs=1, filters=4) for _ in range(2))
    held = [
        np.concatenate([np.asarray(b[1]) for b in r.validation])
        for r in (first, second)
    ]
    np.testing.assert_array_equal(*held)
    expected = np.round(np.bincount(y) * 0.2)
    np.testing.assert_array_equal(np.bincount(held[0]), expected)
    histories = [train(r, x=r.train.take(3)).history["loss"] for r in (first, second)]
    np.testing.assert_allclose(*histories, rtol=1e-4)
    given = recipes.image_classification(
        x, y, validation_data=(x[:50], y[:50]), filters=4
    )
    assert sum(len(np.asarray(b[1])) for b in given.validation) == 50


BAD = [
    (recipes.image_classification, (np.zeros((9, 8)), [0, 1, 0]), "`x` must have"),
    (
        recipes.image_classification,
        (np.full((4, 8, 8), np.nan), [0, 1, 0, 1]),
        "`x` must be finite",
    ),
    (
        recipes.image_classification,
        (np.zeros((4, 8, 8)), [0, 1, 0]),
        "as many labels as samples",
    ),
    (
        recipes.image_classification,
        (np.zeros((4, 8, 8)), np.eye(4)),
        r"y.argmax\(-1\)",
    ),
    (
        recipes.image_classification,
        (np.zeros((4, 8, 8)), [1, 2, 1, 2]),
        "numbers 0, 1, ... K - 1",
    ),
    (
        recipes.image_classification,
        (np.zeros((3, 8, 8)), [0, 0, 1]),
        "a sample of every class",
    ),
    (recipes.text_classification, (["a", " "], [0, 1]), "must have a word"),
    (recipes.text_classification, (["a", None], [0, 1]), "must be a string"),
    (recipes.text_classification, ("words", [0]), "list of texts"),
    (
        recipes.text_classification,
        (["a", "b"], ["good", "bad"]),
        "names, y = np.unique",
    ),
    (recipes.tabular, ([1, 2], [0, 1]), "data frame or a dict"),
    (recipes.tabular, ({"a": [1, 2], "b": [1]}, [0, 1]), "one value for each row"),
    (recipes.tabular, ({"a": [1.0, np.nan]}, [0, 1]), "finite numbers only"),
    (
        recipes.tabular,
        ({"a": np.array(["x", None], object)}, [0, 1]),
        "words only",
    ),
    (recipes.tabular, ({"a": [1.0, 2.0]}, [0.5, np.inf]), "`y` must be finite"),
    (recipes.time_series, ([1.0, np.nan] * 50,), "`series` must be finite"),
    (recipes.time_series, (np.zeros(50),), "`window` \\+ `horizon` steps"),
    (recipes.time_series, (np.zeros((2, 2, 2)),), "`series` must be numbers"),
]


@pytest.mark.parametrize(("recipe", "data", "message"), BAD)
def test_bad_input(recipe, data, message):
    with pytest.raises((ValueError, TypeError), match=message):
        recipe(*data)


def test_features_and_targets_must_be_there():
    columns, worth = table(30)
    with pytest.raises(ValueError, match="`features` must name columns"):
        recipes.tabular(columns, worth, features={"sizes": None})
    with pytest.raises(ValueError, match=r"`targets` must be an integer in \[0, 0\]"):
        recipes.time_series(series(), targets=[1])
    with pytest.raises(ValueError, match="Labels of `validation_data`"):
        x, y = images()
        recipes.image_classification(x, y, validation_data=(x[:3], [0, 1, 99]))
