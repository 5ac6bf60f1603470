"""Every kind of model gives the same explanations, and stays as it is."""

import keras
import numpy as np
import pytest
from keras import layers as kl

from keras_strategies import explain
from tests.explain.models import (
    KINDS,
    images,
    moved,
    reference,
    reference_input,
    segmentation,
    subclassed,
    two_inputs,
)
from tests.markers import slow_on_jax

METHODS = [
    explain.saliency,
    explain.grad_times_input,
    explain.grad_cam,
    explain.grad_cam_plus_plus,
    explain.layer_cam,
    explain.score_cam,
]


@slow_on_jax
def test_four_kinds_of_models_agree():
    x = images()
    found = []
    for kind in KINDS:
        model = moved(kind())
        before = model.get_weights()
        found.append([method(model, x, batch_size=2) for method in METHODS])
        found[-1].append(explain.eigen_cam(model, x))
        for old, new in zip(before, model.get_weights(), strict=True):
            np.testing.assert_array_equal(old, new)
    for other in found[1:]:
        for first, second in zip(found[0], other, strict=True):
            assert first.shape == second.shape
            assert np.abs(first).max() > 0
            np.testing.assert_allclose(first, second, rtol=2e-4, atol=1e-6)


def test_the_layer_is_named():
    x = images(1)
    paths = [explain.find_cam_layer(kind(), x) for kind in KINDS]
    assert paths == ["last", "backbone/last", "backbone/last", "backbone/last"]


@pytest.mark.parametrize("kind", KINDS)
def test_an_earlier_layer_gives_another_map(kind):
    model, x = moved(kind()), images(2)
    path = explain.find_cam_layer(model, x)
    earlier = path.replace("last", "first")
    maps = [explain.layer_cam(model, x, 1, layer=p) for p in (path, earlier, "first")]
    assert np.abs(maps[0] - maps[1]).max() > 1e-3
    np.testing.assert_array_equal(maps[1], maps[2])


def test_batches_change_nothing():
    model, x = moved(KINDS[0]()), images(5)
    for method in METHODS:
        whole, parts = method(model, x), method(model, x, batch_size=2)
        np.testing.assert_allclose(whole, parts, rtol=1e-4, atol=1e-6)


def test_a_program_is_traced_once_and_sees_new_weights():
    traces = []

    @keras.saving.register_keras_serializable("tests.explain")
    class Counted(kl.Layer):
        def call(self, inputs):
            traces.append(1)
            return inputs * 1.0

    model = keras.Sequential([keras.Input((3,)), Counted(), kl.Dense(2)])
    x = np.ones((4, 3), "float32")
    first = explain.saliency(model, x, 0, absolute=False)
    del traces[:]
    explain.saliency(model, x, 0)
    compiled = keras.backend.backend() != "torch"
    # The check for probabilities runs the model on one sample, without a program.
    assert len(traces) <= 1 + (not compiled)
    model.set_weights([-w for w in model.get_weights()])
    second = explain.saliency(model, x, 0, absolute=False)
    np.testing.assert_allclose(second, -first, rtol=1e-6)


def test_a_program_is_new_when_the_variables_are():
    model = keras.Sequential([keras.Input((8,)), kl.Dense(8), kl.Dense(2)])
    x = np.random.default_rng(0).normal(size=(4, 8)).astype("float32")
    first = explain.saliency(model, x, 0, absolute=False)
    layer = model.layers[0]
    layer.enable_lora(2)
    layer.lora_kernel_b.assign(np.ones(layer.lora_kernel_b.shape))
    second = explain.saliency(model, x, 0, absolute=False)
    expected = keras.ops.convert_to_numpy(layer.kernel @ model.layers[1].kernel)[:, 0]
    np.testing.assert_allclose(second, np.tile(expected, (4, 1)), rtol=1e-4, atol=1e-6)
    assert np.abs(second - first).max() > 1e-3


def test_a_model_is_not_kept_alive():
    import gc
    import weakref

    model = reference()
    explain.grad_cam(model, reference_input(), 1)
    explain.saliency(model, reference_input(), 1)
    alive = weakref.ref(model)
    del model
    gc.collect()
    assert alive() is None


def test_losses_of_activations_are_not_recorded():
    model = keras.Sequential(
        [keras.Input((3,)), kl.Dense(4, activity_regularizer="l2"), kl.Dense(2)]
    )
    explain.saliency(model, np.ones((2, 3), "float32"), 0)
    model.compile("sgd", "mse")
    history = model.fit(np.ones((2, 3)), np.ones((2, 2)), verbose=0).history
    assert np.isfinite(history["loss"]).all()


