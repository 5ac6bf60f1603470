"""Each distance against the formula of its paper, Keras and torchdistill.

The numbers of torchdistill are those of its 1.1.5: `KDLoss` times `T**2`, `ATLoss` in
its mode "code", `RKDLoss`. It has no decoupled distillation.
"""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_strategies.training._distill import losses
from keras_strategies.training._distill import outputs as output_kinds
from tests.training.distill import references

S = np.float32([[1, 2, 0], [0.5, -1, 1.5]])
T = np.float32([[0, 3, 1], [2, 0, 1]])
Y = np.array([1, 0])


def numbers(tensor):
    return np.array(keras.ops.convert_to_numpy(tensor))


@pytest.mark.parametrize(
    ("temperature", "expected"), [(1, 0.29160033), (2, 0.35958324), (4, 0.38819792)]
)
def test_logits_as_torchdistill(temperature, expected):
    found = numbers(losses.logits_loss(S, T, temperature=temperature))
    assert found.mean() == pytest.approx(expected, rel=2e-5)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000), temperature=st.floats(0.5, 8))
def test_logits_and_probabilities(seed, temperature):
    rng = np.random.default_rng(seed)
    student, teacher = rng.normal(size=(2, 5, 4)).astype("float32") * 3
    expected = references.hinton(student, teacher, temperature)
    found = numbers(losses.logits_loss(student, teacher, temperature=temperature))
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
    # Probabilities on either side, or on both.
    pairs = [(False, False), (True, False), (False, True)]
    for own, theirs in pairs:
        s = student if own else references.softmax(student)
        t = teacher if theirs else references.softmax(teacher)
        found = numbers(
            losses.logits_loss(s, t, "categorical", own, temperature, theirs)
        )
        np.testing.assert_allclose(found, expected, rtol=2e-3, atol=1e-3)


def test_keras_agrees_where_it_computes_what_it_says():
    """With a loss object in place of its default, see test_keras_distiller.py."""
    for temperature in (1.0, 3.0):
        theirs = keras.distillation.LogitsDistillation(
            temperature, keras.losses.KLDivergence()
        )
        expected = float(numbers(theirs.compute_loss(T, S)))
        found = numbers(losses.logits_loss(S, T, temperature=temperature)).mean()
        assert found == pytest.approx(expected, rel=1e-4)


def test_single_probabilities_are_two_classes():
    student, teacher = np.float32([[0.3], [-1.0]]), np.float32([[2.0], [0.5]])
    p, q = (1 / (1 + np.exp(-value / 2)) for value in (teacher, student))
    expected = 4 * (p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q)))
    found = numbers(losses.logits_loss(student, teacher, "binary", True, 2.0))
    np.testing.assert_allclose(found, expected[:, 0], rtol=1e-5)
    certain = numbers(
        losses.logits_loss(np.float32([[0.0]]), np.float32([[1.0]]), "binary", False)
    )
    assert np.isfinite(certain).all()


def test_values_are_compared_by_their_square():
    found = numbers(
        losses.logits_loss(
            np.float32([[1, 2], [0, 0]]), np.float32([[1, 4], [3, 4]]), "values"
        )
    )
    np.testing.assert_allclose(found, [2.0, 12.5])


@pytest.mark.parametrize(
    ("temperature", "target", "others"),
    [(1, 0.22721389, 2.52462934), (2, 0.20838683, 2.93547088)],
)
def test_decoupled_by_hand(temperature, target, others):
    first = losses.decoupled_loss(S, T, Y, True, temperature, 1.0, 0.0)
    second = losses.decoupled_loss(S, T, Y, True, temperature, 0.0, 8.0)
    assert numbers(first).mean() == pytest.approx(target, rel=1e-5)
    assert numbers(second).mean() == pytest.approx(others, rel=1e-5)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000), temperature=st.floats(0.5, 6))
def test_decoupled(seed, temperature):
    rng = np.random.default_rng(seed)
    student, teacher = rng.normal(size=(2, 6, 4)).astype("float32") * 2
    labels = rng.integers(0, 4, 6)
    expected = references.decoupled(student, teacher, labels, temperature, 1.0, 8.0)
    for form in (labels, labels[:, None], np.eye(4, dtype="float32")[labels]):
        found = numbers(
            losses.decoupled_loss(student, teacher, form, True, temperature)
        )
        np.testing.assert_allclose(found, expected, rtol=2e-3, atol=1e-3)
    # TCKD + (1 - p_y) NCKD is the plain loss (equation 7 of the paper).
    soft = references.softmax(teacher / temperature)
    part = 1 - soft[np.arange(6), labels]
    first = references.decoupled(student, teacher, labels, temperature, 1.0, 0.0)
    second = references.decoupled(student, teacher, labels, temperature, 0.0, 1.0)
    np.testing.assert_allclose(
        first + part * second,
        references.hinton(student, teacher, temperature),
        rtol=1e-5,
        atol=1e-6,
    )


def test_attention_as_torchdistill():
    a = np.arange(1, 9, dtype="float32").reshape(1, 2, 2, 2)
    b = np.float32([[[[1, 0, 2], [0, 1, 1]], [[3, 1, 0], [2, 2, 1]]]])
    assert numbers(losses.attention_loss(a, b))[0] == pytest.approx(
        0.05144624, rel=1e-5
    )
    first = losses.attention_loss(
        a.transpose(0, 3, 1, 2), b.transpose(0, 3, 1, 2), False
    )
    assert numbers(first)[0] == pytest.approx(0.05144624, rel=1e-5)


