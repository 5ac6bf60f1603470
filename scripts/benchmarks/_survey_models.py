"""125 small models on themes of public bug reports about TFLite conversion.

Each is one layer or operation that reports name (tensorflow/tensorflow,
keras-team/keras and ai-edge issues), behind an input of its own.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

L, ops = keras.layers, keras.ops


def _of_function(function, shape=(6,), dtype="float32", batch=None):
    class Function(L.Layer):
        def call(self, x):
            return function(x)

    inputs = keras.Input(shape, dtype=dtype, name="x", batch_size=batch)
    return keras.Model(inputs, Function()(inputs))


def _of_layer(layer, shape, dtype="float32", batch=None, times=1):
    inputs = keras.Input(shape, dtype=dtype, name="x", batch_size=batch)
    return keras.Model(inputs, layer([inputs] * times if times > 1 else inputs))


def _quantized(mode):
    inputs = keras.Input((8,), name="x")
    hidden = L.Dense(16, activation="relu")(inputs)
    model = keras.Model(inputs, L.Dense(4)(hidden))
    model.quantize(mode)
    return model


def _quantized_by_gptq():
    inputs = keras.Input((8,), dtype="int32", name="tokens")
    embedding = L.Embedding(16, 8)
    block = keras.Sequential([keras.Input((8, 8)), L.Dense(8, activation="relu")])
    model = keras.Model(inputs, block(embedding(inputs)))
    rng = np.random.default_rng(0)
    config = keras.quantizers.GPTQConfig(
        dataset=[rng.integers(0, 16, 8) for _ in range(8)],
        tokenizer=object(),  # the data are numbers already
        weight_bits=4,
        num_samples=8,
        sequence_length=8,
        group_size=-1,
        quantization_layer_structure={
            "pre_block_layers": [embedding],
            "sequential_blocks": [block],
        },
    )
    model.quantize("gptq", config=config)
    return model


def _unary():
    names = (
        "arctan arcsin arccos sinh cosh tan arcsinh arccosh arctanh expm1 log1p erf "
        "sign round trunc log2 log10 reciprocal isnan cbrt"
    )
    for name in names.split():
        function = {
            "cbrt": lambda x: ops.sign(x) * ops.power(ops.abs(x), 1 / 3),
            "arccosh": lambda x: ops.arccosh(1 + ops.abs(x)),
            "log2": lambda x: ops.log2(1 + ops.abs(x)),
            "log10": lambda x: ops.log10(1 + ops.abs(x)),
            "log1p": lambda x: ops.log1p(ops.abs(x)),
            "reciprocal": lambda x: ops.reciprocal(3 + ops.abs(x)),
            "arcsin": lambda x: ops.arcsin(ops.tanh(x)),
            "arccos": lambda x: ops.arccos(ops.tanh(x)),
            "arctanh": lambda x: ops.arctanh(0.9 * ops.tanh(x)),
            "isnan": lambda x: ops.cast(ops.isnan(x), "float32"),
        }.get(name, getattr(ops, name, None))
        yield name, lambda function=function: _of_function(function)
    yield (
        "exact gelu",
        lambda: _of_function(lambda x: ops.gelu(x, approximate=False)),
    )


def _reductions():
    names = "argmax argmin cumsum cumprod sort argsort median logsumexp std flip"
    for name in names.split():
        function = getattr(ops, name)
        yield (
            name,
            lambda function=function: _of_function(lambda x: function(x, axis=-1)),
        )
    yield (
        "argmax of pixels",
        lambda: _of_function(lambda x: ops.argmax(x, axis=-1), (4, 4, 3)),
    )
    yield "roll", lambda: _of_function(lambda x: ops.roll(x, 2, 1))
    yield (
        "roll of two axes",
        lambda: _of_function(lambda x: ops.roll(x, (1, -1), (1, 2)), (5, 4, 2)),
    )
    yield "top_k", lambda: _of_function(lambda x: ops.top_k(x, 3)[0])
    yield (
        "bincount",
        lambda: _of_function(lambda x: ops.bincount(x, minlength=5), dtype="int32"),
    )
    yield "norm", lambda: _of_function(lambda x: ops.norm(x, axis=-1))
    yield (
        "take_along_axis",
        lambda: _of_function(lambda x: ops.take_along_axis(x, ops.argsort(x), axis=-1)),
    )
    yield (
        "searchsorted",
        lambda: _of_function(
            lambda x: ops.searchsorted(np.array([0.0, 1.0, 2.0], "float32"), x[0]),
            batch=1,
        ),
    )
    yield (
        "segment_sum",
        lambda: _of_function(
            lambda x: ops.segment_sum(x, np.array([0]), 2), (3,), batch=1
        ),
    )


def _integers():
    yield (
        "bitwise_and",
        lambda: _of_function(lambda x: ops.bitwise_and(x, 3), (4,), "int32"),
    )
    yield (
        "bitwise_or",
        lambda: _of_function(lambda x: ops.bitwise_or(x, 3), (4,), "int32"),
    )
    yield (
        "bitwise_xor",
        lambda: _of_function(lambda x: ops.bitwise_xor(x, 3), (4,), "int32"),
    )
    yield (
        "left_shift",
        lambda: _of_function(lambda x: ops.left_shift(x, 1), (4,), "int32"),
    )
    yield "mod", lambda: _of_function(lambda x: ops.mod(x, 3), (4,), "int32")
    yield "one_hot", lambda: _of_function(lambda x: ops.one_hot(x, 4), (3,), "int32")


def _preprocessing():
    for mode in ("multi_hot", "count", "one_hot"):
        yield (
            f"CategoryEncoding {mode}",
            lambda mode=mode: _of_layer(
                L.CategoryEncoding(5, output_mode=mode),
                (1 if mode == "one_hot" else 3,),
                "int32",
            ),
        )
    yield (
        "IntegerLookup",
        lambda: _of_layer(L.IntegerLookup(vocabulary=[3, 5, 9]), (4,), "int64"),
    )
    yield "Discretization", lambda: _of_layer(L.Discretization([0.0, 1.0, 2.0]), (4,))
    yield "Hashing", lambda: _of_layer(L.Hashing(5), (4,), "int32")
    yield (
        "Normalization",
        lambda: _of_layer(L.Normalization(mean=1.0, variance=2.0), (6,)),
    )
    yield "Embedding", lambda: _of_layer(L.Embedding(9, 4), (5,), "int32")
    yield "RandomContrast", lambda: _of_layer(L.RandomContrast(0.1), (6, 6, 3))
    yield "RandomRotation", lambda: _of_layer(L.RandomRotation(0.1), (6, 6, 3))


def _images():
    for how, settings in {
        "bilinear": {},
        "nearest": {"interpolation": "nearest"},
        "bicubic": {"interpolation": "bicubic"},
        "lanczos3": {"interpolation": "lanczos3"},
        "antialias": {"antialias": True},
        "crop": {"crop_to_aspect_ratio": True},
    }.items():
        yield (
            f"Resizing {how}",
            lambda settings=settings: _of_layer(
                L.Resizing(6, 5, **settings), (9, 9, 3)
            ),
        )
    for how, size in (("nearest", 4), ("bilinear", 4), ("bicubic", 4)):
        yield (
            f"UpSampling2D {how}",
            lambda how=how, size=size: _of_layer(
                L.UpSampling2D(2, interpolation=how), (size, size, 3)
            ),
        )
    for how in ("nearest", "bilinear"):
        yield (
            f"UpSampling2D {how}, any size",
            lambda how=how: _of_layer(
                L.UpSampling2D(2, interpolation=how), (None, None, 3)
            ),
        )
    yield "UpSampling3D", lambda: _of_layer(L.UpSampling3D(2), (4, 4, 4, 3))
    yield "rgb_to_hsv", lambda: _of_function(ops.image.rgb_to_hsv, (6, 6, 3))
    yield (
        "rgb_to_grayscale",
        lambda: _of_function(ops.image.rgb_to_grayscale, (6, 6, 3)),
    )
    yield "gaussian_blur", lambda: _of_function(ops.image.gaussian_blur, (6, 6, 3))
    yield (
        "extract_patches",
        lambda: _of_function(lambda x: ops.image.extract_patches(x, (2, 2)), (6, 6, 1)),
    )
    yield (
        "affine_transform",
        lambda: _of_function(
            lambda x: ops.image.affine_transform(
                x, np.array([[1, 0, 1, 0, 1, 0, 0, 0]], "float32")
            ),
            (6, 6, 1),
            batch=1,
        ),
    )


def _convolutions():
    layers: dict[str, Callable[[], Any]] = {
        "MaxPooling3D": lambda: L.MaxPooling3D(2),
        "AveragePooling3D": lambda: L.AveragePooling3D(2),
        "AveragePooling3D same": lambda: L.AveragePooling3D(2, padding="same"),
        "GlobalAveragePooling3D": L.GlobalAveragePooling3D,
        "GlobalMaxPooling3D": L.GlobalMaxPooling3D,
        "Conv3D": lambda: L.Conv3D(2, 2),
        "Conv3DTranspose": lambda: L.Conv3DTranspose(2, 2, strides=2),
        "Conv3DTranspose same": lambda: L.Conv3DTranspose(2, 3, padding="same"),
        "ZeroPadding3D": lambda: L.ZeroPadding3D(1),
        "Cropping3D": lambda: L.Cropping3D(1),
    }
    for name, make in layers.items():
        yield name, lambda make=make: _of_layer(make(), (4, 4, 4, 2))
    layers = {
        "Conv2D dilated": lambda: L.Conv2D(3, 3, dilation_rate=2, padding="same"),
        "Conv2D of groups": lambda: L.Conv2D(4, 3, groups=2),
        "Conv2DTranspose": lambda: L.Conv2DTranspose(2, 3, strides=2),
        "Conv2DTranspose dilated": lambda: L.Conv2DTranspose(2, 3, dilation_rate=2),
        "SeparableConv2D": lambda: L.SeparableConv2D(3, 3),
        "GroupNormalization": lambda: L.GroupNormalization(2),
        "LayerNormalization": L.LayerNormalization,
        "UnitNormalization": L.UnitNormalization,
        "SpectralNormalization": lambda: L.SpectralNormalization(L.Conv2D(3, 3)),
    }
    for name, make in layers.items():
        yield name, lambda make=make: _of_layer(make(), (8, 8, 4))
    layers = {
        "Conv1DTranspose": lambda: L.Conv1DTranspose(2, 3, strides=2),
        "SeparableConv1D": lambda: L.SeparableConv1D(3, 2),
        "DepthwiseConv1D": lambda: L.DepthwiseConv1D(2),
        "Conv1D causal": lambda: L.Conv1D(3, 2, padding="causal"),
    }
    for name, make in layers.items():
        yield name, lambda make=make: _of_layer(make(), (8, 2))
    yield (
        "GroupNormalization, any size",
        lambda: _of_layer(L.GroupNormalization(2), (None, None, 4)),
    )


def _products():
    pairs = {
        "bij,bkj->bik": (5, 4),
        "bhqd,bhkd->bhqk": (2, 5, 4),
        "bi,bj->bij": (4,),
    }
    for equation, shape in pairs.items():
        yield (
            f"einsum {equation}",
            lambda equation=equation, shape=shape: _of_function(
                lambda x: ops.einsum(equation, x, x), shape
            ),
        )
    yield (
        "einsum bii->bi",
        lambda: _of_function(lambda x: ops.einsum("bii->bi", x), (4, 4)),
    )
    yield (
        "einsum bijk->bk",
        lambda: _of_function(lambda x: ops.einsum("bijk->bk", x), (3, 4, 5)),
    )
    yield (
        "EinsumDense",
        lambda: _of_layer(L.EinsumDense("abc,cd->abd", (None, 7)), (4, 5)),
    )
    yield "det", lambda: _of_function(ops.det, (3, 3))
    yield (
        "inv",
        lambda: _of_function(
            lambda x: ops.inv(x + 3 * np.eye(3, dtype="float32")), (3, 3)
        ),
    )


def _sequences():
    layers = {
        "LSTM": lambda: L.LSTM(3),
        "GRU of sequences": lambda: L.GRU(3, return_sequences=True),
        "SimpleRNN": lambda: L.SimpleRNN(3),
        "Bidirectional LSTM": lambda: L.Bidirectional(L.LSTM(3)),
        "LSTM unrolled": lambda: L.LSTM(3, unroll=True),
        "TimeDistributed": lambda: L.TimeDistributed(L.Dense(3)),
        "MultiHeadAttention": lambda: SelfAttention(),
    }
    for name, make in layers.items():
        yield name, lambda make=make: _of_layer(make(), (5, 4))
    yield "ConvLSTM2D", lambda: _of_layer(L.ConvLSTM2D(2, 2), (3, 5, 5, 2))
    yield "Attention", lambda: _of_layer(L.Attention(), (4, 2), times=2)
    yield "AdditiveAttention", lambda: _of_layer(L.AdditiveAttention(), (4, 2), times=2)
    yield (
        "stateful GRU",
        lambda: _of_layer(L.GRU(3, stateful=True), (5, 4), batch=1),
    )


class SelfAttention(L.Layer):
    def __init__(self):
        super().__init__()
        self.attention = L.MultiHeadAttention(2, 4)

    def build(self, shape):
        self.attention.build(shape, shape)

    def call(self, x):
        return self.attention(x, x, use_causal_mask=True)


def _rest():
    yield "rfft", lambda: _of_function(lambda x: ops.rfft(x)[0], (8,))
    yield (
        "STFTSpectrogram",
        lambda: _of_layer(
            L.STFTSpectrogram(frame_length=8, frame_step=4, fft_length=8), (32, 1)
        ),
    )
    yield (
        "MelSpectrogram",
        lambda: _of_layer(
            L.MelSpectrogram(
                fft_length=64, sequence_stride=16, sampling_rate=800, num_mel_bins=8
            ),
            (256,),
        ),
    )
    yield "scalar output", lambda: _of_function(ops.mean)
    yield (
        "constant output",
        lambda: _of_function(lambda x: (x * 2, ops.ones((3,)))),
    )
    yield (
        "fori_loop",
        lambda: _of_function(lambda x: ops.fori_loop(0, 3, lambda i, s: s * 2, x)),
    )
    for mode in ("int8", "int4"):
        yield f"quantize {mode}", lambda mode=mode: _quantized(mode)
    yield "quantize gptq", _quantized_by_gptq


def models() -> dict[str, Callable[[], keras.Model]]:
    """Returns `{name: function that makes the model}`."""
    groups = (
        _unary,
        _reductions,
        _integers,
        _preprocessing,
        _images,
        _convolutions,
        _products,
        _sequences,
        _rest,
    )
    return {name: make for group in groups for name, make in group()}
