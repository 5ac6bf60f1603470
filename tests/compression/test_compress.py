"""`compress` from the model to the file, on scikit-learn's digits."""

import json
import pathlib
import warnings

import keras
import numpy as np
import pytest

from keras_strategies import compression, export
from keras_strategies.export import TFLiteModel
from tests.markers import slow_on_jax

LAYERS = keras.layers


def _digits():
    from sklearn.datasets import load_digits

    data = load_digits()
    order = np.random.default_rng(0).permutation(len(data.images))
    x = (data.images[order] / 16).astype("float32")
    return x[..., None], data.target[order]


X, Y = _digits()
TRAIN, VALIDATION = (X[:900], Y[:900]), (X[900:1400], Y[900:1400])
TEST = (X[1400:], Y[1400:])


def _trained():
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            LAYERS.Conv2D(8, 3, activation="relu"),
            LAYERS.Flatten(),
            LAYERS.Dense(32, activation="relu"),
            LAYERS.Dense(10),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(2e-3), loss, metrics=["accuracy"])
    model.fit(*TRAIN, epochs=12, verbose=0)
    return model


def _compress(model, **arguments):
    given = {
        "validation_data": VALIDATION,
        "budget": 1.0,
        "epochs": 3,
        "max_candidates": 3,
        "seed": 0,
        "verbose": 0,
    }
    with warnings.catch_warnings():
        # 250 held-out samples decide no budget of one point.
        warnings.filterwarnings("ignore", "250 held-out samples cannot decide")
        # What the search chose by 250 others may lose more on them.
        warnings.filterwarnings("ignore", "The budget is not met")
        return compression.compress(model, TRAIN, **given | arguments)


@pytest.fixture(scope="module")
def made():
    """A model, its weights before, and the result of a whole search."""
    model = _trained()
    before = [np.array(weight) for weight in model.get_weights()]
    steps = int(model.optimizer.iterations)
    result = _compress(model, max_candidates=7)
    return model, before, steps, result


@slow_on_jax
def test_the_result_is_much_smaller_and_as_good_on_data_never_seen(made):
    model, _, _, result = made
    assert result.chosen["met"] and result.ratio > 7
    assert result.held_out["bound"] > result.held_out["drop"]
    assert result.met == result.held_out["met"] == (result.held_out["bound"] <= 1.0)
    assert result.reason == result.held_out["reason"] and result.reason in str(result)
    assert result.met == (result.samples_needed == 250)
    assert result.validation["drop"] <= 1.0
    assert result.held_out["drop"] <= 8  # of 250 samples, not looked at by the search
    assert result.held_out_met == (result.held_out["drop"] <= 1.0)
    assert result.validation["samples"] == result.held_out["samples"] == 250
    best = min(
        (row for row in result.rows if row["met"]),
        key=lambda row: row["gzipped_bytes"],
    )
    assert result.chosen is best
    assert result.bytes == len(result.content)
    assert result.model.optimizer.iterations == 0 and result.model.compiled


@slow_on_jax
def test_the_given_model_is_untouched(made):
    model, before, steps, _ = made
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert int(model.optimizer.iterations) == steps
    assert "compute_loss" not in vars(model)
    assert all(weight.constraint is None for weight in model.weights)


@slow_on_jax
def test_files_are_written_and_are_what_was_measured(made, tmp_path):
    _, _, _, result = made
    keras_file, tflite_file = result.save(tmp_path / "new")
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        "model.keras",
        "model.tflite",
    ]
    loaded = keras.models.load_model(keras_file)
    report = compression.sparsity_report(loaded)
    assert report.sparsity == pytest.approx(result.chosen["sparsity"], abs=0.01)
    artifact = TFLiteModel(tflite_file)
    found = artifact.evaluate(*VALIDATION, verbose=0)["accuracy"]
    both = [result.validation["compressed"], result.held_out["compressed"]]
    assert found == pytest.approx(np.mean(both), abs=1e-6)
    outputs = loaded.predict(X[:50], verbose=0).argmax(-1)
    assert np.mean(outputs == artifact.predict(X[:50], verbose=0).argmax(-1)) > 0.9


