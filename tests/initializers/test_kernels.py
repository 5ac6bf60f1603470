"""Initializers of kernels: their algebra, and what a layer made with them does."""

import importlib

import keras
import numpy as np
import pytest
from keras import ops

from keras_strategies.initializers import ICNR, ConvolutionAware, DeltaOrthogonal, Dirac
from tests.markers import slow_on_jax

MODULE = importlib.import_module("keras_strategies.initializers.convolution_aware")
BACKEND = keras.backend.backend()
# JAX compiles each operation for each shape: one rank is enough there.
SIDES = [(2, 3)] if BACKEND == "jax" else [(5,), (2, 3), (3, 1, 2)]
CONVOLUTIONS = {
    1: keras.layers.Conv1D,
    2: keras.layers.Conv2D,
    3: keras.layers.Conv3D,
}


def _draw(initializer, shape, dtype=None):
    return ops.convert_to_numpy(initializer(shape, dtype))


def _images(sides, channels):
    rng = np.random.default_rng(0)
    return rng.normal(size=(2, *sides, channels)).astype("float32")


if BACKEND == "jax":

    def test_delta_orthogonal_has_the_form_of_that_of_jax():
        import jax

        other = jax.nn.initializers.delta_orthogonal(scale=2.0)
        other = np.asarray(other(jax.random.key(0), (3, 4, 3, 5)))
        own = _draw(DeltaOrthogonal(gain=2.0, seed=1), (3, 4, 3, 5))
        np.testing.assert_array_equal(own != 0, other != 0)
        matrices = [kernel[1, 1] @ kernel[1, 1].T for kernel in (own, other)]
        np.testing.assert_allclose(*matrices, atol=1e-5)


@pytest.mark.parametrize("sides", SIDES, ids=str)
def test_delta_orthogonal_keeps_every_length(sides):
    kernel = _draw(DeltaOrthogonal(seed=1), (*sides, 3, 5))
    center = tuple((side - 1) // 2 for side in sides)
    matrix = kernel[center].copy()
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-5)
    kernel[center] = 0
    assert not kernel.any()
    layer = CONVOLUTIONS[len(sides)](
        5, sides, padding="same", kernel_initializer=DeltaOrthogonal(2.0, seed=1)
    )
    x = _images((6,) * len(sides), 3)
    y = ops.convert_to_numpy(layer(x))
    np.testing.assert_allclose(
        np.linalg.norm(y, axis=-1), 2 * np.linalg.norm(x, axis=-1), rtol=1e-4
    )


@pytest.mark.parametrize("sides", SIDES, ids=str)
def test_dirac_is_the_identity(sides):
    layer = CONVOLUTIONS[len(sides)](
        4, sides, padding="same", kernel_initializer=Dirac()
    )
    x = _images((6,) * len(sides), 3)
    y = ops.convert_to_numpy(layer(x))
    np.testing.assert_allclose(y[..., :3], x, atol=1e-6)
    np.testing.assert_array_equal(y[..., 3], 0)


def test_dirac_with_groups():
    kernel = _draw(Dirac(2), (3, 3, 2, 6))
    for group in (kernel[1, 1, :, :3], kernel[1, 1, :, 3:]):
        np.testing.assert_array_equal(group, np.eye(2, 3))
    assert kernel.sum() == 4
    with pytest.raises(ValueError, match="`groups` must divide"):
        Dirac(4)((3, 3, 2, 6))


if BACKEND == "torch":

    @pytest.mark.parametrize("shape", [(3, 2, 4), (3, 5, 2, 6), (1, 3, 3, 4, 2)])
    @pytest.mark.parametrize("groups", [1, 2])
    def test_dirac_is_that_of_torch_for_odd_sides(shape, groups):
        import torch

        other = torch.nn.init.dirac_(torch.empty(*shape[:-3:-1], *shape[:-2]), groups)
        other = np.moveaxis(other.numpy(), (0, 1), (-1, -2))
        np.testing.assert_array_equal(_draw(Dirac(groups), shape), other)


@slow_on_jax
@pytest.mark.parametrize("dims", [len(sides) for sides in SIDES])
def test_icnr_begins_as_an_enlargement(dims):
    block = 2**dims
    kernel = _draw(ICNR(2), (3,) * dims + (4, 3 * block))
    blocks = np.split(kernel, block, axis=-1)
    assert all((one == blocks[0]).all() for one in blocks)
    assert len(np.unique(blocks[0])) == blocks[0].size


