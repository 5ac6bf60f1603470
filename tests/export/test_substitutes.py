"""Operations and layers that LiteRT lacks: substitutes, checked and named."""

import keras
import numpy as np
import pytest

from keras_strategies import export
from keras_strategies.export.convert._substitutes import (
    _einsum,
    _elementwise,
    _structural,
    graph_calls,
    layers,
    substitutes,
)
from tests.export import models

pytestmark = pytest.mark.tensorflow
L, ops = keras.layers, keras.ops
RNG = np.random.default_rng(0)
ELEMENTWISE = {
    name: entry
    for name, entry in substitutes.SUBSTITUTES.items()
    if entry.is_elementwise
}


# Arithmetic that LiteRT lacks for this type alone.
OF_FLOAT64 = ("AddV2", "Ceil", "Floor", "Maximum", "Minimum", "Mul", "RealDiv", "Sub")


@pytest.mark.parametrize("op", ELEMENTWISE)
def test_elementwise_functions_are_within_their_bound(op):
    inputs = graph_calls._definition(op).input_arg
    dtype = "int32" if op.startswith(("Bitwise", "Left")) else "float32"
    dtype = "float64" if op in OF_FLOAT64 else dtype
    node = substitutes.Node(
        {}, [None] * len(inputs), [None] * len(inputs), [dtype] * len(inputs)
    )
    entry = ELEMENTWISE[op]
    function = entry.make(node)
    difference = graph_calls.largest_difference(op, node, entry, function)
    assert difference <= entry.tolerance


def test_series_near_zero_keep_their_digits():
    import tensorflow as tf

    x = np.float64([-1e-3, 1e-6, 1e-4, 0.02, 0.1, 0.14, 0.3, 0.49])
    exact = {"sinh": np.sinh, "asinh": np.arcsinh, "atanh": np.arctanh}
    for name, function in exact.items():
        found = getattr(_elementwise, name)(tf.constant(x, "float32")).numpy()
        np.testing.assert_allclose(found, function(x), rtol=1e-6)


def test_bitwise_and_of_the_extremes():
    import tensorflow as tf

    x = np.array([-(2**31), 2**31 - 1, -1, 0, 5, -7], "int32")
    a, b = (grid.ravel() for grid in np.meshgrid(x, x))
    found = _elementwise.bitwise_and(tf.constant(a), tf.constant(b)).numpy()
    np.testing.assert_array_equal(found, a & b)
    found = _elementwise.bitwise_or(tf.constant(a), tf.constant(b)).numpy()
    np.testing.assert_array_equal(found, a | b)


@pytest.mark.parametrize(
    ("size", "new", "method", "antialias"),
    [
        ((9, 8), (5, 6), "bicubic", True),
        ((9, 8), (5, 6), "bilinear", True),
        ((5, 4), (9, 12), "lanczos3", False),
        ((9, 8), (4, 3), "lanczos5", True),
        ((9, 8), (4, 3), "gaussian", True),
        ((9, 8), (4, 3), "mitchellcubic", True),
        ((9, 8), (4, 3), "area", False),
        ((4, 5), (9, 7), "area", False),
    ],
)
def test_resizing_is_tensorflows(size, new, method, antialias):
    import tensorflow as tf

    image = RNG.random((2, *size, 3)).astype("float32")
    kernel = {"bicubic": "keyscubic", "bilinear": "triangle"}.get(method, method)
    found = _structural.resize(new, kernel, antialias)(tf.constant(image))
    expected = tf.image.resize(image, new, method=method, antialias=antialias)
    np.testing.assert_allclose(found, expected, atol=2e-6)


class Apply(L.Layer):
    """A function of TensorFlow as a layer."""

    def __init__(self, function, **settings):
        super().__init__(**settings)
        self.function = function

    def call(self, inputs):
        return self.function(inputs)


def _export(model, target, verify, **settings):
    result = export.to_tflite(model, target, verify=verify, **settings)
    assert result.passed and not any(name.startswith("Flex") for name in result.ops)
    return result, " ".join(result.warnings)