@slow_on_jax
def test_table_and_picture(made, tmp_path):
    _, _, _, result = made
    text = str(result)
    assert f"{result.ratio:.1f} times smaller" in text
    assert (
        "held out, 250 samples" in text and text.count("\n* ") == 2
    )  # and in the legend
    axis = result.plot()
    axis.figure.savefig(tmp_path / "pareto.png")
    assert (tmp_path / "pareto.png").stat().st_size > 5000
    assert axis.get_xscale() == "log" and "accuracy" in axis.get_ylabel()
    drawn = sum(len(points.get_offsets()) for points in axis.collections)
    assert drawn == len(result.candidates) + 1
    page = pathlib.Path(result.save_report(tmp_path / "result.html")).read_text()
    assert f"{result.gzipped_bytes:,}" in page and "<img" in page
    data = json.loads(
        pathlib.Path(result.save_report(tmp_path / "result.json")).read_text()
    )
    assert data["held_out"] == result.held_out and len(data["rows"]) == len(result.rows)
    assert data["chosen"]["gzipped_bytes"] == result.gzipped_bytes
    with pytest.raises(ValueError, match="must end in"):
        result.save_report(tmp_path / "result.txt")


def _figures(result):
    return [
        {key: row[key] for key in row if key not in ("seconds", "latency_ms")}
        for row in result.rows
    ]


@pytest.mark.slow
def test_the_same_seed_gives_the_same_search(made, capsys):
    model, _, _, result = made
    again = _compress(model, verbose=1, max_candidates=3)
    assert _figures(again) == _figures(result)[:3]
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4 and all(line.startswith("compress ") for line in lines)


@pytest.mark.slow
def test_latency_takes_filters_out(made):
    model, *_ = made
    result = _compress(model, target="latency", test_data=TEST, budget=5.0)
    assert result.held_out["bound"] <= 5 and "at most" in result.reason
    assert result.chosen["filters"] > 0 and result.met
    assert result.held_out["samples"] == len(TEST[0])
    plain = result.rows[0]["flops"]
    assert result.chosen["flops"] < plain == 2 * compression.flops(model).macs
    assert result.model.count_params() < model.count_params()


@pytest.mark.slow
def test_a_model_that_nothing_can_be_taken_from(made):
    model, *_ = made
    perfect = VALIDATION[0], model.predict(VALIDATION[0], verbose=0)
    with pytest.warns(UserWarning, match="No candidate kept to the budget"):
        result = _compress(
            model, validation_data=perfect, metric="mse", budget=0.0, max_candidates=1
        )
    assert not result.met and result.mode == "min"
    assert result.chosen["drop"] > 0 and len(result.content) == result.bytes


@keras.saving.register_keras_serializable("tests")
class Subclassed(keras.Model):
    def __init__(self, units=16, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.hidden = LAYERS.Dense(units, activation="relu")
        self.out = LAYERS.Dense(1)

    def call(self, inputs):
        return self.out(self.hidden(inputs))

    def get_config(self):
        return super().get_config() | {"units": self.units}


def test_a_subclassed_regression_with_a_data_set_and_a_teacher():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(512, 8)).astype("float32")
    y = np.abs(x[:, :1]) + x[:, 1:2]
    keras.utils.set_random_seed(0)
    model = Subclassed()
    model.compile(keras.optimizers.Adam(0.01), "mse")
    model.fit(x[:256], y[:256], epochs=20, verbose=0)

    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return 8

        def __getitem__(self, index):
            rows = slice(32 * index, 32 * index + 32)
            return x[rows], y[rows]

    result = compression.compress(
        model,
        Batches(),
        validation_data=(x[256:], y[256:]),
        budget=4000.0,
        metric="mae",
        distill=True,
        max_candidates=3,
        seed=1,
        verbose=0,
    )
    assert result.metric == "mae" and result.mode == "min" and result.met
    assert type(result.model) is Subclassed
    assert [row["sparsity"] for row in result.rows[:2]] == [0.0, 0.9]
    assert result.rows[1]["gzipped_bytes"] < result.rows[0]["gzipped_bytes"]


