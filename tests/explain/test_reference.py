"""Values of other libraries on the same small network.

Network and input are in `models.reference`; the target is output 1. The figures of
Captum 0.9.0 (https://captum.ai) were made on the Torch backend with its defaults and
`n_steps=200`, those of tf-keras-vis 0.8.7 (https://github.com/keisen/tf-keras-vis) on
the same weights in tf_keras.
"""

import numpy as np
import pytest

from keras_strategies import explain
from tests.explain.models import reference, reference_input

SALIENCY = [
    [0.2866994, 0.1470655, 0.0291138, 0.0371816],
    [0.3031451, 0.6982312, 0.3053363, 0.2530425],
    [0.4724093, 0.362022, 0.2845583, 0.5138998],
    [0.2011696, 0.475396, 0.3435052, 0.207717],
]
INPUT_X_GRADIENT = [
    [0, 0.0367664, -0.0145569, 0.0278862],
    [-0.3031451, 0, 0.0763341, 0.1265213],
    [-0.354307, 0.362022, 0, -0.128475],
    [0.1005848, 0.356547, -0.3435052, 0],
]
INTEGRATED = [
    [0, 0.0356878, -0.0115978, 0.0304096],
    [-0.2790713, 0, 0.0782272, 0.1251379],
    [-0.3804771, 0.3259057, 0, -0.1292069],
    [0.1031994, 0.3699943, -0.3514472, 0],
]


@pytest.mark.parametrize("activation", [None, "softmax", "sigmoid"])
def test_gradients_as_captum(activation):
    model, x = reference(activation), reference_input()
    saliency = explain.saliency(model, x, 1)
    np.testing.assert_allclose(saliency[0, ..., 0], SALIENCY, atol=2e-6)
    product = explain.grad_times_input(model, x, 1)
    np.testing.assert_allclose(product[0, ..., 0], INPUT_X_GRADIENT, atol=2e-6)


def test_integrated_gradients_as_captum():
    found = explain.integrated_gradients(reference(), reference_input(), 1, points=64)
    np.testing.assert_allclose(found[0, ..., 0], INTEGRATED, atol=2e-6)


def _at_features(function):
    """A map before it is resized: the input is as large as the features are."""
    from keras_strategies.explain._cams import features, maps
    from keras_strategies.explain._engine.explained import Explained

    where = features.site(Explained(reference(), reference_input(), 1), None)
    return getattr(maps, function)(*features.features_and_gradients(where))[0]


def test_grad_cam_and_layer_cam_as_tf_keras_vis():
    expected = np.zeros((3, 3))
    expected[0, 1] = expected[1, 2] = 0.005537
    np.testing.assert_allclose(_at_features("grad_cam_map"), expected, atol=1e-6)
    expected = [[0, 0, 0.004166], [0, 0.079678, 0], [0.011118, 0, 0.0435]]
    np.testing.assert_allclose(_at_features("layer_cam_map"), expected, atol=1e-6)


def test_grad_cam_plus_plus_by_the_paper_and_as_tf_keras_vis():
    """The same map but for two factors that tf-keras-vis has and the paper has not.

    It divides the alphas by their sum and keeps exp(y), .045955 for our .192587.
    """
    found = _at_features("grad_cam_plus_plus_map")
    expected = [[0.192587, 0, 0], [0.115179, 0.192587, 0], [0, 0.115179, 0.192587]]
    np.testing.assert_allclose(found, expected, atol=1e-6)

    from keras_strategies.explain._cams import features
    from keras_strategies.explain._engine.explained import Explained

    where = features.site(Explained(reference(), reference_input(), 1), None)
    a, g = features.features_and_gradients(where)
    divisor = 2 * g**2 + a.sum((1, 2), keepdims=True) * g**3
    alpha = np.divide(g**2, divisor, out=np.zeros_like(g), where=divisor != 0)
    alpha /= alpha.sum((1, 2), keepdims=True)
    weights = (alpha * np.maximum(g, 0)).sum((1, 2), keepdims=True)
    score = reference().predict(reference_input(), verbose=0)[0, 1]
    theirs = np.maximum((weights * a).sum(-1), 0) * np.exp(score)
    assert theirs[0, 0, 0] == pytest.approx(0.045955, abs=1e-6)


