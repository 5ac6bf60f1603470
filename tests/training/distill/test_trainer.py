"""DistillationTrainer: the loss of a step, what is trained, files, bad input."""

import keras
import numpy as np
import pytest

from keras_strategies import training
from keras_strategies.training._distill.capturing import capturing, layer_at
from tests.training.distill import references
from tests.training.distill.models import LOGITS, L, X, Y, compiled, network, values

PAIRS = [("conv_2", "conv_2")]
KINDS = {
    "logits": {},
    "decoupled": {"kind": "decoupled"},
    "hints": {"kind": "hints", "layers": PAIRS},
    "attention": {"kind": "attention", "layers": PAIRS},
    "relational": {"kind": "relational"},
    "several": {
        "kind": {"logits": 1.0, "hints": 0.5, "relational": 0.1},
        "layers": [("embedding", "embedding")],
    },
}
# The loss of a step is compared for each kind, by `test_the_loss_of_a_step`.
QUICK = ("logits", "several")
CE = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction=None)


def features(model, name):
    with capturing([layer_at(model, name, "model")]) as found:
        outputs = model(X, training=False)
    return values([outputs, *found])


def expected_distance(kind, student, teacher, projection=None):
    """In NumPy, at inference (without BatchNormalization that is the same)."""
    s, s_map = features(student, "conv_2")
    t, t_map = features(teacher, "conv_2")
    if kind == "logits":
        return references.hinton(s, t, 4.0)
    if kind == "decoupled":
        return references.decoupled(s, t, Y, 4.0, 1.0, 8.0)
    if kind == "relational":
        return np.full(len(X), references.relational(s, t, 1.0, 2.0))
    # The student's map has twice the side: the mean over windows of the antialias.
    s_map = values([keras.ops.image.resize(s_map, (4, 4), antialias=True)])[0]
    if kind == "attention":
        return references.attention(s_map, t_map)
    kernel, bias = values(projection.weights)
    return ((s_map @ kernel + bias - t_map) ** 2).mean((1, 2, 3))


@pytest.mark.parametrize("kind", [k for k in KINDS if k != "several"])
def test_the_loss_of_a_step(kind):
    teacher, student = network(12, norm=False), network(4, 1, norm=False)
    trainer = training.DistillationTrainer(student, teacher, alpha=0.3, **KINDS[kind])
    compiled(trainer)
    projection = trainer.projections[0] if trainer.projections else None
    distance = expected_distance(kind, student, teacher, projection)
    own = values([CE(Y, values([student(X)])[0])])[0]
    weight = np.float32(np.arange(32) % 2 * 2) if kind != "relational" else None
    scale = 1 if weight is None else weight
    expected = (0.7 * own * scale + 0.3 * distance * scale).mean()
    history = trainer.fit(
        X, Y, batch_size=32, sample_weight=weight, shuffle=False, verbose=0
    ).history
    assert history["loss"][0] == pytest.approx(expected, rel=1e-4)
    assert history["student_loss"][0] == pytest.approx((own * scale).mean(), rel=1e-4)
    assert history["distillation_loss"][0] == pytest.approx(
        (distance * scale).mean(), rel=1e-4
    )