def test_icnr_has_the_order_of_depth_to_space():
    inner = keras.initializers.RandomNormal(seed=4)
    layer = keras.layers.Conv2D(
        18, 3, padding="same", kernel_initializer=ICNR(3, inner)
    )
    small = keras.layers.Conv2D(2, 3, padding="same", kernel_initializer=inner)
    x = _images((4, 5), 3)
    # Written out: keras.ops.depth_to_space is younger than the oldest Keras supported.
    y = ops.convert_to_numpy(layer(x)).reshape(2, 4, 5, 3, 3, 2)
    y = y.transpose(0, 1, 3, 2, 4, 5).reshape(2, 12, 15, 2)
    if hasattr(ops, "depth_to_space"):
        own = ops.convert_to_numpy(ops.depth_to_space(layer(x), 3))
        np.testing.assert_array_equal(own, y)
    expected = ops.convert_to_numpy(small(x)).repeat(3, axis=1).repeat(3, axis=2)
    np.testing.assert_allclose(y, expected, atol=1e-5)


@slow_on_jax
@pytest.mark.parametrize("sides", SIDES, ids=str)
def test_convolution_aware_is_the_transform_of_orthonormal_rows(sides, monkeypatch):
    drawn, original = [], MODULE.orthogonal_rows

    def orthogonal_rows(normal, count):
        drawn.append(original(normal, count))
        return drawn[0]

    monkeypatch.setattr(MODULE, "orthogonal_rows", orthogonal_rows)
    spectrum = np.fft.rfftn(np.zeros(sides)).shape
    half, inputs = np.prod(spectrum), np.prod(spectrum) + 2
    kernel = _draw(ConvolutionAware(stddev=0.0, seed=1), (*sides, inputs, 3))
    rows = ops.convert_to_numpy(drawn[0])
    for one in rows:
        np.testing.assert_allclose(one @ one.T, np.eye(half), atol=1e-5)
    rows = rows.reshape(3, -1, half)[:, :inputs].reshape(-1, *spectrum)
    axes = range(1, len(sides) + 1)
    expected = np.fft.irfftn(rows, s=sides, axes=axes).reshape(3, inputs, *sides)
    expected = np.moveaxis(expected, (0, 1), (-1, -2))
    expected *= np.sqrt(2 / (np.prod(sides) * inputs) / expected.var())
    np.testing.assert_allclose(kernel, expected, atol=1e-5)
    if len(sides) == 1:  # seen from outside: the spectra of channels are orthogonal
        spectra = np.fft.rfft(kernel[:, :half, 0].T).real
        gram = spectra @ spectra.T
        np.testing.assert_allclose(gram, gram[0, 0] * np.eye(half), atol=1e-4)


@slow_on_jax
def test_convolution_aware_noise_and_single_positions():
    plain = _draw(ConvolutionAware(0.0, seed=1), (3, 3, 4, 8))
    noisy = _draw(ConvolutionAware(0.05, seed=1), (3, 3, 4, 8))
    difference = np.linalg.norm(noisy - plain) / np.linalg.norm(plain)
    assert 0.01 < difference < 0.5
    single = _draw(ConvolutionAware(seed=1), (1, 1, 6, 4))
    gram = single[0, 0].T @ single[0, 0]
    np.testing.assert_allclose(gram, gram[0, 0] * np.eye(4), atol=1e-5)
    assert single.var() == pytest.approx(2 / 6, rel=1e-4)


RANDOM = [DeltaOrthogonal, ConvolutionAware]


@slow_on_jax
@pytest.mark.parametrize("cls", RANDOM)
def test_seeds_are_those_of_keras(cls):
    shape = (3, 3, 2, 4)
    np.testing.assert_array_equal(_draw(cls(seed=1), shape), _draw(cls(seed=1), shape))
    assert (_draw(cls(seed=1), shape) != _draw(cls(seed=2), shape)).any()
    generator = cls(seed=keras.random.SeedGenerator(1))
    assert (_draw(generator, shape) != _draw(generator, shape)).any()
    again = cls.from_config(cls(seed=5).get_config())
    np.testing.assert_array_equal(_draw(again, shape), _draw(cls(seed=5), shape))


@slow_on_jax
@pytest.mark.parametrize("cls", [*RANDOM, Dirac, ICNR])
def test_shapes_and_dtypes(cls):
    assert _draw(cls(), (3, 2, 4), "float16").dtype == "float16"
    for shape in ((4, 4), (4,), (2, 2, 2, 2, 4, 4)):
        with pytest.raises(ValueError, match="convolution's kernel"):
            cls()(shape)


@pytest.mark.parametrize(
    "make",
    [
        lambda: DeltaOrthogonal(0.0),
        lambda: DeltaOrthogonal()((3, 3, 5, 4)),
        lambda: Dirac(0),
        lambda: ICNR(0),
        lambda: ICNR(2)((3, 3, 5, 6)),
        lambda: ConvolutionAware(-0.1),
    ],
)
def test_bad_values_are_refused(make):
    with pytest.raises(ValueError, match=r"must .*Received: "):
        make()