def test_score_cam_by_its_formula():
    """One channel after the other, by hand."""
    model, x = reference(), reference_input()
    from keras_strategies.explain._cams import features
    from keras_strategies.explain._engine.explained import Explained
    from keras_strategies.explain._engine.resizing import resize

    where = features.site(Explained(model, x, 1), None)
    [a] = features.features_of(where)
    low, high = a.min((0, 1)), a.max((0, 1))
    scores = []
    for channel in range(2):
        mask = (a[..., channel] - low[channel]) / (high - low)[channel]
        masked = x * resize(mask[None], (4, 4))[..., None]
        scores.append(model.predict(masked, verbose=0)[0, 1])
    weights = np.exp(scores) / np.exp(scores).sum()
    expected = resize(np.maximum(a @ weights, 0)[None], (4, 4))
    found = explain.score_cam(model, x, 1)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)
    best = explain.score_cam(model, x, 1, max_channels=1)
    channel = int(np.argmax(a.reshape(-1, 2).std(axis=0)))
    expected = resize(np.maximum(a[..., channel], 0)[None], (4, 4))
    np.testing.assert_allclose(best, expected, rtol=1e-5, atol=1e-7)


def test_eigen_cam_is_the_first_principal_component():
    from keras_strategies.explain._cams.maps import eigen_cam_map

    direction = np.array([0.6, -0.8])
    strength = np.array([[3.0, 1.0], [0.0, -2.0]])
    features = (strength[..., None] * direction)[None]
    expected = np.maximum(strength, 0)
    np.testing.assert_allclose(eigen_cam_map(features)[0], expected, atol=1e-6)
    np.testing.assert_allclose(eigen_cam_map(-features)[0], expected, atol=1e-6)


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (2, 2, 2, 9)])
def test_eigen_cam_by_the_singular_value_decomposition(shape):
    """Fewer positions than channels, and more."""
    from keras_strategies.explain._cams.maps import eigen_cam_map

    features = np.random.default_rng(0).normal(size=shape)
    flat = features.reshape(2, -1, shape[-1])
    _, _, vectors = np.linalg.svd(flat)
    projections = np.einsum("nic,nc->ni", flat, vectors[:, 0])
    projections *= np.sign(projections.sum(axis=1, keepdims=True))
    expected = np.maximum(projections, 0).reshape(shape[:-1])
    np.testing.assert_allclose(eigen_cam_map(features), expected, atol=1e-5)


def test_resizing_is_that_of_images():
    import keras

    from keras_strategies.explain._engine.resizing import resize

    maps = np.random.default_rng(0).random((2, 3, 5)).astype("float32")
    for shape in [(7, 9), (3, 12), (2, 4)]:
        expected = keras.ops.image.resize(maps[..., None], shape, antialias=False)
        expected = keras.ops.convert_to_numpy(expected)[..., 0]
        np.testing.assert_allclose(resize(maps, shape), expected, atol=1e-5)


def test_deletion_as_quantus():
    """Pixel flipping of Quantus 0.6.0 (https://github.com/understandable-machine-
    intelligence-lab/Quantus), two pixels a step; its curve begins behind the first."""
    maps = np.array(INPUT_X_GRADIENT, "float32").reshape(1, 4, 4, 1)
    report = explain.evaluate(
        reference(),
        reference_input(),
        np.array([1]),
        methods={"maps": maps},
        metrics=["deletion"],
        steps=8,
    )
    curve = [-0.0334045, -0.6448902, -0.8577234, -0.9681015, -0.9928662]
    curve += [-0.9928662, -0.9835905, -0.6223773, 0.049834]
    expected = (np.add(curve[1:], curve[:-1]) / 2).mean()
    assert report.rows[0]["deletion"] == pytest.approx(expected, abs=2e-6)
