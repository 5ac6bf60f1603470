"""The resample, compiled with XLA on TensorFlow and JAX whatever surrounds it."""

import functools

from keras import ops as keras_ops

from keras_strategies.augmentation.affine import affine_maps, draw_parameters, warp


def resample(
    images,
    uniform,
    drawing,
    interpolation,
    fill_mode,
    fill_value,
    data_format,
    ops=keras_ops,
):
    """Turns uniform numbers into maps and reads `images` through them once.

    Drawing is inside, because at small images a dozen tiny operations outside of
    the compiled program would cost as much as the program.
    """
    if data_format == "channels_first":
        images = ops.transpose(images, (0, 2, 3, 1))
    _, height, width, _ = ops.shape(images)
    parameters = draw_parameters(uniform, *drawing, ops=ops)
    maps = affine_maps(parameters, height, width, ops)
    images = warp(images, maps, interpolation, fill_mode, fill_value, ops)
    if data_format == "channels_first":
        images = ops.transpose(images, (0, 3, 1, 2))
    return images


def resample_with_xla(images, uniform, *settings, ops, backend):
    """`resample` of TensorFlow or JAX tensors as one XLA program."""
    if backend == "jax":
        return _jax_program(settings)(images, uniform)
    shapes = tuple(images.shape), tuple(uniform.shape)
    return _tensorflow_program(ops, shapes, images.dtype, settings)(images, uniform)


@functools.lru_cache(maxsize=256)
def _jax_program(settings):
    import jax

    def program(images, uniform):
        return resample(images, uniform, *settings)

    return jax.jit(program)


@functools.lru_cache(maxsize=256)
def _tensorflow_program(ops, shapes, dtype, settings):
    import tensorflow as tf

    def program(images, uniform):
        return resample(images, uniform, *settings, ops=ops)

    specs = tf.TensorSpec(shapes[0], dtype), tf.TensorSpec(shapes[1], tf.float32)
    # The body has nothing for AutoGraph to convert. Traced outside of the graph
    # that asks for it, so that every later graph can call it too.
    with tf.init_scope():
        function = tf.function(program, jit_compile=True, autograph=False)
        return function.get_concrete_function(*specs)


def fits_xla(images, backend):
    """Whether compiling pays: a known image size, and not one image at a time.

    XLA compiles one program a shape. Images of many sizes would each cost a
    compilation, so on TensorFlow they take the plain operations. JAX compiles
    every plain operation for every shape as well, and Torch has no XLA.
    """
    if backend != "tensorflow":
        return backend == "jax"
    import tensorflow as tf

    known = all(size is not None for size in images.shape[1:])
    return known and (not tf.executing_eagerly() or images.shape[0] > 1)