def test_functions_and_shifts_of_one_model(target):
    x = keras.Input((6,), name="x")
    h = L.Dense(6, name="dense")(x)
    functions = {
        "argmax": lambda z: ops.argmax(z, axis=-1),
        "argmin": lambda z: ops.argmin(z, axis=-1),
        "roll": lambda z: ops.roll(z, 2, axis=1),
        "atan": ops.arctan,
        "sinh": ops.sinh,
        "asinh": ops.arcsinh,
        "asin": lambda z: ops.arcsin(ops.tanh(z)),
    }
    outputs = {name: Apply(f, name=name)(h) for name, f in functions.items()}
    model = keras.Model(x, outputs)
    data = RNG.normal(size=(100, 6)).astype("float32")
    result, said = _export(model, target, data)
    for op in ("BitwiseAnd", "Roll", "Atan", "Sinh", "Asinh", "Asin"):
        assert f" x {op}, which LiteRT does not have" in said, op
    assert result.verdicts["argmax"].kind == "integer"
    assert result.max_difference < 1e-4


def test_products_positions_and_colors_of_one_model(target):
    image = keras.Input((3, 3), name="image")
    numbers = keras.Input((3,), dtype="int32", name="numbers")
    edges = np.array([-1.0, 0.0, 0.5], "float32")
    functions = {
        "product": lambda z: ops.cumprod(z, axis=1),
        "median": lambda z: ops.median(z, axis=-1),
        "below": lambda z: ops.searchsorted(edges, z[0, 0]),
        "not_above": lambda z: ops.searchsorted(edges, z[0, 0], side="right"),
        "color": lambda z: ops.image.rgb_to_hsv(ops.sigmoid(z)[:, None]),
        "det": ops.det,
    }
    outputs = {name: Apply(f, name=name)(image) for name, f in functions.items()}
    outputs["shift"] = Apply(lambda z: ops.left_shift(z, 2), name="shift")(numbers)
    data = {
        "image": RNG.normal(size=(60, 3, 3)).astype("float32"),
        "numbers": RNG.integers(-99, 99, (60, 3)).astype("int32"),
    }
    result, said = _export(keras.Model([image, numbers], outputs), target, data)
    ops_named = "Cumprod", "LowerBound", "UpperBound", "RGBToHSV", "LeftShift", "Ceil"
    for op in (*ops_named, "MatrixDeterminant"):
        assert f" x {op}, which LiteRT does not have" in said, op
    assert result.max_difference < 1e-5