def test_class_weights_are_sample_weights():
    histories = []
    for arguments in (
        {"class_weight": {0: 1.0, 1: 3.0, 2: 0.0}},
        {"sample_weight": np.float32([1, 3, 0])[Y]},
    ):
        trainer = compiled(
            training.DistillationTrainer(network(4, 1), network(12), "decoupled")
        )
        done = trainer.fit(X, Y, batch_size=16, shuffle=False, verbose=0, **arguments)
        histories.append(done.history["loss"][0])
    assert histories[0] == pytest.approx(histories[1], rel=1e-6)


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, marks=[pytest.mark.slow] * (kind not in QUICK))
        for kind in KINDS
    ],
)
def test_the_student_trains_the_teacher_does_not_and_a_file_goes_on(kind, tmp_path):
    teacher, student = network(12), network(4, 1)
    flags = [v.trainable for v in teacher.weights]
    before = values(teacher.variables)
    trainer = compiled(training.DistillationTrainer(student, teacher, **KINDS[kind]))
    start = values(student.weights)
    trainer.fit(X, Y, batch_size=16, verbose=0)
    moved = [
        (a != b).any() for a, b in zip(start, values(student.weights), strict=True)
    ]
    assert all(moved)
    for one, other in zip(before, values(teacher.variables), strict=True):
        np.testing.assert_array_equal(one, other)
    assert [v.trainable for v in teacher.weights] == flags
    # In use it is the student.
    np.testing.assert_allclose(
        trainer.predict(X, verbose=0), student.predict(X, verbose=0), rtol=1e-5
    )
    logs = trainer.evaluate(X, Y, verbose=0, return_dict=True)
    assert set(logs) == {"loss", "accuracy"}
    own = values([CE(Y, student.predict(X, verbose=0))])[0].mean()
    assert logs["loss"] == pytest.approx(own, rel=1e-4)
    trainer.save(tmp_path / "t.keras")
    loaded = keras.models.load_model(tmp_path / "t.keras")
    assert len(loaded.trainable_variables) == len(trainer.trainable_variables)
    arguments = {"batch_size": 16, "shuffle": False, "verbose": 0}
    losses = [m.fit(X, Y, **arguments).history["loss"][0] for m in (trainer, loaded)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_regularizers_of_the_teacher_do_not_count():
    teacher = network(12, norm=False)
    plain = network(4, 1, norm=False)
    losses = []
    for regularizer in (None, "l2"):
        for layer in teacher.layers:
            if hasattr(layer, "kernel"):
                layer.kernel.regularizer = keras.regularizers.get(regularizer)
        student = network(4, 1, norm=False)
        student.set_weights(plain.get_weights())
        trainer = compiled(training.DistillationTrainer(student, teacher))
        done = trainer.fit(X, Y, batch_size=32, shuffle=False, verbose=0)
        losses.append(done.history["loss"][0])
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


@pytest.mark.parametrize("alpha", [0.25, 1.0])
def test_regularizers_of_the_student_count_in_full(alpha):
    teacher, losses = network(12, norm=False), []
    for regularizer in (None, keras.regularizers.L2(0.1)):
        student = network(4, 1, norm=False)
        student.get_layer("out").kernel.regularizer = regularizer
        trainer = compiled(training.DistillationTrainer(student, teacher, alpha=alpha))
        penalty = 0.1 * np.square(values(student.get_layer("out").weights)[0]).sum()
        done = trainer.fit(X, Y, batch_size=32, shuffle=False, verbose=0)
        losses.append(done.history["loss"][0])
    assert losses[1] - losses[0] == pytest.approx(penalty, rel=1e-4)


def test_the_moving_average_of_the_student_teaches(tmp_path):
    student = network(4, 1)
    trainer = compiled(
        training.DistillationTrainer(student, "ema", ema_momentum=0.75), rate=0.5
    )
    before = values(student.weights)
    trainer.fit(X, Y, batch_size=32, verbose=0)
    (teacher,) = trainer.teachers
    # It moves towards the weights before each update: after one step not at all. The
    # statistics of BatchNormalization have moved in the forward pass by then.
    plain = [i for i, v in enumerate(student.weights) if "moving" not in v.name]
    for i in plain:
        np.testing.assert_allclose(
            before[i], values(teacher.weights)[i], rtol=1e-5, atol=1e-6
        )
    middle = values(student.weights)
    trainer.fit(X, Y, batch_size=32, verbose=0)
    for i in plain:
        np.testing.assert_allclose(
            values(teacher.weights)[i],
            0.75 * before[i] + 0.25 * middle[i],
            rtol=1e-4,
            atol=1e-5,
        )
    trainer.save(tmp_path / "t.keras")
    loaded = keras.models.load_model(tmp_path / "t.keras")
    for one, other in zip(
        values(teacher.weights), values(loaded.teachers[0].weights), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_several_teachers_are_averaged():
    one, two = network(12, 3, norm=False), network(10, 4, norm=False)
    student = network(4, 1, norm=False)
    s, a, b = values([student(X), one(X), two(X)])
    for weights in (None, [0.9, 0.1]):
        student = network(4, 1, norm=False)
        trainer = compiled(
            training.DistillationTrainer(
                student, [one, two], alpha=1.0, teacher_weights=weights
            )
        )
        found = trainer.fit(X, Y, batch_size=32, verbose=0).history["loss"][0]
        w = weights or [0.5, 0.5]
        parts = [references.hinton(s, t, 4.0).mean() for t in (a, b)]
        assert found == pytest.approx(w[0] * parts[0] + w[1] * parts[1], rel=1e-4)


def test_logits_of_one_and_probabilities_of_the_other():
    teacher = network(12, activation="softmax", norm=False)
    student = network(4, 1, norm=False)
    s, t = values([student(X), teacher(X)])
    trainer = compiled(training.DistillationTrainer(student, teacher, alpha=1.0))
    found = trainer.fit(X, Y, batch_size=32, verbose=0).history["loss"][0]
    assert found == pytest.approx(references.hinton(s, np.log(t), 4.0).mean(), rel=1e-3)


def test_regression_and_several_outputs():
    def model(width, seed):
        keras.utils.set_random_seed(seed)
        inputs = keras.Input((4,))
        x = L.Dense(width, "relu")(inputs)
        outputs = {
            "value": L.Dense(2, name="value")(x),
            "kind": L.Dense(3, name="kind", activation="softmax")(x),
            "extra": L.Identity(name="extra")(x[:, :1]),
        }
        return keras.Model(inputs, outputs)

    rng = np.random.default_rng(0)
    x = rng.normal(size=(16, 4)).astype("float32")
    y = {
        "value": rng.normal(size=(16, 2)),
        "kind": np.arange(16) % 3,
        "extra": rng.normal(size=(16, 1)),
    }
    losses = {"value": "mse", "kind": "sparse_categorical_crossentropy"}
    teacher, student = model(16, 0), model(4, 1)
    s, t = (m.predict(x, verbose=0) for m in (student, teacher))
    trainer = training.DistillationTrainer(student, teacher, alpha=1.0)
    trainer.compile("sgd", {**losses, "extra": None})
    found = trainer.fit(x, y, batch_size=16, verbose=0).history["loss"][0]
    square = ((s["value"] - t["value"]) ** 2).mean()
    soft = references.hinton(np.log(s["kind"]), np.log(t["kind"]), 4.0).mean()
    assert found == pytest.approx((square + soft) / 2, rel=1e-3)


def test_nested_and_subclassed_models():
    class Student(keras.Model):
        def __init__(self):
            super().__init__()
            self.first = L.Conv2D(3, 3, activation="relu", name="first")
            self.head = L.Dense(3)

        def call(self, x):
            return self.head(keras.ops.mean(self.first(x), axis=(1, 2)))

    student = Student()
    student(X)
    inner = network(12)
    inputs = keras.Input((8, 8, 1))
    teacher = keras.Model(inputs, inner(inputs), name="outer")
    trainer = training.DistillationTrainer(
        student, teacher, "hints", layers=[(f"{inner.name}/conv_2", "first")]
    )
    assert trainer.projections[0].kernel.shape == (3, 12)
    compiled(trainer).fit(X, Y, verbose=0)


def test_mixed_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    trainer = training.DistillationTrainer(
        network(4, 1), network(12), "hints", layers=PAIRS
    )
    history = compiled(trainer).fit(X, Y, batch_size=16, verbose=0).history
    assert np.isfinite(history["loss"]).all()


@pytest.mark.parametrize("jit", [True])
def test_xla(jit):
    if keras.backend.backend() == "torch":
        jit = False
    trainer = training.DistillationTrainer(
        network(4, 1), network(12), {"logits": 1, "relational": 1}
    )
    trainer.compile("adam", LOGITS, jit_compile=jit)
    assert np.isfinite(trainer.fit(X, Y, verbose=0).history["loss"]).all()


def bad(error, text, **arguments):
    arguments = {"student": network(4, 1), "teacher": network(12), **arguments}
    with pytest.raises(error, match=text):
        training.DistillationTrainer(**arguments)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"kind": "best"}, ValueError, "`kind` must be one of"),
        ({"kind": {}}, ValueError, "must name a distance"),
        ({"kind": {"logits": 0}}, ValueError, "must be greater than 0"),
        ({"kind": 3}, TypeError, "`kind` must be"),
        ({"alpha": 1.5}, ValueError, "`alpha` must be in"),
        ({"temperature": 0}, ValueError, "`temperature` must be"),
        ({"kind": "hints"}, ValueError, "`layers` must be given"),
        ({"layers": ["conv_2"]}, ValueError, "must be pairs"),
        ({"layers": [("nowhere", "conv_2")]}, ValueError, "layer of the teacher"),
        ({"layers": [("conv_2", "nowhere")]}, ValueError, "layer of the student"),
        ({"decoupled": 3}, ValueError, "`decoupled` must be two"),
        ({"relational": (1, -1)}, ValueError, "`relational` must be"),
        ({"ema_momentum": 1.0}, ValueError, "`ema_momentum` must be"),
        ({"teacher": "best"}, ValueError, "`teacher` must be one of"),
        ({"teacher": 3}, TypeError, "`teacher` must be a Model"),
        ({"teacher": []}, ValueError, "`teacher` must have a model"),
        ({"student": 3}, TypeError, "`student` must be a Model"),
        ({"teacher_weights": [1, 2]}, ValueError, "one weight for each teacher"),
        ({"teacher_from_logits": [True, True]}, ValueError, "one entry for each"),
        (
            {"teacher": "cached", "kind": "hints", "layers": PAIRS},
            ValueError,
            "`feature_sizes` must",
        ),
    ],
)
def test_bad_arguments(arguments, error, text):
    bad(error, text, **arguments)


