"""Gradients written with operations that LiteRT has (worker side).

TensorFlow's own gradient operations (`Conv2DBackpropFilter`, `MaxPoolGrad`, ...)
have no LiteRT kernel. While the training signature is traced, the operations below
are marked to be differentiated by these functions instead. Shapes must be known,
which the fixed batch size of training ensures.

The formulas of convolutions are those of Dumoulin and Visin, 2016
(https://arxiv.org/abs/1603.07285): the gradient of a convolution with respect to its
input is a transposed convolution, the gradient with respect to its kernel is a
convolution of the input with the output's gradient.
"""

import contextlib
import functools
from collections.abc import Iterator

import numpy as np


@contextlib.contextmanager
def builtin_gradients() -> Iterator[None]:
    """Operations created inside get gradients made of LiteRT operations."""
    import tensorflow as tf

    graph = tf.compat.v1.get_default_graph()
    with graph.gradient_override_map(_registered()):
        yield


@functools.cache
def _registered():
    import tensorflow as tf

    # A name can be registered once in the life of a process.
    names = {}
    for op_type, function in _FUNCTIONS.items():
        names[op_type] = f"KerasStrategies{op_type}"
        tf.RegisterGradient(names[op_type])(function)
    return names


def _relu(op, gradient):
    import tensorflow as tf

    return tf.where(op.outputs[0] > 0, gradient, tf.zeros_like(gradient))


def _relu6(op, gradient):
    import tensorflow as tf

    is_linear = tf.logical_and(op.outputs[0] > 0, op.outputs[0] < 6)
    return tf.where(is_linear, gradient, tf.zeros_like(gradient))


def _leaky_relu(op, gradient):
    import tensorflow as tf

    slope = op.get_attr("alpha")
    return tf.where(op.inputs[0] > 0, gradient, slope * gradient)


def _elu(op, gradient):
    import tensorflow as tf

    output = op.outputs[0]  # exp(x) - 1 for x < 0, with the derivative exp(x)
    return tf.where(output < 0, gradient * (output + 1), gradient)


def _selu(op, gradient):
    import tensorflow as tf

    # Constants of Klambauer et al., 2017 (https://arxiv.org/abs/1706.02515).
    output, scale, alpha = op.outputs[0], 1.0507009873554805, 1.6732632423543772
    return tf.where(output < 0, gradient * (output + scale * alpha), gradient * scale)


def _sigmoid(op, gradient):
    output = op.outputs[0]
    return gradient * output * (1 - output)  # f' = f (1 - f)


def _tanh(op, gradient):
    return gradient * (1 - op.outputs[0] * op.outputs[0])  # f' = 1 - f^2


def _softplus(op, gradient):
    import tensorflow as tf

    return gradient * tf.sigmoid(op.inputs[0])  # f' of log(1 + exp(x))


def _rsqrt(op, gradient):
    output = op.outputs[0]
    return -0.5 * gradient * output * output * output  # f' = -f^3 / 2


def _sqrt(op, gradient):
    return 0.5 * gradient / op.outputs[0]  # f' = 1 / (2 f)


def _bias_add(op, gradient):
    import tensorflow as tf

    axes = list(range(gradient.shape.rank - 1))  # all but the channels
    return gradient, tf.reduce_sum(gradient, axes)


def _conv2d(op, gradient):
    inputs, kernel = op.inputs
    _channels_last(op)
    if kernel.shape[2] != inputs.shape[3]:
        raise NotImplementedError("Conv2DBackpropFilter (grouped convolution)")
    to_input = _conv2d_to_input(op, gradient)
    return to_input, _conv2d_to_kernel(op, inputs, gradient, kernel.shape)


def _conv2d_transpose(op, gradient):
    """A transposed convolution is the gradient of one, so its gradient is one."""
    import tensorflow as tf

    _, kernel, inputs = op.inputs
    _channels_last(op)
    if op.get_attr("dilations") != [1, 1, 1, 1]:
        raise NotImplementedError("Conv2DBackpropInput (dilated)")
    to_input = tf.nn.conv2d(gradient, kernel, op.get_attr("strides"), _padding(op))
    return None, _conv2d_to_kernel(op, gradient, inputs, kernel.shape), to_input


def _conv2d_to_kernel(op, images, gradient, shape):
    """Gradient with respect to the kernel: itself a convolution.

    Of the images with the output's gradient as kernel, with samples and channels
    swapped, and strides and dilations swapped.
    """
    import tensorflow as tf

    strides = op.get_attr("strides")[1:3]
    dilations = op.get_attr("dilations")[1:3]
    # Padded here, as the padding of the swapped convolution would be another one.
    padded = _padded(op, images, shape[:2], dilations)
    # Only the part that the windows cover: more would give a larger kernel.
    ends = [
        (gradient.shape[1 + i] - 1) * strides[i] + (shape[i] - 1) * dilations[i] + 1
        for i in range(2)
    ]
    padded = padded[:, : ends[0], : ends[1]]
    kernel_gradient = tf.nn.conv2d(
        tf.transpose(padded, (3, 1, 2, 0)),
        tf.transpose(gradient, (1, 2, 0, 3)),
        strides=[1, *dilations, 1],
        padding="VALID",
        dilations=[1, *strides, 1],
    )
    return tf.transpose(kernel_gradient, (1, 2, 0, 3))