@pytest.mark.parametrize("how", ["BILINEAR", "NEAREST"])
def test_projections_are_tensorflows(how):
    import tensorflow as tf

    images = tf.constant(RNG.random((2, 5, 7, 3)), tf.float32)
    transform = np.float32([0.9, -0.31, 0.7, 0.23, 1.1, -0.4, 0.013, -0.02])
    function = _structural.projected_image((5, 7), (6, 4), transform, how)
    expected = tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=transform[None],
        output_shape=[6, 4],
        fill_value=0.25,
        interpolation=how,
        fill_mode="CONSTANT",
    )
    found = function(images, transform[None], [6, 4], 0.25)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_running_products_in_any_direction():
    import tensorflow as tf

    x = RNG.normal(size=(2, 7)).astype("float32")
    for exclusive in (False, True):
        for reverse in (False, True):
            settings = {"exclusive": exclusive, "reverse": reverse}
            found = _structural.cumulative_product(1, **settings)(tf.constant(x))
            expected = tf.math.cumprod(x, 1, **settings)
            np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_pooling_resizing_and_dilation_of_one_model(target):
    volume = keras.Input((5, 4, 6, 2), name="volume")
    image = keras.Input((9, 8, 3), name="image")
    outputs = {
        "max": L.MaxPooling3D(2)(volume),
        "mean": L.AveragePooling3D((2, 3, 2), strides=2, padding="same")(volume),
        "small": L.Resizing(5, 6, interpolation="bicubic", antialias=True)(image),
        "cubic": L.UpSampling2D(2, interpolation="bicubic")(image),
        "spread": L.Conv2DTranspose(4, 3, dilation_rate=2)(image),
        "diagonal": Apply(lambda z: ops.einsum("biic->bic", z[:, :8]))(image),
    }
    model = keras.Model([volume, image], outputs)
    data = {
        "volume": RNG.normal(size=(40, 5, 4, 6, 2)),
        "image": RNG.random((40, 9, 8, 3)),
    }
    result, said = _export(model, target, data)
    for op in (
        "MaxPool3D",
        "AvgPool3D",
        "ResizeBicubic",
        "ScaleAndTranslate",
        "Einsum",
    ):
        assert f" x {op}, which LiteRT does not have" in said, op
    assert result.max_difference < 1e-4


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"num_oov_indices": 3, "mask_token": 0},
        {"output_mode": "multi_hot"},
        {"output_mode": "count", "num_oov_indices": 2},
        {"invert": True, "mask_token": 0},
        {
            "output_mode": "tf_idf",
            "idf_weights": [0.1, 0.2, 0.3, 0.4],
            "num_oov_indices": 2,
        },
    ],
)
def test_lookups_of_integers(settings):
    import tensorflow as tf

    layer = L.IntegerLookup(vocabulary=[42, 7, 1138, 3], **settings)
    x = np.array([[42, 5, 0], [7, 1138, 900], [3, 3, 42]])
    if settings.get("invert"):
        x = np.array([[0, 1, 2], [3, 4, 5], [1, 1, 2]])
    model = keras.Sequential([keras.Input((3,), dtype="int64"), layer])
    expected = keras.ops.convert_to_numpy(layer(x))
    with layers.substituted_layers(model) as notes:
        found = keras.ops.convert_to_numpy(layer.call(keras.ops.convert_to_tensor(x)))
        traced = tf.function(layer.call, autograph=False)(tf.constant(x))
    assert "4 entries" in notes[0]
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(traced, expected)
    assert "call" not in vars(layer)
    np.testing.assert_array_equal(layer(x), expected)


def test_a_lookup_and_an_image_of_any_size(target):
    ids = keras.Input((4,), dtype="int64", name="ids")
    image = keras.Input((None, None, 3), name="image")
    lookup = L.IntegerLookup(vocabulary=[3, 5, 9], output_mode="count")
    bigger = L.UpSampling2D(2, interpolation="bilinear", name="bigger")(image)
    small = keras.ops.cast(ids, "int32")
    outputs = {"counts": lookup(ids), "bigger": bigger}
    for mode in ("multi_hot", "count"):
        encoding = L.CategoryEncoding(10, output_mode=mode, name=mode)
        outputs[mode] = encoding(small)
    model = keras.Model([ids, image], outputs)
    data = {"ids": RNG.integers(0, 10, (30, 4)), "image": RNG.random((30, 5, 7, 3))}
    result, said = _export(model, target, data)
    assert "3 entries" in said and "any size" in said and "no bincount" in said
    assert result.signature["inputs"]["image"]["shape"] == [None, None, None, 3]


