"""Distillation inside the student's own `fit`, as `compress` does it."""

import keras
import numpy as np
import pytest

from keras_strategies.training._distill import losses
from keras_strategies.training._distill.in_place import distilling


def number(tensor):
    return float(keras.ops.convert_to_numpy(tensor))


def values(tensor):
    return keras.ops.convert_to_numpy(tensor)


def _network():
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.05), loss)
    return model


@pytest.mark.parametrize(
    "jit",
    [False]
    if keras.backend.backend() == "torch"
    else [pytest.param(False, marks=pytest.mark.slow), True],
)
def test_a_student_learns_its_teacher_and_not_the_labels(jit):
    x = np.random.default_rng(0).normal(size=(64, 6)).astype("float32")
    wrong = np.zeros(64, "int32")
    teacher, student = _network(), _network()
    student.jit_compile = jit
    before = teacher.get_weights()
    with distilling(student, teacher, 2.0, 1.0):
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
    plain = number(student.compute_loss(x, y, outputs, weight))
    far = values(losses.logits_loss(outputs, teacher(x), temperature=3.0))
    with distilling(student, teacher, 3.0, 0.25):
        found = number(student.compute_loss(x, y, outputs, weight, training=True))
    assert found == pytest.approx(0.75 * plain + 0.25 * 2 * far[0] / 8, rel=1e-5)
    assert number(student.compute_loss(x, y, outputs, weight)) == plain
    assert "compute_loss" not in vars(student)
