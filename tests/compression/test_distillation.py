"""The distillation loss in closed form, and training by it."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_strategies.compression.search import _distillation as distillation


def _softmax(values):
    powers = np.exp(values - values.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def _number(tensor):
    return float(keras.ops.convert_to_numpy(tensor))


def _numbers(*arguments):
    found = distillation.distillation_loss(*arguments)
    return keras.ops.convert_to_numpy(found)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000), temperature=st.floats(0.5, 8))
def test_classes_are_compared_by_their_softened_divergence(seed, temperature):
    rng = np.random.default_rng(seed)
    student, teacher = rng.normal(size=(2, 5, 4)).astype("float32") * 3
    p, q = _softmax(teacher / temperature), _softmax(student / temperature)
    expected = temperature**2 * np.sum(p * np.log(p / q), axis=-1)
    found = _numbers(student, teacher, "categorical", True, temperature)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
    found = _numbers(
        _softmax(student), _softmax(teacher), "categorical", False, temperature
    )
    np.testing.assert_allclose(found, expected, rtol=2e-3, atol=1e-3)


def test_single_probabilities_are_two_classes():
    student, teacher = np.float32([[0.3], [-1.0]]), np.float32([[2.0], [0.5]])
    p, q = (1 / (1 + np.exp(-value / 2)) for value in (teacher, student))
    expected = 4 * (p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q)))
    found = _numbers(student, teacher, "binary", True, 2.0)
    np.testing.assert_allclose(found, expected[:, 0], rtol=1e-5)
    certain = _numbers(np.float32([[0.0]]), np.float32([[1.0]]), "binary", False, 1.0)
    assert np.isfinite(certain).all()


def test_values_are_compared_by_their_square():
    found = _numbers(
        np.float32([[1, 2], [0, 0]]), np.float32([[1, 4], [3, 4]]), "values"
    )
    np.testing.assert_allclose(found, [2.0, 12.5])


@pytest.mark.parametrize("temperature", [1.0, 5.0])
def test_equal_outputs_have_no_distance(temperature):
    values = np.random.default_rng(0).normal(size=(3, 4)).astype("float32")
    found = _numbers(values, values, "categorical", True, temperature)
    np.testing.assert_allclose(found, 0, atol=1e-6)


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        ("sparse_categorical_crossentropy", ("categorical", False)),
        (keras.losses.CategoricalCrossentropy(from_logits=True), ("categorical", True)),
        (keras.losses.BinaryFocalCrossentropy(), ("binary", False)),
        ("mse", ("values", False)),
        (keras.losses.Huber(), ("values", False)),
    ],
)
def test_the_compiled_loss_says_what_outputs_are(loss, expected):
    assert distillation.output_kind(loss) == expected


def _network():
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.05), loss)
    return model


@pytest.mark.parametrize(
    "jit", [False] if keras.backend.backend() == "torch" else [False, True]
)
def test_a_student_learns_its_teacher_and_not_the_labels(jit):
    x = np.random.default_rng(0).normal(size=(64, 6)).astype("float32")
    wrong = np.zeros(64, "int32")
    teacher, student = _network(), _network()
    student.jit_compile = jit
    before = teacher.get_weights()
    with distillation.distilling(student, teacher, 2.0, 1.0):
        student.fit(x, wrong, epochs=30, batch_size=16, verbose=0)
    chosen = [model.predict(x, verbose=0).argmax(-1) for model in (teacher, student)]
    assert np.mean(chosen[0] == chosen[1]) > 0.95
    assert np.mean(chosen[1] == wrong) < 0.9
    for old, new in zip(before, teacher.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_both_terms_and_sample_weights_count_and_the_loss_is_put_back():
    x = np.random.default_rng(0).normal(size=(8, 6)).astype("float32")
    y, weight = np.arange(8) % 3, np.float32([2, 0, 0, 0, 0, 0, 0, 0])
    teacher, student = _network(), _network()
    outputs = student(x)
    plain = _number(student.compute_loss(x, y, outputs, weight))
    far = _numbers(outputs, teacher(x), "categorical", True, 3.0)
    with distillation.distilling(student, teacher, 3.0, 0.25):
        found = _number(student.compute_loss(x, y, outputs, weight, training=True))
    assert found == pytest.approx(0.75 * plain + 0.25 * 2 * far[0] / 8, rel=1e-5)
    assert _number(student.compute_loss(x, y, outputs, weight)) == plain
    assert "compute_loss" not in vars(student)
