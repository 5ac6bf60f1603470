"""RandomAffine in every place where an augmentation layer stands."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_strategies.augmentation import RandomAffine

ALL = {
    "rotation_factor": 0.1,
    "translation_height_factor": 0.2,
    "translation_width_factor": 0.2,
    "shear_x_factor": 0.2,
    "zoom_height_factor": 0.2,
    "flip_mode": "horizontal",
}


def _numpy(x):
    return ops.convert_to_numpy(x)


def _images(batch=8, height=9, width=12, channels=3):
    rng = np.random.default_rng(0)
    return rng.uniform(0, 1, (batch, height, width, channels)).astype("float32")


def _layer(**changes):
    return RandomAffine(**{**ALL, "seed": 3, **changes})


def test_same_as_the_stack_of_keras_where_resampling_is_exact():
    """Quarter turns, whole-pixel shifts and flips move pixels without mixing them."""
    images = _images(height=8, width=8)
    ours = RandomAffine(
        rotation_factor=(0.25, 0.25),
        translation_height_factor=(0.25, 0.25),
        translation_width_factor=(-0.5, -0.5),
        fill_mode="constant",
        fill_value=0.5,
    )
    stack = [
        keras.layers.RandomRotation((0.25, 0.25), fill_mode="constant"),
        keras.layers.RandomTranslation(
            (0.25, 0.25), (-0.5, -0.5), fill_mode="constant", fill_value=0.5
        ),
    ]
    expected = images
    for layer in stack:
        expected = layer(expected, training=True)
    np.testing.assert_allclose(_numpy(ours(images)), _numpy(expected), atol=1e-4)


def test_identity_at_inference():
    images = _images()
    out = _layer()(images, training=False)
    np.testing.assert_array_equal(_numpy(out), images)


def test_images_differ_and_calls_differ_and_seeds_repeat():
    images = np.repeat(_images(1), 8, axis=0)
    layer = _layer()
    first, second = _numpy(layer(images)), _numpy(layer(images))
    assert np.abs(first[1:] - first[:1]).max(axis=(1, 2, 3)).min() > 0.01
    assert np.abs(first - second).max() > 0.01
    np.testing.assert_array_equal(_numpy(_layer()(images)), first)


def test_channels_first_is_the_same_picture():
    images = _images()
    last = _numpy(_layer(data_format="channels_last")(images))
    first = _layer(data_format="channels_first")(images.transpose(0, 3, 1, 2))
    np.testing.assert_allclose(
        _numpy(first).transpose(0, 2, 3, 1), last, rtol=1e-4, atol=1e-5
    )


def test_a_single_image():
    images = _images(1)
    single = _numpy(_layer()(images[0]))
    np.testing.assert_allclose(single, _numpy(_layer()(images))[0], atol=1e-5)


@pytest.mark.parametrize("dtype", ["uint8", "int32", "float64"])
def test_any_input_dtype_gives_the_compute_dtype(dtype):
    images = (_images() * 255).astype(dtype)
    out = _layer()(images)
    assert keras.backend.standardize_dtype(out.dtype) == "float32"
    expected = _layer()(images.astype("float32"))
    np.testing.assert_allclose(_numpy(out), _numpy(expected), atol=1e-3)


def test_mixed_float16_keeps_places_in_float32():
    images = _images(2, 64, 300)
    full, half = _layer()(images), _layer(dtype="mixed_float16")(images)
    assert keras.backend.standardize_dtype(half.dtype) == "float16"
    # The values are rounded, the places are not: float16 would miss by a quarter pixel.
    np.testing.assert_allclose(_numpy(half), _numpy(full), atol=2e-3)


def _rectangle(height=40, width=50, top=12, left=10, bottom=22, right=30):
    image = np.zeros((height, width, 1), "float32")
    image[top:bottom, left:right] = 1
    return image, [left, top, right, bottom]


def _pair_data(batch=16, **sizes):
    image, box = _rectangle(**sizes)
    images = np.repeat(image[None], batch, axis=0)
    return {
        "images": images,
        "labels": np.arange(batch),
        "segmentation_masks": (images[..., 0] * 7).astype("uint8"),
        "bounding_boxes": {
            "boxes": np.repeat([[box]], batch, axis=0).astype("float32"),
            "labels": np.ones((batch, 1), "int32"),
        },
    }


def test_masks_boxes_and_labels_follow_the_images():
    layer = _layer(fill_mode="constant", bounding_box_format="xyxy")
    out = layer(_pair_data())
    np.testing.assert_array_equal(_numpy(out["labels"]), np.arange(16))
    images, masks = _numpy(out["images"]), _numpy(out["segmentation_masks"])
    assert masks.dtype == np.uint8
    assert set(np.unique(masks)) == {0, 7}
    # Bilinear images and nearest masks show the same region.
    sure = np.abs(images[..., 0] - 0.5) > 0.49
    np.testing.assert_array_equal((masks == 7)[sure], (images[..., 0] > 0.5)[sure])
    boxes = _numpy(out["bounding_boxes"]["boxes"])[:, 0]
    for image, box in zip(images[..., 0], boxes, strict=True):
        rows, columns = np.nonzero(image > 0.5)
        seen = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        # A box holds the region; sheared and turned corners are less than half lit.
        assert (box[:2] <= np.array(seen[:2]) + 0.6).all()
        assert (box[2:] >= np.array(seen[2:]) - 0.6).all()
        np.testing.assert_allclose(box, seen, atol=2.5)


@pytest.mark.parametrize("kind", ["xyxy", "rel_xywh"])
def test_boxes_move_exactly_with_whole_pixels_in_any_format(kind):
    data = _pair_data(2)
    size = {"height": 40, "width": 50}
    convert = keras.utils.bounding_boxes.convert_format
    boxes = convert(data["bounding_boxes"], source="xyxy", target=kind, **size)
    data["bounding_boxes"] = {k: _numpy(v) for k, v in boxes.items()}
    layer = RandomAffine(
        translation_height_factor=(0.1, 0.1),
        translation_width_factor=(-0.3, -0.3),
        bounding_box_format=kind,
    )
    moved = layer(data)["bounding_boxes"]
    moved = convert(moved, source=kind, target="xyxy", **size)
    # 4 rows down, 15 columns to the left, cut at the border.
    expected = [[[0, 16, 15, 26]]] * 2
    np.testing.assert_allclose(_numpy(moved["boxes"]), expected, atol=1e-3)


def test_boxes_that_left_the_image_get_the_label_minus_one():
    data = _pair_data(2)
    layer = RandomAffine(
        translation_width_factor=(-0.9, -0.9), bounding_box_format="xyxy"
    )
    out = layer(data)["bounding_boxes"]
    np.testing.assert_array_equal(_numpy(out["labels"]), [[-1], [-1]])


def test_inference_leaves_the_dict_alone():
    out = _layer(bounding_box_format="xyxy")(_pair_data(2), training=False)
    expected = _pair_data(2)
    for key in ("images", "labels", "segmentation_masks"):
        np.testing.assert_array_equal(_numpy(out[key]), expected[key])
    np.testing.assert_array_equal(
        _numpy(out["bounding_boxes"]["boxes"]), expected["bounding_boxes"]["boxes"]
    )


@pytest.mark.parametrize("batched", [True, False])
def test_in_tf_data_on_every_backend(batched):
    import tensorflow as tf

    images = _images()
    dataset = tf.data.Dataset.from_tensor_slices((images, np.arange(8)))
    layer = _layer()
    if batched:
        dataset = dataset.batch(3)
    mapped = dataset.map(lambda x, y: (layer(x, training=True), y))
    if not batched:
        mapped = mapped.batch(8)
    got = np.concatenate([x.numpy() for x, _ in mapped])
    assert got.shape == images.shape
    assert np.abs(got - images).max(axis=(1, 2, 3)).min() > 0.01
    assert got.min() >= 0 and got.max() <= 1


def test_tf_data_with_dicts_and_images_of_unknown_size():
    import tensorflow as tf

    def generate():
        for height in (20, 26, 33):
            image, box = _rectangle(height=height, bottom=18)
            boxes = {"boxes": [box], "labels": [1]}
            yield {"images": image, "bounding_boxes": boxes}

    spec = {
        "images": tf.TensorSpec((None, None, 1)),
        "bounding_boxes": {
            "boxes": tf.TensorSpec((None, 4)),
            "labels": tf.TensorSpec((None,), tf.int32),
        },
    }
    dataset = tf.data.Dataset.from_generator(generate, output_signature=spec)
    layer = _layer(bounding_box_format="xyxy")
    shapes = [item["images"].shape[0] for item in dataset.map(layer)]
    assert shapes == [20, 26, 33]


def _model(**changes):
    return keras.Sequential(
        [
            keras.Input((9, 12, 3)),
            _layer(**changes),
            keras.layers.Flatten(),
            keras.layers.Dense(2, activation="softmax"),
        ]
    )


@pytest.mark.parametrize("jit", ["auto", True])
def test_trains_under_xla_and_reloads(jit, tmp_path):
    if jit is True and keras.backend.backend() == "torch":
        pytest.skip("XLA is not an option of Torch")
    images = _images(20)
    labels = np.arange(20) % 2
    model = _model()
    assert all(layer.supports_jit for layer in model.layers)
    model.compile("adam", "sparse_categorical_crossentropy", jit_compile=jit)
    history = model.fit(images, labels, batch_size=8, epochs=2, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    before = model.predict(images, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.layers[0].get_config() == model.layers[0].get_config()
    np.testing.assert_allclose(again.predict(images, verbose=0), before, rtol=1e-5)


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_xla_and_plain_operations_agree(data_format):
    images = _images()
    options = {"data_format": data_format, "fill_mode": "wrap"}
    compiled = _numpy(_layer(jit_compile=True, **options)(images))
    plain = _numpy(_layer(jit_compile=False, **options)(images))
    np.testing.assert_allclose(compiled, plain, rtol=1e-4, atol=1e-4)


@pytest.mark.tensorflow
def test_gradient_reaches_the_images_through_the_compiled_resample():
    import tensorflow as tf

    images = tf.constant(_images())
    sums = []
    for jit_compile in (True, False):
        with tf.GradientTape() as tape:
            tape.watch(images)
            total = tf.reduce_sum(_layer(jit_compile=jit_compile)(images) ** 2)
        sums.append(tape.gradient(total, images).numpy())
    assert np.abs(sums[0]).max() > 0.1
    np.testing.assert_allclose(sums[0], sums[1], rtol=1e-3, atol=1e-3)


@pytest.mark.tensorflow
def test_auto_compiles_batches_of_known_size_only():
    import tensorflow as tf

    from keras_strategies.augmentation._common.compiled import fits_xla

    assert fits_xla(tf.zeros((2, 4, 4, 1)), "tensorflow")
    assert not fits_xla(tf.zeros((1, 4, 4, 1)), "tensorflow")
    seen = []

    @tf.function(
        input_signature=[
            tf.TensorSpec((None, 4, 4, 1)),
            tf.TensorSpec((1, 4, 4, 1)),
            tf.TensorSpec((None, None, 4, 1)),
        ]
    )
    def look(*batches):
        seen.extend(fits_xla(batch, "tensorflow") for batch in batches)
        return 0

    look.get_concrete_function()
    assert seen == [True, True, False]


@pytest.mark.tensorflow
@pytest.mark.slow
def test_disappears_from_an_exported_model(tmp_path):
    import tensorflow as tf
    from ai_edge_litert.interpreter import Interpreter

    model = _model()
    images = _images(1)
    expected = model.predict(images, verbose=0)
    model.export(tmp_path / "saved", format="tf_saved_model", verbose=False)
    saved = tf.saved_model.load(str(tmp_path / "saved"))
    np.testing.assert_allclose(saved.serve(images), expected, rtol=1e-5)
    converter = tf.lite.TFLiteConverter.from_saved_model(str(tmp_path / "saved"))
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    interpreter = Interpreter(model_content=converter.convert())
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], images)
    interpreter.invoke()
    got = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"rotation_factor": 1.5}, r"`rotation_factor` must be in \[-1, 1\]"),
        ({"shear_x_factor": -0.1}, r"`shear_x_factor` must be in \[0, 1\]"),
        ({"shear_y_factor": (0.1, 2)}, r"`shear_y_factor` must be in \[0, 1\]"),
        ({"zoom_height_factor": -1}, r"`zoom_height_factor` must be in \(-1, 1\]"),
        ({"zoom_width_factor": 1.0}, "`zoom_width_factor` as a single number"),
        ({"translation_width_factor": (0.1,)}, "must have two numbers"),
        ({"flip_mode": "both"}, "`flip_mode` must be one of"),
        ({"fill_mode": "mirror"}, "`fill_mode` must be one of"),
        ({"interpolation": "bicubic"}, "`interpolation` must be one of"),
        ({"jit_compile": "yes"}, "`jit_compile` must be one of"),
    ],
)
def test_bad_arguments(changes, text):
    with pytest.raises(ValueError, match=text):
        RandomAffine(**changes)


def test_boxes_without_a_format_are_refused():
    with pytest.raises(ValueError, match="bounding_box_format"):
        _layer()(_pair_data(2))
