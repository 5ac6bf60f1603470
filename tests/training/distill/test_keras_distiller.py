"""The four defects of Keras 3.15's Distiller, side by side with ours.

Keras's side is only asserted for the versions in which it was seen; ours for all.
"""

import keras
import numpy as np
import pytest

from keras_strategies import training
from tests.training.distill import references
from tests.training.distill.models import X, Y, compiled, network, values

SEEN = keras.__version__.startswith("3.15.")


def ours(student, teacher, **arguments):
    trainer = training.DistillationTrainer(student, teacher, **arguments)
    return compiled(trainer)


def theirs(student, teacher, *losses):
    distiller = keras.distillation.Distiller(teacher, student, list(losses))
    return compiled(distiller)


def one_step(trainer, student, **arguments):
    before = values(student.weights)
    trainer.fit(X, Y, batch_size=32, shuffle=False, verbose=0, **arguments)
    return [b - a for a, b in zip(before, values(student.weights), strict=True)]


def test_sample_weights_count():
    """Weights of zero must leave the student where it is."""
    zeros = np.zeros(32, "float32")
    student = network(4, 1, norm=False)
    changes = one_step(ours(student, network(12)), student, sample_weight=zeros)
    assert all((change == 0).all() for change in changes)
    if SEEN:
        student = network(4, 1, norm=False)
        loss = keras.distillation.LogitsDistillation(2.0, keras.losses.KLDivergence())
        distiller = theirs(student, network(12), loss)
        changes = one_step(distiller, student, sample_weight=zeros)
        assert any((change != 0).any() for change in changes)


class Counted(keras.layers.Layer):
    """Counts the forward passes of a training step."""

    def build(self, input_shape):
        self.count = self.add_weight(shape=(), initializer="zeros", trainable=False)
        self.built = True

    def call(self, x, training=None):
        if training:
            self.count.assign(self.count + 1.0)
        return x


def counted_student():
    inputs = keras.Input((8, 8, 1))
    counter = Counted(name="counter")
    x = keras.layers.Conv2D(4, 3, activation="relu")(counter(inputs))
    x = keras.layers.GlobalAveragePooling2D(name="embedding")(x)
    return keras.Model(inputs, keras.layers.Dense(3)(x)), counter


def passes(trainer, counter):
    trainer.fit(X, Y, batch_size=16, verbose=0)
    start = values([counter.count])[0]
    trainer.fit(X, Y, batch_size=16, verbose=0)
    return (values([counter.count])[0] - start) / 2


def test_the_student_runs_once_in_a_step():
    student, counter = counted_student()
    trainer = ours(
        student, network(12), kind="hints", layers=[("embedding", "embedding")]
    )
    assert passes(trainer, counter) == 1
    if SEEN:
        student, counter = counted_student()
        loss = keras.distillation.FeatureDistillation(
            "mse", teacher_layer_name="embedding", student_layer_name="embedding"
        )
        assert passes(theirs(student, network(4, 2), loss), counter) == 2


def test_a_loaded_trainer_goes_on(tmp_path):
    student = network(4, 1)
    trainer = ours(student, network(12))
    trainer.fit(X, Y, verbose=0)
    trainer.save(tmp_path / "ours.keras")
    loaded = keras.models.load_model(tmp_path / "ours.keras")
    arguments = {"batch_size": 16, "shuffle": False, "verbose": 0}
    expected = trainer.fit(X, Y, **arguments).history["loss"]
    assert loaded.fit(X, Y, **arguments).history["loss"] == pytest.approx(
        expected, rel=1e-5
    )
    if SEEN:
        loss = keras.distillation.LogitsDistillation(2.0)
        distiller = theirs(network(4, 1), network(12), loss)
        distiller.fit(X, Y, verbose=0)
        distiller.save(tmp_path / "theirs.keras")
        with pytest.raises(Exception):  # noqa: B017, PT011 - it differs by version
            keras.models.load_model(tmp_path / "theirs.keras").fit(X, Y, verbose=0)


def test_the_default_is_a_divergence_of_probabilities():
    teacher, student = network(12), network(4, 1)
    s, t = values([student(X), teacher(X)])
    trainer = ours(student, teacher, alpha=1.0, temperature=1.0)
    loss = trainer.fit(X, Y, batch_size=32, verbose=0).history["loss"][0]
    # BatchNormalization of the student works on the batch in training.
    student = network(4, 1)
    s = values([student(X, training=True)])[0]
    assert loss == pytest.approx(references.hinton(s, t, 1.0).mean(), rel=1e-4)
    if SEEN:
        s = np.float32([[1, 2, 0], [0.5, -1, 1.5]])
        t = np.float32([[0, 3, 1], [2, 0, 1]])
        found = keras.distillation.LogitsDistillation(1.0).compute_loss(t, s)
        assert float(values([found])[0]) == pytest.approx(8.4056, rel=1e-3)
        assert references.hinton(s, t, 1.0).mean() == pytest.approx(0.2916, rel=1e-3)
