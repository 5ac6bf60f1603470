"""One call: stored answers, files, augmentation in step, the result."""

import keras
import numpy as np
import pytest

from keras_strategies import training
from keras_strategies.training._distill import outputs as output_kinds
from keras_strategies.training._distill import stored
from keras_strategies.training._distill.distillation_trainer import INPUTS, TEACHERS
from tests.training.distill.models import LOGITS, L, X, Y, network, values

QUIET = {"batch_size": 16, "seed": 0, "verbose": 0}


def student(activation=None):
    model = network(4, 1, activation)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=activation is None)
    model.compile(keras.optimizers.SGD(0.05), loss, metrics=["accuracy"])
    return model


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        pytest.param(
            {"kind": "decoupled", "teacher_weights": [0.7, 0.3]},
            marks=pytest.mark.slow,
        ),
        {"kind": {"hints": 1.0, "logits": 1.0}, "layers": [("conv_2", "conv_2")]},
        pytest.param(
            {"kind": "relational", "layers": [("embedding", "embedding")]},
            marks=pytest.mark.slow,
        ),
    ],
)
def test_stored_answers_give_the_same_student(arguments):
    teacher = network(12)
    if "teacher_weights" in arguments:
        teacher = [teacher, network(10, 5)]
    weights, histories = [], []
    for cache in (True, False):
        model = student()
        result = training.distill(
            teacher, model, (X, Y), epochs=3, cache_teacher=cache, **arguments, **QUIET
        )
        weights.append(values(model.weights))
        histories.append(result.history["loss"])
        assert bool(result.notes) is cache
    # Torch draws the seed of each loop over data: the orders differ there.
    if keras.backend.backend() != "torch":
        np.testing.assert_allclose(*histories, rtol=1e-4)
        for one, other in zip(*weights, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)


def test_the_result_has_teacher_and_student_by_one_measure():
    teacher = network(12, activation="softmax")
    teacher.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model = student()  # logits
    result = training.distill(
        teacher, model, (X, Y), validation_data=(X, Y), epochs=2, **QUIET
    )
    names = [row["model"] for row in result.rows]
    assert names == ["teacher", "student before", "student"]
    expected = teacher.evaluate(X, Y, verbose=0, return_dict=True)
    assert result.rows[0]["loss"] == pytest.approx(expected["loss"], rel=1e-4)
    assert result.rows[0]["accuracy"] == pytest.approx(expected["accuracy"])
    expected = model.evaluate(X, Y, verbose=0, return_dict=True)
    assert result.rows[2]["loss"] == pytest.approx(expected["loss"], rel=1e-4)
    assert result.history["val_loss"][-1] == pytest.approx(expected["loss"], rel=1e-4)
    assert result.rows[0]["parameters"] == teacher.count_params()
    assert "student before" in str(result)
    assert result.to_dict()["history"] == result.history
    result.plot()


def test_an_uncompiled_student_and_self_distillation():
    model = network(4, 1, "softmax")
    before = values(model.weights)
    result = training.distill("ema", model, (X, Y), epochs=1, **QUIET)
    assert not model.compiled
    assert any(
        (a != b).any() for a, b in zip(before, values(model.weights), strict=True)
    )
    assert [row["model"] for row in result.rows] == ["student before", "student"]


def test_a_keras_file_teaches(tmp_path):
    network(12).save(tmp_path / "teacher.keras")
    result = training.distill(
        tmp_path / "teacher.keras", student(), (X, Y), epochs=1, **QUIET
    )
    assert result.rows[0]["parameters"] == network(12).count_params()


@pytest.mark.tensorflow
@pytest.mark.parametrize("quantization", ["float32", "int8"])
def test_a_tflite_file_teaches(tmp_path, quantization):
    from keras_strategies import export

    teacher = network(12, activation="softmax")
    path = str(tmp_path / "teacher.tflite")
    export.to_tflite(
        teacher,
        path,
        quantization=quantization,
        representative_data=X,
        min_agreement=0.0,
    )
    models = [student(), student()]
    for source, model in zip((teacher, path), models, strict=True):
        result = training.distill(source, model, (X, Y), alpha=1.0, epochs=2, **QUIET)
    assert result.rows[0]["parameters"] is None
    tolerance = 1e-3 if quantization == "float32" else 0.05
    for one, other in zip(*(values(m.weights) for m in models), strict=True):
        np.testing.assert_allclose(one, other, atol=tolerance)
    with pytest.raises(ValueError, match="no layers to compare"):
        training.distill(
            path, student(), (X, Y), kind="hints", layers=[("a", "conv_2")], **QUIET
        )


def augmented(rounds, respondents):
    augment = keras.Sequential(
        [L.RandomTranslation(0.3, 0.3, seed=1), L.GaussianNoise(0.1, seed=2)]
    )
    return stored.AugmentedData(X, [Y], augment, respondents, rounds, 16, seed=3)


def test_stored_answers_belong_to_the_augmented_images():
    teacher = network(12)
    data = augmented(2, [stored.Respondent(teacher, network(4, 1), [])])
    seen = {}
    for epoch in range(4):
        for index in range(len(data)):
            inputs, labels = data[index]
            (answers,) = inputs[TEACHERS]
            images = inputs[INPUTS]
            expected = teacher.predict(images, verbose=0)
            np.testing.assert_allclose(answers["outputs"][0], expected, atol=1e-5)
            seen[epoch, index] = images, labels
        data.on_epoch_end()
    for index in range(2):
        # The third epoch is the first one again; the second is another.
        np.testing.assert_array_equal(seen[0, index][0], seen[2, index][0])
        np.testing.assert_array_equal(seen[0, index][1], seen[2, index][1])
        assert np.abs(seen[0, index][0] - seen[1, index][0]).max() > 0.1
    assert np.abs(seen[0, 0][0] - X[:16]).max() > 0.1
    rows = np.concatenate([seen[1, index][1] for index in range(2)])
    assert sorted(rows) == sorted(Y)
    assert len(data.stored) == 4