def test_models_that_do_not_fit_together():
    other = keras.Sequential([keras.Input((8, 8, 1)), L.Flatten(), L.Dense(4)])
    bad(ValueError, "same outputs", teacher=other)
    student = network(4, 1)
    bad(ValueError, "another model", student=student, teacher=student)
    bad(ValueError, "`teacher` must be built", teacher=keras.Sequential([L.Dense(3)]))
    both = [network(12), network(10)]
    bad(ValueError, "`layers` needs one teacher", teacher=both, layers=PAIRS)
    inputs = keras.Input((8, 8, 1))
    twice = L.Conv2D(3, 3, padding="same", name="twice")
    x = twice(twice(keras.ops.repeat(inputs, 3, axis=-1)))
    shared = keras.Model(inputs, L.GlobalAveragePooling2D()(x))
    trainer = training.DistillationTrainer(
        shared, network(12), "attention", layers=[("conv_2", "twice")]
    )
    with pytest.raises(ValueError, match="called once"):
        compiled(trainer).fit(X, Y, verbose=0)


def test_decoupled_needs_classes():
    trainer = training.DistillationTrainer(network(4, 1), network(12), "decoupled")
    trainer.compile("sgd", "mse")
    with pytest.raises(ValueError, match="needs outputs for classes"):
        trainer.fit(X, np.eye(3)[Y], verbose=0)