def _conv2d_to_input(op, gradient):
    """Gradient with respect to the input: a transposed convolution.

    LiteRT's has no dilation; with dilation, a sum over the positions of the window.
    """
    import tensorflow as tf

    inputs, kernel = op.inputs
    strides = op.get_attr("strides")[1:3]
    dilations = op.get_attr("dilations")[1:3]
    if dilations == [1, 1]:
        return tf.raw_ops.Conv2DBackpropInput(
            input_sizes=inputs.shape.as_list(),
            filter=kernel,
            out_backprop=gradient,
            strides=[1, *strides, 1],
            padding=_padding(op),
        )
    margins = _margins(op, inputs, kernel.shape[:2], dilations)[1:3]
    sizes = [n + sum(m) for n, m in zip(inputs.shape[1:3], margins, strict=True)]
    total = None
    for row in range(kernel.shape[0]):
        for column in range(kernel.shape[1]):
            offset = (row * dilations[0], column * dilations[1])
            part = tf.linalg.matmul(gradient, kernel[row, column], transpose_b=True)
            part = _scatter(part, offset, strides, sizes)
            total = part if total is None else total + part
    return _unpadded(op, total, inputs, kernel.shape[:2], dilations)


def _depthwise(op, gradient):
    """Sums over the positions of the window, each a slice of the input."""
    import tensorflow as tf

    inputs, kernel = op.inputs
    _channels_last(op)
    strides = op.get_attr("strides")[1:3]
    dilations = op.get_attr("dilations")[1:3]
    if kernel.shape[3] != 1:
        raise NotImplementedError("DepthwiseConv2dNative (depth_multiplier above 1)")
    padded = _padded(op, inputs, kernel.shape[:2], dilations)
    total, to_kernel = None, []
    for row in range(kernel.shape[0]):
        for column in range(kernel.shape[1]):
            offset = (row * dilations[0], column * dilations[1])
            window = _gather(padded, offset, strides, gradient.shape[1:3])
            to_kernel.append(tf.reduce_sum(window * gradient, (0, 1, 2)))
            part = gradient * kernel[row, column, :, 0]
            part = _scatter(part, offset, strides, padded.shape[1:3])
            total = part if total is None else total + part
    to_input = _unpadded(op, total, inputs, kernel.shape[:2], dilations)
    return to_input, tf.reshape(tf.stack(to_kernel), kernel.shape)


def _max_pool(op, gradient):
    """Each window's gradient goes to its first largest entry, as in TensorFlow."""
    import tensorflow as tf

    inputs, output = op.inputs[0], op.outputs[0]
    _channels_last(op)
    size, strides = op.get_attr("ksize")[1:3], op.get_attr("strides")[1:3]
    padded = _padded(op, inputs, size, (1, 1), value=inputs.dtype.min)
    # `unassigned` is 1 where no position of the window has had the gradient yet.
    total, unassigned = None, None
    for row in range(size[0]):
        for column in range(size[1]):
            window = _gather(padded, (row, column), strides, gradient.shape[1:3])
            is_largest = tf.cast(tf.equal(window, output), gradient.dtype)
            if unassigned is None:
                unassigned = 1 - is_largest
            else:
                is_largest = is_largest * unassigned
                unassigned = unassigned - is_largest
            part = gradient * is_largest
            part = _scatter(part, (row, column), strides, padded.shape[1:3])
            total = part if total is None else total + part
    return _unpadded(op, total, inputs, size, (1, 1))


def _average_pool(op, gradient):
    """Each window's gradient is divided by its number of entries inside the image."""
    import tensorflow as tf

    inputs = op.inputs[0]
    _channels_last(op)
    size, strides = op.get_attr("ksize")[1:3], op.get_attr("strides")[1:3]
    ones = np.ones((1, *inputs.shape[1:3], 1), "float32")
    margins = _margins(op, inputs, size, (1, 1))
    ones = np.pad(ones, margins)
    counts = np.zeros((1, *gradient.shape[1:3], 1), "float32")
    offsets = [(row, column) for row in range(size[0]) for column in range(size[1])]
    for offset in offsets:
        counts += _gather(ones, offset, strides, gradient.shape[1:3])
    part = gradient / tf.constant(counts)
    sizes = ones.shape[1:3]
    total = sum(_scatter(part, offset, strides, sizes) for offset in offsets)
    return _unpadded(op, total, inputs, size, (1, 1))


