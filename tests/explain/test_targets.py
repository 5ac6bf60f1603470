"""What may be explained, and the errors of what may not."""

import keras
import numpy as np
import pytest
from keras import layers as kl
from keras import ops

from keras_strategies import explain
from tests.explain.models import KINDS, images, moved, segmentation, two_inputs


def linear(outputs=3, activation=None):
    """A model whose gradients are its kernel."""
    return keras.Sequential(
        [keras.Input((4,)), kl.Dense(outputs, activation=activation)]
    )


X = np.random.default_rng(5).normal(size=(3, 4)).astype("float32")


def gradient(model, target=None, **options):
    return explain.saliency(model, X, target, absolute=False, **options)


def test_indices_arrays_and_the_highest_output():
    model = linear()
    kernel = model.get_weights()[0]
    np.testing.assert_allclose(gradient(model, 2), np.tile(kernel[:, 2], (3, 1)))
    indices = [2, 0, 1]
    np.testing.assert_allclose(gradient(model, indices), kernel[:, indices].T)
    top = model.predict(X, verbose=0).argmax(axis=1)
    np.testing.assert_allclose(gradient(model), kernel[:, top].T)


def test_logits_or_probabilities_by_an_argument():
    model = linear(activation="softmax")
    kernel, _ = model.get_weights()
    np.testing.assert_allclose(gradient(model, 1), np.tile(kernel[:, 1], (3, 1)))
    p = model.predict(X, verbose=0)
    expected = p[:, 1:2] * (kernel[:, 1] - p @ kernel.T)
    found = gradient(model, 1, logits=False)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(
    "end",
    [
        lambda x: kl.Dense(3, activation="softmax")(x),
        lambda x: kl.Activation("softmax", dtype="float32")(kl.Dense(3)(x)),
        lambda x: kl.Softmax()(kl.Dense(3)(x)),
        lambda x: ops.softmax(kl.Dense(3)(x)),
        lambda x: kl.Dropout(0.1)(kl.Reshape((3,))(kl.Dense(3, "sigmoid")(x))),
    ],
)
def test_every_form_of_a_last_activation_is_left_out(end):
    inputs = keras.Input((4,))
    model = keras.Model(inputs, end(inputs))
    outer = keras.Model(inputs, model(inputs))
    [kernel] = [w for w in model.get_weights() if w.ndim == 2]
    for one in (model, outer):
        found = gradient(one, 1)
        np.testing.assert_allclose(found, np.tile(kernel[:, 1], (3, 1)), rtol=1e-6)
    assert np.abs(model.predict(X, verbose=0)).max() <= 1  # as it was