def test_two_inputs_get_attributions_of_their_shapes():
    model = moved(two_inputs())
    x = [images(3, 8, 1), np.random.default_rng(1).random((3, 4)).astype("float32")]
    for method in (explain.saliency, explain.integrated_gradients, explain.smooth_grad):
        found = method(model, x, 2)
        assert [f.shape for f in found] == [a.shape for a in x]
        assert all(np.abs(f).max() > 0 for f in found)
    named = dict(zip(("image", "table"), x, strict=True))
    by_name = explain.saliency(model, named, 2)
    np.testing.assert_allclose(by_name["table"], explain.saliency(model, x, 2)[1])
    assert explain.grad_cam(model, x, 2).shape == (3, 8, 8)
    assert explain.find_cam_layer(model, x) == "features"


def test_integrated_gradients_of_two_inputs_add_up():
    model = moved(two_inputs())
    x = [images(3, 8, 1), np.random.default_rng(1).random((3, 4)).astype("float32")]
    baseline = [0.5, np.full(4, 0.25)]
    found, error = explain.integrated_gradients(
        model, x, 2, baseline=baseline, return_error=True
    )
    assert error.max() <= 0.01
    head = keras.Model(model.input, model.layers[-1].input)

    def score(values):
        kernel, bias = model.layers[-1].get_weights()
        return (head.predict(values, verbose=0) @ kernel + bias)[:, 2]

    start = [np.full_like(a, b) for a, b in zip(x, (0.5, 0.25), strict=True)]
    total = sum(f.reshape(3, -1).sum(axis=1) for f in found)
    np.testing.assert_allclose(total, score(x) - score(start), rtol=0.011)


def test_inputs_of_integers_beside_others_have_no_attributions():
    tokens = keras.Input((5,), dtype="int32", name="tokens")
    table = keras.Input((4,), name="table")
    x = kl.GlobalAveragePooling1D()(kl.Embedding(7, 3)(tokens))
    model = keras.Model([tokens, table], kl.Dense(2)(kl.Concatenate()([x, table])))
    x = [np.ones((2, 5), int), np.ones((2, 4), "float32")]
    found = explain.saliency(model, x, 0)
    assert found[0] is None and found[1].shape == (2, 4)


def test_sequences_and_volumes_have_maps():
    for kind, shape in ((kl.Conv1D, (10, 2)), (kl.Conv3D, (6, 5, 4, 2))):
        pool = {2: kl.GlobalAveragePooling1D, 4: kl.GlobalAveragePooling3D}[len(shape)]
        stack = [kind(3, 2, activation="relu"), pool(), kl.Dense(2)]
        model = moved(keras.Sequential([keras.Input(shape), *stack]))
        x = np.random.default_rng(0).random((2, *shape)).astype("float32")
        assert explain.grad_cam(model, x, 0).shape == (2, *shape[:-1])
        assert explain.score_cam(model, x, 0).shape == (2, *shape[:-1])


def test_segmentation_is_explained_over_a_region():
    model, x = moved(segmentation()), images(2, 8, 1)
    mask = np.zeros((8, 8), bool)
    mask[:2, :2] = True
    region = explain.Region(mask, index=1)
    found = explain.saliency(model, x, region)
    assert found[:, :3, :3].max() > 0
    assert found[:, 4:, 4:].max() == 0  # beyond the reach of a 3 x 3 kernel
    assert explain.grad_cam(model, x, region).shape == (2, 8, 8)
    assert explain.find_cam_layer(model, x) == "features"
    whole = explain.saliency(model, x, explain.Region(np.ones((8, 8)), 1))
    np.testing.assert_allclose(explain.saliency(model, x, 1), whole, atol=1e-6)


def test_images_of_bytes_are_differentiated():
    model, x = moved(KINDS[0]()), images(2)
    pixels = (x * 255).astype("uint8")
    found = explain.saliency(model, pixels, 0)
    expected = explain.saliency(model, pixels.astype("float32"), 0)
    np.testing.assert_array_equal(found, expected)


def test_half_precision_gives_nearly_the_same_map():
    plain = moved(KINDS[0]())
    keras.config.set_dtype_policy("mixed_float16")
    model = moved(KINDS[0]())
    for method in (explain.saliency, explain.grad_cam):
        a, b = method(plain, images(), 0), method(model, images(), 0)
        assert b.dtype == np.float32
        np.testing.assert_allclose(a, b, atol=0.02 * a.max())