def test_augmentation_without_end_and_with_stored_answers():
    augment = L.RandomTranslation(0.2, 0.2, seed=1)
    arguments = {"augment": augment, "epochs": 2, **QUIET}
    histories = []
    for rounds, cache in ((1, True), (1, False), (None, False)):
        result = training.distill(
            network(12),
            student(),
            (X, Y),
            cache_teacher=cache,
            augment_rounds=rounds,
            **arguments,
        )
        assert bool(result.notes) is cache
        histories.append(result.history["loss"])
    # Stored or not is the same; without end the images are others in each epoch.
    assert histories[0] == pytest.approx(histories[1], rel=1e-4)
    assert histories[2] != pytest.approx(histories[1], rel=1e-4)


@pytest.mark.tensorflow
def test_a_dataset():
    import tensorflow as tf

    dataset = tf.data.Dataset.from_tensor_slices((X, Y)).batch(16)
    result = training.distill(network(12), student(), dataset, epochs=2, verbose=0)
    assert len(result.history["loss"]) == 2
    with pytest.raises(ValueError, match="no arrays"):
        training.distill(network(12), student(), dataset, cache_teacher=True)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"data": X}, TypeError, "`data` must be a tuple"),
        ({"epochs": 0}, ValueError, "`epochs` must be"),
        ({"teacher": "nowhere.h5"}, ValueError, "ends in .keras or .tflite"),
        ({"teacher": "ema", "cache_teacher": True}, ValueError, "moving average"),
        ({"augment": 3}, TypeError, "`augment` must be"),
        ({"augment_rounds": 0}, ValueError, "`augment_rounds` must be"),
        ({"cache_teacher": 3}, ValueError, "`cache_teacher` must be"),
        ({"kind": "hints"}, ValueError, "`layers` must be given"),
        ({"alpha": -1}, ValueError, "`alpha` must be"),
    ],
)
def test_bad_arguments_leave_the_student_as_it_was(arguments, error, text):
    model = student()
    before = values(model.weights)
    given = {"teacher": network(12), "data": (X, Y), "verbose": 0, **arguments}
    with pytest.raises(error, match=text):
        training.distill(student=model, **given)
    for one, other in zip(before, values(model.weights), strict=True):
        np.testing.assert_array_equal(one, other)


def test_labels_that_do_not_fit_and_other_outputs():
    with pytest.raises(ValueError, match=r"integers in \[0, 2\]"):
        training.distill(network(12), network(4, 1, "softmax"), (X, Y + 1))
    other = keras.Sequential([keras.Input((8, 8, 1)), L.Flatten(), L.Dense(4)])
    with pytest.raises(ValueError, match="same outputs"):
        training.distill(other, student(), (X, Y))
    trainer = training.DistillationTrainer(student(), "cached")
    trainer.compile("sgd", LOGITS)
    with pytest.raises(ValueError, match="must carry its answers"):
        trainer.fit(X, Y, verbose=0)


def _two_outputs(names, in_dict=False, width=3):
    inputs = keras.Input((4,))
    hidden = L.Dense(width)(inputs)
    outputs = [L.Dense(2, name=name)(hidden) for name in names]
    if in_dict:
        outputs = dict(zip(names, outputs, strict=True))
    return keras.Model(inputs, outputs)


def test_outputs_belong_together_by_name():
    x, y = np.ones((8, 4), "float32"), np.ones((8, 2), "float32")
    student = _two_outputs("ab")
    student.compile("sgd", {"a": "mse", "b": "mae"})
    before = values(student.weights)
    with pytest.raises(ValueError, match="in the same order"):
        training.distill(_two_outputs("ba"), student, (x, {"a": y, "b": y}), **QUIET)
    in_dict = _two_outputs("ab", True)
    in_dict.compile("sgd", "mse")
    with pytest.raises(ValueError, match="in the same order"):
        training.distill(_two_outputs("cd", True), in_dict, (x, {"a": y, "b": y}))
    for one, other in zip(before, values(student.weights), strict=True):
        np.testing.assert_array_equal(one, other)
    # Losses by the names of outputs in a list; another pair of names is as good.
    data = (x, {"a": y, "b": y})
    result = training.distill(_two_outputs("cd", width=9), student, data, **QUIET)
    assert "student_loss" in result.history


def test_outputs_of_a_file_are_ordered_by_name_or_number():
    keys = ["output_10", *(f"output_{i}" for i in range(10))]
    numbered = output_kinds.keys_in_order(_two_outputs("ab"), keys)
    assert numbered == sorted(keys, key=lambda key: int(key[7:]))
    for model in (_two_outputs("ba"), _two_outputs("ba", True)):
        expected = ["a", "b"] if isinstance(model.output, dict) else ["b", "a"]
        assert output_kinds.keys_in_order(model, ["a", "b"]) == expected
    with pytest.raises(ValueError, match="names of the student's"):
        output_kinds.keys_in_order(_two_outputs("ab"), ["x", "y"])