def test_a_softmax_out_of_sight_is_refused():
    class Hidden(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = kl.Dense(3)

        def call(self, inputs):
            return ops.softmax(self.dense(inputs))

    model = Hidden()
    model(X)
    with pytest.raises(ValueError, match="before the softmax cannot be found"):
        gradient(model, 1)
    assert gradient(model, 1, logits=False).shape == X.shape


def test_one_output_is_the_target_of_regression():
    model = linear(1)
    expected = np.tile(model.get_weights()[0][:, 0], (3, 1))
    np.testing.assert_allclose(gradient(model), expected)
    np.testing.assert_allclose(gradient(model, 0), expected)


def test_functions_of_the_output():
    model = linear()
    kernel = model.get_weights()[0]
    found = gradient(model, lambda output: output[:, 0] - output[:, 2])
    expected = np.tile(kernel[:, 0] - kernel[:, 2], (3, 1))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("kind", ["cosine", "dot", "distance"])
def test_similarity_to_another_sample(kind):
    model, reference = linear(), X[:1] + 1
    target = explain.Similarity(reference, kind)
    found = gradient(model, target)
    kernel, e = model.get_weights()[0], model.predict(reference, verbose=0)
    z = model.predict(X, verbose=0)
    length, other = (np.linalg.norm(v, axis=1, keepdims=True) for v in (z, e))
    slope = {
        "dot": np.tile(e, (3, 1)),
        "distance": -(z - e) / np.linalg.norm(z - e, axis=1, keepdims=True),
        "cosine": e / (length * other)
        - z * (z * e).sum(1, keepdims=True) / (length**3 * other),
    }[kind]
    np.testing.assert_allclose(found, slope @ kernel.T, rtol=1e-3, atol=1e-5)


def test_one_of_several_outputs():
    inputs = keras.Input((4,))
    ends = [kl.Dense(2, name="a")(inputs), kl.Dense(3, name="b")(inputs)]
    model = keras.Model(inputs, ends)
    kernel = ops.convert_to_numpy(model.get_layer("b").kernel)
    expected = np.tile(kernel[:, 2], (3, 1))
    np.testing.assert_allclose(gradient(model, {"b": 2}), expected)
    np.testing.assert_allclose(gradient(model, {1: 2}), expected)
    with pytest.raises(ValueError, match="must name an output"):
        gradient(model, 2)
    with pytest.raises(ValueError, match="must have one entry"):
        gradient(model, {"c": 2})
    smooth = explain.smooth_grad(model, X, {"b": None}, samples=2)
    top = model.predict(X, verbose=0)[1].argmax(axis=1)
    np.testing.assert_allclose(smooth, np.abs(kernel[:, top].T), rtol=1e-5)


@pytest.mark.parametrize("target", [3, -1, [0, 1, 3]])
def test_a_target_out_of_range(target):
    with pytest.raises(ValueError, match=r"must be in \[0, 2\]: the model has 3 out"):
        gradient(linear(), target)


def test_other_bad_targets():
    with pytest.raises(TypeError, match="must be None, the index"):
        gradient(linear(), 1.5)
    with pytest.raises(ValueError, match="an index for each sample"):
        gradient(linear(), [0, 1])
    with pytest.raises(ValueError, match=r"return a number for each sample"):
        gradient(linear(), lambda output: output)
    with pytest.raises(ValueError, match="an output at each position"):
        gradient(linear(), explain.Region(np.ones((2, 2)), 0))
    with pytest.raises(ValueError, match="many positions"):
        explain.saliency(segmentation(), images(1, 8, 1))
    with pytest.raises(ValueError, match="positions of the output"):
        explain.saliency(
            segmentation(), images(1, 8, 1), explain.Region(np.ones((4, 4)), 0)
        )
    with pytest.raises(ValueError, match="one sample, or one for each"):
        gradient(linear(), explain.Similarity(X[:2]))
    with pytest.raises(ValueError, match="positive entry"):
        explain.Region(np.zeros((2, 2)), 0)
    with pytest.raises(ValueError, match="`kind` must be one of"):
        explain.Similarity(X, "near")


def test_bad_inputs():
    model = moved(KINDS[0]())
    with pytest.raises(ValueError, match=r"array\[None\] makes one"):
        explain.saliency(model, images(1)[0])
    with pytest.raises(ValueError, match="at least one"):
        explain.saliency(model, images(1)[:0])
    with pytest.raises(ValueError, match="finite numbers"):
        explain.saliency(model, images(1) * np.nan)
    with pytest.raises(ValueError, match="an array for each input"):
        explain.saliency(two_inputs(), [images(1, 8, 1)])
    with pytest.raises(TypeError, match="`model` must be a"):
        explain.saliency(lambda x: x, images(1))
    with pytest.raises(ValueError, match="`batch_size` must be"):
        explain.saliency(model, images(1), batch_size=0)


def test_inputs_of_integers_are_refused():
    tokens = keras.Input((5,), dtype="int32")
    x = kl.GlobalAveragePooling1D()(kl.Embedding(7, 3)(tokens))
    model = keras.Model(tokens, kl.Dense(2)(x))
    for method in (explain.saliency, explain.integrated_gradients):
        with pytest.raises(ValueError, match="token_attributions"):
            method(model, np.ones((2, 5), int), 0)


def test_an_output_without_a_gradient_is_refused():
    inputs = keras.Input((4,))
    model = keras.Model(inputs, kl.Dense(2)(ops.stop_gradient(inputs)))
    if keras.backend.backend() == "jax":  # zeros there
        assert not gradient(model, 0).any()
        return
    with pytest.raises(ValueError, match="operations that have a gradient"):
        gradient(model, 0)


def test_no_convolution_for_a_map():
    with pytest.raises(ValueError, match="use saliency"):
        explain.grad_cam(
            keras.Sequential([keras.Input((8, 8, 1)), kl.Flatten(), kl.Dense(2)]),
            images(1, 8, 1),
        )
    with pytest.raises(ValueError, match="images, volumes or sequences"):
        explain.grad_cam(linear(), X)
    pooled = [keras.Input((8, 8, 1)), kl.AveragePooling2D(2, name="pool"), kl.Flatten()]
    model = keras.Sequential([*pooled, kl.Dense(2)])
    with pytest.raises(ValueError, match=r"with a convolution.*layers=\['pool'\]"):
        explain.grad_cam(model, images(1, 8, 1))
    assert explain.grad_cam(model, images(1, 8, 1), layer="pool").shape == (1, 8, 8)


def test_a_layer_that_does_not_serve():
    model, x = KINDS[0](), images(1)
    with pytest.raises(ValueError, match=r"These layers do: .*first.*last"):
        explain.grad_cam(model, x, layer="global_average_pooling2d.*")
    with pytest.raises(ValueError, match="must select one layer"):
        explain.grad_cam(model, x, layer="first|last")
    with pytest.raises(ValueError, match="must match at least one"):
        explain.grad_cam(model, x, layer="nothing")
    image = keras.Input((8, 8, 1))
    shared = kl.Conv2D(1, 3, padding="same", name="shared")
    model = keras.Model(image, kl.Dense(2)(kl.Flatten()(shared(shared(image)))))
    with pytest.raises(ValueError, match="called once"):
        explain.grad_cam(model, images(1, 8, 1), layer="shared")


def test_bad_options():
    model = linear()
    for options in ({"points": 0}, {"tolerance": 0}, {"max_points": 0}):
        with pytest.raises(ValueError):
            explain.integrated_gradients(model, X, 0, **options)
    with pytest.raises(ValueError, match="shape of the inputs"):
        explain.integrated_gradients(model, X, 0, baseline=np.zeros(3))
    for options in ({"samples": 0}, {"noise": -1}, {"reduction": "max"}):
        with pytest.raises(ValueError):
            explain.smooth_grad(model, X, 0, **options)
    with pytest.raises(TypeError, match="must be a function"):
        explain.smooth_grad(model, X, 0, method="saliency")
    with pytest.raises(ValueError, match="max_channels"):
        explain.score_cam(KINDS[0](), images(1), max_channels=0)
