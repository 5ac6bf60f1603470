"""`freeze` and `unfreeze` by name, and what the report shows of them."""

import keras
import numpy as np
import pytest

from keras_strategies import optimizers, training
from tests.training.fine_tune.models import X, Y, backbone, values


def model_of(compiled=True):
    model = training.attach_head(backbone(), classes=3)
    if compiled:
        model.compile(
            keras.optimizers.Adam(0.01),
            "sparse_categorical_crossentropy",
        )
    return model


def fit(model):
    model.fit(X, Y, batch_size=16, verbose=0)


def test_keras_flag_on_a_compiled_model_beside_ours():
    """The classic mistake: the flag without another `compile`."""
    model = model_of()
    fit(model)
    body = model.get_layer("body")
    before = values(body.weights)
    body.trainable = False
    report = training.trainable_report(model)
    assert any("changed after `compile`" in text for text in report.warnings)
    if keras.backend.backend() == "jax":
        with pytest.raises(ValueError, match="1:1"):
            fit(model)
    else:
        fit(model)
        moved = any(
            (a != b).any() for a, b in zip(before, values(body.weights), strict=True)
        )
        assert moved == (keras.backend.backend() == "tensorflow")

    model = model_of()
    fit(model)
    body = model.get_layer("body")
    assert training.freeze(model, "^body") is model
    assert training.trainable_report(model).warnings == []
    before = values(body.variables)
    fit(model)
    for one, other in zip(before, values(body.variables), strict=True):
        np.testing.assert_array_equal(one, other)
    training.unfreeze(model, "^body")
    fit(model)
    moved = [(a != b).any() for a, b in zip(before, values(body.weights), strict=False)]
    assert all(moved)


def test_exclude_leaves_layers_as_they_are():
    model = model_of(compiled=False)
    training.freeze(model)
    assert model.trainable_variables == []
    is_norm = lambda layer: isinstance(layer, keras.layers.BatchNormalization)  # noqa: E731
    training.unfreeze(model, "^body", exclude=is_norm)
    paths = {v.path.split("/")[-2] for v in model.trainable_variables}
    assert paths == {"conv_1", "conv_2"}
    training.freeze(model, exclude=["conv_2", "^head"])
    paths = {v.path.split("/")[-2] for v in model.trainable_variables}
    assert paths == {"conv_2"}
    training.unfreeze(model)
    assert len(model.trainable_variables) == 10


def test_flags_survive_a_file_and_dropout_does_not_draw_again_after_freeze(tmp_path):
    model = model_of()
    training.freeze(model, "^body")
    fit(model)
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    body = loaded.get_layer("body")
    assert not any(layer.trainable for layer in body.layers)
    assert len(loaded.trainable_variables) == 2
    training.freeze(loaded, "^body")
    before = values(body.variables)
    fit(loaded)
    for one, other in zip(before, values(body.variables), strict=True):
        np.testing.assert_array_equal(one, other)
    training.unfreeze(loaded, "^body")
    assert len(loaded.trainable_variables) == 10


@pytest.mark.tensorflow
def test_inside_an_accelerated_model():
    model = model_of()
    training.accelerate(model, X, Y, batch_size=16, time_limit=2)
    fit(model)
    training.freeze(model, "^body")
    before = values(model.get_layer("body").variables)
    fit(model)
    after = values(model.get_layer("body").variables)
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_report_shows_rates_and_modes():
    model = model_of(compiled=False)
    inner = keras.optimizers.SGD(0.5)
    transform = optimizers.LearningRateMultipliers({"conv_2": 0.1})
    model.compile(optimizers.GradientTransform(inner, [transform]), "mse")
    model.optimizer.build(model.trainable_variables)
    training.freeze(model, ["conv_1", "norm_1"])
    rows = {row["layer"]: row for row in training.trainable_report(model).rows}
    assert list(rows) == [
        "body/conv_1",
        "body/norm_1",
        "body/conv_2",
        "body/norm_2",
        "body/drop",
        "head_dropout",
        "head_output",
    ]
    assert rows["body/conv_1"]["learning_rate"] is None
    assert rows["body/conv_2"]["learning_rate"] == pytest.approx(0.05)
    assert rows["head_output"]["learning_rate"] == pytest.approx(0.5)
    assert rows["body/norm_1"]["mode"] == "inference"
    assert rows["body/norm_2"]["mode"] == "training"
    assert rows["body/conv_2"]["mode"] is None
    report = training.trainable_report(model)
    assert report.weights == model.count_params()
    assert report.trainable == sum(
        int(np.prod(v.shape)) for v in model.trainable_variables
    )
    assert "weights train" in str(report)
    assert report.to_dict()["trainable"] == report.trainable
    report.plot()


def test_the_report_of_a_schedule_and_of_several_optimizers():
    model = model_of(compiled=False)
    decay = keras.optimizers.schedules.CosineDecay(
        0.0, 100, warmup_target=0.25, warmup_steps=10
    )
    model.compile(keras.optimizers.Adam(decay), "mse")
    rows = {row["layer"]: row for row in training.trainable_report(model).rows}
    assert rows["head_output"]["learning_rate"] == pytest.approx(0.25, rel=0.1)
    slow, fast = keras.optimizers.SGD(0.01), keras.optimizers.SGD(1.0)
    choose = lambda variable: fast if "head" in variable.path else slow  # noqa: E731
    model.compile(keras.optimizers.MultiOptimizer(choose), "mse")
    model.optimizer.build(model.trainable_variables)
    rows = {row["layer"]: row for row in training.trainable_report(model).rows}
    assert rows["head_output"]["learning_rate"] == pytest.approx(1.0)
    assert rows["body/conv_1"]["learning_rate"] == pytest.approx(0.01)


def test_the_report_knows_masks_and_that_statistics_move_behind_them():
    model = model_of(compiled=False)
    freeze = optimizers.Freeze(["conv_1", "norm_1"])
    model.compile(optimizers.GradientTransform("adam", [freeze]), "mse")
    model.optimizer.build(model.trainable_variables)
    report = training.trainable_report(model)
    rows = {row["layer"]: row for row in report.rows}
    assert rows["body/conv_1"]["trainable"] == 0
    assert rows["body/conv_1"]["learning_rate"] is None
    assert rows["body/conv_2"]["learning_rate"] == pytest.approx(1e-3)
    (warning,) = report.warnings
    assert "statistics: body/norm_1;" in warning
    training.freeze(model, "norm_1")
    assert training.trainable_report(model).warnings == []


def test_bad_input_leaves_the_model_as_it_was():
    model = model_of()
    with pytest.raises(ValueError, match="must match at least one layer"):
        training.freeze(model, "^nowhere")
    with pytest.raises(TypeError, match="must be a Model"):
        training.freeze(keras.layers.Dense(2))
    with pytest.raises(ValueError, match="must be built"):
        training.freeze(keras.Sequential([keras.layers.Dense(2)]))
    assert len(model.trainable_variables) == 10