@pytest.mark.slow
def test_a_teacher_helps_where_labels_are_wrong():
    """Fine-tuning on wrong labels ruins a model, unless its teacher knows better."""
    model = _trained()
    wrong = TRAIN[0], (TRAIN[1] + 1) % 10
    drops = []
    for distill in (False, True):
        result = compression.compress(
            model,
            wrong,
            validation_data=VALIDATION,
            budget=100.0,
            distill=distill,
            temperature=2.0,
            alpha=1.0,
            max_candidates=2,
            seed=0,
            verbose=0,
        )
        drops.append(result.rows[1]["drop"])
    assert drops[0] > 30 and drops[1] < 15


def _plain():
    model = keras.Sequential([keras.Input((4,)), LAYERS.Dense(2)])
    model.compile("adam", "mse")
    return model


DATA = (np.ones((40, 4), "float32"), np.ones((40, 2), "float32"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"budget": -1}, "`budget` must be at least 0"),
        ({"budget": "much"}, "`budget` must be a number"),
        ({"target": "speed"}, "`target` must be one of"),
        ({"epochs": 0}, "`epochs` must be"),
        ({"batch_size": 2.5}, "`batch_size` must be"),
        ({"learning_rate": 0}, "`learning_rate` must be"),
        ({"alpha": 0}, "`alpha` must be"),
        ({"temperature": 0}, "`temperature` must be"),
        ({"distill": 1}, "`distill` must be"),
        ({"max_candidates": 0}, "`max_candidates` must be"),
        ({"time_limit": 0}, "`time_limit` must be"),
        ({"seed": -1}, "`seed` must be"),
        ({"mode": "up"}, "`mode` must be one of"),
        ({"metric": "niceness"}, "must hold Keras metrics"),
        ({"validation_data": None}, "`validation_data` must be given"),
        ({"validation_data": DATA[0]}, "`validation_data` must be a tuple"),
        ({"validation_data": (DATA[0][:8], DATA[1][:8])}, "at least 40 samples"),
        (
            {"test_data": (DATA[0][:8], DATA[1][:8])},
            "`test_data` must have at least 20",
        ),
        ({"confidence": 1.0}, "`confidence` must be in"),
    ],
)
def test_bad_arguments_are_refused(arguments, words):
    given = {"validation_data": DATA, "mode": "min", "verbose": 0} | arguments
    with pytest.raises((TypeError, ValueError), match=words):
        compression.compress(_plain(), DATA, **given)


def test_models_that_cannot_be_compressed_are_refused():
    inputs = keras.Input((4,))
    uncompiled = keras.Sequential([keras.Input((4,)), LAYERS.Dense(2)])
    nothing = keras.Sequential([keras.Input((4,)), LAYERS.LayerNormalization()])
    unbuilt = keras.Sequential([LAYERS.Dense(2)])
    two = keras.Model(inputs, [LAYERS.Dense(2)(inputs), LAYERS.Dense(2)(inputs)])
    for model in (nothing, unbuilt, two):
        model.compile("adam", "mse")
    aware = compression.quantize_aware(_plain())
    aware.compile("adam", "mse")
    lists = keras.Model(inputs, [LAYERS.Dense(2)(inputs), LAYERS.Dense(2)(inputs)])
    lists.compile("adam", ["mse", "mse"])
    lora, frozen = _plain(), _plain()
    lora.layers[0].enable_lora(1)
    frozen.trainable = False
    frozen.compile("adam", "mse")
    for model, words in (
        (uncompiled, "must be compiled with a loss"),
        (nothing, "must have weights that can be pruned"),
        (unbuilt, "must be built"),
        (two, "must have one output"),
        (lists, "must have one output"),
        (lora, "must not have LoRA"),
        (frozen, "must be trainable"),
        (aware, "must not be quantization-aware"),
        ("model.keras", "must be a Model"),
    ):
        with pytest.raises((TypeError, ValueError), match=words):
            compression.compress(model, DATA, validation_data=DATA, verbose=0)


def test_export_stands_below_compression():
    assert not any("compression" in name for name in vars(export))
