"""Compilation of pure image functions with XLA, independent of the surrounding model.

Such a function has the signature `(images, uniform, *settings, ops)`: images with the
channels last, uniform numbers `(batch, n)`, hashable settings, and the namespace of
operations.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, Literal

import keras
from keras import ops as keras_ops

from keras_strategies._internal.keras_private import backend_ops
from keras_strategies._internal.types import Tensor
from keras_strategies.augmentation._common.affine_maps import (
    affine_maps,
    draw_parameters,
    warp,
)


def resample(
    images: Tensor,
    uniform: Tensor,
    ranges: Any,
    interpolation: str,
    fill_mode: str,
    fill_value: float,
    order: Sequence[str],
    ops: Any = keras_ops,
) -> Tensor:
    """Converts uniform numbers to affine maps and resamples `images` once.

    The parameters are computed inside: for small images a dozen tiny operations outside
    of the compiled program would cost as much as the program.
    """
    _, height, width, _ = ops.shape(images)
    parameters = draw_parameters(uniform, *ranges, ops=ops)
    maps = affine_maps(parameters, height, width, ops, order)
    return warp(images, maps, interpolation, fill_mode, fill_value, ops)


def apply(
    function: Callable[..., Tensor],
    images: Tensor,
    uniform: Tensor,
    *settings: Any,
    layer: keras.layers.Layer,
    jit_compile: Literal["auto"] | bool = "auto",
) -> Tensor:
    """Applies `function` to the images of `layer`, compiled if that is faster."""
    ops, backend = backend_ops(layer.backend), layer.backend.name
    settings = (layer.data_format == "channels_first", *settings)
    if jit_compile is True and backend in ("tensorflow", "jax"):
        compiled = True
    else:
        compiled = jit_compile == "auto" and fits_xla(images, backend)
    if not compiled:
        return _channels_last(function, images, uniform, *settings, ops=ops)
    if backend == "jax":
        return _jax_program(function, settings)(images, uniform)
    shapes = tuple(images.shape), tuple(uniform.shape)
    dtypes = images.dtype, uniform.dtype
    program = _tensorflow_program(function, ops, shapes, dtypes, settings)
    return program(images, uniform)


def _channels_last(
    function: Callable[..., Any],
    images: Tensor,
    uniform: Tensor,
    channels_first: bool,
    *settings: Any,
    ops: Any,
) -> Tensor:
    if not channels_first:
        return function(images, uniform, *settings, ops=ops)
    images = ops.transpose(images, (0, 2, 3, 1))
    images = function(images, uniform, *settings, ops=ops)
    return ops.transpose(images, (0, 3, 1, 2))


@functools.lru_cache(maxsize=256)
def _jax_program(
    function: Callable[..., Tensor], settings: Any
) -> Callable[..., Tensor]:
    import jax

    def program(images: Tensor, uniform: Tensor) -> Tensor:
        return _channels_last(function, images, uniform, *settings, ops=keras_ops)

    return jax.jit(program)


@functools.lru_cache(maxsize=256)
def _tensorflow_program(
    function: Callable[..., Tensor], ops: Any, shapes: Any, dtypes: Any, settings: Any
) -> Callable[..., Tensor]:
    import tensorflow as tf

    def program(images: Tensor, uniform: Tensor) -> Tensor:
        return _channels_last(function, images, uniform, *settings, ops=ops)

    specs = [tf.TensorSpec(*spec) for spec in zip(shapes, dtypes, strict=True)]
    # Without AutoGraph: the body has nothing to convert. Traced outside of the current
    # graph, so that other graphs can call the cached program too.
    with tf.init_scope():
        compiled = tf.function(program, jit_compile=True, autograph=False)
        return compiled.get_concrete_function(*specs)


def fits_xla(images: Tensor, backend: str) -> bool:
    """Returns whether to compile: static image sizes, and more than one image.

    XLA compiles one program per shape. Images of many sizes would each cost a
    compilation, so that TensorFlow runs the plain operations for them. JAX compiles
    every plain operation for every shape as well, and Torch has no XLA.
    """
    if backend != "tensorflow":
        return backend == "jax"
    import tensorflow as tf

    is_static = all(size is not None for size in images.shape[1:])
    return is_static and (not tf.executing_eagerly() or images.shape[0] > 1)