def test_a_model_with_a_quantized_layer_has_maps():
    model = moved(KINDS[0]())
    before = explain.grad_cam(model, images(), 0)
    model.layers[-1].quantize("int8")
    after = explain.grad_cam(model, images(), 0)
    assert np.corrcoef(before.ravel(), after.ravel())[0, 1] > 0.95


def test_an_unbuilt_model_is_built():
    model = keras.Sequential([kl.Dense(2)])
    assert explain.saliency(model, np.ones((2, 3)), 0).shape == (2, 3)
    model = subclassed()
    assert explain.saliency(model, images(1)).shape == (1, 12, 12, 3)


def test_of_several_images_the_one_that_the_layer_sees():
    a, b = keras.Input((8, 8, 1), name="a"), keras.Input((6, 6, 1), name="b")
    ends = [
        kl.GlobalMaxPooling2D()(kl.Conv2D(3, 3, activation="relu", name=name)(x))
        for name, x in (("of_a", a), ("of_b", b))
    ]
    joined = kl.Concatenate()(ends)
    model = moved(keras.Model([b, a], kl.Dense(2)(joined)))
    x = {"a": images(2, 8, 1), "b": images(2, 6, 1)}
    with pytest.raises(ValueError, match="`layer` must be given"):
        explain.grad_cam(model, x, 0)
    assert explain.grad_cam(model, x, 0, layer="of_a").shape == (2, 8, 8)
    assert explain.score_cam(model, x, 0, layer="of_b").shape == (2, 6, 6)
    assert explain.grad_cam(model, [x["b"], x["a"]], 0, layer="of_b").shape == (2, 6, 6)
    shared = kl.Conv2D(3, 3, activation="relu", name="shared")
    ends = [kl.GlobalMaxPooling2D()(shared(x)) for x in (a, b)]
    model = keras.Model([a, b], kl.Dense(2)(kl.Concatenate()(ends)))
    with pytest.raises(ValueError, match="called once"):
        explain.grad_cam(model, x, 0, layer="shared")


def test_only_the_last_programs_are_kept():
    from keras_strategies.explain._engine import programs

    model = keras.Sequential([keras.Input((3,)), kl.Dense(2)])
    x = np.ones((1, 3), "float32")
    for _ in range(3):
        explain.saliency(model, x, 0)
    assert len(programs._PROGRAMS[model]) == 1
    before, programs._MOST = programs._MOST, 4
    try:
        for scale in range(6):  # a new function each time
            target = lambda output, by=scale: by * output[:, 0]  # noqa: E731
            explain.saliency(model, x, target)
    finally:
        programs._MOST = before
    assert len(programs._PROGRAMS[model]) == 4
    conv = KINDS[0]()
    for _ in range(3):
        explain.eigen_cam(conv, images(1))
    assert len(programs._PROGRAMS[conv]) == 1


def test_every_structure_of_inputs_is_taken_without_a_warning():
    model = two_inputs()
    x = [images(2, 8, 1), np.ones((2, 4), "float32")]
    named = keras.Model({t.name: t for t in model.inputs}, model.output)
    one = keras.Model([model.inputs[1]], kl.Dense(2)(model.inputs[1]))
    expected = explain.saliency(model, x, 0)
    for other, inputs, keys in (
        (model, tuple(x), (0, 1)),
        (model, {"image": x[0], "table": x[1]}, ("image", "table")),
        (named, {"table": x[1], "image": x[0]}, ("image", "table")),
    ):
        found = explain.saliency(other, inputs, 0)
        for key, array in zip(keys, expected, strict=True):
            np.testing.assert_allclose(found[key], array, rtol=1e-5)
    alone = explain.saliency(one, x[1], 0)
    [in_a_list] = explain.saliency(one, [x[1]], 0)
    np.testing.assert_allclose(alone, in_a_list)
    np.testing.assert_allclose(alone, explain.saliency(one, x[1].tolist(), 0))
    assert alone.shape == (2, 4)


def test_the_layer_is_not_one_of_several_branches():
    image = keras.Input((8, 8, 1))
    x = kl.Conv2D(3, 3, activation="relu", name="stem")(image)
    short = kl.Conv2D(3, 6, name="short")(x)  # one position
    long = kl.Conv2D(3, 3, name="long_1")(kl.Conv2D(3, 3, name="long_0")(x))
    joined = kl.Concatenate()([kl.GlobalMaxPooling2D()(y) for y in (short, long)])
    model = keras.Model(image, kl.Dense(2)(joined))
    assert explain.find_cam_layer(model, images(1, 8, 1)) == "stem"