@pytest.mark.parametrize("mode", [pytest.param("int8", marks=pytest.mark.slow), "int4"])
@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize`")
def test_models_that_keras_quantized(mode, target):
    model, shapes = models.dense()
    data = models.samples(shapes, 100)
    model.quantize(mode)
    expected = model.predict(data["features"], verbose=0)
    result, said = _export(model, target, data)
    assert f"Keras's {mode} quantization" in said and result.agreement >= 0.98
    assert not any("call" in vars(layer) for layer in model.layers)
    quantizers = [x.inputs_quantizer for x in model.layers if isinstance(x, L.Dense)]
    assert all((entry is not None) == (mode == "int8") for entry in quantizers)
    np.testing.assert_array_equal(model.predict(data["features"], verbose=0), expected)


@pytest.mark.parametrize(
    ("equation", "shapes"),
    [
        ("bij,bk->bijk", [(2, 3, 4), (2, 5)]),
        ("bij,bk->k", [(2, 3, 4), (2, 5)]),
        ("bii,bij->bj", [(2, 3, 3), (2, 3, 4)]),
        ("bij,bji->b", [(2, 3, 4), (2, 4, 3)]),
        ("bqhd,bkhd->bhqk", [(2, 3, 4, 5), (2, 6, 4, 5)]),
        ("ij,bjk->kbi", [(3, 4), (2, 4, 5)]),
    ],
)
@pytest.mark.parametrize("is_free", [False, True])
def test_einsums_as_matrix_products(equation, shapes, is_free):
    import tensorflow as tf

    operands = [RNG.normal(size=shape).astype("float32") for shape in shapes]
    terms = equation.partition("->")[0].split(",")
    free = [  # diagonals are of a fixed size
        [None if len(set(term)) == len(term) else size for size in shape]
        for term, shape in zip(terms, shapes, strict=True)
    ]
    specs = [tf.TensorSpec(s) for s in (free if is_free else shapes)]
    function = tf.function(_einsum.einsum(equation), specs, autograph=False)
    expected = np.einsum(equation, *operands)
    np.testing.assert_allclose(function(*operands), expected, atol=1e-5)


def test_products_that_break_the_converter(target):
    """Its own lowering of an outer product over a batch is wrong."""
    x = keras.Input((3,), name="x")
    outputs = {
        "outer": Apply(lambda z: ops.einsum("bi,bj,bk->bijk", z, z, z))(x),
        "diagonal": Apply(
            lambda z: ops.einsum("bii,bi->b", z[:, None] * z[..., None], z)
        )(x),
    }
    data = RNG.normal(size=(40, 3)).astype("float32")
    result, said = _export(keras.Model(x, outputs), target, data)
    assert " x Einsum, which LiteRT does not have" in said
    assert result.max_difference < 1e-4


@pytest.mark.parametrize("policy", ["float64", "float16"])
def test_other_precisions_compute_in_float32(policy, target):
    model = keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            L.Conv2D(2, 3, dtype=policy),
            L.Flatten(dtype=policy),
            L.Dense(3, dtype=policy),
        ]
    )
    result, said = _export(model, target, RNG.normal(size=(20, 6, 6, 1)))
    assert result.verified and "the artifact computes in float32" in said
    assert all(x.dtype_policy.name == policy for x in model.layers)


@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize`")
def test_float8_is_refused_in_words(target):
    model = keras.Sequential([keras.Input((8,)), L.Dense(4, name="head")])
    model.quantize("float8")
    with pytest.raises(export.ExportError, match=r"float8 quantization of \['head'\]"):
        export.to_tflite(model, target)


def test_what_has_no_fixed_size_is_said(target):
    x = keras.Input((4,), dtype="int32", name="ids")
    model = keras.Model(x, Apply(lambda z: ops.bincount(z, minlength=5))(x))
    with pytest.raises(export.ExportError, match=r"sum of keras.ops.one_hot"):
        export.to_tflite(model, target)


def test_what_does_not_fit_is_said(target):
    x = keras.Input((None, None, 3), name="image")
    resized = Apply(lambda z: ops.image.resize(z, (4, 4), "bicubic"), name="small")(x)
    with pytest.raises(export.ExportError, match="size of its images") as caught:
        export.to_tflite(keras.Model(x, resized), target)
    assert caught.value.reason == "flex"
    assert "give the images a fixed size" in str(caught.value)


def test_an_inaccurate_substitute_is_not_used():
    wrong = substitutes.Substitute(lambda node: lambda x: x)
    node = substitutes.Node({}, [None], [None], ["float32"])
    made = wrong.make(node)
    assert graph_calls.largest_difference("Sinh", node, wrong, made) > 0.1