def _strided_slice(op, gradient):
    """Zeros around the gradient, for slices without steps."""
    import tensorflow as tf

    shape = op.inputs[0].shape
    begin, end, steps = (tf.get_static_value(part) for part in op.inputs[1:4])
    masks = {name: op.get_attr(f"{name}_mask") for name in _MASKS}
    is_static = shape.is_fully_defined() and begin is not None and end is not None
    if not is_static or steps is None or (steps != 1).any() or masks["new_axis"]:
        raise NotImplementedError("StridedSliceGrad (steps or unknown bounds)")
    if masks["ellipsis"]:
        raise NotImplementedError("StridedSliceGrad (ellipsis)")
    margins, sliced_shape = [], []
    for axis, size in enumerate(shape):
        if axis >= len(begin):
            margins.append((0, 0))
            sliced_shape.append(size)
            continue
        bit = 1 << axis
        first = 0 if masks["begin"] & bit else int(begin[axis])
        last = size if masks["end"] & bit else int(end[axis])
        first = min(size, first + size if first < 0 else first)
        last = min(size, last + size if last < 0 else last)
        last = first + 1 if masks["shrink_axis"] & bit else last
        margins.append((first, size - last))
        sliced_shape.append(last - first)
    return tf.pad(tf.reshape(gradient, sliced_shape), margins), None, None, None


def _channels_last(op):
    if op.get_attr("data_format") != b"NHWC":
        raise NotImplementedError(f"{op.type} (channels first)")


def _padding(op):
    return op.get_attr("padding").decode()


def _margins(op, inputs, size, dilations):
    """Padding on either side of each axis; for "SAME" as TensorFlow computes it."""
    margins = [(0, 0)]
    for axis in range(2):
        if _padding(op) == "VALID":
            margins.append((0, 0))
            continue
        length, stride = inputs.shape[1 + axis], op.get_attr("strides")[1 + axis]
        extent = (size[axis] - 1) * dilations[axis] + 1
        count = -(-length // stride)
        missing = max(0, (count - 1) * stride + extent - length)
        margins.append((missing // 2, missing - missing // 2))
    return [*margins, (0, 0)]


def _padded(op, inputs, size, dilations, value=0.0):
    import tensorflow as tf

    margins = _margins(op, inputs, size, dilations)
    if not np.any(margins):
        return inputs
    return tf.pad(inputs, margins, constant_values=value)


def _unpadded(op, padded, inputs, size, dilations):
    top, left = (margin[0] for margin in _margins(op, inputs, size, dilations)[1:3])
    height, width = inputs.shape[1:3]
    return padded[:, top : top + height, left : left + width]


def _gather(images, offset, strides, counts):
    """The entries of one position of the window, over all windows."""
    rows, columns = (
        slice(offset[i], offset[i] + (counts[i] - 1) * strides[i] + 1, strides[i])
        for i in range(2)
    )
    return images[:, rows, columns]


def _scatter(values, offset, strides, sizes):
    """The transpose of `_gather`: `values` at their positions, zeros elsewhere."""
    import tensorflow as tf

    margins = [(0, 0), (0, 0), (0, 0), (0, 0)]
    for axis in (1, 2):
        stride = strides[axis - 1]
        count = values.shape[axis]
        if stride > 1:
            # Zeros between the values: pad a new axis after each, then merge it.
            spread = tf.expand_dims(values, axis + 1)
            gaps = [(0, 0)] * 5
            gaps[axis + 1] = (0, stride - 1)
            shape = values.shape.as_list()
            shape[axis] = count * stride
            values = tf.reshape(tf.pad(spread, gaps), shape)
        # The zeros after the last value may extend beyond the image.
        after = sizes[axis - 1] - offset[axis - 1] - values.shape[axis]
        if after < 0:
            slices = [slice(None)] * 4
            slices[axis] = slice(0, values.shape[axis] + after)
            values = values[tuple(slices)]
        margins[axis] = (offset[axis - 1], max(0, after))
    return tf.pad(values, margins) if np.any(margins) else values


_MASKS = ("begin", "end", "ellipsis", "new_axis", "shrink_axis")
_FUNCTIONS = {
    "AvgPool": _average_pool,
    "BiasAdd": _bias_add,
    "Conv2D": _conv2d,
    "Conv2DBackpropInput": _conv2d_transpose,
    "DepthwiseConv2dNative": _depthwise,
    "Elu": _elu,
    "LeakyRelu": _leaky_relu,
    "MaxPool": _max_pool,
    "Relu": _relu,
    "Relu6": _relu6,
    "Rsqrt": _rsqrt,
    "Selu": _selu,
    "Sigmoid": _sigmoid,
    "Softplus": _softplus,
    "Sqrt": _sqrt,
    "StridedSlice": _strided_slice,
    "Tanh": _tanh,
}