def test_relational_as_torchdistill():
    s = np.float32([[0, 0], [3, 4], [1, 0]])
    t = np.float32([[0, 0, 0], [1, 2, 2], [0, 0, 4]])
    distance = numbers(losses.relational_loss(s, t, 1.0, 0.0))
    angle = numbers(losses.relational_loss(s, t, 0.0, 1.0))
    assert distance.shape == angle.shape == (3,)
    assert distance.mean() == pytest.approx(0.14035855, rel=1e-5)
    assert angle.mean() == pytest.approx(0.07384863, rel=1e-5)


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 1000))
def test_features(seed):
    rng = np.random.default_rng(seed)
    s, t = rng.normal(size=(5, 2, 2, 3)), rng.normal(size=(5, 2, 2, 4))
    s, t = s.astype("float32"), t.astype("float32")
    np.testing.assert_allclose(
        numbers(losses.attention_loss(s, t)), references.attention(s, t), rtol=1e-4
    )
    flat = (s.reshape(5, -1), t.reshape(5, -1))
    assert numbers(losses.relational_loss(s, t)).mean() == pytest.approx(
        references.relational(*flat, 1.0, 2.0), rel=1e-4
    )
    np.testing.assert_allclose(
        numbers(losses.hint_loss(s, s + 2)), np.full(5, 4.0), rtol=1e-5
    )


def test_equal_samples_have_finite_gradients():
    """A batch may hold one image twice: the square root is steep at zero."""
    weight = keras.Variable(np.eye(2, dtype="float32"))
    x = np.float32([[1, 2], [1, 2], [3, 1], [0, 4]])
    teacher = np.float32([[0, 1], [2, 2], [1, 0], [1, 0]])
    layer = keras.layers.Dense(2, use_bias=False)
    model = keras.Sequential([keras.Input((2,)), layer])
    layer.set_weights([numbers(weight)])

    def loss(y_true, y_pred):
        return losses.relational_loss(y_pred, y_true)

    model.compile(keras.optimizers.SGD(0.1), loss)
    model.fit(x, teacher, batch_size=4, verbose=0)
    moved = layer.get_weights()[0]
    assert np.isfinite(moved).all()
    assert np.abs(moved - np.eye(2)).max() > 1e-4


def test_maps_of_two_sizes_meet_at_the_smaller():
    s = np.arange(16, dtype="float32").reshape(1, 4, 4, 1)
    t = np.ones((1, 2, 2, 3), "float32")
    own, theirs = losses.same_places(s, t)
    assert tuple(own.shape) == (1, 2, 2, 1)
    assert theirs is t
    vectors = losses.same_places(np.ones((2, 3)), np.ones((2, 4)))
    assert vectors[0].shape == (2, 3)


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        ("sparse_categorical_crossentropy", ("categorical", False)),
        (keras.losses.CategoricalCrossentropy(from_logits=True), ("categorical", True)),
        (keras.losses.BinaryFocalCrossentropy(), ("binary", False)),
        ("kl_divergence", ("categorical", False)),
        ("mse", ("values", False)),
        (keras.losses.Huber(), ("values", False)),
    ],
)
def test_the_compiled_loss_says_what_outputs_are(loss, expected):
    assert output_kinds.kind_of(loss) == expected


def test_of_a_loss_of_ones_own_the_activation_says_it():
    def loss(y_true, y_pred):
        return keras.ops.mean(y_pred, axis=-1)

    class Loss(keras.losses.Loss):
        call = staticmethod(loss)

    for own in (loss, Loss()):
        assert output_kinds.kind_of(own, "softmax") == ("categorical", False)
        assert output_kinds.kind_of(own, "sigmoid") == ("binary", False)
        assert output_kinds.kind_of(own, None) == ("values", False)
    assert output_kinds.kind_of("mse", "softmax") == ("values", False)
    assert output_kinds.kinds_of(loss, [0], [], ["softmax"]) == [("categorical", False)]


def test_losses_of_several_outputs():
    outputs = {"b": 0, "a": 0}
    found = output_kinds.kinds_of({"a": "mse", "b": None}, outputs, ["x", "y"])
    assert found == [("values", False), None]
    found = output_kinds.kinds_of({"y": "mse"}, [0, 0], ["x", "y"])
    assert found == [None, ("values", False)]
    assert output_kinds.kinds_of("mse", [0, 0], []) == [("values", False)] * 2
    with pytest.raises(ValueError, match="one loss for each output"):
        output_kinds.kinds_of(["mse"], [0, 0], [])
    with pytest.raises(ValueError, match="loss of the student must be known"):
        output_kinds.kinds_of(None, [0], [])


def test_probabilities_are_told_from_logits_by_numbers():
    assert output_kinds.are_logits([[0.1, 2.0]], "categorical")
    assert output_kinds.are_logits([[0.2, 0.2]], "categorical")
    assert not output_kinds.are_logits([[0.3, 0.7]], "categorical")
    assert not output_kinds.are_logits([[0.3]], "binary")
    assert output_kinds.are_logits([[-0.3]], "binary")
